"""Alert rules and dashboard: every expression is PromQL, and labels tell of nobody (ZT-16, ZT-29, ZT-31)."""

import re
from collections.abc import Iterator
from typing import Any

import promql_parser
import pytest
from prometheus_client import REGISTRY, CollectorRegistry, Counter, generate_latest

from cloister.controller import metrics
from cloister.monitoring import dashboard, rules
from cloister.monitoring.rules import ALERTS
from tests.monitored import OPERATOR, assert_there_before, assert_told, used

SHOWN = {"$__rate_interval": "5m", "$namespace": "x"}
"""What Grafana puts in."""
BOUNDED = {"namespace", "pod", "api", "status", "model", "code", "kind", "action", "source", "severity", "level"}
BOUNDED |= {"signal", "feature", "le", "reason", "sink", "deployment", "type", "issuer"}


def expressions() -> Iterator[tuple[str, str]]:
    """Where, and what."""
    for alert in ALERTS:
        yield alert.name, alert.expression
    for panel in dashboard()["panels"]:
        for target in panel["targets"]:
            text = target["expr"]
            for variable, value in SHOWN.items():
                text = text.replace(variable, value)
            yield f"{panel['title']} {target['refId']}", text


@pytest.mark.parametrize(("where", "expression"), list(expressions()))
def test_every_expression_is_promql(where: str, expression: str) -> None:
    promql_parser.parse(expression)
    for labels in re.findall(r"by \(([^)]*)\)", expression):
        assert set(re.split(r",\s*", labels)) <= BOUNDED, where


def test_rules_are_named_once_and_say_what_to_do() -> None:
    (group,) = rules()["groups"]
    names = [rule["alert"] for rule in group["rules"]]
    assert len(set(names)) == len(names)
    for rule in group["rules"]:
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert rule["annotations"]["summary"]
        for label in re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]):
            assert label in BOUNDED


@pytest.mark.parametrize(
    ("counter", "prefix"),
    [(metrics.DRIFT_REPAIRED, "cloister_drift_"), (metrics.RECONCILE_ERRORS, "cloister_reconcile_")],
)
def test_the_first_is_seen(counter: Counter, prefix: str) -> None:
    registry = CollectorRegistry()
    registry.register(counter)
    assert_there_before(prefix, generate_latest(registry).decode())


def test_the_operator_tells_what_is_asked_of_it() -> None:
    assert used("cloister_") >= OPERATOR
    assert_told(OPERATOR, generate_latest(REGISTRY).decode())


def test_conditions_are_told_until_the_deployment_is_gone() -> None:
    def told_of(deployment: str) -> dict[tuple[str, str], float]:
        return {
            (sample.labels["type"], sample.labels["status"]): sample.value
            for family in metrics.CONDITION.collect()
            for sample in family.samples
            if sample.labels["deployment"] == deployment
        }

    for status in ("True", "False"):
        for name in ("told", "other"):
            metrics.report(name, [{"type": "Ready", "status": status, "reason": "x"}])
        wanted = dict.fromkeys((("Ready", each) for each in ("True", "False", "Unknown")), 0.0)
        assert told_of("told") == wanted | {("Ready", status): 1.0}
    metrics.forget("told")
    metrics.forget("never told")
    assert told_of("told") == {}
    assert told_of("other")
    metrics.forget("other")


def test_panels_lie_side_by_side() -> None:
    panels: list[dict[str, Any]] = dashboard()["panels"]
    places = {(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels}
    assert len(places) == len({panel["id"] for panel in panels}) == len(panels)
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in panels)
