"""Why the pod of a training run does not start: read from pods of a run of which nothing is known to be ready, and from
no others. A Job waits for its pods without an end, and says nothing of it."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog

from cloister import names
from cloister.controller import conditions
from cloister.controller.cluster import Cluster
from cloister.controller.observed import Observed
from cloister.controller.outcome import Ending, Outcome
from cloister.controller.pods import pods_of
from cloister.controller.unfinished import finished
from cloister.names import key
from cloister.spec import LLMDeployment
from cloister.zones import Component

Object = dict[str, Any]

log = structlog.get_logger(__name__)

_USUAL = timedelta(minutes=5)
"""For which a pod may wait without a word: nodes are added, and large images pulled."""
_REASON = re.compile("[A-Za-z]{1,64}")


async def look_for_waiting(
    deployment: LLMDeployment, rendered: list[Object], cluster: Cluster, observed: Observed, outcome: Outcome
) -> None:
    """Put what waits for too long into the outcome. Not knowing it spoils nothing else."""
    component = Component.TRAINING
    runs = [key(obj) for obj in rendered if obj["metadata"]["labels"].get(names.LABEL_COMPONENT) == component]
    if not any(_may_wait(observed.get(found)) for found in runs if found[0] in ("Job", "CronJob")):
        return
    outcome.endings += waiting(await pods_of(deployment, component, cluster), datetime.now(UTC))
    outcome.recheck_in(_USUAL.total_seconds())


def waiting(pods: list[Object], now: datetime) -> Iterator[Ending]:
    """Each pod that has not started for too long, and the first reason that is known."""
    for pod in sorted(pods, key=lambda pod: str(pod["metadata"]["name"])):
        made = datetime.fromisoformat(pod["metadata"]["creationTimestamp"])
        status = pod.get("status") or {}
        if now - made < _USUAL or status.get("phase", "Pending") != "Pending" or "deletionTimestamp" in pod["metadata"]:
            continue
        name, minutes = str(pod["metadata"]["name"]), int((now - made).total_seconds() // 60)
        container, reason, message = next(_reasons(status), ("pod", "", ""))
        known = reason if _REASON.fullmatch(reason) else "PodWaiting"
        said = ": ".join(text for text in (reason, message) if text) or "no reason is known"
        yield Ending(name, known, f"has been waiting for {minutes} minutes: {conditions.printable(said)}", container)


def _reasons(status: Object) -> Iterator[tuple[str, str, str]]:
    """Who waits, why, and what is said of it."""
    placed = conditions.find({"status": status}, "PodScheduled")
    if placed and placed.get("status") == "False":
        yield "pod", str(placed.get("reason") or ""), str(placed.get("message") or "")
    for container in (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())):
        why = (container.get("state") or {}).get("waiting") or {}
        # What waits for those before it, waits for nothing of its own.
        if why.get("reason") not in (None, "PodInitializing", "ContainerCreating"):
            yield str(container["name"]), str(why["reason"]), str(why.get("message") or "")


def _may_wait(run: Object | None) -> bool:
    """Whether a run is under way of which no pod is known to be ready: a CronJob knows only that there is one."""
    status = (run or {}).get("status") or {}
    return bool(run and status.get("active") and not status.get("ready") and not finished(run))
