"""Reads a journal that is still being written: each time, what has come since."""

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from heapq import merge
from itertools import groupby, pairwise
from pathlib import Path

from cloister.journal.errors import SegmentGoneError
from cloister.journal.reader import naming, read_lines, segment_paths, segments
from cloister.journal.records import Line
from cloister.sealing import SecretKey

_ATTEMPTS = 5


class Follower:
    """Remembers how far it has read each stream, so that nothing comes twice and nothing is opened again."""

    def __init__(self, folder: Path, keys: Sequence[SecretKey]) -> None:
        self._folder = folder
        self._keys = keys
        self._next: dict[str, int] = {}
        """By origin: the number of the next line."""
        self._through: set[Path] = set()
        """Segments, without their suffixes, that have all been read: each has a successor."""

    def read(self, most: int | None = None) -> Sequence[Line]:
        """What has come since the last time, of all streams by time; no more than the last `most`."""
        for _ in range(_ATTEMPTS - 1):
            with suppress(SegmentGoneError):  # the next list is without it
                return self._read(most)
        return self._read(most)

    def _read(self, most: int | None) -> Sequence[Line]:
        found = segments(path for path in segment_paths([self._folder]) if path.with_suffix("") not in self._through)
        upcoming = dict(self._next)
        streams = (
            self._stream([path for path, _ in members], origin, upcoming)
            for origin, members in groupby(found, key=lambda one: one[1].origin)
        )
        lines = deque(merge(*streams, key=lambda line: line.record.time), most)
        self._next = upcoming
        self._through |= {
            path.with_suffix("")
            for (path, header), (_, following) in pairwise(found)
            if header.origin == following.origin
        }
        return lines

    def _stream(self, paths: Sequence[Path], origin: str, upcoming: dict[str, int]) -> Iterator[Line]:
        for path in paths:
            with naming(path):
                for line in read_lines(path, self._keys, upcoming.get(origin, 0)):
                    upcoming[origin] = line.seq + 1
                    yield line
