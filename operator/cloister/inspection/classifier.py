"""A linear classifier over hashed n-grams: how much a text reads like an injection, and where in it.

A long text is judged window by window, so that what is hidden in a long document weighs as much as if it stood alone.
"""

import io
import math
from dataclasses import dataclass
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from cloister.inspection.features import PIECE, SIZE, Features, features

WINDOW, STRIDE = 320, 80
"""Bytes: what is judged at once, and how far the next window is from it."""
_OVERLAP = 2 * WINDOW


class ModelError(ValueError):
    """The data is no model of this version."""


@dataclass(frozen=True)
class Score:
    """The surest window of a text."""

    value: float
    """From 0 to 1; 0.5 is the threshold that was chosen on the training split."""
    start: int
    """Byte of the folded text at which the window begins."""


@dataclass(frozen=True)
class Classifier:
    """Weights, as `make train-detection` makes them."""

    weights: NDArray[np.int8]
    scale: float
    bias: float
    """Already less the threshold."""

    @classmethod
    def load(cls, data: bytes) -> "Classifier":
        """From an .npz; ModelError where it is none of ours."""
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as found:
                weights, scale, bias = found["weights"], float(found["scale"]), float(found["bias"])
        except (OSError, EOFError, BadZipFile, KeyError, ValueError) as error:
            raise ModelError(f"no model: {error}") from None
        if weights.shape != (SIZE,) or weights.dtype != np.int8:
            raise ModelError(f"a model of {weights.shape} {weights.dtype}, not of ({SIZE},) int8")
        return cls(weights, scale, bias)

    def score(self, text: str) -> Score:
        """Of a folded text."""
        best, at = -math.inf, 0
        data = text.encode("utf-8", "replace")
        for begin in range(0, max(len(data), 1), PIECE - _OVERLAP):
            value, start = self._piece(features(data[begin : begin + PIECE]))
            if value > best:
                best, at = value, begin + start
            if begin + PIECE >= len(data):
                break
        return Score(1 / (1 + math.exp(-max(-30.0, min(best, 30.0)))), at)

    def _piece(self, found: Features) -> tuple[float, int]:
        """Log-odds of its surest window, and the byte at which that begins."""
        sums, counts = blocks(found, self.weights)
        odds = _windows(sums) * self.scale / np.sqrt(np.maximum(_windows(counts), 1)) + self.bias
        surest = int(odds.argmax())
        return float(odds[surest]), surest * STRIDE


def blocks(found: Features, weights: NDArray[np.int8]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Sum of weights, and number of features, of every :data:`STRIDE` bytes."""
    number = max(1, -(-found.length // STRIDE))
    each = weights.take(found.indices)
    of_bytes = np.zeros(number * STRIDE, np.int16)
    counts = np.zeros(number, np.int64)
    done = 0
    for length in found.characters:
        of_bytes[:length] += each[done : done + length]
        done += length
        full, rest = divmod(length, STRIDE)
        counts[:full] += STRIDE
        if rest:
            counts[full] += rest
    words = len(found.places)
    if words:
        until = found.places.searchsorted(_BORDERS[: number + 1])
        counts += (until[1:] - until[:-1]) * len(found.words)
        of_words = np.zeros(words, np.int16)
        for length in found.words:
            of_words[:length] += each[done : done + length]
            done += length
            for last in range(length, words):
                counts[found.places[last] // STRIDE] -= 1
        of_words += of_bytes.take(found.places)
        of_bytes[found.places] = of_words
    return of_bytes.reshape(number, STRIDE).sum(1, dtype=np.int64), counts


def _windows(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Sums over every window of blocks."""
    wide = WINDOW // STRIDE
    if len(values) <= wide:
        return np.array([values.sum()])
    until: NDArray[np.int64] = values.cumsum()
    until[wide:] -= until[:-wide].copy()
    return until[wide - 1 :]


_BORDERS = np.arange(0, PIECE + 2 * STRIDE, STRIDE)
