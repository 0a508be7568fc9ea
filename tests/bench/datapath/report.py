"""What people read: a Markdown table for each kind of workload, the targets, and a plot."""

from collections.abc import Iterator, Mapping, Sequence

from tests.bench.datapath.figures import BOTH, DIRECT, MANY, ONE, STREAMS, SYNCS, Rounds
from tests.bench.datapath.plot import bars
from tests.bench.datapath.workloads import Workload
from tests.bench.machine import machine

_COMMON = ["workload", "path", "p50 ms", "added p50", "p99 ms", "added p99", "requests/s", "requests/CPU s"]
_MORE = {
    "plain": [],
    "stream": ["events/s", "events/CPU s", "first event ms"],
    "paced": ["events/s", "events/CPU s", "first event ms", "between events p50 ms", "p99"],
}
_TITLES = {
    "plain": "Replies at once",
    "stream": "Streamed replies, as fast as the path takes them",
    "paced": "Streamed replies, an event each 5 ms",
}


def report(rounds: Rounds, workloads: Sequence[Workload], paths: Sequence[str], memory: Mapping[str, int]) -> str:
    """The whole, as Markdown."""
    disk = ", ".join(f"{sync:.0f}" for sync in rounds.syncs)
    lines = [
        f"{machine()}. Write and fdatasync on the journal's disk, p50 of each round: {disk} microseconds.",
    ]
    for kind, title in _TITLES.items():
        if chosen := [workload for workload in workloads if workload.kind == kind]:
            lines += ["", f"**{title}**", "", *_table(rounds, kind, chosen, paths)]
    lines += ["", "Peak memory: " + ", ".join(f"{name} {size >> 20} MiB" for name, size in memory.items() if size)]
    if ONE in workloads:
        for count in (1, SYNCS):
            beyond = rounds.beyond(BOTH, ONE, count) / 1e3
            lines += ["", f"Gate + auditor, {ONE.name}: added p50 beyond {count} fdatasync {beyond:.2f} ms."]
    if found := rounds.targets():
        lines += ["", "| target | measured | bound | |", "|---|---:|---:|---|"]
        for target in found:
            bound = f"{'at least' if target.at_least else 'at most'} {target.bound:,g}"
            verdict = "met" if target.met else "MISSED"
            lines.append(f"| {target.text} | {_short(target.value)} | {bound} | {verdict} |")
    return "\n".join([*lines, ""])


def _table(rounds: Rounds, kind: str, workloads: Sequence[Workload], paths: Sequence[str]) -> Iterator[str]:
    columns = [*_COMMON, *_MORE[kind]]
    yield "| " + " | ".join(columns) + " |"
    yield "|---|---|" + "---:|" * (len(columns) - 2)
    for workload in workloads:
        for path in paths:
            yield "| " + " | ".join(_row(rounds, workload, path)) + " |"


def _row(rounds: Rounds, workload: Workload, path: str) -> Iterator[str]:
    f = rounds.figures(path, workload)
    yield from (workload.name, path)
    for share, value in ((0.5, f.p50), (0.99, f.p99)):
        yield _milliseconds(value)
        yield _milliseconds(rounds.added(path, workload, share)) if path != DIRECT else ""
    yield _short(f.per_second)
    yield _short(1e6 / f.cpu) if f.cpu else ""
    if workload.kind != "plain":
        yield _short(f.events)
        yield _short(1e6 / f.event_cpu) if f.event_cpu else ""
        yield _milliseconds(f.first)
    if workload.kind == "paced":
        yield _milliseconds(f.gap_p50)
        yield _milliseconds(f.gap_p99)


def plot(rounds: Rounds, paths: Sequence[str]) -> str:
    """The figures that the targets are about, as SVG."""
    own = [path for path in paths if path != DIRECT]
    return bars(
        {
            "CPU microseconds a request (1 KB, 16 connections)": {p: rounds.figures(p, MANY).cpu for p in own},
            "CPU microseconds a streamed event (16 connections)": {
                p: rounds.figures(p, STREAMS).event_cpu for p in own
            },
            "Added p50, microseconds (1 KB, 1 connection)": {p: rounds.added(p, ONE) for p in own},
        }
    )


def _milliseconds(microseconds: float) -> str:
    return f"{microseconds / 1e3:.2f}"


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"
