"""Simulated replies that change from one on."""

import random

from cloister.inspection.drift import Change, Drift
from cloister.inspection.drift.watch import BATCH, LEARN

PAST = BATCH * LEARN
"""Replies from which drift learns."""


def told(seed: int, replies: int, change_at: int | None = None, **after: float) -> list[tuple[int, Change]]:
    """Two minutes apart, by chance; from ``change_at`` on with these means: a number of reply, and what was told."""
    chance, drift, found = random.Random(seed), Drift(), []
    means = {
        "length": 5.0,
        "latency": 0.0,
        "declined": 0.03,
        "sensitive": 0.1,
        "words": 0.0,
        "cut": 0.02,
        "failed": 0.0,
    }
    foreign = 0.05
    for number in range(replies):
        if number == change_at:
            foreign = after.pop("language", foreign)
            means |= after
        now = 1e9 + number * 120
        features = {
            name: chance.gauss(mean, 0.8) if name in ("length", "latency") else float(chance.random() < mean)
            for name, mean in means.items()
        }
        spoken = "de" if chance.random() < foreign else "en"
        found += [(number, change) for change in drift.add("chat", "small", features, spoken, now)]
    return found
