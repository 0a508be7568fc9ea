"""Group commit: records that are submitted while the disk is busy share the next write, and each waits for its own."""

import asyncio
import math
import threading
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, Protocol

import structlog

from cloister.journal import JournalError, SignedCheckpoint, encode

_log = structlog.get_logger()

MAX_BATCH_BYTES = 1 << 20
"""What goes into one frame of the journal, unless a single record is larger."""
CHECKPOINT_SECONDS = 10
"""How often the journal's signed head is said aloud: on standard output, from where a node's log collector takes it out
of the pod's reach. What is cut off or sealed anew later disagrees with it."""
QUICK_SECONDS = 0.001
"""A disk that takes less than this for a batch is waited for in the event loop: to hand the batch to a thread and its
end back costs more than that, in time and in CPU. A slower one keeps no loop waiting."""
GATHERING_SECONDS = 0.001
"""How long a batch that is smaller than the one before it is kept open at most: whoever shared that one has been
released at one moment, so they come back together, and what a disk takes for one it takes for all of them."""
_WEIGHT = 0.2
"""Of the latest batch in the running mean."""


class Writer(Protocol):
    """The journal, as far as the recorder uses it. Only one thread does."""

    def append(self, records: Sequence[bytes]) -> None:
        """Durable on return; a JournalError means that nothing of it counts."""

    def tick(self) -> None:
        """Ends a segment that is old enough."""

    def head(self) -> SignedCheckpoint:
        """What the journal has come to."""

    def close(self) -> None:
        """Ends the segment."""


class _Batch:
    """What goes into one frame. Each record has a future of its own: a caller who goes away cancels only that."""

    __slots__ = ("durable", "records", "size")

    def __init__(self) -> None:
        self.durable: list[asyncio.Future[None]] = []
        self.records: list[bytes] = []
        self.size = 0


class Recorder:
    """Writes records: in the event loop it is used from as long as the disk is quick, else in a thread of its own."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[_Batch] = deque()
        self._jobs: SimpleQueue[_Batch | None] = SimpleQueue()
        self._busy = self._scheduled = self._closed = False
        self.error: str | None = None
        """Why nothing can be recorded at the moment; None while all is well."""
        self.commits = self.records = 0
        self._took = math.inf
        """Running mean of seconds for a batch."""
        self._expected = 1
        """Records of the latest batch."""
        self._gathering: asyncio.TimerHandle | None = None
        self._thread = threading.Thread(target=self._work, name="journal", daemon=True)
        self._thread.start()

    def record(self, fields: dict[str, Any], *, alone: bool = False) -> asyncio.Future[None]:
        """Submits a record. The future is done when it is durable, and fails with a JournalError when it is not.

        ``alone``: nobody else is under way who could share its write, so that it need not wait for anybody.
        """
        durable: asyncio.Future[None] = self._loop.create_future()
        self._submit(encode(fields)).durable.append(durable)
        if alone and self._expected == 1 and not self._busy:
            self._hand_over()
        return durable

    def note(self, fields: dict[str, Any]) -> None:
        """Submits a record for which nobody waits, because nothing comes after it."""
        self._submit(encode(fields))

    def tick(self) -> None:
        """To be called about once a second: ends old segments, and finds out whether the disk is well again."""
        if not self._busy and not self._waiting and not self._closed:
            self._submit(None)

    async def close(self) -> None:
        """Ends the segment after what was submitted before."""
        while self._busy or self._waiting:
            done: asyncio.Future[None] = self._loop.create_future()
            self._submit(None).durable.append(done)
            with suppress(JournalError):
                await done
        self._closed = True
        self._jobs.put(None)
        await asyncio.to_thread(self._thread.join)

    def _submit(self, record: bytes | None) -> _Batch:
        if self._closed:
            raise JournalError("the journal is closed")
        batch = self._waiting[-1] if self._waiting else None
        if batch is None or batch.size >= MAX_BATCH_BYTES:
            batch = _Batch()
            self._waiting.append(batch)
        if record is not None:
            batch.records.append(record)
            batch.size += len(record)
        if not self._busy and not self._scheduled:
            if record is None or len(batch.records) >= self._expected:
                # Not at once: what else this turn of the loop brings goes along.
                self._scheduled = True
                self._loop.call_soon(self._hand_over)
            elif not self._gathering:
                self._gathering = self._loop.call_later(GATHERING_SECONDS, self._hand_over)
        return batch

    def _hand_over(self) -> None:
        self._scheduled = False
        if self._gathering:
            self._gathering.cancel()
            self._gathering = None
        if self._busy or not self._waiting:
            return
        self._busy = True
        batch = self._waiting.popleft()
        if batch.records:
            self._expected = len(batch.records)
        if batch.records and self._took < QUICK_SECONDS:
            self._finished(batch, *self._write(batch))
        else:
            self._jobs.put(batch)

    def _write(self, batch: _Batch) -> tuple[JournalError | None, float]:
        """What went wrong, and the seconds that it took."""
        began = time.perf_counter()
        try:
            self._writer.append(batch.records)
        except JournalError as error:
            return error, math.inf
        return None, time.perf_counter() - began

    def _finished(self, batch: _Batch, error: JournalError | None, took: float) -> None:
        self._busy = False
        if batch.records:
            self._took = took if self._took == math.inf else self._took + _WEIGHT * (took - self._took)
        self._tell(str(error) if error else None)
        if error:
            for durable in batch.durable:
                if not durable.done():
                    durable.set_exception(error)
        else:
            self.commits += bool(batch.records)
            self.records += len(batch.records)
            for durable in batch.durable:
                if not durable.done():
                    durable.set_result(None)
        self._hand_over()

    def _tell(self, error: str | None) -> None:
        if error and not self.error:
            _log.error("nothing can be recorded, so nothing is answered", error=error)
        elif self.error and not error:
            _log.info("records are written again", was=self.error)
        self.error = error

    def _work(self) -> None:
        said, said_at = "", 0.0
        while (batch := self._jobs.get()) is not None:
            error, took = None, 0.0
            if batch.records:
                error, took = self._write(batch)
            else:
                try:
                    self._writer.tick()
                    if time.monotonic() - said_at >= CHECKPOINT_SECONDS:
                        said, said_at = self._say(said), time.monotonic()
                except JournalError as found:
                    error = found
            self._loop.call_soon_threadsafe(self._finished, batch, error, took)
        try:
            self._writer.close()
            self._say(said)
        except JournalError as error:
            _log.error("the journal could not be closed, the next start does that", error=str(error))

    def _say(self, said: str) -> str:
        note = self._writer.head().note
        if note != said:
            _log.info("checkpoint", checkpoint=note)
        return note
