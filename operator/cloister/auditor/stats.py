"""What the auditor counts. Plain numbers, turned into metrics when Prometheus asks: counting must cost nothing."""

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import product
from typing import get_args

from cloister.inspection.verdict import Action, Finding, Kind

HELD_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
SECONDS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 180.0, 600.0)

MAX_MODELS, OTHER = 64, "other"
"""Models whose tokens are counted apart, and what all further ones are called."""
AT_ONCE, IN_USE, _CANDIDATES = 16, 20, 256
"""Models that are counted apart from their first reply on; replies after which a further one is; and names of which
it is known how often they came. A caller who can name models must not take all places."""

ALERTS = (("behaviour", "warning"), ("behaviour", "critical"), ("drift", "warning"), ("journal", "critical"))
"""What raises an alert, and how serious it is."""


@dataclass
class Stats:
    """Since the program began.

    What alert rules look at is 0 before it happens: Prometheus sees no increase in a count that begins with its first
    event (Prometheus documentation, "Instrumentation", "Avoid missing metrics").
    """

    requests: Counter[tuple[str, int]] = field(default_factory=Counter)
    """API, status of the answer."""
    refusals: Counter[str] = field(default_factory=Counter)
    """By the code that the caller was given."""
    flagged: int = 0
    """Requests outside their API's schema that were let through because `guard.schema` is Flag."""
    verdicts: Counter[tuple[str, str]] = field(
        default_factory=lambda: Counter({(kind, action.value): 0 for kind, action in product(get_args(Kind), Action)})
    )
    """Findings by kind, and what was done about them."""
    alerts: Counter[tuple[str, str]] = field(default_factory=lambda: Counter(dict.fromkeys(ALERTS, 0)))
    """By :data:`ALERTS`."""
    signals: Counter[str] = field(default_factory=Counter)
    """Signals of behaviour that were part of an alert."""
    drifted: Counter[tuple[str, str]] = field(default_factory=Counter)
    """API, and feature of its replies that changed."""
    seconds: dict[str, list[int]] = field(default_factory=dict)
    """API -> requests by how long their answers took, in the classes of :data:`SECONDS`."""
    seconds_total: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    bytes_in: int = 0
    bytes_out: int = 0
    events: int = 0
    """Records of parts of streams."""
    cancelled: int = 0
    """Callers who went away before the end."""
    tokens_in: Counter[str] = field(default_factory=Counter)
    """Model -> tokens, as the model server counted them."""
    tokens_out: Counter[str] = field(default_factory=Counter)
    candidates: Counter[str] = field(default_factory=Counter)
    """Further models -> replies so far."""
    held_bytes: int = 0
    """Of streamed replies, what waits at this moment for what follows it."""
    held_seconds: list[int] = field(default_factory=lambda: [0] * (len(HELD_SECONDS) + 1))
    """How many events waited, by the first of HELD_SECONDS that was enough."""
    held_total: float = 0.0
    """Seconds, of all of them."""
    segments_shipped: int = 0
    shipping_failures: int = 0
    unshipped: int = 0
    """Sealed segments that wait."""

    def found(self, findings: Iterable[Finding], action: Action) -> None:
        """Counts findings in a request or a reply."""
        for finding in findings:
            self.verdicts[finding.kind, action.value] += 1

    def waited(self, seconds: float) -> None:
        """Counts an event of a stream that could not leave at once."""
        self.held_seconds[bisect_left(HELD_SECONDS, seconds)] += 1
        self.held_total += seconds

    def used(self, model: str, tokens_in: int, tokens_out: int) -> None:
        """Counts tokens. A model server may call itself by any number of names, and each would stay a series."""
        if model not in self.tokens_in and not self._takes_place(model):
            model = OTHER
        self.tokens_in[model] += tokens_in
        self.tokens_out[model] += tokens_out

    def _takes_place(self, model: str) -> bool:
        """Whether a model is counted apart from now on."""
        if len(self.tokens_in) < AT_ONCE:
            return True
        if len(self.tokens_in) >= MAX_MODELS:
            return False
        if len(self.candidates) >= _CANDIDATES and model not in self.candidates:
            del self.candidates[min(self.candidates, key=lambda name: self.candidates[name])]
        self.candidates[model] += 1
        if self.candidates[model] < IN_USE:
            return False
        del self.candidates[model]
        return True

    def answered(self, api: str, seconds: float) -> None:
        """Counts how long an answer took, from the request's last byte to its own."""
        classes = self.seconds.setdefault(api, [0] * (len(SECONDS) + 1))
        classes[bisect_left(SECONDS, seconds)] += 1
        self.seconds_total[api] += seconds
