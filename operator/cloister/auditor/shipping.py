"""Sealed segments go to the interaction-logs store. A segment is kept until the store has it, whatever happens."""

import asyncio
import itertools
import os
import random
import time
from contextlib import closing
from pathlib import Path

import structlog

from cloister import sidecar
from cloister.auditor.http.upstream import Pool, UpstreamError
from cloister.auditor.stats import Stats
from cloister.journal import object_name, removable_segments, sealed_segments

RETRY_SECONDS = (1, 60)
"""First and longest pause after a failure; doubled in between, and jittered so that pods don't ask in step."""
LOOK_SECONDS = 2
KEEP_SECONDS = 3600
KEEP_BYTES = 256 << 20
"""Shipped segments stay for a while beside the journal, a second copy should the store lose its volume."""
PUT_SECONDS = 60
"""For 8 MiB; a store that stands still must not hold the rest up for longer."""
_STORED = (200, 201, 204)
_ALREADY_THERE = 412
"""`If-None-Match: *` (RFC 9110, section 13.1.2): the answer to an earlier try was lost. Nothing is overwritten, and
what is there has these bytes: its name says so."""
_OF_THE_STORE = (401, 403, 408, 429)
"""Refusals that the next segment would get as well. Any other of a client's errors (4xx) is of this one alone."""

_log = structlog.get_logger()


class _AwayError(Exception):
    """The store, or the way to it, does not work: no segment can be shipped now."""


class Shipper:
    """Puts each sealed segment into the store, oldest first."""

    def __init__(self, journal: sidecar.Journal, stats: Stats) -> None:
        self._directory = Path(journal.directory)
        self._journal, self._stats = journal, stats
        self._failing = False

    async def run(self) -> None:
        """Ships until it is cancelled."""
        pause = RETRY_SECONDS[0]
        with closing(self._store()) as store:
            while True:
                if await self.ship(store):
                    pause = RETRY_SECONDS[0]
                    await asyncio.sleep(LOOK_SECONDS)
                else:
                    await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - no secret
                    pause = min(2 * pause, RETRY_SECONDS[1])

    async def last(self, seconds: float) -> bool:
        """At the end: what is sealed is shipped if it can be in this time; if not, it waits for the next start."""
        try:
            async with asyncio.timeout(seconds):
                with closing(self._store()) as store:
                    for pause in itertools.repeat(RETRY_SECONDS[0]):
                        if await self.ship(store):
                            return True
                        await asyncio.sleep(pause)
        except TimeoutError:
            pass
        return False

    async def ship(self, store: Pool) -> bool:
        """One round; whether nothing is left behind."""
        try:
            error = await self._round(store)
        except OSError as broken:  # the volume's own: it may be well again
            error = f"{type(broken).__name__}: {broken}"
        if error:
            self._stats.shipping_failures += 1
            if not self._failing:
                _log.warning("segments can't be shipped, they wait on the journal's volume", error=error)
        elif self._failing:
            _log.info("segments are shipped again")
        self._failing = error is not None
        return error is None

    async def _round(self, store: Pool) -> str | None:
        """What went wrong first, or None: one segment that can't be shipped holds up no other. OSError where the volume
        fails."""
        waiting = await asyncio.to_thread(sealed_segments, self._directory)
        self._stats.unshipped = len(waiting)
        first = None
        for path in waiting:
            try:
                error = await self._put(store, path)
            except _AwayError as away:
                return first or f"{path}: {away}"
            if error:
                first = first or f"{path}: {error}"
                continue
            await asyncio.to_thread(_mark_shipped, path)
            self._stats.segments_shipped += 1
            self._stats.unshipped -= 1
        await asyncio.to_thread(tidy, self._directory, time.time())
        return first

    async def _put(self, store: Pool, path: Path) -> str | None:
        """Why this segment can't be shipped, or None; _AwayError where no other could either."""
        try:
            data = await asyncio.to_thread(path.read_bytes)
        except OSError as error:
            return f"{type(error).__name__}: {error.strerror}"
        try:
            async with asyncio.timeout(PUT_SECONDS):
                status = await _answer(store, f"{self._journal.path}{object_name(path, data)}", data)
        except UpstreamError as error:
            raise _AwayError(str(error)) from error
        except TimeoutError:
            raise _AwayError(f"it has not answered within {PUT_SECONDS} seconds") from None
        if status in (*_STORED, _ALREADY_THERE):
            return None
        refused = f"the store answered {status}"
        if 400 <= status < 500 and status not in _OF_THE_STORE:
            return refused
        raise _AwayError(refused)

    def _store(self) -> Pool:
        return Pool(self._journal.upstream)


async def _answer(store: Pool, target: str, data: bytes) -> int:
    """The status with which the store answers a PUT that overwrites nothing."""
    lines = (
        f"PUT {target} HTTP/1.1",
        "host: cloister",
        "if-none-match: *",
        "content-type: application/octet-stream",
        f"content-length: {len(data)}",
    )
    connection = await store.acquire()
    try:
        head = await connection.send("\r\n".join((*lines, "", "")).encode(), data)
        await connection.finish()
        return head.status
    finally:
        connection.release()


def tidy(directory: Path, now: float) -> None:
    """Deletes what was shipped long ago, or is beyond what is kept."""
    kept = 0
    for path in reversed(removable_segments(directory)):
        state = path.stat()
        kept += state.st_size
        if kept > KEEP_BYTES or now - state.st_mtime > KEEP_SECONDS:
            path.unlink()


def _mark_shipped(path: Path) -> None:
    os.utime(path)  # its age counts from here: it may have waited for the store for longer than it is kept
    path.rename(path.with_suffix(".shipped"))
