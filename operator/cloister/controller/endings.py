"""Why a pod's weights did not come, its backend can't be used, or nothing is exported: read from pods of those
workloads that are not ready, and from no others but the exporter's, which tells of alerts besides.

Pods are not watched: that would keep every pod of every zone in memory to learn of the few that fail.
"""

from collections.abc import Iterator
from typing import Annotated, Any

import structlog
from pydantic import BaseModel, StringConstraints, ValidationError

from cloister import names
from cloister.controller import conditions, errors, reported
from cloister.controller.cluster import Cluster
from cloister.controller.kinds import POD
from cloister.controller.observed import Observed
from cloister.controller.outcome import Ending, Outcome
from cloister.controller.pods import pods_of
from cloister.spec import LLMDeployment
from cloister.zones import Component

Object = dict[str, Any]

log = structlog.get_logger(__name__)

_CHECK_SECONDS = 20.0
"""After how long pods that are not ready are looked at again: no event of what is watched tells of them."""


class _Told(BaseModel):
    """The termination message of jobs/fetch.py."""

    reason: Annotated[str, StringConstraints(pattern="^[A-Za-z]{1,64}$")]
    message: str


async def look_for_endings(deployment: LLMDeployment, cluster: Cluster, observed: Observed, outcome: Outcome) -> None:
    """Put what has ended into the outcome. Not knowing it spoils nothing else."""
    for component in _telling(deployment):
        namespace = names.namespace(deployment.name, component.zone)
        server = observed.get(("StatefulSet", namespace, str(component)))
        if server is None or _all_ready(server):
            continue
        outcome.endings += endings(await pods_of(deployment, component, cluster))
        outcome.recheck_in(_CHECK_SECONDS)


async def look_at_exporter(deployment: LLMDeployment, cluster: Cluster, observed: Observed, outcome: Outcome) -> None:
    """Put what the exporter's pod tells into the outcome. Not knowing it spoils nothing else."""
    export, component = deployment.spec.audit.export, Component.EXPORTER
    if not export:
        return
    namespace = names.namespace(deployment.name, component.zone)
    stateful_set = observed.get(("StatefulSet", namespace, str(component)))
    if stateful_set is None:
        return
    outcome.recheck_in(_CHECK_SECONDS)
    try:
        pod = await cluster.get(POD.kind, f"{component}-0", namespace)
    except errors.NotFoundError:
        return
    except errors.ApiError as error:
        log.warning("the exporter's pod can't be read", deployment=deployment.name, error=error.message)
        return
    if reported.credible(pod, stateful_set):
        outcome.alerts = reported.totals(pod)
        outcome.exports = reported.works(pod)
        outcome.endings += reported.refusals(pod, f"{namespace}/{export.secret_ref.name}")


def _telling(deployment: LLMDeployment) -> Iterator[Component]:
    """Components whose pods say why they do not start."""
    if deployment.spec.inference.model:
        yield Component.INFERENCE
    yield from (component for component, store in deployment.spec.storage.by_component().items() if store.backend)


def endings(pods: list[Object]) -> Iterator[Ending]:
    """How fetch, or a store, ended in each of these pods, where it failed and has not succeeded since."""
    for pod in sorted(pods, key=lambda pod: str(pod["metadata"]["name"])):
        name, status = str(pod["metadata"]["name"]), pod.get("status") or {}
        for container in status.get("initContainerStatuses") or ():
            if container.get("name") == names.FETCH:
                last = _last_ending(container)
                if last and last.get("exitCode"):
                    yield _ending(name, last)
        for container in status.get("containerStatuses") or ():
            if container.get("name") == names.STORE and "running" not in (container.get("state") or {}):
                last = _last_ending(container)
                if last and last.get("exitCode"):
                    yield Ending(name, "BackendUnusable", _said(last), names.STORE)


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
    return Ending(pod, told.reason, conditions.printable(told.message))


def _said(ended: Object) -> str:
    """The last line of a store's log, which the script writes that starts it (render/backend.py)."""
    lines = str(ended.get("message") or "").strip().splitlines()
    return conditions.printable(lines[-1])[:1024] if lines else f"it ended with code {ended['exitCode']}"


def _all_ready(server: Object) -> bool:
    wanted: int = server.get("spec", {}).get("replicas", 1)
    ready: int = (server.get("status") or {}).get("readyReplicas", 0)
    return ready >= wanted
