"""Why a pod's weights did not come: read from the pods of a model server that is not ready, and from no others.

Pods are not watched: that would keep every pod of every zone in memory to learn of the few that fail.
"""

import re
from collections.abc import Iterator
from typing import Annotated, Any

import structlog
from pydantic import BaseModel, StringConstraints, ValidationError

from cloister import names
from cloister.controller import errors
from cloister.controller.cluster import Cluster
from cloister.controller.kinds import POD
from cloister.controller.observed import Observed
from cloister.controller.outcome import Ending, Outcome
from cloister.spec import LLMDeployment
from cloister.zones import Component

Object = dict[str, Any]

log = structlog.get_logger(__name__)

_CHECK_SECONDS = 20.0
"""After how long pods that are not ready are looked at again: no event of what is watched tells of them."""
_UNPRINTABLE = re.compile(r"[^\x20-\x7e]+")


class _Told(BaseModel):
    """The termination message of jobs/fetch.py."""

    reason: Annotated[str, StringConstraints(pattern="^[A-Za-z]{1,64}$")]
    message: str


async def look_for_endings(deployment: LLMDeployment, cluster: Cluster, observed: Observed, outcome: Outcome) -> None:
    """Put what has ended into the outcome. Not knowing it spoils nothing else."""
    namespace = names.namespace(deployment.name, Component.INFERENCE.zone)
    server = observed.get(("StatefulSet", namespace, str(Component.INFERENCE)))
    if deployment.spec.inference.model is None or server is None or _all_ready(server):
        return
    labels = names.pod_selector(deployment.name, Component.INFERENCE)
    selector = ",".join(f"{name}={value}" for name, value in sorted(labels.items()))
    try:
        pods, _ = await cluster.list(POD, selector, namespace)
    except errors.ApiError as error:
        log.warning("pods can't be read", deployment=deployment.name, error=error.message)
    else:
        outcome.endings = list(endings(pods))
    due = outcome.recheck_after
    outcome.recheck_after = _CHECK_SECONDS if due is None else min(due, _CHECK_SECONDS)


def endings(pods: list[Object]) -> Iterator[Ending]:
    """How fetch ended in each of these pods, where it failed and has not succeeded since."""
    for pod in sorted(pods, key=lambda pod: str(pod["metadata"]["name"])):
        for container in (pod.get("status") or {}).get("initContainerStatuses") or ():
            if container.get("name") == names.FETCH:
                last = _last_ending(container)
                if last and last.get("exitCode"):
                    yield _ending(str(pod["metadata"]["name"]), last)


def _last_ending(container: Object) -> Object | None:
    for state in (container.get("state") or {}, container.get("lastState") or {}):
        if state.get("terminated"):
            ended: Object = state["terminated"]
            return ended
    return None


def _ending(pod: str, ended: Object) -> Ending:
    try:
        told = _Told.model_validate_json(ended.get("message") or "")
    except ValidationError:
        # Killed before it could say anything: out of memory, evicted.
        why = f"exit code {ended['exitCode']}, {ended.get('reason') or 'no reason'}"
        return Ending(pod, "FetchFailed", f"fetch ended without a message ({why})")
    return Ending(pod, told.reason, _UNPRINTABLE.sub(" ", told.message).strip())


def _all_ready(server: Object) -> bool:
    wanted: int = server.get("spec", {}).get("replicas", 1)
    ready: int = (server.get("status") or {}).get("readyReplicas", 0)
    return ready >= wanted
