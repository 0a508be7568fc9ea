"""Points, levels and reasons."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

Points = dict[str, tuple[float, float, str]]
"""Signal -> points at a time (seconds since 1970), and why."""
LEAST = 0.5
"""Points below which a signal is forgotten."""


class Level(IntEnum):
    """What a score means. Each includes the ones before."""

    NONE = 0
    FLAG = 1
    STEP_UP = 2
    END = 3


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Points from which a level holds, and how fast they fade."""

    flag: float = 40.0
    step_up: float = 80.0
    end: float = 120.0
    half_life: float = 7200.0
    """Seconds."""
    travel: float = 10800.0
    """Seconds within which nobody comes from one country to another unnoticed."""

    def level(self, score: float) -> Level:
        """The highest that a score reaches."""
        if score < self.flag:
            return Level.NONE
        if score < self.step_up:
            return Level.FLAG
        return Level.STEP_UP if score < self.end else Level.END


@dataclass(frozen=True, slots=True)
class Reason:
    """One part of a score."""

    signal: str
    points: float
    why: str


@dataclass(frozen=True, slots=True)
class Judgement:
    """How a caller stands."""

    score: float
    standing: Level
    """What is asked of the caller: nothing (NONE, FLAG), a fresh sign-in, or to leave."""
    alert: Level = Level.NONE
    """The level that was reached just now."""
    reasons: tuple[Reason, ...] = ()
    """Of an alert; the largest first."""


NOTHING = Judgement(0.0, Level.NONE)


def faded(points: Points, now: float, half_life: float) -> float:
    """The score: what is left of all signals."""
    return float(sum(value * 0.5 ** (max(0.0, now - at) / half_life) for value, at, _ in points.values()))


def reasons(points: Points, now: float, half_life: float) -> tuple[Reason, ...]:
    """The parts of the score."""
    return tuple(sorted(_parts(points, now, half_life), key=lambda reason: -reason.points))


def _parts(points: Points, now: float, half_life: float) -> Iterable[Reason]:
    for name, (value, at, why) in points.items():
        left = value * 0.5 ** (max(0.0, now - at) / half_life)
        if left >= LEAST:
            yield Reason(name, left, why)
