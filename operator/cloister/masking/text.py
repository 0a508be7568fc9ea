"""Masking of text, JSON and CSV, byte for byte: sizes, ranges and everything but the values stay as they are.

A range of the masked object must be the same bytes whether the whole is read or only the range. So the object is cut
into blocks at fixed positions, and what a block becomes depends on nothing but the block and :data:`CONTEXT` bytes on
either side of it. A value across the border of two blocks is seen whole from both.
"""

import codecs
import re
from collections import Counter
from collections.abc import Callable, Iterator

from cloister.masking.detect import MAX_LENGTH, find
from cloister.masking.formats import Format
from cloister.masking.kinds import Kind

BLOCK = 1 << 18
CONTEXT = MAX_LENGTH
"""Bytes before and after a block that decide about it."""

_NUMBER = re.compile(rb"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
"""RFC 8259, section 6: what may stand without quotes stays a number."""
_NINES = bytes.maketrans(b"0123456789", b"9" * 10)
_ESCAPE = re.compile(rb"\\(?:u[0-9A-Fa-f]{4}|.)", re.DOTALL)
_CONTROLS = bytes([*range(8), *range(14, 27), *range(28, 32), 127])
_PEM = re.compile(rb"-----(BEGIN|END) [A-Z0-9 ]{0,40}PRIVATE KEY-----")
_SHORT = {b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t"}


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
    _check(window)
    masked = bytearray(window)
    for begin, end, kind in _spans(window, form, kinds):
        if count is not None and start <= begin < stop:
            count[kind.value] += 1
        masked[begin:end] = _hidden(window[begin:end], form)
    return bytes(masked[start:stop])


class Masker:
    """Masks an object that comes in pieces, from the beginning of a block. It holds back at most a block and its
    context."""

    def __init__(self, form: Format, kinds: frozenset[Kind], *, lead: int = 0) -> None:
        """`lead`: how many bytes that come first are context of that block, and not part of it."""
        self._form, self._kinds, self._lead = form, kinds, lead
        self._before = b""
        """Context of the next block: the end of what was masked before it, as it was."""
        self._waiting = bytearray()
        self.found: Counter[str] = Counter()
        """How many values were masked, by kind."""

    def due(self, data: bytes) -> bool:
        """Whether feeding this takes time: less than a block is only kept."""
        return len(self._waiting) + len(data) >= BLOCK + CONTEXT

    def feed(self, data: bytes) -> bytes:
        """What can be passed on now."""
        self._waiting += data
        if self._lead:
            if len(self._waiting) < self._lead:
                return b""
            self._before = bytes(self._waiting[: self._lead])
            del self._waiting[: self._lead]
            self._lead = 0
        done = []
        while len(self._waiting) >= BLOCK + CONTEXT:
            done.append(self._block(BLOCK))
        return b"".join(done)

    def finish(self) -> bytes:
        """The rest."""
        done = []
        while self._waiting:
            done.append(self._block(min(BLOCK, len(self._waiting))))
        return b"".join(done)

    def _block(self, size: int) -> bytes:
        before = len(self._before)
        window = self._before + bytes(self._waiting[: size + CONTEXT])
        masked = mask_block(window, before, before + size, self._form, self._kinds, self.found)
        self._before = window[: before + size][-CONTEXT:]
        del self._waiting[:size]
        return masked


def _check(window: bytes) -> None:
    """Text in UTF-8 throughout; only at the ends of the window a character may be cut."""
    if len(window.translate(None, _CONTROLS)) != len(window):
        raise Unmaskable("it holds control characters, so it is no text")
    start = 0
    while start < min(3, len(window)) and window[start] & 0xC0 == 0x80:
        start += 1
    try:
        codecs.getincrementaldecoder("utf-8")().decode(window[start:])
    except UnicodeDecodeError:
        raise Unmaskable("it is no text in UTF-8") from None


def _hidden(value: bytes, form: Format) -> bytes:
    if form is Format.JSON and _NUMBER.fullmatch(value):
        return value.translate(_NINES)
    return b"*" * len(value)


def _spans(window: bytes, form: Format, kinds: frozenset[Kind]) -> Iterator[tuple[int, int, Kind]]:
    escaped = form is Format.JSON and b"\\" in window
    plain, position = _unescaped(window) if escaped else (window, _same)
    for found in find(plain, kinds):
        yield position(found.start), position(found.stop), found.kind
    # The rest of a private key that began before the window: all up to its end.
    if Kind.SECRET in kinds and (first := _PEM.search(plain)) and first[1] == b"END":
        yield 0, position(first.end()), Kind.SECRET


def _same(index: int) -> int:
    return index


def _unescaped(window: bytes) -> tuple[bytes, Callable[[int], int]]:
    """The text of JSON strings, and where each of its bytes lies in the JSON."""
    pieces, starts, at, shift = [], [0], 0, [0]
    length = 0
    for found in _ESCAPE.finditer(window):
        plain = _meaning(found[0])
        pieces += [window[at : found.start()], plain]
        length += found.start() - at + len(plain)
        at = found.end()
        starts.append(length)
        shift.append(at - length)
    pieces.append(window[at:])

    def position(index: int) -> int:
        # Of what begins at an escape, the escape's own beginning; of what ends there, its end.
        low, high = 0, len(starts) - 1
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if starts[middle] <= index else (low, middle - 1)
        return index + shift[low]

    return b"".join(pieces), position


def _meaning(escape: bytes) -> bytes:
    kind = escape[1:2]
    if kind != b"u" or len(escape) < 6:
        return _SHORT.get(kind, kind)
    code = int(escape[2:].decode(), 16)
    # One byte for each: beyond ASCII all that matters is that it is a letter.
    return bytes([code]) if code < 128 else b"\x80"
