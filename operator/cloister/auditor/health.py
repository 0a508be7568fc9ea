"""What the kubelet asks, and what Prometheus reads. Neither port tells anything about anybody."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from cloister import sidecar
from cloister.auditor.http.downstream import Downstream
from cloister.auditor.http.messages import Request
from cloister.auditor.http.upstream import Pool, UpstreamError
from cloister.auditor.recorder import Recorder
from cloister.auditor.refusal import Refusal
from cloister.auditor.stats import HELD_SECONDS, SECONDS, Stats
from cloister.exposition import CONTENT_TYPE, Unready, exposed, standing

if TYPE_CHECKING:  # it brings what stores and training never need
    from cloister.auditor.behaviour import Watch

HEALTH_SECONDS = 5
"""How long the server behind may take to say that it is well. The kubelet waits no longer, and asks again."""
_TEXT = "text/plain; charset=utf-8"

Page = tuple[int, str, bytes]
"""(status, content type, body)."""


class Pages:
    """What is answered to a GET, by path (a handler of `Downstream`)."""

    max_body_bytes = 1 << 10
    """Read, and thrown away."""

    def __init__(self, pages: Mapping[str, Callable[[], Awaitable[Page]]]) -> None:
        self._pages = pages

    async def serve(self, request: Request, reply: Downstream) -> None:
        """The page, 404 or 405."""
        page = self._pages.get(request.target.partition("?")[0])
        if page is None:
            status, kind, body = 404, _TEXT, b"not here\n"
        elif request.method != "GET":
            status, kind, body = 405, _TEXT, b"GET is all that is answered\n"
        else:
            status, kind, body = await page()
        reply.answer(status, [(b"content-type", kind.encode())], body)

    async def refuse(self, request: Request, refusal: Refusal, reply: Downstream) -> None:
        """The refusal's own status and words."""
        reply.answer(refusal.status, [(b"content-type", _TEXT.encode())], f"{refusal.message}\n".encode())


def health(unready: Unready, pool: Pool | None, upstream: sidecar.Upstream | None) -> Pages:
    """`/healthz`: the loop turns. `/readyz`: requests can be recorded. `/workload`: the server behind is up."""

    async def alive() -> Page:
        return _said(None)

    async def ready() -> Page:
        return _said(unready())

    async def workload() -> Page:
        return _said(await _asked(pool, upstream) if pool and upstream else None)

    return Pages({"/healthz": alive, "/readyz": ready, "/workload": workload})


def metrics(recorder: Recorder, stats: Stats, watch: "Watch | None") -> Pages:
    """`/metrics`, in Prometheus' text format."""
    figures = exposed(_Figures(recorder, stats, watch))

    async def page() -> Page:
        return 200, CONTENT_TYPE, figures()

    return Pages({"/metrics": page})


def _said(reason: str | None) -> Page:
    status, text = standing(reason)
    return status, _TEXT, text.encode()


async def _asked(pool: Pool, upstream: sidecar.Upstream) -> str | None:
    connection = None
    try:
        async with asyncio.timeout(HEALTH_SECONDS):
            connection = await pool.acquire()
            request = f"GET {upstream.health_path} HTTP/1.1\r\nhost: localhost\r\n\r\n"
            head = await connection.send(request.encode(), b"")
            await connection.finish()
    except UpstreamError as error:
        return str(error)
    except TimeoutError:
        return f"it has not answered within {HEALTH_SECONDS} seconds"
    finally:
        if connection is not None:
            connection.release()
    return None if head.status < 400 else f"it answers {head.status}"


class _Figures(Collector):
    """The counts, when they are asked for."""

    def __init__(self, recorder: Recorder, stats: Stats, watch: "Watch | None") -> None:
        self._recorder, self._stats, self._watch = recorder, stats, watch

    def collect(self) -> Iterator[Metric]:
        stats, recorder = self._stats, self._recorder
        requests = CounterMetricFamily(
            "cloister_auditor_requests", "Requests answered, by API and status.", labels=["api", "status"]
        )
        for (api, status), count in stats.requests.items():
            requests.add_metric([api, str(status)], count)
        yield requests
        refusals = CounterMetricFamily("cloister_auditor_refusals", "Requests refused, by code.", labels=["code"])
        for code, count in stats.refusals.items():
            refusals.add_metric([code], count)
        yield refusals
        verdicts = CounterMetricFamily(
            "cloister_auditor_verdicts",
            "Findings in requests and replies, by kind and action.",
            labels=["kind", "action"],
        )
        for (kind, action), count in stats.verdicts.items():
            verdicts.add_metric([kind, action], count)
        yield verdicts
        yield from self._alerts()
        for name, text, tokens in (
            ("input", "Tokens of prompts, as the model server counted them.", stats.tokens_in),
            ("output", "Tokens of replies, as the model server counted them.", stats.tokens_out),
        ):
            family = CounterMetricFamily(f"cloister_auditor_{name}_tokens", text, labels=["model"])
            for model, count in tokens.items():
                family.add_metric([model], count)
            yield family
        for name, text, value in (
            ("flagged_requests", "Requests outside their schema that were let through.", stats.flagged),
            ("request_bytes", "Bytes of request bodies that were forwarded.", stats.bytes_in),
            ("reply_bytes", "Bytes of reply bodies that were passed on.", stats.bytes_out),
            ("stream_parts", "Recorded parts of streamed replies.", stats.events),
            ("cancelled_requests", "Requests whose caller went away.", stats.cancelled),
            ("journal_records", "Records that are durable.", recorder.records),
            ("journal_commits", "Writes to the journal.", recorder.commits),
            ("segments_shipped", "Segments that the store has taken.", stats.segments_shipped),
            ("shipping_failures", "Rounds of shipping that failed.", stats.shipping_failures),
        ):
            yield CounterMetricFamily(f"cloister_auditor_{name}", text, value=value)
        yield GaugeMetricFamily(
            "cloister_auditor_held_bytes",
            "Of streamed replies, what waits at this moment for what follows it.",
            value=stats.held_bytes,
        )
        yield _waiting(stats)
        yield GaugeMetricFamily(
            "cloister_auditor_segments_unshipped", "Sealed segments that wait for the store.", value=stats.unshipped
        )
        yield GaugeMetricFamily(
            "cloister_auditor_recording", "1 while records can be written.", value=float(recorder.error is None)
        )

    def _alerts(self) -> Iterator[Metric]:
        stats = self._stats
        alerts = CounterMetricFamily(
            "cloister_auditor_alerts", "Alerts, by what raised them and severity.", labels=["source", "severity"]
        )
        for (source, severity), count in stats.alerts.items():
            alerts.add_metric([source, severity], count)
        yield alerts
        signals = CounterMetricFamily(
            "cloister_auditor_behaviour_signals", "Signals that were part of an alert.", labels=["signal"]
        )
        for signal, count in stats.signals.items():
            signals.add_metric([signal], count)
        yield signals
        drifted = CounterMetricFamily(
            "cloister_auditor_drift_changes", "Changes of what replies are like.", labels=["api", "feature"]
        )
        near = {(api, feature): value for api, feature, value in self._watch.replies.evidence()} if self._watch else {}
        for key in near.keys() | stats.drifted.keys():
            drifted.add_metric(list(key), stats.drifted[key])
        yield drifted
        yield _durations(stats)
        if self._watch:
            evidence = GaugeMetricFamily(
                "cloister_auditor_drift_evidence", "How near to a change; 1 is one.", labels=["api", "feature"]
            )
            for key, value in near.items():
                evidence.add_metric(list(key), value)
            yield evidence
            callers = GaugeMetricFamily(
                "cloister_auditor_callers_flagged", "Callers whose score stands at a level now.", labels=["level"]
            )
            for level, count in self._watch.levels().items():
                callers.add_metric([level], count)
            yield callers


def _waiting(stats: Stats) -> Metric:
    """How long events of streamed replies waited for the next."""
    counts, buckets = 0, []
    for bound, count in zip((*HELD_SECONDS, math.inf), stats.held_seconds, strict=True):
        counts += count
        buckets.append(("+Inf" if bound == math.inf else str(bound), counts))
    text = "Seconds that events of streamed replies waited for what follows them, of those that had to."
    return HistogramMetricFamily("cloister_auditor_held_seconds", text, buckets=buckets, sum_value=stats.held_total)


def _durations(stats: Stats) -> Metric:
    """How long answers took."""
    family = HistogramMetricFamily(
        "cloister_auditor_answer_seconds", "Seconds from a request's last byte to its answer's.", labels=["api"]
    )
    for api, classes in stats.seconds.items():
        counts, buckets = 0, []
        for bound, count in zip((*SECONDS, math.inf), classes, strict=True):
            counts += count
            buckets.append(("+Inf" if bound == math.inf else str(bound), counts))
        family.add_metric([api], buckets, sum_value=stats.seconds_total[api])
    return family
