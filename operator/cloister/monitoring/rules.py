"""Alert rules (Prometheus documentation, "Alerting rules"). Counts name nobody: who it was is in the sealed journal."""

from dataclasses import dataclass
from typing import Any

_INGRESS = '{envoy_http_conn_manager_prefix="ingress"'
HANDSHAKES = ("fail_verify_no_cert", "fail_verify_error", "fail_verify_san", "connection_error")
"""Envoy's counts of handshakes that a gate has refused."""
REFUSED_HANDSHAKES = " + ".join(f"sum by (namespace, pod) (rate(envoy_listener_ssl_{name}[5m]))" for name in HANDSHAKES)
REFUSED_REQUESTS = (
    f'sum by (namespace, pod) (rate(envoy_http_downstream_rq_xx{_INGRESS}, envoy_response_code_class="4"}}[5m]))'
)
LATENCY = "histogram_quantile({}, sum by (namespace, api, le) (rate(cloister_auditor_answer_seconds_bucket[10m])))"


@dataclass(frozen=True)
class Alert:
    """One rule."""

    name: str
    expression: str
    severity: str
    summary: str
    """May use Prometheus' own templates."""
    minutes: int = 0
    """How long it must hold."""


ALERTS = (
    Alert(
        "CloisterCallerEnded",
        'increase(cloister_auditor_alerts_total{source="behaviour", severity="critical"}[10m]) > 0',
        "critical",
        "A session was ended in {{ $labels.namespace }} because of unusual behaviour",
    ),
    Alert(
        "CloisterUnusualBehaviour",
        'increase(cloister_auditor_alerts_total{source="behaviour", severity="warning"}[10m]) > 0',
        "warning",
        "Somebody behaves unlike themselves in {{ $labels.namespace }}",
    ),
    Alert(
        "CloisterRepliesDrift",
        "increase(cloister_auditor_drift_changes_total[30m]) > 0",
        "warning",
        "Replies of {{ $labels.api }} in {{ $labels.namespace }} have changed: {{ $labels.feature }}",
    ),
    Alert(
        "CloisterAttempts",
        'sum by (namespace, kind) (rate(cloister_auditor_verdicts_total{kind!="sensitive-output"}[15m])) * 900 > 10',
        "warning",
        "More than ten findings of {{ $labels.kind }} within 15 minutes in {{ $labels.namespace }}",
    ),
    Alert(
        "CloisterConnectionsRefused",
        f"{REFUSED_HANDSHAKES} > 0.1",
        "warning",
        "The gate of {{ $labels.pod }} in {{ $labels.namespace }} refuses connections: no right identity",
        5,
    ),
    Alert(
        "CloisterRequestsRefused",
        f"{REFUSED_REQUESTS} > 1",
        "warning",
        "The gate of {{ $labels.pod }} in {{ $labels.namespace }} refuses more than one request a second",
        10,
    ),
    Alert(
        "CloisterNotRecording",
        "cloister_auditor_recording == 0",
        "critical",
        "Nothing can be recorded in {{ $labels.pod }} of {{ $labels.namespace }}, so nothing is answered",
        1,
    ),
    Alert(
        "CloisterRecordsNotShipped",
        "cloister_auditor_segments_unshipped > 20",
        "warning",
        "Records of {{ $labels.pod }} in {{ $labels.namespace }} wait for the interaction-logs store",
        15,
    ),
    Alert(
        "CloisterExportBehind",
        "cloister_exporter_behind_seconds > 900",
        "warning",
        "Alerts of {{ $labels.namespace }} have not reached {{ $labels.sink }} for a quarter of an hour",
        5,
    ),
    Alert(
        "CloisterExportRejected",
        "increase(cloister_exporter_rejected_total[15m]) > 0",
        "warning",
        "{{ $labels.sink }} of {{ $labels.namespace }} would not have some records, and never will",
    ),
    Alert(
        "CloisterJournalDoubtful",
        "increase(cloister_exporter_findings_total[15m]) > 0",
        "critical",
        "A journal of {{ $labels.namespace }} is not what its writer wrote ({{ $labels.code }})",
    ),
    Alert(
        "CloisterSlow",
        f"{LATENCY.format(0.95)} > 60",
        "warning",
        "One answer in twenty of {{ $labels.api }} in {{ $labels.namespace }} takes longer than a minute",
        15,
    ),
    Alert(
        "CloisterNotIsolated",
        'cloister_condition{type=~"ZonesIsolated|IsolationProven", status="False"} == 1',
        "critical",
        "{{ $labels.type }} of {{ $labels.deployment }} is False: something may pass that is not declared",
        2,
    ),
    Alert(
        "CloisterUnguarded",
        "max by (namespace) (cloister_guards_missing) > 0",
        "critical",
        "Admission policies are not in force: whoever RBAC lets write in a zone can be any workload of it",
        10,
    ),
    Alert(
        "CloisterNotReady",
        'cloister_condition{type="Ready", status="True"} == 0',
        "warning",
        "{{ $labels.deployment }} has not been Ready for a quarter of an hour",
        15,
    ),
    Alert(
        "CloisterNoLeader",
        "sum by (namespace) (cloister_is_leader) != 1 or absent(cloister_is_leader)",
        "critical",
        "No operator leads, or more than one: what is in force stays, and nobody repairs or reports",
        5,
    ),
    Alert(
        "CloisterKeysStale",
        "increase(cloister_jwks_fetch_failures_total[30m]) > 0"
        " unless time() - cloister_jwks_fetched_timestamp_seconds < 1800",
        "warning",
        "Keys of {{ $labels.issuer }} could not be fetched for half an hour: a key that it withdrew is still believed",
    ),
    Alert(
        "CloisterDefect",
        'increase(cloister_reconcile_errors_total{reason="defect"}[15m]) > 0',
        "warning",
        "A pass of the operator ended in a defect of its own",
    ),
    Alert(
        "CloisterDriftRepaired",
        "increase(cloister_drift_repaired_total[15m]) > 5",
        "warning",
        "Somebody keeps changing {{ $labels.kind }} in zones; the operator puts it back",
    ),
)


def rules() -> dict[str, Any]:
    """The `spec` of a PrometheusRule."""
    return {"groups": [{"name": "cloister", "rules": [_rule(alert) for alert in ALERTS]}]}


def _rule(alert: Alert) -> dict[str, Any]:
    return {
        "alert": alert.name,
        "expr": alert.expression,
        **({"for": f"{alert.minutes}m"} if alert.minutes else {}),
        "labels": {"severity": alert.severity},
        "annotations": {
            "summary": alert.summary,
            "runbook_url": "https://github.com/cloister-dev/cloister/blob/main/docs/operations.md#alerts-and-dashboard",
        },
    }
