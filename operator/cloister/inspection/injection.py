"""Prompt injection: a conversation judged by rules and by a classifier, in every reading of each of its texts."""

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from cloister.inspection.classifier import Classifier
from cloister.inspection.conversation import Words, words
from cloister.inspection.normalise import View, views
from cloister.inspection.rules import Role, Rules
from cloister.inspection.verdict import Finding

KIND: Final = "prompt-injection"
CLASSIFIER = "classifier"
"""As which the classifier appears among the rules."""
DEFAULT_THRESHOLD = 0.5
_LEARNED: frozenset[Role] = frozenset({"user", "tool"})
"""Whose words the classifier judges: it has learned from no others. Rules say for themselves whose they judge."""


@dataclass(frozen=True, slots=True)
class Opinion:
    """What one reading of one text looks like."""

    words: Words
    view: str
    score: float
    reasons: Mapping[str, float]
    """What the rules that match, and the classifier, say alone."""

    @property
    def surest(self) -> str:
        """The rule that says most."""
        return max(self.reasons, key=lambda name: self.reasons[name], default=CLASSIFIER)


@dataclass(frozen=True)
class Detector:
    """Rules and classifier with the threshold of a deployment."""

    rules: Rules
    classifier: Classifier
    threshold: float = DEFAULT_THRESHOLD

    def findings(self, document: Mapping[str, Any], fields: Container[str] | None = ()) -> list[Finding]:
        """What in a request reaches the threshold: for each place its surest reading. ``fields``: those of its
        API; None where that is not known."""
        found: dict[str, Finding] = {}
        for said in words(document, fields):
            best = self.opinion(said)
            if best and best.score >= self.threshold:
                known = found.get(said.where)
                if known is None or known.score < best.score:
                    found[said.where] = Finding(KIND, best.surest, best.score, said.where)
        # Where a part alone is found, its place says more than that of all parts together.
        told = {where.rpartition("[")[0] for where in found}
        return [finding for where, finding in found.items() if where not in told]

    def opinion(self, said: Words) -> Opinion | None:
        """Of the reading of a text that looks most like it; None of a text in which there is nothing to read."""
        readings = (self._opinion(said, view) for view in views(said.text))
        return max(readings, key=lambda opinion: opinion.score, default=None)

    def _opinion(self, said: Words, view: View) -> Opinion:
        scores = {rule.id: rule.score for rule in self.rules.matching(view.text, said.role, view.name)}
        if said.role in _LEARNED:
            scores[CLASSIFIER] = self.classifier.score(view.text).value
        return Opinion(said, view.name, together(scores.values()), scores)


def together(scores: Iterable[float]) -> float:
    """Each takes its share of the doubt that the others leave."""
    doubt = 1.0
    for score in scores:
        doubt *= 1 - score
    return 1 - doubt
