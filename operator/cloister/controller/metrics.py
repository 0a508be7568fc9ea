"""What the operator counts, for Prometheus."""

from collections.abc import Iterable
from typing import Any

from prometheus_client import Counter, Gauge, Histogram

from cloister.controller.kinds import OWNED

RECONCILE_SECONDS = Histogram(
    "cloister_reconcile_duration_seconds",
    "Time of one pass over one LLMDeployment",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
RECONCILE_ERRORS = Counter("cloister_reconcile_errors", "Passes that ended in an error", ["reason"])
for _reason in (
    "refused",
    "unavailable",
    "defect",
):  # 0 before the first, or Prometheus would not see it as an increase
    RECONCILE_ERRORS.labels(_reason)
QUEUE_DEPTH = Gauge("cloister_queue_depth", "LLMDeployments that wait for a worker")
DRIFT_REPAIRED = Counter("cloister_drift_repaired", "Objects restored after others changed or deleted them", ["kind"])
for _resource in OWNED:  # 0 before the first, as above
    DRIFT_REPAIRED.labels(_resource.kind)
API_WRITES = Counter("cloister_api_writes", "Writes sent to the API server", ["verb", "kind"])
IS_LEADER = Gauge("cloister_is_leader", "1 while this process is the one that writes")
DEPLOYMENTS = Gauge("cloister_deployments", "LLMDeployments that are known")
CONDITION = Gauge(
    "cloister_condition", "1 for the status that a condition of an LLMDeployment has", ["deployment", "type", "status"]
)
_STATUSES = ("True", "False", "Unknown")
GUARDS_MISSING = Gauge("cloister_guards_missing", "Admission policies and bindings of the chart that are not in force")
LAST_EVENT = Gauge("cloister_last_watch_event_timestamp_seconds", "When the last watch event arrived")
JWKS_FETCHED = Gauge(
    "cloister_jwks_fetched_timestamp_seconds", "When an identity provider's keys were fetched last", ["issuer"]
)
JWKS_FAILURES = Counter("cloister_jwks_fetch_failures", "Attempts to fetch keys that failed", ["issuer"])


def report(deployment: str, conditions: Iterable[dict[str, Any]]) -> None:
    """Tell of a deployment's conditions (``type`` and ``status`` of each)."""
    for condition in conditions:
        for status in _STATUSES:
            CONDITION.labels(deployment, condition["type"], status).set(condition["status"] == status)


def forget(deployment: str) -> None:
    """Tell no more of a deployment that is gone."""
    CONDITION.remove_by_labels({"deployment": deployment})
