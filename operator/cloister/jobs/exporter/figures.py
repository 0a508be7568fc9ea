"""What the kubelet asks, and what Prometheus reads. Neither port tells anything about anybody."""

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import get_args

from aiohttp import web
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from cloister import serving
from cloister.exposition import Unready
from cloister.journal.verify import Code


@dataclass(eq=False)
class Figures(Collector):
    """Counts of one process, by sink."""

    records: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(sink, type of record) -> told."""
    left_out: Counter[str] = field(default_factory=Counter)
    """Beyond the limit."""
    rejected: Counter[str] = field(default_factory=Counter)
    """That a sink would not have."""
    failures: Counter[str] = field(default_factory=Counter)
    """Attempts that failed."""
    findings: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(sink, code) -> what verification has found."""
    caught_up: dict[str, float] = field(default_factory=dict)
    """Sink -> when it had been told everything (monotonic clock)."""
    store_error: str | None = None

    def begin(self, sink: str) -> None:
        """From now on it falls behind. What alerts look at is 0 before there is any, or Prometheus would not see it
        begin."""
        self.caught_up[sink] = time.monotonic()
        self.rejected[sink] += 0
        self.findings.update({(sink, code): 0 for code in get_args(Code)})

    def collect(self) -> Iterator[Metric]:
        """For Prometheus."""
        records = CounterMetricFamily("cloister_exporter_records", "Records told.", labels=["sink", "type"])
        for (sink, kind), count in self.records.items():
            records.add_metric([sink, kind], count)
        yield records
        findings = CounterMetricFamily(
            "cloister_exporter_findings", "What an honest writer leaves in no journal.", labels=["sink", "code"]
        )
        for (sink, code), count in self.findings.items():
            findings.add_metric([sink, code], count)
        yield findings
        for name, text, counts in (
            ("left_out", "Records beyond the limit a minute.", self.left_out),
            ("rejected", "Records that a sink would not have.", self.rejected),
            ("failures", "Attempts to tell a sink that failed.", self.failures),
        ):
            family = CounterMetricFamily(f"cloister_exporter_{name}", text, labels=["sink"])
            for key, count in counts.items():
                family.add_metric([key], count)
            yield family
        behind = GaugeMetricFamily(
            "cloister_exporter_behind_seconds", "Since a sink had been told everything.", labels=["sink"]
        )
        for sink, since in self.caught_up.items():
            behind.add_metric([sink], time.monotonic() - since)
        yield behind
        yield GaugeMetricFamily(
            "cloister_exporter_reading", "1 while the store answers.", value=float(self.store_error is None)
        )


async def serve(health_port: int, metrics_port: int, figures: Figures, unready: Unready) -> list[web.AppRunner]:
    """`/healthz`: the loop turns. `/readyz`: the journal can be read. `/metrics`."""
    health = [web.get("/healthz", serving.alive), web.get("/readyz", serving.ready(unready))]
    return [
        await serving.listen(health_port, health),
        await serving.listen(metrics_port, [web.get("/metrics", serving.metrics(figures))]),
    ]
