"""Group commit: records that are submitted while the disk is busy share the next write, and each waits for its own."""

import asyncio
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
    """Hands records to a thread of its own, which writes them. To be used from one event loop."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[_Batch] = deque()
        self._jobs: SimpleQueue[_Batch | None] = SimpleQueue()
        self._busy = self._scheduled = self._closed = False
        self.error: str | None = None
        """Why nothing can be recorded at the moment; None while all is well."""
        self.commits = self.records = 0
        self._thread = threading.Thread(target=self._work, name="journal", daemon=True)
        self._thread.start()

    def record(self, fields: dict[str, Any]) -> asyncio.Future[None]:
        """Submits a record. The future is done when it is durable, and fails with a JournalError when it is not."""
        durable: asyncio.Future[None] = self._loop.create_future()
        self._submit(encode(fields)).durable.append(durable)
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
            # Not at once: what else this turn of the loop brings goes along.
            self._scheduled = True
            self._loop.call_soon(self._hand_over)
        return batch

    def _hand_over(self) -> None:
        self._scheduled = False
        if not self._busy and self._waiting:
            self._busy = True
            self._jobs.put(self._waiting.popleft())

    def _finished(self, batch: _Batch, error: JournalError | None) -> None:
        self._busy = False
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
            error = None
            try:
                if batch.records:
                    self._writer.append(batch.records)
                else:
                    self._writer.tick()
                    if time.monotonic() - said_at >= CHECKPOINT_SECONDS:
                        said, said_at = self._say(said), time.monotonic()
            except JournalError as found:
                error = found
            self._loop.call_soon_threadsafe(self._finished, batch, error)
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
