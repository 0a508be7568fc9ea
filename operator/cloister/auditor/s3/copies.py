"""Masked copies of objects that can only be masked as a whole, kept while parts of them are read."""

import asyncio
import os
import tempfile
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from cloister.auditor.s3.errors import denied
from cloister.masking import Kind
from cloister.masking.parquet import mask_parquet


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
        for left in directory.glob("*"):
            left.unlink(missing_ok=True)

    @asynccontextmanager
    async def masked(
        self, name: str, size: int, kinds: frozenset[Kind], fetch: Callable[[], AsyncIterator[bytes]]
    ) -> AsyncIterator[Copy]:
        """The copy of an object; made from what ``fetch`` gives if it is not there. ``name`` tells object, version and
        kinds. A Refusal if the object is too large; Unmaskable if it can't be masked."""
        # One at a time: each takes memory for a row group.
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
        path = self._directory / f"{name}.new"
        try:
            with tempfile.TemporaryFile(dir=self._directory) as original:
                async for data in fetch():
                    await asyncio.to_thread(original.write, data)
                with path.open("w+b") as copy:
                    await asyncio.to_thread(mask_parquet, original, copy, kinds)
            path.rename(self._directory / name)
        except BaseException:
            with suppress(OSError):
                path.unlink(missing_ok=True)
            raise
        self._kept[name] = (self._directory / name).stat().st_size
