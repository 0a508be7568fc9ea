"""How well prompt injection is found on sources that nothing was tuned on, and what it costs."""

import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from cloister.detection import detector
from cloister.inspection.injection import CLASSIFIER, Detector
from tests.bench.detection.corpus import Source, examples
from tests.bench.detection.examples import Example
from tests.bench.detection.hostile import HOSTILE
from tests.bench.machine import machine

RECALL, FALSE_POSITIVES = 0.85, 0.01
"""What is to be reached on the unseen split."""
SIZES = (2_000, 8_000, 32_000, 128_000)
_ROUNDS = 5


@dataclass(frozen=True)
class Rate:
    """So many of so many."""

    count: int
    of: int

    def __str__(self) -> str:
        if not self.of:
            return "-"
        low, high = wilson(self.count, self.of)
        return f"{self.count / self.of:.3f} ({low:.3f} to {high:.3f})"


def wilson(count: int, of: int, z: float = 1.96) -> tuple[float, float]:
    """The 95 % score interval of a share (E. B. Wilson, 1927)."""
    share, square = count / of, z * z
    middle = (share + square / (2 * of)) / (1 + square / of)
    reach = z / (1 + square / of) * (share * (1 - share) / of + square / (4 * of * of)) ** 0.5
    return max(0.0, middle - reach), min(1.0, middle + reach)


def run() -> int:
    """Measure and print; 1 if a figure misses its target."""
    ours = detector()
    flagged = {source: _flagged(ours, many) for source, many in examples("test").items()}
    apart = {source: _flagged(ours, many) for source, many in examples("apart").items()}
    recall, mistaken = _total(flagged, "attack"), _total(flagged, "benign")
    print(_report(flagged, apart, recall, mistaken))
    print(_costs(ours))
    reached = recall.count >= RECALL * recall.of and mistaken.count <= FALSE_POSITIVES * mistaken.of
    return 0 if reached else 1


def request(example: Example) -> dict[str, object]:
    """The request that brings a text before a model: said by a person, or by a tool."""
    if example.channel == "user":
        return {"messages": [{"role": "user", "content": example.text}]}
    asked = {"role": "user", "content": "Here is what you asked for."}
    return {"messages": [asked, {"role": "tool", "tool_call_id": "c", "content": example.text}]}


def _flagged(judge: Detector, many: Iterable[Example]) -> list[bool]:
    return [bool(judge.findings(request(example))) for example in many]


def _total(flagged: dict[Source, list[bool]], label: str) -> Rate:
    found = [one for source, many in flagged.items() if source.label == label for one in many]
    return Rate(sum(found), len(found))


def _report(flagged: dict[Source, list[bool]], apart: dict[Source, list[bool]], recall: Rate, mistaken: Rate) -> str:
    # As if there were as many ordinary texts as attacks.
    hits, false = recall.count / recall.of, mistaken.count / mistaken.of
    lines = [
        f"{machine()}.",
        "",
        "| on the unseen split | measured (95 % interval) | to reach |",
        "|---|---|---|",
        f"| recall, of {recall.of} attacks | {recall} | {RECALL} |",
        f"| false-positive rate, of {mistaken.of} ordinary texts | {mistaken} | {FALSE_POSITIVES} |",
        f"| precision, were both as many | {hits / (hits + false):.3f} | |",
        "",
        *_table("attacks of the unseen split", flagged, "attack"),
        *_table("ordinary texts of the unseen split", flagged, "benign"),
        *_table("harm without injection, apart", apart, "harm"),
        *_table("real conversations without labels, apart", apart, "unlabelled"),
    ]
    return "\n".join(lines)


def _table(title: str, flagged: dict[Source, list[bool]], label: str) -> list[str]:
    rows = [f"| {title} | package | licence | texts | flagged (95 % interval) |", "|---|---|---|---:|---|"]
    for source, many in flagged.items():
        if source.label == label:
            rate = Rate(sum(many), len(many))
            rows.append(f"| {source.name} | {source.package} | {source.licence} | {rate.of} | {rate} |")
    return [*rows, ""]


# --- costs


def _costs(judge: Detector) -> str:
    page = "The train to Hamburg leaves at noon, and order 4711 waits for an answer until the end of the month. "
    prompt = (page * 30)[:2048]
    lines = [f"A 2 KB prompt takes {_seconds(judge, prompt) * 1e6:.0f} microseconds.", ""]
    heads = " | ".join(f"{size // 1000} KB" for size in SIZES)
    lines += [f"| microseconds a KB of | {heads} | ratio |", "|---|" + "---:|" * (len(SIZES) + 1)]
    for name, made in {"ordinary text": lambda size: (page * (size // len(page) + 1))[:size], **HOSTILE}.items():
        rates = [_seconds(judge, made(size)) * 1e6 / (size / 1000) for size in SIZES]
        shown = " | ".join(f"{rate:.0f}" for rate in rates)
        lines.append(f"| {name} | {shown} | {rates[-1] / rates[0]:.1f} |")
    return "\n".join([*lines, ""])


def _seconds(judge: Detector, text: str) -> float:
    document = {"messages": [{"role": "user", "content": text}]}
    return _least(lambda: judge.findings(document))


def _least(work: Callable[[], object]) -> float:
    """The median of the CPU time of some rounds."""
    times = []
    for _ in range(_ROUNDS):
        began = time.process_time()
        work()
        times.append(time.process_time() - began)
    return statistics.median(times)


def reasons() -> str:
    """Which rules find what on the training split; for those who write rules."""
    judge, counts = detector(), dict[str, int]()
    for source, many in examples("train").items():
        for example in many:
            for finding in judge.findings(request(example)) if source.label == "benign" else ():
                counts[finding.rule] = counts.get(finding.rule, 0) + 1
    found = sorted(counts.items(), key=lambda one: -one[1])
    return "\n".join(f"{count:6} {rule}" for rule, count in found if rule != CLASSIFIER)
