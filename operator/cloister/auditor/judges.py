"""Who judges a request once it has passed every check, before it is recorded and the model sees it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from cloister.auditor.callers import Caller
from cloister.auditor.openai.dialect import Dialect
from cloister.auditor.refusal import Refusal
from cloister.auditor.stats import Stats
from cloister.inspection.verdict import MAX_VERDICTS, Action, Finding, records


@dataclass(slots=True)
class Asked:
    """A request that has passed every check."""

    caller: Caller
    api: str
    dialect: Dialect | None
    document: Mapping[str, Any]
    flagged: Refusal | None = None


class Judge(Protocol):
    """Looks at requests. One that is Off does not exist."""

    @property
    def action(self) -> Action:
        """Block or Flag."""

    def judge(self, asked: Asked) -> Sequence[Finding]:
        """What is found in it."""

    def refusal(self) -> Refusal:
        """What the caller is told when the action is Block: nothing by which the next attempt could be better."""


def judged(asked: Asked, judges: Iterable[Judge], stats: Stats) -> tuple[list[dict[str, Any]], Refusal | None]:
    """Their verdicts, for the record, and the refusal. Whoever comes after the one that refuses is not asked: what is
    not answered uses up no budget."""
    verdicts: list[dict[str, Any]] = []
    for judge in judges:
        findings = judge.judge(asked)
        if not findings:
            continue
        verdicts += records(findings, judge.action)
        stats.found(findings, judge.action)
        if judge.action is Action.BLOCK:
            return verdicts[:MAX_VERDICTS], judge.refusal()
    return verdicts[:MAX_VERDICTS], None
