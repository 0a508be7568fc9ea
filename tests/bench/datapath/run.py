"""Rounds over every path and workload, interleaved, and what came of them: a table, a plot, and the targets."""

import os
import platform
import statistics
import tempfile
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path as File

from rich.console import Console

from tests.bench.datapath.measuring import Sample, Timing, disk_sync, measure, peak_memory
from tests.bench.datapath.paths import Path
from tests.bench.datapath.plot import bars
from tests.bench.datapath.stack import stack
from tests.bench.datapath.workloads import Workload, workloads
from tests.cluster.catalogue import cache_root

Cells = dict[tuple[str, str], list[Sample]]

DIRECT, BARE, ALONE, BOTH = "direct", "bare Envoy hop", "auditor alone", "gate + auditor"
SMALL_ONE, SMALL_MANY, STREAMS = Workload("plain", 1024, 1), Workload("plain", 1024, 16), Workload("stream", 1024, 16)


@dataclass(frozen=True)
class Figures:
    """One path under one workload: medians over the rounds."""

    p50: float
    """Microseconds."""
    p99: float
    per_second: float
    cpu: float
    """Microseconds of CPU a request; 0 for the direct path, which has no processes of its own."""
    events: float
    """A second."""
    event_cpu: float
    """Microseconds of CPU an event."""
    first: float
    """Microseconds until the first event, median."""


def figures(samples: list[Sample]) -> Figures:
    """Medians over rounds of one cell."""
    return Figures(
        p50=_median([quantile(s.latencies, 0.5) for s in samples]),
        p99=_median([quantile(s.latencies, 0.99) for s in samples]),
        per_second=_median([s.requests / s.seconds for s in samples]),
        cpu=_median([s.cpu / s.requests * 1e6 for s in samples]),
        events=_median([s.events / s.seconds for s in samples]),
        event_cpu=_median([s.cpu / s.events * 1e6 if s.events else 0.0 for s in samples]),
        first=_median([quantile(s.firsts, 0.5) if s.firsts else 0.0 for s in samples]),
    )


def quantile(values: list[float], share: float) -> float:
    """The value below which this share of them lies."""
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


def _median(values: list[float]) -> float:
    return statistics.median(values)


def run(rounds: int, seconds: float, *, quick: bool, plot: File | None) -> int:
    """Measure and print; 1 if a target is missed."""
    chosen = [SMALL_ONE, STREAMS] if quick else workloads()
    console = Console(highlight=False, soft_wrap=True, stderr=True)
    cells: Cells = defaultdict(list)
    home = cache_root().parent / "bench"
    home.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="datapath-", dir=home) as name, stack(File(name)) as paths:
        sync = quantile(disk_sync(File(name), 300), 0.5)
        for number in range(rounds):
            for workload in chosen:
                console.print(f"round {number + 1} of {rounds}: {workload.name}")
                for path in paths:
                    cells[path.name, workload.name].append(measure(path, workload, Timing(seconds / 4, seconds)))
        memory = {path.name: peak_memory(path.processes) for path in paths}
    print(report(cells, chosen, paths, memory, sync))
    if plot:
        small = {path.name: figures(cells[path.name, SMALL_MANY.name]).cpu for path in paths if path.processes}
        plot.write_text(bars("CPU microseconds a request (1 KB, 16 connections, logarithmic)", small))
    missed = 0
    if not quick:
        for text, met in targets(cells, paths[-1].name, sync):
            missed += not met
            print(f"- {text}: {'met' if met else 'MISSED'}")
    return int(missed > 0)


def report(cells: Cells, chosen: list[Workload], paths: list[Path], memory: dict[str, int], sync: float) -> str:
    """The table, in Markdown."""
    lines = [
        f"{os.cpu_count()} cores, Linux {platform.release()}, Python {platform.python_version()};"
        f" write + fdatasync of the journal's disk: p50 {sync:.0f} microseconds",
        "",
        "| workload | path | p50 ms | added p50 | p99 ms | added p99 | requests/s | CPU us/request | requests/CPU s |"
        " events/s | events/CPU s | first event ms |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for workload in chosen:
        base = figures(cells[DIRECT, workload.name])
        for path in paths:
            f = figures(cells[path.name, workload.name])
            row = [workload.name, path.name, f"{f.p50 / 1e3:.2f}", f"{(f.p50 - base.p50) / 1e3:.2f}"]
            row += [f"{f.p99 / 1e3:.2f}", f"{(f.p99 - base.p99) / 1e3:.2f}", f"{f.per_second:.0f}"]
            row += [f"{f.cpu:.0f}", f"{1e6 / f.cpu:.0f}"] if f.cpu else ["", ""]
            row += [f"{f.events:.0f}", f"{1e6 / f.event_cpu:.0f}" if f.event_cpu else ""] if f.events else ["", ""]
            row += [f"{f.first / 1e3:.2f}" if f.first else ""]
            lines.append("| " + " | ".join(row) + " |")
    lines += ["", "Peak memory: " + ", ".join(f"{name} {size >> 20} MiB" for name, size in memory.items() if size), ""]
    return "\n".join(lines)


def targets(cells: Cells, litellm: str, sync: float) -> list[tuple[str, bool]]:
    """What is to be reached, and whether it is."""

    def of(path: str, workload: Workload) -> Figures:
        return figures(cells[path, workload.name])

    times = of(litellm, SMALL_MANY).cpu / of(ALONE, SMALL_MANY).cpu
    events = 1e6 / of(ALONE, STREAMS).event_cpu
    added = of(BOTH, SMALL_ONE).p50 - of(DIRECT, SMALL_ONE).p50
    beyond = (added - sync) / 1e3
    cost = of(BOTH, SMALL_MANY).cpu / of(BARE, SMALL_MANY).cpu
    return [
        (f"auditor alone, requests per CPU second over LiteLLM's: {times:.0f} (at least 100)", times >= 100),
        (f"auditor alone, events per CPU second: {events:.0f} (at least 20,000)", events >= 20_000),
        (f"gate + auditor, added p50 beyond one fdatasync: {beyond:.2f} ms (at most 1)", beyond <= 1),
        (f"gate + auditor, CPU over the bare Envoy hop's: {cost:.1f} (at most 3)", cost <= 3),
    ]
