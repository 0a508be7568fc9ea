"""SimHash: 64 bits of a text, of which two texts share the more the more of their words they share.

M. Charikar, "Similarity estimation techniques from rounding algorithms", STOC 2002; for near-duplicates of pages, G.
Manku, A. Jain and A. Das Sarma, "Detecting near-duplicates for web crawling", WWW 2007.
"""

import re
import unicodedata
from collections.abc import Iterable
from hashlib import blake2b
from zlib import crc32

import numpy as np

NEAR = 14
"""Bits in which the fingerprints of two texts may differ that are filled from one template. Of unrelated texts they
differ in about 32, give or take 4 (the bits are independent coins), and in fewer where they share common words."""
MAX_WORDS = 64
"""Of a longer text, half of them from its beginning and half from its end: templates have their frame there."""
LEAST_WORDS = 4
"""A text of fewer says too little to be like another: only the same one is."""

_BIG = np.dtype(">u8")
_SPREAD = np.uint64(0x9E3779B97F4A7C15)
"""Multiplicative hashing (D. Knuth, The Art of Computer Programming, volume 3, section 6.4)."""
_FIRST_OF_TWO = np.uint64(0x85EBCA6B)
"""What makes a pair of words another than the same two the other way round."""
_REACH = 4096
"""Characters at either end in which the words are looked for."""
_ENOUGH = 256
"""Characters in which half of the words that count usually are."""
_WORD = re.compile(r"[^\W\d_]+|\d+")
_IN_ASCII = re.compile(rb"[a-z]+|0+")
_NUMBER = b"0"
"""What every number counts as."""


def _folded(byte: int) -> int:
    if ord("0") <= byte <= ord("9"):
        return ord("0")
    return ord(chr(byte).lower()) if byte < 128 and chr(byte).isalpha() else ord(" ")


_FOLDED = bytes(map(_folded, range(256)))
"""ASCII in lower case, with one digit for all of them and space for what is in no word."""


def fingerprint(text: str) -> int:
    """Of its words and pairs of words; case, punctuation and the digits of numbers do not count."""
    words = _words(text)
    if len(words) > MAX_WORDS:
        words = [*words[: MAX_WORDS // 2], *words[-MAX_WORDS // 2 :]]
    if len(words) < LEAST_WORDS:
        return int.from_bytes(blake2b(text.strip().lower().encode("utf-8", "replace"), digest_size=8).digest(), "big")
    return _simhash(words)


def _words(text: str) -> list[bytes]:
    """All words of a text, or at least as many as count, of its beginning and of its end."""
    ends = _ends(text)
    if not ends.isascii():
        found = _WORD.findall(unicodedata.normalize("NFKC", ends).lower())
        return [_NUMBER if word[0].isdigit() else word.encode("utf-8", "replace") for word in found]
    if len(ends) > 2 * _ENOUGH:
        # Where a piece was cut, a word may be cut too: there are more than count, so that one can go.
        begin, end = _ascii_words(ends[:_ENOUGH])[:-1], _ascii_words(ends[-_ENOUGH:])[1:]
        if min(len(begin), len(end)) >= MAX_WORDS // 2:
            return [*begin[: MAX_WORDS // 2], *end[-MAX_WORDS // 2 :]]
    return _ascii_words(ends)


def _ascii_words(text: str) -> list[bytes]:
    data = text.encode().translate(_FOLDED)
    if _NUMBER not in data:
        return data.split()
    return [_NUMBER if word.startswith(_NUMBER) else word for word in _IN_ASCII.findall(data)]


def _ends(text: str) -> str:
    return text if len(text) <= 2 * _REACH else f"{text[:_REACH]} {text[-_REACH:]}"


def near(one: int, many: Iterable[int], enough: int) -> bool:
    """Whether at least so many of some fingerprints are near to one."""
    for other in many:
        if (one ^ other).bit_count() <= NEAR:
            enough -= 1
            if enough <= 0:
                return True
    return False


def _simhash(words: list[bytes]) -> int:
    ones = np.array(list(map(crc32, words)), _BIG)
    hashes = (np.concatenate((ones, ones[:-1] * _FIRST_OF_TWO + ones[1:])) * _SPREAD).astype(_BIG)
    # At most 2 * MAX_WORDS votes for a bit, so that bytes can count them.
    votes = np.unpackbits(hashes.view(np.uint8)).reshape(-1, 64).sum(axis=0, dtype=np.uint8)
    return int.from_bytes(np.packbits(votes > len(hashes) // 2).tobytes(), "big")
