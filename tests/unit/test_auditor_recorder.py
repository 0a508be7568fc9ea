"""Group commit: in order, each for its own, in the loop only as long as the disk is quick (ZT-21)."""

import asyncio
import threading
import time
from collections.abc import Sequence

import pytest

from cloister.auditor import recorder as module
from cloister.auditor.recorder import QUICK_SECONDS, Recorder
from cloister.journal import JournalError, SignedCheckpoint


class Memory:
    """A journal in memory, as quick or slow as asked, and broken when told."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.broken = False
        self.batches: list[list[bytes]] = []
        self.threads: set[int] = set()

    def append(self, records: Sequence[bytes]) -> None:
        self.threads.add(threading.get_ident())
        time.sleep(self.seconds)
        if self.broken:
            raise JournalError("the disk is full")
        self.batches.append(list(records))

    def tick(self) -> None:
        if self.broken:
            raise JournalError("the disk is full")

    def head(self) -> SignedCheckpoint:
        raise JournalError("nothing to say")

    def close(self) -> None:
        pass

    @property
    def records(self) -> list[bytes]:
        return [record for batch in self.batches for record in batch]


def why(recorder: Recorder) -> str | None:
    return recorder.error


def numbered(number: int) -> dict[str, object]:
    return {"number": number}


async def test_a_quick_disk_is_waited_for_in_the_loop() -> None:
    memory = Memory()
    recorder = Recorder(memory)
    for number in range(200):
        await recorder.record(numbered(number))
    assert threading.get_ident() in memory.threads
    await recorder.close()
    assert memory.records == [b'{"number":%d}' % number for number in range(200)]


async def test_a_slow_disk_never_stops_the_loop() -> None:
    memory = Memory(4 * QUICK_SECONDS)
    recorder = Recorder(memory)
    for number in range(30):
        await recorder.record(numbered(number))
    assert threading.get_ident() not in memory.threads
    await recorder.close()
    assert len(memory.records) == 30


@pytest.mark.parametrize("seconds", [0.0, 4 * QUICK_SECONDS])
async def test_what_comes_together_is_written_together_and_in_order(seconds: float) -> None:
    memory = Memory(seconds)
    recorder = Recorder(memory)
    for round_ in range(10):
        await asyncio.gather(*(recorder.record(numbered(100 * round_ + number)) for number in range(20)))
    await recorder.close()
    assert memory.records == [b'{"number":%d}' % (100 * r + n) for r in range(10) for n in range(20)]
    assert len(memory.batches) == recorder.commits <= 20


async def test_who_is_alone_waits_for_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "QUICK_SECONDS", 3600)
    memory = Memory()
    recorder = Recorder(memory)
    await recorder.record(numbered(0))
    assert recorder.record(numbered(1), alone=True).done()
    await recorder.close()
    assert len(memory.batches) == 2


async def test_those_who_were_released_together_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = Memory()
    recorder = Recorder(memory)
    await asyncio.gather(*(recorder.record(numbered(n)) for n in range(3)))
    monkeypatch.setattr(module, "GATHERING_SECONDS", 3600)
    first = recorder.record(numbered(3), alone=True)
    for _ in range(10):
        await asyncio.sleep(0)
    assert not first.done()
    await asyncio.gather(first, *(recorder.record(numbered(n)) for n in (4, 5)))
    assert [len(batch) for batch in memory.batches] == [3, 3]
    await recorder.close()


async def test_nobody_is_waited_for_in_vain_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "QUICK_SECONDS", 3600)
    memory = Memory()
    recorder = Recorder(memory)
    await asyncio.gather(*(recorder.record(numbered(n)) for n in range(3)))
    await recorder.record(numbered(3), alone=True)
    assert recorder.record(numbered(4), alone=True).done(), "who was alone last is taken to be alone again"
    await recorder.close()
    assert [len(batch) for batch in memory.batches] == [3, 1, 1]


async def test_a_failure_is_everybodys_who_waited_and_ends_by_itself() -> None:
    memory = Memory()
    recorder = Recorder(memory)
    await recorder.record(numbered(0))
    memory.broken = True
    outcomes = await asyncio.gather(*(recorder.record(numbered(n)) for n in (1, 2)), return_exceptions=True)
    assert all(isinstance(outcome, JournalError) for outcome in outcomes)
    assert why(recorder) == "the disk is full"
    memory.broken = False
    await recorder.record(numbered(3))
    assert why(recorder) is None
    await recorder.close()
    assert memory.records == [b'{"number":0}', b'{"number":3}']


async def test_who_goes_away_takes_nobody_along() -> None:
    memory = Memory()
    recorder = Recorder(memory)
    gone, stays = recorder.record(numbered(1)), recorder.record(numbered(2))
    gone.cancel()
    await stays
    await recorder.close()
    assert memory.records == [b'{"number":1}', b'{"number":2}']
