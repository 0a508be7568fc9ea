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

Indices = NDArray[np.uint32]
Hashes = NDArray[np.uint32]
Places = NDArray[np.intp]

_K = 0x9E3779B1
_MIX = np.uint32(0x85EBCA6B)
_SALTS = tuple(np.uint32(0xC2B2AE35 * number & 0xFFFFFFFF) for number in range(1, 9))
_WORD_SALTS = (_MIX, *(salt ^ _MIX for salt in _SALTS))
_INVERSE = pow(_K, -1, 1 << 32)


def _powers(base: int) -> NDArray[np.uint32]:
    found = np.empty(PIECE + 1, np.uint32)
    value = 1
    for at in range(PIECE + 1):
        found[at] = value
        value = value * base & 0xFFFFFFFF
    return found


_UP, _DOWN = _powers(_K), _powers(_INVERSE)
_IN_WORDS = frozenset(b"0123456789abcdefghijklmnopqrstuvwxyz_'") | frozenset(range(128, 256))
_LETTERS = bytes(byte in _IN_WORDS for byte in range(256))
"""1 for each byte that words are made of, 0 for the others."""


@dataclass(frozen=True, slots=True)
class Features:
    """Of one piece of text."""

    indices: Indices
    """First the n-grams of its characters, then those of its words; the shortest first in both."""
    characters: tuple[int, ...]
    """How many n-grams of characters there are, by length. The n-th of each begins at byte n."""
    words: tuple[int, ...]
    """How many n-grams of words there are, by length. The n-th of each begins with the n-th word."""
    places: Places
    """Byte at which each word begins."""
    length: int


def features(data: bytes) -> Features:
    """Of at most :data:`PIECE` bytes."""
    wide = np.frombuffer(data, np.uint8).astype(np.uint32)
    wide += np.uint32(1)
    places, words = _words(data, wide)
    characters, grams = _sizes(len(wide), CHARACTERS), _sizes(len(words), WORDS)
    # Into one array, and changed where it lies: for a short text an array operation costs what a call costs.
    hashes = np.empty(sum(characters) + sum(grams), np.uint32)
    done = _rolling(wide, np.uint32(_K), CHARACTERS, _SALTS, hashes)
    _rolling(words, _MIX, WORDS, _WORD_SALTS, hashes[done:])
    _to_slots(hashes)
    return Features(hashes, characters, grams, places, len(data))


def _sizes(units: int, lengths: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(units - length + 1 for length in lengths if length <= units)


def _rolling(
    units: Hashes, factor: np.uint32, lengths: tuple[int, ...], salts: tuple[np.uint32, ...], into: Hashes
) -> int:
    """Writes hashes of every run of so many units, as far as there are such; how many."""
    hashes, done = units, 0
    for length in range(1, min(lengths[-1], len(units)) + 1):
        if length > 1:
            hashes = hashes[:-1] * factor
            hashes += units[length - 1 :]
        if length >= lengths[0]:
            np.bitwise_xor(hashes, salts[length], out=into[done : done + len(hashes)])
            done += len(hashes)
    return done


def _words(data: bytes, wide: NDArray[np.uint32]) -> tuple[Places, Hashes]:
    """Where words begin, and a hash of each: its bytes times powers of K, brought back to the first power."""
    inside = np.frombuffer(b"\0%b\0" % data.translate(_LETTERS), np.uint8)
    edges = np.flatnonzero(inside[1:] != inside[:-1])
    starts = edges[::2]
    if not len(starts):
        return starts, np.empty(0, np.uint32)
    # From each edge to the next, and from the last to the end.
    sums = np.add.reduceat(wide * _UP[: len(data)], edges[:-1] if edges[-1] == len(data) else edges)
    return starts, sums[::2] * _DOWN.take(starts)


def _to_slots(hashes: Hashes) -> None:
    hashes *= _MIX
    hashes ^= hashes >> np.uint32(15)
    hashes *= np.uint32(_K)
    hashes >>= np.uint32(32 - BITS)
