"""Training runs that do not start, as WorkloadsReady says it."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from cloister.controller import errors
from cloister.controller.observed import Observed
from cloister.controller.outcome import Ending, Outcome
from cloister.controller.waiting import look_for_waiting, waiting
from cloister.facts import Facts, Settings
from cloister.render import render
from tests.edits import REMOVED, deployment
from tests.pods import Pods

Object = dict[str, Any]

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
LONG_AGO, JUST_NOW = "2026-06-01T11:53:00Z", "2026-06-01T11:58:00Z"
NO_ROOM = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes are available"}


def pod(*containers: tuple[str, Object], made: str = LONG_AGO, phase: str = "Pending", **status: Any) -> Object:
    statuses = [{"name": name, "state": state} for name, state in containers]
    metadata = {"name": "training-1", "creationTimestamp": made}
    return {"metadata": metadata, "status": {"phase": phase, "initContainerStatuses": statuses} | status}


def waits(reason: str, message: str = "") -> Object:
    return {"waiting": {"reason": reason, "message": message}}


NO_IMAGE = ("gate", waits("ImagePullBackOff", "Back-off pulling image"))
NEXT = ("auditor", waits("PodInitializing"))


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (pod(NO_IMAGE, NEXT), ("ImagePullBackOff", "gate", "ImagePullBackOff: Back-off pulling image")),
        (pod(NEXT, NO_IMAGE), ("ImagePullBackOff", "gate", "ImagePullBackOff: Back-off pulling image")),
        (pod(conditions=[NO_ROOM]), ("Unschedulable", "pod", "Unschedulable: 0/3 nodes are available")),
        (pod(NEXT), ("PodWaiting", "pod", "no reason is known")),
        (pod(("gate", waits("not a reason"))), ("PodWaiting", "gate", "not a reason")),
        (pod(NO_IMAGE, made=JUST_NOW), None),
        (pod(NO_IMAGE, phase="Running"), None),
    ],
)
def test_what_does_not_start_is_told_after_a_while(found: Object, told: tuple[str, str, str] | None) -> None:
    said = list(waiting([found], NOW))
    if told is None:
        assert said == []
    else:
        reason, container, message = told
        assert said == [Ending("training-1", reason, f"has been waiting for 7 minutes: {message}", container)]


def looked(cluster: Pods, kind: str, status: Object) -> Outcome:
    subject = deployment({} if kind == "CronJob" else {"spec.training.schedule": REMOVED})
    rendered = render(subject, Facts(), Settings())
    observed, outcome = Observed(), Outcome()
    (run,) = [obj for obj in rendered if obj["kind"] == kind]
    observed.put(run | {"metadata": run["metadata"] | {"resourceVersion": "1"}, "status": status})
    asyncio.run(look_for_waiting(subject, rendered, cluster, observed, outcome))  # type: ignore[arg-type]
    return outcome


@pytest.mark.parametrize(
    ("kind", "status"), [("Job", {"active": 1, "ready": 0}), ("CronJob", {"active": [{"name": "training-1"}]})]
)
def test_pods_are_read_of_a_run_that_may_wait(kind: str, status: Object) -> None:
    cluster = Pods(pod(NO_IMAGE))
    outcome = looked(cluster, kind, status)
    assert [one.reason for one in outcome.endings] == ["ImagePullBackOff"]
    assert outcome.recheck_after is not None
    ((plural, selector, namespace),) = cluster.asked
    assert (plural, namespace) == ("pods", "support-bot-training")
    assert "app.kubernetes.io/component=training" in selector
    assert looked(Pods(error=errors.ForbiddenError("no")), kind, status).endings == []


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("Job", {}),
        ("Job", {"active": 1, "ready": 1}),
        ("Job", {"active": 1, "conditions": [{"type": "Failed", "status": "True"}]}),
        ("CronJob", {}),
        ("CronJob", {"lastScheduleTime": LONG_AGO}),
    ],
)
def test_of_others_they_are_not(kind: str, status: Object) -> None:
    cluster = Pods(pod(NO_IMAGE))
    assert looked(cluster, kind, status) == Outcome()
    assert cluster.asked == []
