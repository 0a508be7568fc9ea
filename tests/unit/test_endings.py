"""Why weights did not come, from the pods of the inference zone, as WorkloadsReady says it (ZT-26)."""

import asyncio
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from cloister.controller import conditions, errors, status
from cloister.controller.endings import endings, look_for_endings
from cloister.controller.observed import Observed
from cloister.controller.outcome import IN_FORCE, Ending, Outcome
from cloister.controller.status import View
from cloister.facts import Facts, Settings
from cloister.names import key
from cloister.render import render
from tests.backends import backed
from tests.edits import REMOVED, deployment
from tests.pods import Pods

Object = dict[str, Any]

SAID = {"reason": "DigestMismatch", "message": "/checkpoints/m has SHA-256 1, but 2 is declared"}


def ended(code: int = 1, message: str = json.dumps(SAID), reason: str = "Error") -> Object:
    return {"terminated": {"exitCode": code, "message": message, "reason": reason}}


def pod(name: str = "inference-0", container: str = "fetch", **states: Object) -> Object:
    return {"metadata": {"name": name}, "status": {"initContainerStatuses": [{"name": container, **states}]}}


WAITING = {"waiting": {"reason": "CrashLoopBackOff"}}
FOUND = Ending("inference-0", SAID["reason"], SAID["message"])


@pytest.mark.parametrize(
    ("there", "found"),
    [
        ([], []),
        ([{"metadata": {"name": "inference-0"}}], []),
        ([pod(state={"running": {}})], []),
        ([pod(state=ended(0))], []),
        ([pod(state=ended(0), lastState=ended())], []),
        ([pod(state=ended(), container="gate")], []),
        ([pod(state=ended())], [FOUND]),
        ([pod(state=WAITING, lastState=ended())], [FOUND]),
        ([pod(state={"running": {}}, lastState=ended())], [FOUND]),
        (
            [pod("b", state=ended()), pod("a", state=ended())],
            [Ending("a", *SAID.values()), Ending("b", *SAID.values())],
        ),
        (
            [pod(state=ended(137, "", "OOMKilled"))],
            [Ending("inference-0", "FetchFailed", "fetch ended without a message (exit code 137, OOMKilled)")],
        ),
        (
            [pod(state=ended(message='{"reason": "two words", "message": "x"}'))],
            [Ending("inference-0", "FetchFailed", "fetch ended without a message (exit code 1, Error)")],
        ),
        (
            [pod(state=ended(message='{"reason": "SealBroken", "message": "a\\u001b[31m\\nb"}'))],
            [Ending("inference-0", "SealBroken", "a [31m b")],
        ),
    ],
)
def test_how_fetch_ended(there: list[Object], found: list[Ending]) -> None:
    assert list(endings(there)) == found


def store_pod(**states: Object) -> Object:
    return {"metadata": {"name": "checkpoints-0"}, "status": {"containerStatuses": [{"name": "store", **states}]}}


@pytest.mark.parametrize(
    ("there", "said"),
    [
        (store_pod(state={"running": {}}, lastState=ended()), None),
        (store_pod(state=ended(0)), None),
        (store_pod(state=WAITING, lastState=ended(message="a NOTICE\nthe backend can't be used: 403\n")), "403"),
        (store_pod(state=ended(137, "", "OOMKilled")), "it ended with code 137"),
    ],
)
def test_how_a_store_ended(there: Object, said: str | None) -> None:
    found = list(endings([there]))
    assert [(one.pod, one.reason, one.container) for one in found] == [
        ("checkpoints-0", "BackendUnusable", "store") for _ in range(said is not None)
    ]
    assert all(said and one.message.endswith(said) and "NOTICE" not in one.message for one in found)


def test_the_pods_of_a_store_are_read_where_it_has_a_backend() -> None:
    observed, metadata = Observed(), {"namespace": "support-bot-storage", "resourceVersion": "1"}
    for store in ("checkpoints", "training-data"):
        observed.put({"kind": "StatefulSet", "metadata": {"name": store, **metadata}, "spec": {"replicas": 1}})
    cluster, outcome = Pods(store_pod(state=ended(message="the backend can't be used: 403"))), Outcome()
    subject = deployment(backed("checkpoints") | {"spec.inference.model": REMOVED})
    asyncio.run(look_for_endings(subject, cluster, observed, outcome))  # type: ignore[arg-type]
    assert [one.reason for one in outcome.endings] == ["BackendUnusable"]
    ((_, selector, namespace),) = cluster.asked
    assert namespace == "support-bot-storage"
    assert "component=checkpoints" in selector


def looked(cluster: Pods, ready: int, changes: Object | None = None, before: float | None = None) -> Outcome:
    observed, outcome = Observed(), Outcome(recheck_after=before)
    metadata = {"name": "inference", "namespace": "support-bot-inference", "resourceVersion": "1"}
    observed.put(
        {"kind": "StatefulSet", "metadata": metadata, "spec": {"replicas": 2}, "status": {"readyReplicas": ready}}
    )
    asyncio.run(look_for_endings(deployment(changes), cluster, observed, outcome))  # type: ignore[arg-type]
    return outcome


def test_only_the_pods_of_a_server_that_is_not_ready_are_read() -> None:
    cluster = Pods(pod(state=ended()))
    outcome = looked(cluster, ready=1)
    assert outcome.endings == [FOUND]
    assert outcome.recheck_after is not None
    assert FOUND.reason in outcome.hindrances()
    ((plural, selector, namespace),) = cluster.asked
    assert (plural, namespace) == ("pods", "support-bot-inference")
    assert selector == (
        "app.kubernetes.io/component=inference,cloister.dev/deployment=support-bot,cloister.dev/role=workload"
    )
    for ready, changes in ((2, {}), (0, {"spec.inference.model": REMOVED})):
        cluster.asked.clear()
        assert looked(cluster, ready, changes) == Outcome()
        assert cluster.asked == []


def test_what_is_due_earlier_stays_so() -> None:
    assert looked(Pods(), ready=0, before=0.0).recheck_after == 0.0
    assert looked(Pods(), ready=0, before=9.9e9).recheck_after == looked(Pods(), ready=0).recheck_after


def test_pods_that_cannot_be_read_spoil_nothing() -> None:
    outcome = looked(Pods(error=errors.ForbiddenError("no")), ready=0)
    assert outcome.endings == []
    assert outcome.recheck_after is not None


def test_the_status_gives_the_reason() -> None:
    declared = deployment()
    raw = {"metadata": {"name": "support-bot", "generation": 1, "uid": "u"}}
    rendered = render(declared.model_copy(update={"uid": "u"}), Facts(), Settings())
    results = dict.fromkeys(map(key, rendered), IN_FORCE)
    for found, said in (([FOUND], ""), ([FOUND, FOUND], " (and 1 more pods)")):
        outcome = Outcome(results=results, endings=found)
        view = View(raw, declared, rendered, outcome, lambda _: None, datetime(2026, 6, 1, tzinfo=UTC))
        condition = conditions.find({"status": status.build(view)}, "WorkloadsReady")
        assert condition
        assert (condition["status"], condition["reason"]) == ("False", "DigestMismatch")
        assert condition["message"] == f"inference-0: fetch: {SAID['message']}{said}"
