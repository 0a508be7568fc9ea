"""Masking of text, JSON and CSV, byte for byte: sizes, ranges and everything but the values stay as they are.

A range of the masked object must be the same bytes whether the whole is read or only the range. So the object is cut
into blocks at fixed positions, and what a block becomes depends on nothing but the block and :data:`CONTEXT` bytes on
either side of it. A value across the border of two blocks is seen whole from both.
"""

import codecs
import re
from collections import Counter, deque
from collections.abc import Iterator

from cloister.masking.detect import MAX_LENGTH, Finding, find
from cloister.masking.escapes import unescaped
from cloister.masking.formats import Format
from cloister.masking.hints import Hints, hints
from cloister.masking.kinds import Kind

BLOCK = 1 << 18
CONTEXT = MAX_LENGTH
"""Bytes before and after a block that decide about it."""

_NUMBER = re.compile(rb"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
"""RFC 8259, section 6: what may stand without quotes stays a number."""
_NINES = bytes.maketrans(b"0123456789", b"9" * 10)
_PEM = re.compile(rb"-----(BEGIN|END) [A-Z0-9 ]{0,40}PRIVATE KEY-----")
_PEM_MARK = b"PRIVATE KEY-----"


class Unmaskable(Exception):  # noqa: N818 (says what the object is)
    """An object is not what its name says, so that nothing of it may be passed on."""


def around(start: int, stop: int) -> tuple[int, int]:
    """Bytes to be read (from, to; to may lie beyond the end) so that `start` to `stop` can be masked."""
    first = start - start % BLOCK
    last = -(-stop // BLOCK) * BLOCK
    return max(0, first - CONTEXT), last + CONTEXT


def mask_block(
    window: bytes, start: int, stop: int, form: Format, kinds: frozenset[Kind], count: Counter[str] | None = None
) -> bytes:
    """`window[start:stop]`, masked: a block of the object, with its context around it. `count` gets the number of
    values that begin in it, by kind."""
    parts: list[bytes] = []
    at = start
    for begin, end, kind, _ in _spans(window, form, kinds):
        if count is not None and start <= begin < stop:
            count[kind._value_] += 1
        first, last = max(begin, at), min(end, stop)
        if first < last:
            parts += (window[at:first], _hidden(window, begin, end, form)[first - begin : last - begin])
            at = last
    return b"".join((*parts, window[at:stop]))


class Masker:
    """Masks an object that comes in pieces, from the beginning of a block. It holds back at most a block and its
    context."""

    def __init__(self, form: Format, kinds: frozenset[Kind], *, lead: int = 0) -> None:
        """`lead`: how many bytes that come first are context of that block, and not part of it."""
        self._form, self._kinds, self._before = form, kinds, lead
        self._pieces: deque[bytes] = deque()
        """What has come and is not masked, after as many bytes of context as ``_before`` says."""
        self._size = 0
        self.found: Counter[str] = Counter()
        """How many values were masked, by kind."""

    @property
    def missing(self) -> int:
        """How many bytes are to come before the next block can be masked."""
        return self._before + BLOCK + CONTEXT - self._size

    def feed(self, *pieces: bytes) -> bytes:
        """What can be passed on now."""
        self._take(pieces)
        return b"".join(self._blocks(CONTEXT))

    def finish(self, *pieces: bytes) -> bytes:
        """The rest, with the last of them."""
        self._take(pieces)
        done = [*self._blocks(0)]
        left = self._size - self._before
        return b"".join([*done, self._masked(left)] if left > 0 else done)

    def _take(self, pieces: tuple[bytes, ...]) -> None:
        self._pieces += pieces
        self._size += sum(map(len, pieces))

    def _blocks(self, after: int) -> Iterator[bytes]:
        """Whole blocks that as many bytes follow."""
        while self._size >= self._before + BLOCK + after:
            yield self._masked(BLOCK)

    def _masked(self, size: int) -> bytes:
        """The next block, or what there is of it."""
        end = self._before + size
        window = self._taken(end + CONTEXT)
        masked = mask_block(window, self._before, end, self._form, self._kinds, self.found)
        self._before = min(end, CONTEXT)
        self._pieces.appendleft(window[end - self._before :])
        self._size -= end - self._before
        return masked

    def _taken(self, size: int) -> bytes:
        """So many of the bytes that wait, or all of them."""
        taken: list[bytes] = []
        while size and self._pieces:
            piece = self._pieces.popleft()
            if len(piece) > size:
                self._pieces.appendleft(piece[size:])
                piece = piece[:size]
            taken.append(piece)
            size -= len(piece)
        return b"".join(taken)


def _check(window: bytes, hinted: Hints) -> None:
    """Text in UTF-8 throughout; only at the ends of the window a character may be cut."""
    if hinted.controls:
        raise Unmaskable("it holds control characters, so it is no text")
    if window.isascii():
        return
    start = 0
    while start < min(3, len(window)) and window[start] & 0xC0 == 0x80:
        start += 1
    try:
        codecs.getincrementaldecoder("utf-8")().decode(window[start:])
    except UnicodeDecodeError:
        raise Unmaskable("it is no text in UTF-8") from None


def _hidden(window: bytes, start: int, stop: int, form: Format) -> bytes:
    if form is Format.JSON and _NUMBER.fullmatch(window, start, stop):
        return window[start:stop].translate(_NINES)
    return b"*" * (stop - start)


def _spans(window: bytes, form: Format, kinds: frozenset[Kind]) -> list[Finding]:
    """Where values are in the window, in order; the first may reach into others."""
    hinted = hints(window, kinds)
    _check(window, hinted)
    if form is not Format.JSON or b"\\" not in window:
        return _found(window, kinds, hinted)
    plain, position = unescaped(window)
    found = _found(plain, kinds, hints(plain, kinds))
    return [one._replace(start=position(one.start), stop=position(one.stop)) for one in found]


def _found(plain: bytes, kinds: frozenset[Kind], hinted: Hints) -> list[Finding]:
    found = find(plain, kinds, hinted=hinted)
    if hinted.ends is None and Kind.SECRET in kinds and _PEM_MARK in plain:
        # The rest of a private key that began before the window: all up to its end.
        rest = _PEM.search(plain)
        if rest and rest[1] == b"END":
            found.insert(0, Finding(0, rest.end(), Kind.SECRET, "key"))
    return found
