"""The text of JSON strings, and where each of its bytes lies in the JSON (RFC 8259, section 7)."""

import re
from bisect import bisect_right
from collections.abc import Callable

from cloister.masking.gaps import MEANT

ESCAPE = re.compile(rb"\\(?:u[0-9A-Fa-f]{4}|.)", re.DOTALL)
_SHORT = {b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t"}

Place = Callable[[int], int]


def unescaped(text: bytes) -> tuple[bytes, Place]:
    """The text without its escapes, and the way back from a place in it. A place where what an escape means begins is
    the escape's own beginning; where it ends, the escape's end."""
    pieces, starts, at, shift = [], [0], 0, [0]
    length = 0
    for found in ESCAPE.finditer(text):
        plain = _meaning(found[0])
        pieces += [text[at : found.start()], plain]
        length += found.start() - at + len(plain)
        at = found.end()
        starts.append(length)
        shift.append(at - length)
    pieces.append(text[at:])

    def place(index: int) -> int:
        return index + shift[bisect_right(starts, index) - 1]

    return b"".join(pieces), place


def _meaning(escape: bytes) -> bytes:
    kind = escape[1:2]
    if kind != b"u" or len(escape) < 6:
        return _SHORT.get(kind, kind)
    code = int(escape[2:].decode(), 16)
    # One byte for each: beyond ASCII all that matters is whether it is a letter.
    return bytes([code]) if code < 128 else MEANT.get(code, b"\x80")
