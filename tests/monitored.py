"""What alert rules and dashboards ask for, and what a program tells Prometheus."""

import re

from prometheus_client.parser import text_string_to_metric_families

from cloister.monitoring import dashboard
from cloister.monitoring.rules import ALERTS

OPERATOR = {
    "cloister_condition",
    "cloister_drift_repaired_total",
    "cloister_guards_missing",
    "cloister_is_leader",
    "cloister_jwks_fetch_failures_total",
    "cloister_jwks_fetched_timestamp_seconds",
    "cloister_reconcile_errors_total",
}
"""What the operator tells of these; auditors and exporters tell the others."""


def used(prefix: str) -> set[str]:
    """Names of metrics with this prefix that are asked for."""
    texts = [alert.expression for alert in ALERTS]
    texts += [target["expr"] for panel in dashboard()["panels"] for target in panel["targets"]]
    return {name for text in texts for name in re.findall(rf"\b{prefix}\w+", re.sub(r"{[^}]*}", "", text))}


def told(text: str) -> set[str]:
    """Names of samples and of families, also of those without a sample yet."""
    return {re.split(r"[{ ]", line.removeprefix("# TYPE "))[0] for line in text.splitlines() if line}


def assert_told(names: set[str], text: str) -> None:
    """A counter without a sample shows its family alone."""
    assert names
    families = told(text)
    assert {name for name in names if not families & {name, name.removesuffix("_bucket")}} == set()


def assert_there_before(prefix: str, text: str) -> None:
    """Each counter with this prefix whose increase raises an alert has a sample, though nothing has happened:
    Prometheus sees no increase in what begins with its first event."""
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    watched = [
        found
        for alert in ALERTS
        for found in re.findall(rf"(?:rate|increase)\(({prefix}\w+)({{.*?}})?\[", alert.expression)
    ]
    assert watched
    for name, selector in watched:
        matchers = re.findall(r'(\w+)(!?=)"(.*?)"', selector)
        assert any(
            sample.name == name and all((sample.labels[key] == value) == (how == "=") for key, how, value in matchers)
            for sample in samples
        ), f"{name}{selector} is not there before its first event"
