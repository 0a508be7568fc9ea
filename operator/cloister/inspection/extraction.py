"""Whether a caller takes a model away piece by piece: what it has asked for in the last day, hour by hour.

Counted are prompts that are like many before (filled from one template, or going through a list), tokens of output,
answers with log probabilities or in several variants (N. Carlini et al., "Stealing Part of a Production Language
Model", 2024), texts that were embedded, and replies that repeat themselves (:mod:`cloister.inspection.repetition`).

No clock: the time is an argument, in seconds since 1970. Memory is bounded by MAX_CALLERS and MAX_PROMPTS; who was not
seen for longest is forgotten first.
"""

from collections import OrderedDict, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, NamedTuple

from cloister.inspection.similarity import fingerprint, near

HOURS = 24
MAX_CALLERS = 2048
MAX_PROMPTS = 256
"""Fingerprints that are kept of a caller."""
MAX_COMPARED = 64
"""Prompts of one request that are compared."""
ALIKE = 5
"""Earlier prompts that a prompt must be like to count as one of a series."""
_HOUR = 3600

SIMILAR, TOKENS, LOGPROBS, EMBEDDINGS, REPETITIONS = "similar", "tokens", "logprobs", "embeddings", "repetitions"
RULES = {
    SIMILAR: "similar-prompts",
    TOKENS: "output-volume",
    LOGPROBS: "logprob-harvesting",
    EMBEDDINGS: "embedding-harvesting",
    REPETITIONS: "repetition",
}
"""What is counted, and what a verdict calls it."""

Budget = Mapping[str, int]
"""How much of each a caller has in HOURS."""


class Question(NamedTuple):
    """What counts of a request."""

    texts: Sequence[str] = ()
    """What a person or a program has written: its latest turn, or each prompt of a list."""
    logprobs: int = 0
    """Answers with log probabilities, or beyond the first."""
    embeddings: int = 0
    """Texts to be embedded."""


class Exceeded(NamedTuple):
    """A budget that is used up."""

    rule: str
    retry_after: int
    """Seconds until some of it is there again."""


@dataclass
class _Ledger:
    """What one caller has had."""

    hours: dict[int, dict[str, int]] = field(default_factory=dict)
    prompts: deque[tuple[int, int]] = field(default_factory=lambda: deque(maxlen=MAX_PROMPTS))
    """Hour, and fingerprint."""

    def forget(self, hour: int) -> None:
        """What is too old; what comes from a clock that was ahead counts as of now, and not until then."""
        for ahead in [known for known in self.hours if known > hour + 1]:
            for what, count in self.hours.pop(ahead).items():
                self.add(what, count, hour)
        if self.prompts and self.prompts[-1][0] > hour + 1:
            self.prompts = deque(((min(known, hour), one) for known, one in self.prompts), maxlen=MAX_PROMPTS)
        for old in [known for known in self.hours if known <= hour - HOURS]:
            del self.hours[old]
        while self.prompts and self.prompts[0][0] <= hour - HOURS:
            self.prompts.popleft()

    def add(self, what: str, count: int, hour: int) -> None:
        counts = self.hours.setdefault(hour, {})
        counts[what] = counts.get(what, 0) + count

    def had(self, what: str) -> int:
        return sum(counts.get(what, 0) for counts in self.hours.values())


class Extraction:
    """The ledgers of all callers."""

    def __init__(self) -> None:
        self._ledgers: OrderedDict[str, _Ledger] = OrderedDict()

    def asked(self, caller: str, question: Question, budget: Budget, now: float, *, block: bool) -> list[Exceeded]:
        """Counts a request, and tells which budgets that it would use are used up. Under `block` it is not counted
        then: it is not answered."""
        hour, ledger = int(now // _HOUR), self._ledger(caller, now)
        wants = {TOKENS: 0, REPETITIONS: 0}
        prints, similar = self._compared(ledger, question.texts)
        if similar:
            wants[SIMILAR] = similar
        if question.logprobs:
            wants[LOGPROBS] = question.logprobs
        if question.embeddings:
            wants[EMBEDDINGS] = question.embeddings
        exceeded = [
            Exceeded(RULES[what], self._until(ledger, what, budget[what], now))
            for what in wants
            if ledger.had(what) >= budget[what]
        ]
        if not (exceeded and block):
            ledger.prompts.extend((hour, one) for one in prints)
            for what, count in wants.items():
                if count:
                    ledger.add(what, count, hour)
        return exceeded

    def _compared(self, ledger: _Ledger, texts: Sequence[str]) -> tuple[list[int], int]:
        """Fingerprints of some prompts, and how many of the prompts are like earlier ones. Of a long list
        MAX_COMPARED are looked at, and stand for the others."""
        step = max(1, -(-len(texts) // MAX_COMPARED))
        prints: list[int] = []
        similar = 0
        for text in texts[::step]:
            one = fingerprint(text)
            earlier = (known for _, known in reversed(ledger.prompts))
            similar += near(one, chain(reversed(prints), earlier), ALIKE)
            prints.append(one)
        return prints, min(similar * step, len(texts))

    def said(self, caller: str, tokens: int, now: float) -> None:
        """Counts the output of a reply."""
        self._ledger(caller, now).add(TOKENS, tokens, int(now // _HOUR))

    def repeated(self, caller: str, now: float) -> None:
        """Counts a reply that repeats itself."""
        self._ledger(caller, now).add(REPETITIONS, 1, int(now // _HOUR))

    def dump(self) -> dict[str, Any]:
        """All of it, for a JSON file."""
        return {
            caller: {
                "hours": {str(hour): counts for hour, counts in ledger.hours.items()},
                "prompts": [[hour, f"{known:016x}"] for hour, known in ledger.prompts],
            }
            for caller, ledger in self._ledgers.items()
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """What :meth:`dump` gave before. ValueError where it is none; then nothing of it counts."""
        try:
            self._ledgers = OrderedDict((str(caller), _ledger(one)) for caller, one in state.items())
        except (AttributeError, KeyError, TypeError) as error:
            raise ValueError(f"no state of extraction: {type(error).__name__}") from None
        self._evict()

    def _ledger(self, caller: str, now: float) -> _Ledger:
        ledger = self._ledgers.get(caller)
        if ledger is None:
            ledger = self._ledgers[caller] = _Ledger()
            self._evict()
        else:
            self._ledgers.move_to_end(caller)
        ledger.forget(int(now // _HOUR))
        return ledger

    def _evict(self) -> None:
        while len(self._ledgers) > MAX_CALLERS:
            self._ledgers.popitem(last=False)

    def _until(self, ledger: _Ledger, what: str, budget: int, now: float) -> int:
        left = ledger.had(what)
        for hour in sorted(ledger.hours):
            left -= ledger.hours[hour].get(what, 0)
            if left < budget:
                return max(1, round((hour + HOURS) * _HOUR - now))
        return HOURS * _HOUR


def _ledger(raw: Mapping[str, Any]) -> _Ledger:
    hours = {int(hour): _counts(counts) for hour, counts in raw["hours"].items()}
    prompts: Iterable[tuple[int, int]] = ((int(hour), int(known, 16)) for hour, known in raw["prompts"])
    return _Ledger(hours, deque(prompts, maxlen=MAX_PROMPTS))


def _counts(raw: Mapping[str, Any]) -> dict[str, int]:
    return {what: int(raw[what]) for what in RULES if what in raw}
