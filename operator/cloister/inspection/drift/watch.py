"""Sequential change detection over replies.

Replies come in batches of :data:`BATCH`, whose means are nearly normal and little correlated. The first :data:`LEARN`
batches, and at least a day, are the past: their mean and spread. After it each feature's tabular CUSUM (Page, 1954; see
:mod:`cloister.inspection.change`) sums up on both sides how far batches lie from it, less one standard deviation,
which leaves room for a past that was learned from so few. A change is told when a sum passes :data:`THRESHOLD`. What
came then becomes the past: so a change is told once, and nothing more for at least a day.
"""

import math
from collections import Counter, OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

BATCH, LEARN, LEAST_SECONDS = 20, 60, 86400.0
SLACK, THRESHOLD, CLIP = 1.0, 10.0, 4.0
STREAMS = 32
"""APIs and models that are watched. A new one takes the place of the one with the fewest replies: a caller who can name
models must not put those out that are in use."""
_AHEAD = 3600.0
"""Seconds by which clocks may differ. A time further ahead comes from a clock that was wrong."""

_CONTINUOUS = ("length", "latency")
_SHARES = ("declined", "language", "sensitive", "words", "cut", "failed")
FEATURES = (*_CONTINUOUS, *_SHARES)
"""length and latency (logarithms); shares of replies that decline, that are in another language than most, that hold
sensitive values, that hold words of the deployment's own dictionaries, that ended for another reason than that they
were complete, and that were errors."""


@dataclass(frozen=True, slots=True)
class Change:
    """A feature that is no longer what it was."""

    api: str
    model: str
    feature: str
    before: float
    now: float


@dataclass(slots=True)
class _Cusum:
    """One feature."""

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0
    up: float = 0.0
    down: float = 0.0

    def learn(self, value: float) -> None:
        """B. P. Welford, "Note on a Method for Calculating Corrected Sums of Squares and Products", 1962."""
        self.count += 1
        step = value - self.mean
        self.mean += step / self.count
        self.squares += step * (value - self.mean)

    def spread(self, share: bool) -> float:
        """Of batch means; never below what chance alone gives a share of one in a hundred."""
        found = math.sqrt(self.squares / max(self.count - 1, 1))
        chance = math.sqrt(max(self.mean * (1 - self.mean), 0.0099) / BATCH) if share else 0.05
        return max(found, chance)

    def add(self, value: float, share: bool) -> bool:
        """Whether this batch completes a change."""
        z = min(max((value - self.mean) / self.spread(share), -CLIP), CLIP)
        self.up, self.down = max(0.0, self.up + z - SLACK), max(0.0, self.down - z - SLACK)
        return max(self.up, self.down) > THRESHOLD


@dataclass(slots=True)
class _Stream:
    """The replies of one API and model."""

    since: float
    batches: int = 0
    replies: int = 0
    """Of before the last change too."""
    sums: dict[str, float] = field(default_factory=lambda: dict.fromkeys(FEATURES, 0.0))
    held: int = 0
    languages: Counter[str] = field(default_factory=Counter)
    features: dict[str, _Cusum] = field(default_factory=lambda: {name: _Cusum() for name in FEATURES})


class Drift:
    """All of them."""

    def __init__(self) -> None:
        self._streams: OrderedDict[tuple[str, str], _Stream] = OrderedDict()

    def add(self, api: str, model: str, found: dict[str, float], spoken: str | None, now: float) -> Iterator[Change]:
        """Takes in a reply: the features (without ``language``), the language if it can be told, and the time."""
        stream = self._streams.pop((api, model), None) or _Stream(now)
        self._streams[api, model] = stream
        if len(self._streams) > STREAMS:
            known = [key for key in self._streams if key != (api, model)]
            del self._streams[min(known, key=lambda key: self._streams[key].replies)]
        stream.replies += 1
        if stream.since > now + _AHEAD:
            stream.since = now
        if spoken:
            stream.languages[spoken] += 1
        common = stream.languages.most_common(1)
        sums = stream.sums
        for name, value in found.items():
            sums[name] += value
        sums["language"] += bool(spoken and common and spoken != common[0][0])
        stream.held += 1
        if stream.held == BATCH:
            means = {name: value / BATCH for name, value in sums.items()}
            stream.sums, stream.held = dict.fromkeys(FEATURES, 0.0), 0
            yield from self._batch(api, model, stream, means, now)

    def _batch(self, api: str, model: str, stream: _Stream, means: dict[str, float], now: float) -> Iterator[Change]:
        stream.batches += 1
        if stream.batches <= LEARN or now - stream.since < LEAST_SECONDS:
            for name, value in means.items():
                stream.features[name].learn(value)
            return
        changes = [
            Change(api, model, name, stream.features[name].mean, value)
            for name, value in means.items()
            if stream.features[name].add(value, name in _SHARES)
        ]
        if changes:
            self._streams[api, model] = _Stream(now, replies=stream.replies)
        yield from changes

    def evidence(self) -> Iterator[tuple[str, str, float]]:
        """API, feature, and how near the threshold it is (1: there), the highest of its models."""
        highest: dict[tuple[str, str], float] = {}
        for (api, _), stream in self._streams.items():
            for name, cusum in stream.features.items():
                highest[api, name] = max(highest.get((api, name), 0.0), max(cusum.up, cusum.down) / THRESHOLD)
        for (api, name), value in highest.items():
            yield api, name, value

    def document(self) -> list[Any]:
        """For :meth:`restore`: JSON."""
        return [
            [
                *key,
                {
                    "since": stream.since,
                    "batches": stream.batches,
                    "languages": dict(stream.languages),
                    "features": {
                        name: [c.count, c.mean, c.squares, c.up, c.down] for name, c in stream.features.items()
                    },
                },
            ]
            for key, stream in self._streams.items()
        ]

    def restore(self, document: list[Any]) -> None:
        """What :meth:`document` wrote; ValueError, KeyError or TypeError where it is none. A batch that was not full is
        not kept."""
        for api, model, kept in document:
            features = {
                name: _Cusum(int(count), *map(float, rest)) for name, (count, *rest) in kept["features"].items()
            }
            if set(features) != set(FEATURES):
                raise ValueError("the features are not those of drift")
            batches = int(kept["batches"])
            stream = _Stream(float(kept["since"]), batches, batches * BATCH, features=features)
            stream.languages.update({str(name): int(count) for name, count in kept["languages"].items()})
            self._streams[str(api), str(model)] = stream
