"""Masked copies of objects that can only be masked as a whole, kept while parts of them are read."""

import asyncio
import os
import shutil
import sys
import tempfile
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import structlog

from cloister.auditor.s3 import parquet
from cloister.auditor.s3.errors import denied
from cloister.masking import Kind, Unmaskable

_log = structlog.get_logger()


class Copy:
    """A masked copy, open."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self.size = os.fstat(fd).st_size

    async def read(self, start: int, length: int) -> bytes:
        """Bytes of it."""
        return await asyncio.to_thread(os.pread, self._fd, length, start)


class Copies:
    """The copies of one store's auditor, in a directory that is gone with the pod."""

    def __init__(self, directory: Path, limit: int) -> None:
        """`limit`: bytes that all of them may take; an object may take half of that while it is masked."""
        self._directory, self._limit = directory, limit
        self._kept: OrderedDict[str, int] = OrderedDict()
        """Size by name, the one used last at the end."""
        self._making = asyncio.Lock()
        # What a process that was killed has left.
        for left in directory.iterdir():
            shutil.rmtree(left) if left.is_dir() else left.unlink()

    @asynccontextmanager
    async def masked(
        self, name: str, size: int, kinds: frozenset[Kind], fetch: Callable[[], AsyncIterator[bytes]]
    ) -> AsyncIterator[Copy]:
        """The copy of an object; made from what ``fetch`` gives if it is not there. ``name`` tells object, version and
        kinds. A Refusal if the object is too large; Unmaskable if it can't be masked."""
        # One at a time: each takes its memory.
        async with self._making:
            if name not in self._kept:
                await self._make(name, size, kinds, fetch)
            self._kept.move_to_end(name)
            # An open file stays readable when it is thrown out meanwhile.
            fd = os.open(self._directory / name, os.O_RDONLY | os.O_CLOEXEC)
        try:
            yield Copy(fd)
        finally:
            os.close(fd)

    async def _make(
        self, name: str, size: int, kinds: frozenset[Kind], fetch: Callable[[], AsyncIterator[bytes]]
    ) -> None:
        # The object, and a copy that may be a little larger.
        needed = 2 * size + (1 << 20)
        if needed > self._limit:
            raise denied(f"It is larger than {self._limit // 2} bytes, so it is for readers of raw data only.")
        while self._kept and sum(self._kept.values()) + needed > self._limit:
            oldest, _ = self._kept.popitem(last=False)
            (self._directory / oldest).unlink(missing_ok=True)
        with tempfile.TemporaryDirectory(dir=self._directory) as folder:
            original, copy = Path(folder, "original"), Path(folder, "copy")
            with original.open("wb") as file:  # noqa: ASYNC230 - opening is quick, writing is done in a thread
                async for data in fetch():
                    await asyncio.to_thread(file.write, data)
            await _mask(original, copy, kinds)
            copy.rename(self._directory / name)  # noqa: ASYNC240 - within one directory
        self._kept[name] = (self._directory / name).stat().st_size


async def _mask(original: Path, copy: Path, kinds: frozenset[Kind]) -> None:
    command = [sys.executable, "-m", parquet.__name__, str(original), str(copy), *sorted(kinds)]
    worker = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
    try:
        _, said = await worker.communicate()
    except BaseException:
        worker.kill()
        await worker.wait()
        raise
    if worker.returncode == parquet.UNMASKABLE:
        raise Unmaskable(said.decode("utf-8", "replace")[:300])
    if worker.returncode:
        _log.error("a file could not be masked", code=worker.returncode, error=said[-2000:].decode("utf-8", "replace"))
        raise Unmaskable("the program that reads it has failed")
