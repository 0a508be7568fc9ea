"""Alert rules as Prometheus itself evaluates them (`promtool test rules`): what raises each, and what does not (ZT-16,
ZT-29, ZT-31)."""

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from cloister.monitoring import rules
from cloister.monitoring.rules import ALERTS, HANDSHAKES
from tests.cluster import binaries

AUDITOR = 'namespace="bot-inference", pod="inference-0"'
ANSWERS = f'{AUDITOR}, envoy_http_conn_manager_prefix="ingress", envoy_response_code_class="4"'
REFUSED = f"envoy_http_downstream_rq_xx{{{ANSWERS}}}"
REPAIRED = 'cloister_drift_repaired_total{kind="NetworkPolicy"}'
ONCE = "0x10 1x50"
"""Values by the minute: it happens in the eleventh."""


@dataclass(frozen=True)
class Case:
    """Series with their values by the minute, in Prometheus' own notation; when they raise an alert, and when not."""

    alert: str
    series: Mapping[str, str]
    raised: int
    calm: tuple[int, ...]


def alerts(severity: str) -> str:
    return f'cloister_auditor_alerts_total{{{AUDITOR}, source="behaviour", severity="{severity}"}}'


def verdicts(kind: str, action: str) -> str:
    return f'cloister_auditor_verdicts_total{{{AUDITOR}, kind="{kind}", action="{action}"}}'


def handshakes(refused: str) -> dict[str, str]:
    """Of the many reasons for which a gate refuses a connection, one."""
    counts = dict.fromkeys(HANDSHAKES, "0x60") | {"fail_verify_no_cert": refused}
    return {f"envoy_listener_ssl_{name}{{{AUDITOR}}}": values for name, values in counts.items()}


def answers(within: str) -> dict[str, str]:
    """Ten answers a minute, of which so many take no longer than a minute."""
    counts = {"60": within, "180": "0+10x60", "+Inf": "0+10x60"}
    return {
        f'cloister_auditor_answer_seconds_bucket{{{AUDITOR}, api="chat", le="{bound}"}}': values
        for bound, values in counts.items()
    }


def condition(kind: str, true: str = "1x10 0x50") -> dict[str, str]:
    """A condition that is True while this is 1, and False otherwise; by default for ten minutes."""
    false = " ".join(f"{1 - int(value)}x{times}" for value, times in (run.split("x") for run in true.split()))
    statuses = {"True": true, "False": false, "Unknown": "0x60"}
    return {
        f'cloister_condition{{deployment="bot", type="{kind}", status="{status}"}}': values
        for status, values in statuses.items()
    }


DRIFTED = f'cloister_auditor_drift_changes_total{{{AUDITOR}, api="chat", feature="length"}}'
BEHIND = f'cloister_exporter_behind_seconds{{{AUDITOR}, sink="otlp"}}'
REJECTED = f'cloister_exporter_rejected_total{{{AUDITOR}, sink="otlp"}}'
FOUND = f'cloister_exporter_findings_total{{{AUDITOR}, sink="otlp", code="missing"}}'
LEADS = 'cloister_is_leader{namespace="home", pod="a"}'
FETCHED = 'cloister_jwks_fetched_timestamp_seconds{issuer="https://login.example.com"}'
KEYS = {'cloister_jwks_fetch_failures_total{issuer="https://login.example.com"}': "0x10 0+1x50"}
CASES = [
    Case("CloisterCallerEnded", {alerts("critical"): ONCE}, 12, (9, 25)),
    Case("CloisterUnusualBehaviour", {alerts("warning"): ONCE}, 12, (9, 25)),
    Case("CloisterRepliesDrift", {DRIFTED: ONCE}, 12, (9, 45)),
    Case("CloisterAttempts", {verdicts("prompt-injection", "Block"): "0x10 15x50"}, 12, (9, 40)),
    Case("CloisterConnectionsRefused", handshakes("0x10 0+20x50"), 30, (9, 14)),
    Case("CloisterRequestsRefused", {REFUSED: "0x10 0+120x50"}, 40, (9, 18)),
    Case("CloisterNotRecording", {f"cloister_auditor_recording{{{AUDITOR}}}": "1x10 0x5 1x40"}, 13, (9, 11, 20)),
    Case("CloisterRecordsNotShipped", {f"cloister_auditor_segments_unshipped{{{AUDITOR}}}": "0x10 25x50"}, 30, (20,)),
    Case("CloisterExportBehind", {BEHIND: "5x10 0+60x50"}, 35, (9, 24, 30)),
    Case("CloisterExportRejected", {REJECTED: ONCE}, 12, (9, 30)),
    Case("CloisterJournalDoubtful", {FOUND: ONCE}, 12, (9, 30)),
    Case("CloisterSlow", answers("0+10x20 209+9x40"), 50, (9, 20, 35)),
    Case("CloisterNotIsolated", condition("IsolationProven"), 20, (9, 11)),
    Case("CloisterUnguarded", {'cloister_guards_missing{namespace="home", pod="a"}': "0x10 1x50"}, 25, (9, 15)),
    Case("CloisterNotReady", condition("Ready"), 30, (9, 20)),
    Case("CloisterNoLeader", {LEADS: "1x10 0x20 1x30"}, 20, (9, 13, 35)),
    Case("CloisterKeysStale", KEYS | {FETCHED: "0+60x10 600x50"}, 45, (9, 35)),
    Case("CloisterDefect", {'cloister_reconcile_errors_total{reason="defect"}': ONCE}, 12, (9, 30)),
    Case("CloisterDriftRepaired", {REPAIRED: "0x10 9x50"}, 12, (9, 30)),
]
ORDINARY = {
    "a deployment that is being made": condition("ZonesIsolated", "0x1 1x58") | condition("Ready", "0x12 1x47"),
    "an issuer that is away for a moment": KEYS | {FETCHED: "0+60x60"},
    "another that takes over": {LEADS: "1x10 0x2 1x47"},
    "a few findings": {verdicts("extraction", "Flag"): ONCE},
    "masked values": {verdicts("sensitive-output", "Mask"): "0+100x60"},
    "a stranger now and then": handshakes("0+3x60"),
    "some refusals": {REFUSED: "0+30x60"},
    "one repair": {REPAIRED: ONCE},
    "answers in time": answers("0+10x60"),
}


def judged(
    folder: Path, series: Mapping[str, str], raised: Mapping[int, str | None]
) -> subprocess.CompletedProcess[str]:
    """promtool's judgement on which alert fires at which minute, and that no other does."""
    (folder / "rules.yaml").write_text(yaml.safe_dump(rules()))
    expected: list[dict[str, Any]] = [
        {
            "expr": 'count by (alertname) (ALERTS{alertstate="firing"})',
            "eval_time": f"{minute}m",
            "exp_samples": [{"labels": f'{{alertname="{name}"}}', "value": 1}] if name else [],
        }
        for minute, name in raised.items()
    ]
    inputs = [{"series": name, "values": values} for name, values in ({LEADS: "1x60"} | dict(series)).items()]
    test = {"interval": "1m", "input_series": inputs, "promql_expr_test": expected}
    document = {"rule_files": ["rules.yaml"], "evaluation_interval": "1m", "tests": [test]}
    (folder / "test.yaml").write_text(yaml.safe_dump(document))
    return promtool("test", "rules", folder / "test.yaml")


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([binaries.path("promtool"), *arguments], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.alert)
def test_it_is_raised_and_nothing_else_is(tmp_path: Path, case: Case) -> None:
    done = judged(tmp_path, case.series, dict.fromkeys(case.calm) | {case.raised: case.alert})
    assert done.returncode == 0, done.stdout + done.stderr
    denied = judged(tmp_path, case.series, {case.raised: None})
    assert denied.returncode == 1, "promtool takes whatever it is told"
    assert f'got: {{alertname="{case.alert}"}}' in denied.stdout + denied.stderr


@pytest.mark.parametrize("series", ORDINARY.values(), ids=ORDINARY)
def test_what_is_ordinary_raises_nothing(tmp_path: Path, series: Mapping[str, str]) -> None:
    done = judged(tmp_path, series, dict.fromkeys(range(5, 60, 5)))
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_rule_has_a_case() -> None:
    assert [case.alert for case in CASES] == [alert.name for alert in ALERTS]


def test_prometheus_takes_the_rules(tmp_path: Path) -> None:
    """Templates of summaries too."""
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(rules()))
    done = promtool("check", "rules", "--lint-fatal", tmp_path / "rules.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(ALERTS)} rules found" in done.stdout
