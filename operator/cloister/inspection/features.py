"""Numbers for a text: hashed n-grams of its characters and of its words, with the place in the text of each.

The text is the bytes of a folded one (:func:`cloister.inspection.normalise.folded`). Everything is whole-array
arithmetic modulo 2^32, so a prompt costs some dozens of array operations, whatever it says.
"""

from collections.abc import Iterator
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

Indices = NDArray[np.uint32]
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
    """Of one piece of text."""

    indices: Indices
    """First the n-grams of its characters, then those of its words; the shortest first in both."""
    characters: tuple[int, ...]
    """How many n-grams of characters there are, by length. The n-th of each begins at byte n."""
    places: Places
    """Byte at which each n-gram of words begins."""
    length: int


def features(data: bytes) -> Features:
    """Of at most :data:`PIECE` bytes."""
    text = np.frombuffer(data, np.uint8)
    wide = text.astype(np.uint32) + np.uint32(1)
    characters = [hashes ^ _SALTS[size] for size, hashes in _rolling(wide, np.uint32(_K), CHARACTERS[-1])]
    characters = characters[CHARACTERS[0] - 1 :]
    starts, words = _words(text, wide)
    grams = [hashes ^ (_SALTS[size - 1] ^ _MIX) for size, hashes in _rolling(words, _MIX, WORDS[-1])]
    return Features(
        # All at once: for a short text an array operation costs what a call costs.
        _slots(np.concatenate((*characters, *grams))) if grams or characters else np.zeros(0, np.uint32),
        tuple(map(len, characters)),
        np.concatenate([starts[: len(hashes)] for hashes in grams]) if grams else np.zeros(0, np.intp),
        len(text),
    )


def _rolling(units: Hashes, factor: np.uint32, longest: int) -> Iterator[tuple[int, Hashes]]:
    """Hashes of every run of 1, 2, ... units, as far as there are such."""
    hashes = units
    for size in range(1, min(longest, len(units)) + 1):
        if size > 1:
            hashes = hashes[:-1] * factor + units[size - 1 :]
        yield size, hashes


def _words(text: NDArray[np.uint8], wide: NDArray[np.uint32]) -> tuple[Places, Hashes]:
    """Where words begin, and a hash of each: the difference of two prefix sums, brought back to the first power."""
    inside = np.concatenate((_NOTHING, _LETTERS[text], _NOTHING))
    edges = np.flatnonzero(inside[1:] != inside[:-1])
    starts, ends = edges[::2], edges[1::2]
    sums = np.concatenate((_ZERO, np.cumsum(wide * _UP[: len(text)], dtype=np.uint32)))
    return starts, (sums[ends] - sums[starts]) * _DOWN[starts]


def _slots(hashes: Hashes) -> Indices:
    mixed = hashes * _MIX
    mixed ^= mixed >> np.uint32(15)
    mixed *= np.uint32(_K)
    mixed >>= np.uint32(32 - BITS)
    return mixed


_NOTHING = np.zeros(1, np.bool_)
_ZERO = np.zeros(1, np.uint32)
