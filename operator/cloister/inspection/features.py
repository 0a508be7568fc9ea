"""Numbers for a text: hashed n-grams of its characters and of its words, with the place in the text of each.

The text is the bytes of a folded one (:func:`cloister.inspection.normalise.folded`). Everything is whole-array
arithmetic modulo 2^32, so a prompt costs some dozens of array operations, whatever it says.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BITS = 18
SIZE = 1 << BITS
"""Rows of the table that weights are looked up in."""
CHARACTERS = (3, 4, 5)
WORDS = (1, 2, 3)
PIECE = 1 << 15
"""Bytes that are looked at at once, so that memory is bounded too."""

Indices = NDArray[np.intp]
Hashes = NDArray[np.uint32]
Places = NDArray[np.intp]

_K = 0x9E3779B1
_MIX = np.uint32(0x85EBCA6B)
_SALTS = tuple(np.uint32(0xC2B2AE35 * number & 0xFFFFFFFF) for number in range(1, 9))
_INVERSE = pow(_K, -1, 1 << 32)


def _powers(base: int) -> NDArray[np.uint32]:
    found = np.empty(PIECE + 1, np.uint32)
    value = 1
    for at in range(PIECE + 1):
        found[at] = value
        value = value * base & 0xFFFFFFFF
    return found


_UP, _DOWN = _powers(_K), _powers(_INVERSE)
_LETTERS = np.zeros(256, np.bool_)
_LETTERS[[*range(48, 58), *range(97, 123), *range(128, 256), ord("_"), ord("'")]] = True


@dataclass(frozen=True, slots=True)
class Features:
    """Of one piece of text: n-grams of one length at a time."""

    indices: tuple[Indices, ...]
    places: tuple[Places | None, ...]
    """Byte at which each begins; None: the n-th begins at byte n."""
    length: int


def features(data: bytes) -> Features:
    """Of at most :data:`PIECE` bytes."""
    text = np.frombuffer(data, np.uint8)
    indices: list[Indices] = []
    places: list[Places | None] = []
    wide = text.astype(np.uint32) + np.uint32(1)
    rolling = wide
    for number in range(2, CHARACTERS[-1] + 1):
        if len(wide) < number:
            break
        rolling = rolling[:-1] * np.uint32(_K) + wide[number - 1 :]
        if number in CHARACTERS:
            indices.append(_slot(rolling, _SALTS[number]))
            places.append(None)
    starts, hashes = _words(text, wide)
    grams = hashes
    for number in WORDS:
        if number > 1:
            if len(hashes) < number:
                break
            grams = grams[:-1] * _MIX + hashes[number - 1 :]
        indices.append(_slot(grams, _SALTS[number - 1] ^ _MIX))
        places.append(starts[: len(grams)])
    return Features(tuple(indices), tuple(places), len(text))


def _words(text: NDArray[np.uint8], wide: NDArray[np.uint32]) -> tuple[Places, Hashes]:
    """Where words begin, and a hash of each: the difference of two prefix sums, brought back to the first power."""
    inside = np.concatenate((_NOTHING, _LETTERS[text], _NOTHING))
    edges = np.flatnonzero(inside[1:] != inside[:-1])
    starts, ends = edges[::2], edges[1::2]
    sums = np.concatenate((_ZERO, np.cumsum(wide * _UP[: len(text)], dtype=np.uint32)))
    return starts, (sums[ends] - sums[starts]) * _DOWN[starts]


def _slot(hashes: Hashes, salt: np.uint32) -> Indices:
    mixed = (hashes ^ salt) * _MIX
    return ((mixed ^ (mixed >> np.uint32(15))) * np.uint32(_K) >> np.uint32(32 - BITS)).astype(np.intp)


_NOTHING = np.zeros(1, np.bool_)
_ZERO = np.zeros(1, np.uint32)
