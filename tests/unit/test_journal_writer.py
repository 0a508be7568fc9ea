"""The journal on a failing disk: what was acknowledged is there once and in order, whatever happens (ZT-21)."""

import errno
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from cloister.journal import JournalError, JournalWriter, encode, timestamp
from cloister.journal.files import OsFiles
from cloister.journal.reader import read_journal
from cloister.journal.verify import verify
from cloister.sealing import Kind, generate

KEY = generate(Kind.X25519)
IDENTITY = "spiffe://cluster.local/ns/bot-inference/sa/inference"


class Disk(OsFiles):
    """A disk that fails when it is told to, and that forgets at a crash what nobody has synced."""

    def __init__(self) -> None:
        self.fails_in: int | None = None
        """How many changes succeed before those that fail."""
        self.failing = 0
        """How many fail then."""
        self.error = errno.EIO
        self._paths: dict[int, Path] = {}
        self._safe: dict[Path, int] = {}

    def create(self, path: Path) -> int:
        self._change()
        fd = super().create(path)
        self._paths[fd], self._safe[path] = path, 0
        return fd

    def reopen(self, path: Path) -> int:
        self._change()
        fd = super().reopen(path)
        self._paths[fd] = path
        self._safe.setdefault(path, path.stat().st_size)
        return fd

    def write(self, fd: int, data: bytes | memoryview) -> int:
        try:
            self._change()
        except OSError:
            # Some of it may be there all the same.
            super().write(fd, data[: len(data) // 2])
            raise
        return super().write(fd, data[: max(1, len(data) - 7)])

    def sync(self, fd: int) -> None:
        self._change()
        super().sync(fd)
        self._safe[self._paths[fd]] = os.fstat(fd).st_size

    def sync_all(self, fd: int) -> None:
        self.sync(fd)

    def truncate(self, fd: int, size: int) -> None:
        self._change()
        super().truncate(fd, size)

    def rename(self, source: Path, target: Path) -> None:
        self._change()
        super().rename(source, target)
        if source in self._safe:
            self._safe[target] = self._safe.pop(source)
        self._paths = {fd: target if path == source else path for fd, path in self._paths.items()}

    def sync_directory(self, path: Path) -> None:
        self._change()
        super().sync_directory(path)

    def crash(self, kept: float) -> None:
        """The power is gone: of what was not synced, a part may be on the disk."""
        for path, safe in self._safe.items():
            if path.exists():
                size = path.stat().st_size
                if size > safe:
                    os.truncate(path, safe + int((size - safe) * kept))

    def _change(self) -> None:
        if self.fails_in is None:
            return
        if self.fails_in > 0:
            self.fails_in -= 1
        elif self.failing > 0:
            self.failing -= 1
            raise OSError(self.error, os.strerror(self.error))
        else:
            self.fails_in = None


class Journal(RuleBasedStateMachine):
    """Appends, ticks, faults, crashes and restarts in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp(prefix="journal-"))
        self.now, self.number = 1000.0, 0
        self.acknowledged: list[str] = []
        self.doubtful: set[str] = set()
        """What was refused: its caller had no answer, so it may be there after a crash, or not."""
        self.notes: list[str] = []
        self.disk = Disk()
        self.writer: JournalWriter | None = None

    @initialize()
    def begin(self) -> None:
        self.start()

    def start(self) -> None:
        self.disk = Disk()
        self.writer = JournalWriter(
            self.directory,
            identity=IDENTITY,
            recipients=[KEY.public],
            max_bytes=6000,
            max_age_s=10,
            clock=lambda: self.now,
            files=self.disk,
        )
        assert self.writer.incident is None

    def attempt(self, work: Callable[[JournalWriter], Any]) -> bool:
        if self.writer is None:
            self.start()
        assert self.writer
        try:
            work(self.writer)
        except JournalError:
            return False
        return True

    @rule(count=st.integers(1, 4), size=st.integers(0, 900))
    def append(self, count: int, size: int) -> None:
        names = [f"{self.number + index}" for index in range(count)]
        self.number += count
        base = {"type": "alert", "time": timestamp(0), "code": "c", "severity": "info"}
        records = [encode(base | {"message": f"{name} {'x' * size}"}) for name in names]
        if self.attempt(lambda writer: writer.append(records)):
            self.acknowledged += names
            assert self.writer
            self.notes.append(self.writer.head().note)
        else:
            self.doubtful |= set(names)

    @rule(seconds=st.sampled_from([1, 11]))
    def tick(self, seconds: int) -> None:
        self.now += seconds
        self.attempt(lambda writer: writer.tick())

    @rule(
        after=st.integers(0, 8), times=st.integers(1, 4), error=st.sampled_from([errno.ENOSPC, errno.EIO, errno.EDQUOT])
    )
    def fault(self, after: int, times: int, error: int) -> None:
        self.disk.fails_in, self.disk.failing, self.disk.error = after, times, error

    @rule(kept=st.floats(0, 1))
    def crash(self, kept: float) -> None:
        if self.writer:
            os.close(self.writer._lock)  # as the end of a process does
            self.writer = None
            self.disk.crash(kept)

    @rule()
    def restart(self) -> None:
        if self.writer:
            self.disk.fails_in = None
            self.attempt(lambda writer: writer.close())
            self.writer = None

    @invariant()
    def what_was_acknowledged_is_there(self) -> None:
        found = [line.record.message.split(" ")[0] for line in read_journal([self.directory], [KEY])]  # type: ignore[union-attr]
        assert [name for name in found if name not in self.doubtful] == self.acknowledged
        assert len(set(found)) == len(found)

    def teardown(self) -> None:
        try:
            self.disk.fails_in = None
            if self.writer is None:
                self.start()
            assert self.writer
            self.writer.tick()
            self.writer.close()
            report = verify([self.directory], [KEY], self.notes)
            assert not report.findings
        finally:
            shutil.rmtree(self.directory, ignore_errors=True)


TestJournal = Journal.TestCase
TestJournal.settings = settings(max_examples=30, stateful_step_count=30, deadline=None)
