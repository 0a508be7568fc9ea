"""From samples to figures: medians over rounds, ratios within a round, and the targets."""

import statistics
from collections.abc import Callable
from dataclasses import dataclass

from tests.bench.datapath.measuring import Sample
from tests.bench.datapath.workloads import PROMPT, Workload

DIRECT, BARE, ALONE, BOTH, PERSON, INSPECTING, LITELLM = (
    "direct",
    "bare Envoy hop",
    "auditor alone",
    "gate + auditor",
    "gate + auditor, a person",
    "gate + auditor, inspecting",
    "LiteLLM",
)
ONE, MANY, STREAMS = Workload("plain", 1024, 1), Workload("plain", 1024, 16), Workload("stream", 1024, 16)
"""The workloads that the targets are about."""
SYNCS = 2
"""Records that a plain request waits for: its own before the model sees it, the reply's before the caller does."""


@dataclass(frozen=True)
class Figures:
    """One path under one workload: medians over the rounds. Times in microseconds; 0 where there is none."""

    p50: float
    p99: float
    per_second: float
    cpu: float
    """CPU a request; the direct path has no processes of its own."""
    events: float
    """A second."""
    event_cpu: float
    """CPU an event."""
    first: float
    """From the request to its first event, median."""
    gap_p50: float
    """Between two events, of a paced stream."""
    gap_p99: float


@dataclass(frozen=True)
class Target:
    """What is to be reached, and what was."""

    text: str
    value: float
    bound: float
    at_least: bool = False

    @property
    def met(self) -> bool:
        """Whether it is reached."""
        return self.value >= self.bound if self.at_least else self.value <= self.bound


class Rounds:
    """The samples of a run, by path and workload, round by round."""

    def __init__(self) -> None:
        self.syncs: list[float] = []
        """Write and fdatasync on the journal's disk: one median for each round."""
        self._samples: dict[tuple[str, Workload], list[Sample]] = {}

    def add(self, path: str, workload: Workload, sample: Sample) -> None:
        """One sample more; the rounds of all paths go on in step."""
        self._samples.setdefault((path, workload), []).append(sample)

    def has(self, path: str, workload: Workload) -> bool:
        """Whether this was measured."""
        return (path, workload) in self._samples

    def figures(self, path: str, workload: Workload) -> Figures:
        """Medians over the rounds."""

        def median(of: Callable[[Sample], float]) -> float:
            return statistics.median(map(of, self._samples[path, workload]))

        return Figures(
            p50=median(lambda s: quantile(s.latencies, 0.5)),
            p99=median(lambda s: quantile(s.latencies, 0.99)),
            per_second=median(lambda s: s.requests / s.seconds),
            cpu=median(cpu_per_request),
            events=median(lambda s: s.events / s.seconds),
            event_cpu=median(cpu_per_event),
            first=median(lambda s: quantile(s.firsts, 0.5)),
            gap_p50=median(lambda s: quantile(s.gaps, 0.5)),
            gap_p99=median(lambda s: quantile(s.gaps, 0.99)),
        )

    def added(self, path: str, workload: Workload, share: float = 0.5) -> float:
        """Microseconds at this quantile beyond the direct path's, compared within each round."""
        return self.between(path, DIRECT, workload, lambda sample: quantile(sample.latencies, share))

    def beyond(self, path: str, workload: Workload, syncs: int) -> float:
        """Added p50 less what so many fdatasyncs of the same round take."""
        rounds = zip(self._samples[path, workload], self._samples[DIRECT, workload], self.syncs, strict=True)
        return statistics.median(
            quantile(a.latencies, 0.5) - quantile(b.latencies, 0.5) - syncs * sync for a, b, sync in rounds
        )

    def times(self, dear: str, cheap: str, workload: Workload) -> float:
        """How often the CPU that a request costs on one path is what it costs on another, within each round."""
        pairs = zip(self._samples[dear, workload], self._samples[cheap, workload], strict=True)
        return statistics.median(cpu_per_request(a) / cpu_per_request(b) for a, b in pairs)

    def between(self, dear: str, cheap: str, workload: Workload, of: Callable[[Sample], float]) -> float:
        """By how much a figure of one path is beyond that of another, compared within each round."""
        pairs = zip(self._samples[dear, workload], self._samples[cheap, workload], strict=True)
        return statistics.median(of(a) - of(b) for a, b in pairs)

    def targets(self) -> list[Target]:
        """Those that this run measured what they are about."""
        found = []
        if self.has(ALONE, MANY) and self.has(LITELLM, MANY):
            times = self.times(LITELLM, ALONE, MANY)
            found.append(Target("auditor alone: requests per CPU second, times LiteLLM's", times, 100, at_least=True))
        if self.has(ALONE, STREAMS):
            rate = 1e6 / self.figures(ALONE, STREAMS).event_cpu
            found.append(Target("auditor alone: SSE events per CPU second", rate, 20_000, at_least=True))
        if self.has(BOTH, ONE):
            beyond = self.beyond(BOTH, ONE, 1) / 1e3
            found.append(Target("gate + auditor: added p50 beyond the disk's fdatasync, ms", beyond, 1))
        if self.has(BOTH, MANY):
            times = self.times(BOTH, BARE, MANY)
            found.append(Target("gate + auditor: CPU of a request, times the bare Envoy hop's", times, 3))
        if self.has(INSPECTING, PROMPT):
            more = self.between(INSPECTING, BOTH, PROMPT, median_latency) / 1e3
            found.append(Target("inspection: added p50 of a 2 KB prompt, ms", more, 0.3))
        if self.has(INSPECTING, STREAMS):
            more = self.between(INSPECTING, BOTH, STREAMS, cpu_per_event)
            found.append(Target("inspection: CPU of an SSE event, microseconds", more, 15))
        return found


def quantile(values: list[float], share: float) -> float:
    """The smallest value that this share of them does not exceed (nearest rank); 0 for none."""
    ordered = sorted(values)
    return ordered[max(0, -int(-len(ordered) * share // 1) - 1)] if ordered else 0.0


def median_latency(sample: Sample) -> float:
    """Microseconds."""
    return quantile(sample.latencies, 0.5)


def cpu_per_request(sample: Sample) -> float:
    """Microseconds. A window in which slow requests ended holds CPU of others as well; those that it began are its."""
    return sample.cpu / sample.requests * 1e6 if sample.requests else 0.0


def cpu_per_event(sample: Sample) -> float:
    """Microseconds."""
    return sample.cpu / sample.events * 1e6 if sample.events else 0.0
