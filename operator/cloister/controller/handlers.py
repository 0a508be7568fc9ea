"""Events in: kopf watches, these handlers note what has changed and put a name on the queue. Nothing else.

`on.event` handlers only, so kopf stores nothing on any object. Secrets are never listed or watched.
"""

import logging
import os
import time
from typing import Any

import kopf

from cloister import names
from cloister.controller import metrics
from cloister.controller.guards import is_guard
from cloister.controller.kinds import (
    CERT_MANAGER_CRDS,
    CERTIFICATE_REQUEST,
    CRD,
    DEPLOYMENT,
    GUARDS,
    OWNED,
    STORAGE_CLASS,
)
from cloister.controller.observed import deployment_of
from cloister.controller.world import World

_PROGRESS_SECONDS = 0.2
"""Somebody's progress may wait a little and be handled together with more of it; tampering may not."""
_PROGRESS = {"Certificate", "CertificateRequest", "ClusterIssuer", "StatefulSet", "Job", "CronJob"}


def registry(world: World) -> kopf.OperatorRegistry:
    """Every handler, bound to what they fill."""
    made = kopf.OperatorRegistry()

    @kopf.on.login(registry=made)
    async def login(**kwargs: Any) -> kopf.ConnectionInfo | None:
        """The same credentials that the operator's own client uses."""
        if os.environ.get("KUBECONFIG") or not os.environ.get("KUBERNETES_SERVICE_HOST"):
            return kopf.login_with_kubeconfig(**kwargs)
        return kopf.login_with_service_account(**kwargs)

    # Coroutines, although nothing is awaited: kopf runs plain functions in threads, and the cache is the loop's.
    async def seen(event: kopf.RawEvent, **_: Any) -> None:
        _note(world, dict(event["object"]), event["type"])

    async def definition(event: kopf.RawEvent, **_: Any) -> None:
        _note_definition(world, dict(event["object"]), event["type"])

    for resource in (DEPLOYMENT, *OWNED, CERTIFICATE_REQUEST, STORAGE_CLASS):
        kopf.on.event(resource.group, resource.version, resource.plural, registry=made)(seen)
    for resource in GUARDS:
        kopf.on.event(resource.group, resource.version, resource.plural, registry=made, when=_is_guard)(seen)
    kopf.on.event(CRD.group, CRD.version, CRD.plural, registry=made, when=_is_cert_managers)(definition)
    return made


def settings() -> kopf.OperatorSettings:
    """kopf as a watcher and nothing more."""
    made = kopf.OperatorSettings()
    made.posting.enabled = False
    made.peering.standalone = True
    # Scanning stays on: with it off, cert-manager installed later is never seen.
    made.scanning.disabled = False
    made.watching.server_timeout = 300
    made.watching.client_timeout = 330
    made.watching.connect_timeout = 10
    made.watching.inactivity_timeout = 70
    made.watching.chunk_size = 500
    # As long as kopf's own steps, which grow to 21 s: an API server that is back is to be watched again at once.
    made.networking.error_backoffs = [1.0, 1.0, 2.0, 3.0, *[5.0] * 10]
    # A worker serves one object and lingers; with a limit, lingering ones would keep others from being served.
    made.queueing.worker_limit = 200
    made.queueing.idle_timeout = 0.1
    for resource in (*OWNED, CERTIFICATE_REQUEST):
        if resource.selector:
            made.watching.label_selectors[resource.group, resource.version, resource.plural] = resource.selector
    # The client logs each line as a Kubernetes Event otherwise, and each connection at info.
    logging.getLogger("kopf").setLevel(logging.WARNING)
    return made


def _note(world: World, obj: dict[str, Any], event: str | None) -> None:
    metrics.LAST_EVENT.set(time.time())
    if event is None:
        world.listed_anew(obj)
    observed = world.observed
    news = observed.remove(obj) if event == "DELETED" else observed.put(obj)
    if not news:
        return
    kind, name = obj["kind"], obj["metadata"]["name"]
    if kind == names.KIND and event == "DELETED":
        world.gone(obj)
    delay = _PROGRESS_SECONDS if kind in _PROGRESS and event != "DELETED" else 0.0
    match kind:
        case "StorageClass":
            world.wake_all()
        case "ValidatingAdmissionPolicy" | "ValidatingAdmissionPolicyBinding":
            if world.guards.judge():
                world.wake_all()
        case "Namespace":
            world.wake(world.waiting_for(name) | world.zone_of(name), delay)
        case "NetworkPolicy":
            world.wake(world.zone_of(obj["metadata"]["namespace"]), delay)
        case _:
            pass
    if deployment := deployment_of(obj):
        world.wake({deployment}, delay)


def _is_guard(name: str, **_: Any) -> bool:
    return is_guard(name)


def _is_cert_managers(name: str, **_: Any) -> bool:
    return name in CERT_MANAGER_CRDS


def _note_definition(world: World, obj: dict[str, Any], event: str | None) -> None:
    name, known = obj["metadata"]["name"], world.observed.cert_manager_crds
    established = event != "DELETED" and any(
        condition["type"] == "Established" and condition["status"] == "True"
        for condition in obj.get("status", {}).get("conditions", ())
    )
    if established == (name in known):
        return
    known.symmetric_difference_update({name})
    world.wake_all()
