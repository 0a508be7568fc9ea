"""What is seen of a request: who comes, and what has become of it."""

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """Whose behaviour it is."""

    PERSON = "person"
    MACHINE = "machine"
    """It speaks for itself."""
    FRONT = "front"
    """A machine that speaks for people: only how much it asks is its own."""


@dataclass(frozen=True, slots=True)
class Who:
    """A caller at the moment of a request. What is not known is None."""

    subject: str
    """A pseudonym that is the same each time."""
    kind: Kind
    signed_in: int | None = None
    """Seconds since 1970."""
    token: str | None = None
    """What is the same as long as the token is."""
    country: str | None = None
    device: str | None = None
    address: str | None = None
    """Of the caller's network, not of the single machine: people move within one."""


@dataclass(frozen=True, slots=True)
class Done:
    """A request that is over."""

    api: str
    model: str | None = None
    size: int = 0
    """Bytes of the request's body."""
    units: int = 0
    """Tokens of the reply, counted or estimated."""
    refused: str | None = None
    """The code of the refusal, where it was one."""
    kinds: tuple[str, ...] = ()
    """Kinds of findings in it (cloister.inspection.verdict)."""
