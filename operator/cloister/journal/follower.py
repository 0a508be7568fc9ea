"""Reads a journal that is still being written, or copied: each time, what has come since."""

import time
from collections import deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import suppress
from heapq import merge
from itertools import groupby
from pathlib import Path

from cloister.journal.errors import JournalError, SegmentGoneError, UnopenedError
from cloister.journal.reader import (
    Amiss,
    Segment,
    refuse,
    segment_of,
    segment_paths,
    unknown,
    until_amiss,
)
from cloister.journal.records import Line
from cloister.sealing import SecretKey

_ATTEMPTS = 5


class Follower:
    """Remembers how far it has read each stream, so that nothing comes twice and nothing is opened again.

    Whoever copies a folder brings its files in any order and in parts. So a stream waits where a segment is missing or
    incomplete, for ``patience`` seconds: then ``amiss`` is told, once, and it goes on behind. What comes later than
    that is read when it comes.
    """

    def __init__(
        self,
        folder: Path,
        keys: Sequence[SecretKey],
        amiss: Amiss = refuse,
        patience: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder, self._keys, self._amiss = folder, keys, amiss
        self._patience, self._clock = patience, clock
        self._at: dict[str, tuple[int, int]] = {}
        """By origin: the number of the newest segment that was read, and that of the next line in it."""
        self._through: set[Path] = set()
        """Segments, without their suffixes, that have all been read."""
        self._doubtful: dict[Hashable, float] = {}
        """When what is not as it should be was first seen."""
        self._told: set[Hashable] = set()

    def read(self, most: int | None = None) -> Sequence[Line]:
        """What has come since the last time, of all streams by time; no more than the last `most`."""
        for _ in range(_ATTEMPTS - 1):
            with suppress(SegmentGoneError):  # the next list is without it
                return self._read(most)
        return self._read(most)

    def _read(self, most: int | None) -> Sequence[Line]:
        at, through = dict(self._at), set[Path]()
        streams = [
            self._stream(list(members), at, through)
            for _, members in groupby(self._unread(), key=lambda segment: segment.origin)
        ]
        lines = deque(merge(*streams, key=lambda line: line.record.time), most)
        self._at = at
        self._through |= through
        return lines

    def _unread(self) -> list[Segment]:
        found = []
        for path in segment_paths([self._folder]):
            if path.with_suffix("") not in self._through:
                try:
                    found.append(segment_of(path))
                except SegmentGoneError:
                    raise
                except JournalError as error:
                    self._waits(path, error)
        return sorted(found)

    def _stream(self, members: list[Segment], at: dict[str, tuple[int, int]], through: set[Path]) -> Iterator[Line]:
        """The new lines of one stream, and notes in ``at`` and ``through`` how far they go."""
        newest = members[-1].number
        for origin, number, path in members:
            known, seq = at.get(origin, (number, 0))
            missing = f"{origin}: of its segments, {known + 1} to {number - 1} have not come"
            if number > known + 1 and self._waits((origin, number), JournalError(missing)):
                return
            for entry in until_amiss(path, self._keys, seq if number == known else 0):
                if isinstance(entry, SegmentGoneError):
                    raise entry
                if isinstance(entry, JournalError):
                    if self._waits(path, entry):
                        return
                    continue
                if number >= known:
                    at[origin] = (number, entry.seq + 1)
                if entry.line:
                    yield entry.line
                else:
                    self._tell((path, entry.seq), unknown(path, entry))
            if number >= known:
                at[origin] = max(at.get(origin, (number, 0)), (number, 0))
            if number < newest:
                through.add(path.with_suffix(""))

    def _waits(self, what: Hashable, error: JournalError) -> bool:
        """Whether it may still become what it should be; if not, that is told."""
        now = self._clock()
        late = now - self._doubtful.setdefault(what, now) >= self._patience
        if not late and not isinstance(error, UnopenedError):
            return True
        self._tell(what, error)
        return False

    def _tell(self, what: Hashable, error: JournalError) -> None:
        if what not in self._told:
            self._told.add(what)
            self._amiss(error)
