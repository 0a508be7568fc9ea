"""A Grafana dashboard (its JSON model): usage, latency, refusals, risk, drift, and what gates refuse."""

from dataclasses import dataclass
from typing import Any

from cloister.monitoring.rules import HANDSHAKES, LATENCY

_SOURCE = {"type": "prometheus", "uid": "${source}"}
_COLUMNS, _WIDTH, _HEIGHT = 3, 8, 8
_HERE = 'namespace=~"$namespace"'


@dataclass(frozen=True)
class Panel:
    """One graph: its expressions by legend."""

    title: str
    unit: str
    series: tuple[tuple[str, str], ...]


def _rate(metric: str, by: str, where: str = "") -> str:
    return f"sum by ({by}) (rate({metric}{{{_HERE}{where}}}[$__rate_interval]))"


def _here(expression: str) -> str:
    """A rule's expression, narrowed to the namespaces that are looked at."""
    return expression.replace("_bucket[", f"_bucket{{{_HERE}}}[")


PANELS = (
    Panel("Requests", "reqps", (("{{api}} {{status}}", _rate("cloister_auditor_requests_total", "api, status")),)),
    Panel(
        "Time to answer",
        "s",
        tuple((f"{{{{api}}}} p{share * 100:.0f}", _here(LATENCY.format(share))) for share in (0.5, 0.95)),
    ),
    Panel(
        "Tokens",
        "short",
        tuple(
            (f"{{{{model}}}} {way}", _rate(f"cloister_auditor_{way}_tokens_total", "model"))
            for way in ("input", "output")
        ),
    ),
    Panel("Refusals by code", "reqps", (("{{code}}", _rate("cloister_auditor_refusals_total", "code")),)),
    Panel("Findings", "reqps", (("{{kind}} {{action}}", _rate("cloister_auditor_verdicts_total", "kind, action")),)),
    Panel(
        "Alerts",
        "short",
        (
            (
                "{{source}} {{severity}}",
                f"sum by (source, severity) (increase(cloister_auditor_alerts_total{{{_HERE}}}[1h]))",
            ),
        ),
    ),
    Panel(
        "Callers by level",
        "short",
        (("{{level}}", f"sum by (level) (cloister_auditor_callers_flagged{{{_HERE}}})"),),
    ),
    Panel(
        "Signals of behaviour",
        "short",
        (("{{signal}}", f"sum by (signal) (increase(cloister_auditor_behaviour_signals_total{{{_HERE}}}[1h]))"),),
    ),
    Panel(
        "Drift: how near to a change",
        "percentunit",
        (("{{api}} {{feature}}", f"max by (api, feature) (cloister_auditor_drift_evidence{{{_HERE}}})"),),
    ),
    Panel(
        "Refused by gates",
        "reqps",
        (
            (
                "{{namespace}} requests",
                _rate(
                    "envoy_http_downstream_rq_xx",
                    "namespace",
                    ', envoy_http_conn_manager_prefix="ingress", envoy_response_code_class="4"',
                ),
            ),
        ),
    ),
    Panel(
        "Refused handshakes",
        "cps",
        tuple((f"{{{{namespace}}}} {name}", _rate(f"envoy_listener_ssl_{name}", "namespace")) for name in HANDSHAKES),
    ),
    Panel(
        "Records that wait",
        "short",
        (("{{pod}}", f"sum by (pod) (cloister_auditor_segments_unshipped{{{_HERE}}})"),),
    ),
)


def dashboard() -> dict[str, Any]:
    """The whole of it."""
    return {
        "uid": "cloister",
        "title": "Cloister",
        "tags": ["cloister"],
        "schemaVersion": 39,
        "refresh": "1m",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {
            "list": [
                {"name": "source", "label": "Data source", "type": "datasource", "query": "prometheus"},
                {
                    "name": "namespace",
                    "label": "Zone",
                    "type": "query",
                    "datasource": _SOURCE,
                    "query": "label_values(cloister_auditor_recording, namespace)",
                    "includeAll": True,
                    "multi": True,
                    "allValue": ".*",
                    "refresh": 2,
                },
            ]
        },
        "panels": [_panel(number, panel) for number, panel in enumerate(PANELS)],
    }


def _panel(number: int, panel: Panel) -> dict[str, Any]:
    row, column = divmod(number, _COLUMNS)
    return {
        "id": number + 1,
        "title": panel.title,
        "type": "timeseries",
        "datasource": _SOURCE,
        "gridPos": {"x": column * _WIDTH, "y": row * _HEIGHT, "w": _WIDTH, "h": _HEIGHT},
        "fieldConfig": {"defaults": {"unit": panel.unit}, "overrides": []},
        "targets": [
            {"refId": chr(ord("A") + index), "expr": expression, "legendFormat": legend}
            for index, (legend, expression) in enumerate(panel.series)
        ],
    }
