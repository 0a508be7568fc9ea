"""`spec.inference.guard`, as far as it is about replies: what a deployment looks for beside what is always known."""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from cloister.inspection.own import complaint
from cloister.spec.fields import DnsLabel, Model

MAX_PATTERN_LENGTH = 512
Amount = Annotated[int, Field(ge=0, le=10**11)]


class OutputKind(StrEnum):
    """A kind of value in a reply."""

    EMAIL = "email"
    PHONE = "phone"
    CARD = "card"
    IBAN = "iban"
    SSN = "ssn"
    IP = "ip"
    SECRET = "secret"  # noqa: S105 - the name of a kind
    NATIONAL = "national"


Pattern = Annotated[str, Field(min_length=1, max_length=MAX_PATTERN_LENGTH)]
Patterns = Annotated[dict[DnsLabel, Pattern], Field(max_length=32)]
Phrase = Annotated[
    str, Field(min_length=2, max_length=64, pattern=r"^[^\x00-\x20\x7f][^\x00-\x1f\x7f]*[^\x00-\x20\x7f]$")
]
Dictionaries = Annotated[
    dict[DnsLabel, Annotated[tuple[Phrase, ...], Field(min_length=1, max_length=256)]], Field(max_length=16)
]
Canary = Annotated[str, Field(min_length=8, max_length=64, pattern=r"^[!-~]+$")]
"""Long enough that nobody says it by chance, and in one word."""


class PersonsBudget(Model):
    """What one person may have in 24 hours, on each replica, whatever machine speaks for them."""

    similar_prompts: Amount = Field(300, description="Prompts that are like at least five of the last 256.")
    output_tokens: Amount = Field(1_000_000, description="Tokens of replies.")
    logprobs: Amount = Field(500, description="Answers with log probabilities, or beyond the first (n).")
    embeddings: Amount = Field(20_000, description="Texts that are embedded.")
    repetitions: Amount = Field(10, description="Replies that do nothing but repeat themselves.")


class MachinesBudget(Model):
    """What one machine that speaks for itself may have in 24 hours, on each replica."""

    similar_prompts: Amount = Field(100_000, description="Prompts that are like at least five of the last 256.")
    output_tokens: Amount = Field(100_000_000, description="Tokens of replies.")
    logprobs: Amount = Field(10_000, description="Answers with log probabilities, or beyond the first (n).")
    embeddings: Amount = Field(10_000_000, description="Texts that are embedded.")
    repetitions: Amount = Field(100, description="Replies that do nothing but repeat themselves.")


class Budgets(Model):
    """What callers may have before it is taken for extraction of the model."""

    people: PersonsBudget = Field(default_factory=PersonsBudget, description="Of each person.")
    machines: MachinesBudget = Field(
        default_factory=MachinesBudget, description="Of each machine that speaks for itself."
    )


def wrong_patterns(patterns: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Each pattern that can't be looked for: its field, and what is wrong with it."""
    for name, pattern in patterns.items():
        if (why := complaint(pattern)) is not None:
            yield f"spec.inference.guard.patterns.{name}", why
