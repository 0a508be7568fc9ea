"""What was found in a request or a reply, and what was done about it."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

MAX_VERDICTS = 32
"""In one record: what is found a thousand times is not told a thousand times."""


Kind = Literal["prompt-injection", "system-prompt-leak", "sensitive-output", "extraction"]


class Action(StrEnum):
    """What a deployment wants done on a finding; the same words as in the resource."""

    BLOCK = "Block"
    MASK = "Mask"
    FLAG = "Flag"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing found in one place. Its text is no part of it: a verdict is no second copy of a secret."""

    kind: Kind
    rule: str
    """Which rule or classifier found it, by its id."""
    score: float
    """From 0 to 1: how sure it is. 1 for what has no doubt about it, such as a check digit."""
    where: str
    """Place in the document, as in `messages[2].content`."""

    def record(self, action: Action) -> dict[str, Any]:
        """A verdict as the journal holds it, `score` in thousandths: it has no floating-point numbers (RFC 8785)."""
        return {
            "kind": self.kind,
            "rule": self.rule,
            "score": round(1000 * min(max(self.score, 0.0), 1.0)),
            "where": self.where[:256],
            "action": action.value,
        }


def records(findings: Iterable[Finding], action: Action) -> list[dict[str, Any]]:
    """Verdicts of findings, the surest first, at most :data:`MAX_VERDICTS`."""
    first = sorted(findings, key=lambda finding: -finding.score)[:MAX_VERDICTS]
    return [finding.record(action) for finding in first]
