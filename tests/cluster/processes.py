"""Local processes that never outlive their purpose, and are never confused with somebody else's.

Each runs in a session of its own, with its log in a file and a record `run/<name>.json` of pid *and* start
time: a pid alone may by now belong to another program.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
_LOG_LINES_SHOWN = 25
_POLL = 0.1
_SPARING = {"GOGC": "400"}
"""Go's collector takes a sixth of an API server's time, and machines for tests have more memory than cores."""


class ProcessError(RuntimeError):
    """A process ended, or never became ready; the message ends with the last lines of its log."""


@dataclass(frozen=True)
class Identity:
    """One process, past any reuse of its pid: the machine's boot, and the tick in it at which it started."""

    pid: int
    start_ticks: int
    boot: str

    @classmethod
    def of(cls, pid: int) -> Identity | None:
        """Who has this pid now; None for nobody, and for a zombie, which has ended."""
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            return None
        # The command's name, in parentheses, may hold spaces and parentheses itself: count from the last one.
        state, *fields = stat[stat.rindex(")") + 2 :].split()
        return None if state in "ZX" and not _has_threads(pid) else cls(pid, int(fields[18]), _boot_id())

    def alive(self) -> bool:
        """Whether this very process still runs."""
        return Identity.of(self.pid) == self

    def signal(self, number: signal.Signals) -> None:
        """Signal this process and what it started, or nobody if it has ended."""
        if self.alive():
            with suppress(ProcessLookupError):
                os.killpg(self.pid, number)

    def end(self, grace: float = 0.0) -> None:
        """End the process, at once or after `grace` seconds to do so by itself. Returns when it is gone."""
        if grace > 0:
            self.signal(signal.SIGTERM)
            self.signal(signal.SIGCONT)  # a paused process hears nothing else
            wait_until(lambda: not self.alive(), grace)
        self.signal(signal.SIGKILL)
        wait_until(lambda: not self.alive(), 10)


def _has_threads(pid: int) -> bool:
    """Whether threads of a process outlive its first one: until the last has ended, its ports are taken."""
    try:
        return len(list(Path(f"/proc/{pid}/task").iterdir())) > 1
    except (FileNotFoundError, ProcessLookupError):
        return False


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


@dataclass(frozen=True)
class ProcessTable:
    """The processes of one control plane, as recorded in its directory."""

    directory: Path

    def start(self, name: str, command: Sequence[str | Path], env: Mapping[str, str] | None = None) -> Identity:
        """Start a process under a name that is free, and record it."""
        if running := self.find(name):
            raise ProcessError(f"{name} already runs as process {running.pid}")
        self.log(name).parent.mkdir(parents=True, exist_ok=True)
        self._records.mkdir(parents=True, exist_ok=True)
        with self.log(name).open("ab") as log:
            child = subprocess.Popen(
                [str(word) for word in command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **_SPARING, **(env or {})},
                start_new_session=True,
            )
        _children.append(child)
        identity = Identity.of(child.pid)
        if identity is None:
            raise self.failure(name, "ended at once")
        record = self._record(name)
        scratch = record.with_suffix(".new")
        scratch.write_text(json.dumps(asdict(identity)))
        scratch.rename(record)
        return identity

    def find(self, name: str) -> Identity | None:
        """The running process of that name."""
        try:
            identity = Identity(**json.loads(self._record(name).read_text()))
        except FileNotFoundError:
            return None
        _reap()
        return identity if identity.alive() else None

    def running(self) -> dict[str, Identity]:
        """All running processes, by name."""
        names = sorted(path.stem for path in self._records.glob("*.json"))
        return {name: identity for name in names if (identity := self.find(name))}

    def stop(self, name: str, grace: float = 0.0) -> None:
        """End the process of that name, if it runs, and forget it."""
        if identity := self.find(name):
            identity.end(grace)
        _reap()
        self._record(name).unlink(missing_ok=True)

    def stop_all(self) -> None:
        """End everything, and at once: nothing here holds data that anyone will read again."""
        for identity in self.running().values():
            identity.signal(signal.SIGKILL)
        for path in self._records.glob("*.json"):
            self.stop(path.stem)

    def wait_ready(self, name: str, ready: Callable[[], bool], timeout: float = 60.0) -> None:
        """Wait until `ready()`. If the process ends or time is up, the error shows the end of its log."""
        state = {"ended": False}

        def settled() -> bool:
            state["ended"] = self.find(name) is None
            return state["ended"] or ready()

        if not wait_until(settled, timeout):
            raise self.failure(name, f"was not ready after {timeout:.0f} s")
        if state["ended"]:
            raise self.failure(name, "ended")

    def log(self, name: str) -> Path:
        """The log of the process of that name; it grows over restarts."""
        return self.directory / "log" / f"{name}.log"

    def failure(self, name: str, what: str) -> ProcessError:
        """An error that carries the end of the process's log."""
        log = self.log(name)
        tail = log.read_text(errors="replace").splitlines()[-_LOG_LINES_SHOWN:] if log.exists() else []
        return ProcessError("\n".join([f"{name} {what}; the end of {log}:", *tail]))

    @property
    def _records(self) -> Path:
        return self.directory / "run"

    def _record(self, name: str) -> Path:
        return self._records / f"{name}.json"


#: Children of this very Python process, kept only to be reaped: a zombie would hold its pid for ever.
_children: list[subprocess.Popen[bytes]] = []


def _reap() -> None:
    _children[:] = [child for child in _children if child.poll() is None]


def wait_until(condition: Callable[[], T], timeout: float, every: float = _POLL) -> T:
    """Poll until the condition is true, or for `timeout` seconds; returns what it was last.

    What takes long to find out is asked less often, so that asking does not slow down what is waited for.
    """
    deadline = time.monotonic() + timeout
    while True:
        asked = time.monotonic()
        found = condition()
        if found or (answered := time.monotonic()) > deadline:
            return found
        time.sleep(max(every, 2 * (answered - asked)))
