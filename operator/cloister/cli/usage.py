"""`cloister audit stats`: how a model is used and how fast it answers, from opened records (ZT-31)."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from statistics import quantiles
from typing import Any

DIMENSIONS = ("day", "caller", "user", "api", "model")
"""What rows can be about. `caller` is the machine, by namespace and service account; `user` the person's `sub`."""
COLUMNS = (
    "REQUESTS",
    "ANSWERED",
    "REFUSED",
    "FAILED",
    "TOKENS IN",
    "TOKENS OUT",
    "P50 MS",
    "P95 MS",
    "FINDINGS",
    "ALERTS",
)

Record = Mapping[str, Any]
_OPEN = frozenset({"request", "query", "refusal"})
_CLOSED = frozenset({"reply", "result"})


@dataclass
class Row:
    """What is counted of one group of exchanges. A query to a store counts like a request."""

    group: dict[str, str]
    requests: int = 0
    answered: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    """By code."""
    failed: int = 0
    """Begun, and not completed: cancelled, cut or failed; or the answer was an error of the server."""
    tokens_in: int = 0
    tokens_out: int = 0
    seconds: list[float] = field(default_factory=list)
    findings: Counter[str] = field(default_factory=Counter)
    """By kind."""
    alerts: Counter[str] = field(default_factory=Counter)
    """By code."""

    def percentile(self, percent: int) -> float | None:
        """Seconds within which so many of a hundred answers came; None where there is none."""
        if len(self.seconds) < 2:
            return self.seconds[0] if self.seconds else None
        return quantiles(self.seconds, n=100, method="inclusive")[percent - 1]

    def cells(self) -> list[str]:
        """For a table."""
        times = (self.percentile(50), self.percentile(95))
        numbers = (self.requests, self.answered, self.refused.total(), self.failed, self.tokens_in, self.tokens_out)
        shown = ["" if time is None else f"{1000 * time:.0f}" for time in times]
        ends = (_named(self.findings), _named(self.alerts))
        return [*self.group.values(), *map(str, numbers), *shown, *ends]

    def document(self) -> dict[str, Any]:
        """For programs."""
        return self.group | {
            "requests": self.requests,
            "answered": self.answered,
            "refused": dict(self.refused),
            "failed": self.failed,
            "tokens": {"input": self.tokens_in, "output": self.tokens_out},
            "seconds": {"p50": self.percentile(50), "p95": self.percentile(95)},
            "findings": dict(self.findings),
            "alerts": dict(self.alerts),
        }


def usage(records: Iterable[Record], by: tuple[str, ...]) -> list[Row]:
    """Rows in the order of their groups. Records of a reply belong where their request does, by its exchange."""
    rows: dict[tuple[str, ...], Row] = {}
    opened: dict[str, Record] = {}
    for record in records:
        kind = record["type"]
        if kind in _OPEN:
            if kind != "refusal":
                opened[record["exchange"]] = record
            begun = record
        elif kind in _CLOSED or kind == "reply.part":
            # What began in a segment that was not given is counted under what is known: its day.
            begun = opened.get(record["exchange"], record)
        elif kind == "alert":
            begun = opened.get(record.get("exchange", ""), record)
        else:
            continue
        group = {name: _DIMENSIONS[name](begun) for name in by}
        row = rows.setdefault(tuple(group.values()), Row(group))
        _count(row, kind, record)
        if kind in _CLOSED:
            opened.pop(record["exchange"], None)
    return [rows[key] for key in sorted(rows)]


def _count(row: Row, kind: str, record: Record) -> None:
    row.requests += kind in _OPEN
    if kind == "refusal":
        row.refused[record["code"]] += 1
    if kind == "alert":
        row.alerts[record["code"]] += 1
    if kind in _CLOSED:
        complete = record["outcome"] == "complete" and record.get("status", 502) < 500
        row.answered += complete
        row.failed += not complete
        row.tokens_in += record.get("gen_ai.usage.input_tokens", 0)
        row.tokens_out += record.get("gen_ai.usage.output_tokens", 0)
        if complete and "duration_us" in record:
            row.seconds.append(record["duration_us"] / 1e6)
    row.findings.update(verdict["kind"] for verdict in record.get("verdicts", ()))


def _machine(record: Record) -> str:
    """`namespace/account` of a SPIFFE ID of the form that Cloister gives."""
    parts = str(record.get("peer", "")).split("/")
    return f"{parts[4]}/{parts[6]}" if len(parts) == 7 else "/".join(parts)


_DIMENSIONS: dict[str, Callable[[Record], str]] = {
    "day": lambda record: str(record["time"])[:10],
    "caller": _machine,
    "user": lambda record: str(record.get("user.id", "")),
    "api": lambda record: str(record.get("api") or record.get("bucket") or ""),
    "model": lambda record: str(record.get("gen_ai.request.model", "")),
}


def _named(counts: Counter[str]) -> str:
    return " ".join(f"{name}:{count}" for name, count in sorted(counts.items()))
