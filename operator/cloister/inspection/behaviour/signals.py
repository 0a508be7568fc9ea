"""The signals that a score is the sum of."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Signal:
    """One kind of evidence."""

    name: str
    cap: float
    """The most points that it holds at once. Below the default for stepping up (80) where the evidence is weak by
    itself: then a second kind has to agree."""
    answered: float
    """The share that a fresh sign-in takes away: all of what speaks against *who* it is, half of what they *do*."""
    meaning: str


def _by_name(*signals: Signal) -> dict[str, Signal]:
    return {signal.name: signal for signal in signals}


SIGNALS = _by_name(
    Signal("rate", 90, 0.5, "more requests in an hour than this caller's past makes likely"),
    Signal("volume", 100, 0.5, "more output in an hour than this caller's past makes likely: a sudden export"),
    Signal("volume-creep", 60, 0.5, "output that grows from day to day"),
    Signal("hours", 45, 1.0, "requests at hours at which this caller never worked"),
    Signal("new-api", 60, 0.5, "an API or a model that this caller never used"),
    Signal("new-address", 12, 1.0, "a network that this caller never came from"),
    Signal("new-country", 45, 1.0, "a country that this caller never came from"),
    Signal("new-device", 45, 1.0, "a device that this caller never used"),
    Signal("impossible-travel", 60, 1.0, "two countries within a time in which nobody gets there"),
    Signal("shared-token", 60, 1.0, "one token, used from two networks in turn"),
    Signal("refusals", 100, 0.5, "requests that were refused"),
    Signal("injection", 150, 0.5, "prompts that try to change what the model was told"),
    Signal("extraction", 150, 0.5, "prompts that try to copy the model or what it was trained on"),
    Signal("enumeration", 60, 0.5, "prompts of one length in a row, as a list that is gone through makes them"),
    Signal("sensitive", 60, 0.5, "replies with sensitive values, more often than before"),
)
