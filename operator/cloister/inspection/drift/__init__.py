"""Whether replies are still what they were: each API and model against its own past."""

from cloister.inspection.drift.watch import FEATURES, Change, Drift
from cloister.inspection.drift.words import language, refuses

__all__ = ["FEATURES", "Change", "Drift", "language", "refuses"]
