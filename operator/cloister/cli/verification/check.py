"""One thing that was looked at, and what came of it."""

from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    """What came of a check."""

    HOLDS = "holds"
    FAILED = "FAILED"
    UNTRIED = "untried"
    """Nothing is known: it could not be tried, or no answer came. Never taken for a proof."""


@dataclass(frozen=True)
class Check:
    """A check, in its group; ``detail`` says what was seen, and where something is wrong."""

    group: str
    name: str
    outcome: Outcome
    detail: str
