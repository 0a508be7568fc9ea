"""Masked copies of objects that can only be masked as a whole, kept while parts of them are read.

To make one takes a second for each megabyte or so: longer than readers wait. So what was begun goes on without them,
and they are asked to come again.
"""

import asyncio
import json
import os
import shutil
import sys
import tempfile
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from signal import SIGXCPU

import structlog

from cloister.auditor.s3 import parquet
from cloister.auditor.s3.errors import denied, slow_down
from cloister.masking import Kind, Unmaskable

PATIENCE_SECONDS = 30
"""How long a reader waits for a copy: clients give up when they hear nothing for a minute (boto3, s3fs)."""
MAX_MAKING = 32
"""Copies in the making; all but one wait for their turn."""
MAX_REMEMBERED = 1024
"""Objects of which it is remembered that they can't be masked."""

Fetch = Callable[[], AsyncGenerator[bytes, None]]

_log = structlog.get_logger()


class Copy:
    """A masked copy, open."""

    def __init__(self, fd: int, found: Mapping[str, int]) -> None:
        self._fd = fd
        self.size = os.fstat(fd).st_size
        self.found = found
        """How many values were masked in all of it, by kind."""

    async def read(self, start: int, length: int) -> bytes:
        """Bytes of it."""
        return await asyncio.to_thread(os.pread, self._fd, length, start)


@dataclass(frozen=True, slots=True)
class _Kept:
    size: int
    found: Mapping[str, int]


class Copies:
    """The copies of one store's auditor, in a directory that is gone with the pod."""

    def __init__(self, directory: Path, limit: int) -> None:
        """`limit`: bytes that all of them may take; an object may take half of that while it is masked."""
        self._directory, self._limit = directory, limit
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        """By name, the one used last at the end."""
        self._unmaskable: OrderedDict[str, str] = OrderedDict()
        """Why, by name."""
        self._making: dict[str, asyncio.Task[None]] = {}
        self._turn = asyncio.Lock()
        # What a process that was killed has left.
        for left in directory.iterdir():
            shutil.rmtree(left) if left.is_dir() else left.unlink()

    @asynccontextmanager
    async def masked(self, name: str, size: int, kinds: frozenset[Kind], fetch: Fetch) -> AsyncIterator[Copy]:
        """The copy of an object; made from what ``fetch`` gives if it is not there. ``name`` tells object, version and
        kinds. A Refusal if the object is too large, or if it takes long; Unmaskable if it can't be masked."""
        if name not in self._kept:
            await self._made(name, size, kinds, fetch)
        self._kept.move_to_end(name)
        # An open file stays readable when it is thrown out meanwhile.
        fd = os.open(self._directory / name, os.O_RDONLY | os.O_CLOEXEC)
        try:
            yield Copy(fd, self._kept[name].found)
        finally:
            os.close(fd)

    async def _made(self, name: str, size: int, kinds: frozenset[Kind], fetch: Fetch) -> None:
        """Has it made, or waits for who has begun."""
        if name in self._unmaskable:
            raise Unmaskable(self._unmaskable[name])
        if _least(size) > self._limit:
            raise denied(f"It is larger than {self._limit // 2} bytes, so it is for readers of raw data only.")
        making = self._making.get(name)
        if not making:
            if len(self._making) >= MAX_MAKING:
                raise slow_down("Many objects are being masked: ask again.", PATIENCE_SECONDS)
            making = self._making[name] = asyncio.create_task(self._make(name, size, kinds, fetch))
            making.add_done_callback(lambda task: self._ended(name, task))
        # Other than by awaiting it, a reader who leaves does not end it.
        await asyncio.wait([making], timeout=PATIENCE_SECONDS)
        if making.done():
            making.result()
        if name not in self._kept:  # or thrown out already, for the next one
            raise slow_down("It is being masked: ask again.", 1)

    def _ended(self, name: str, task: asyncio.Task[None]) -> None:
        del self._making[name]
        error = None if task.cancelled() else task.exception()
        if isinstance(error, Unmaskable):
            self._unmaskable[name] = str(error)
            if len(self._unmaskable) > MAX_REMEMBERED:
                self._unmaskable.popitem(last=False)
        elif error:
            _log.warning("no masked copy was made", error=str(error))

    async def _make(self, name: str, size: int, kinds: frozenset[Kind], fetch: Fetch) -> None:
        # One at a time: each takes its memory.
        async with self._turn:
            room = min(_usual(size), self._limit)
            while self._kept and sum(one.size for one in self._kept.values()) + room > self._limit:
                oldest, _ = self._kept.popitem(last=False)
                (self._directory / oldest).unlink(missing_ok=True)
            with tempfile.TemporaryDirectory(dir=self._directory) as folder:
                original, copy = Path(folder, "original"), Path(folder, "copy")
                with original.open("wb") as file:  # noqa: ASYNC230 - opening is quick, writing is done in a thread
                    async with aclosing(fetch()) as pieces:
                        async for data in pieces:
                            await asyncio.to_thread(file.write, data)
                found = await _mask(original, copy, room - size, kinds)
                copy.rename(self._directory / name)  # noqa: ASYNC240 - within one directory
            self._kept[name] = _Kept((self._directory / name).stat().st_size, found)


def _least(size: int) -> int:
    """Room that it takes to mask an object: itself, and a copy that may be a little larger."""
    return 2 * size + (1 << 20)


def _usual(size: int) -> int:
    """Room that is made for it: what another program has packed better becomes larger."""
    return _least(size) + size


async def _mask(original: Path, copy: Path, room: int, kinds: frozenset[Kind]) -> Mapping[str, int]:
    """How many values were masked, by kind."""
    command = [sys.executable, "-m", parquet.__name__, str(original), str(copy), str(room), *sorted(kinds)]
    worker = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        told, said = await worker.communicate()
    except BaseException:
        worker.kill()
        await worker.wait()
        raise
    why = said[-2000:].decode("utf-8", "replace")
    match worker.returncode:
        case 0:
            found: Mapping[str, int] = json.loads(told)
            return found
        case parquet.UNMASKABLE:
            raise Unmaskable(why[:300])
        case parquet.NO_FAULT_OF_THE_FILE:
            raise OSError(why)
    _log.error("a file could not be masked", code=worker.returncode, error=why)
    took_long = worker.returncode == -SIGXCPU
    raise Unmaskable("it takes too long to read" if took_long else "the program that reads it has failed")
