"""A stream that begins while a process runs begins as every stream does, and a person is told (ZT-21, ZT-30)."""

import errno
import os
from pathlib import Path

import pytest

from cloister import sidecar
from cloister.auditor.program import _opening
from cloister.auditor.stats import Stats
from cloister.journal import JournalError, JournalWriter, encode, timestamp
from cloister.journal.files import OsFiles
from cloister.journal.reader import read_journal
from cloister.journal.records import Alert, Line, Start
from cloister.journal.verify import verify
from cloister.sealing import Kind, generate

KEY = generate(Kind.X25519)
IDENTITY = "spiffe://cluster.local/ns/bot-inference/sa/inference"
CONTENT_KEY = bytes(range(32))


class Disk(OsFiles):
    """Fails when it is told to."""

    failing = 0

    def sync(self, fd: int) -> None:
        if self.failing:
            self.failing -= 1
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        super().sync(fd)


class Auditor:
    """Its journal, as its program makes it."""

    def __init__(self, directory: Path) -> None:
        self.directory, self.stats, self.disk = directory, Stats(), Disk()
        self.config = sidecar.Auditor.model_construct(
            deployment="bot",
            component="inference",
            identity=IDENTITY,
            health_port=0,
            metrics_port=0,
            journal=sidecar.Journal(
                directory=str(directory),
                recipients=(str(KEY.public),),
                upstream="unix:/x",
                path="/logs/",
                content="Hash",
            ),
        )
        self.writer = JournalWriter(
            directory,
            identity=IDENTITY,
            recipients=[KEY.public],
            files=self.disk,
            opening=lambda incident: _opening(self.config, CONTENT_KEY, self.stats, incident),
        )
        self.writer.append(())

    def record(self, exchange: str) -> None:
        request = {"type": "request", "time": timestamp(0), "exchange": exchange, "content_hmac": "1" * 64}
        self.writer.append([encode(request)])

    def break_the_disk(self, failures: int = 1) -> None:
        """It fails once, and holds other bytes then than were acknowledged."""
        self.disk.failing = failures
        (segment,) = self.directory.rglob("*.open")
        size = segment.stat().st_size
        with pytest.raises(JournalError):
            self.record("lost")
        data = segment.read_bytes()
        segment.write_bytes(data[: size - 50] + bytes(50) + data[size:])

    def streams(self) -> dict[str, list[Line]]:
        """By id: what can be read of each."""
        folders = [path for path in self.directory.iterdir() if path.is_dir()]
        return {path.name: list(read_journal([path], [KEY], lambda _: None)) for path in folders}

    def current(self) -> list[Line]:
        return self.streams()[self.writer.origin.rpartition("/")[2]]


def kinds(lines: list[Line]) -> list[str]:
    return [line.record.type for line in lines]


@pytest.fixture
def auditor(tmp_path: Path) -> Auditor:
    return Auditor(tmp_path / "journal")


def test_a_process_begins_with_its_start(auditor: Auditor) -> None:
    auditor.record("one")
    assert kinds(auditor.current()) == ["start", "request"]
    auditor.writer.close()
    again = Auditor(auditor.directory)
    again.record("two")
    assert kinds(again.current()) == ["start", "request", "start", "request"]
    assert again.stats.alerts["journal", "critical"] == 0


@pytest.mark.parametrize("failures", [1, 2])
def test_a_stream_that_begins_anew_says_so_first(auditor: Auditor, failures: int) -> None:
    auditor.record("one")
    before = auditor.writer.origin
    auditor.break_the_disk()
    auditor.disk.failing = failures - 1
    if failures > 1:
        with pytest.raises(JournalError):
            auditor.record("lost too")
    auditor.record("two")
    assert auditor.writer.origin != before
    found = auditor.current()
    assert kinds(found) == ["start", "alert", "request"]
    start, alert = found[0].record, found[1].record
    assert isinstance(start, Start)
    assert (start.content_key, start.incident) == (CONTENT_KEY.hex(), auditor.writer.incident)
    assert isinstance(alert, Alert)
    assert (alert.code, alert.severity) == ("journal.begun-anew", "critical")
    assert auditor.writer.incident
    assert auditor.writer.incident in alert.message
    assert auditor.stats.alerts["journal", "critical"] == 1


def test_it_does_not_wait_for_anybody_to_ask(auditor: Auditor) -> None:
    auditor.record("one")
    auditor.break_the_disk()
    auditor.writer.tick()
    auditor.writer.tick()
    assert kinds(auditor.current()) == ["start", "alert"]
    (stream,) = [path for path in auditor.directory.iterdir() if path.name in auditor.writer.origin]
    assert verify([stream], [KEY]).findings == []


def test_a_process_that_finds_another_journal_says_so(auditor: Auditor) -> None:
    auditor.record("one")
    auditor.writer.close()
    (auditor.directory / "stream.json").write_text("{}")
    again = Auditor(auditor.directory)
    assert kinds(again.current()) == ["start", "alert"]
    assert again.stats.alerts["journal", "critical"] == 1
