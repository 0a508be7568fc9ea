"""The zones themselves: a namespace each, Pod Security `restricted`, and no way in from outside the cluster."""

from collections.abc import Iterator

from cloister import names
from cloister.facts import Facts, Settings
from cloister.render.meta import Object, child, owner, retains_storage
from cloister.spec import LLMDeployment
from cloister.zones import PLACES, Zone

POD_SECURITY = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "audit", "warn")} | {
    f"pod-security.kubernetes.io/{mode}-version": "latest" for mode in ("enforce", "audit", "warn")
}


def namespaces(deployment: LLMDeployment, facts: Facts, settings: Settings) -> Iterator[Object]:
    """The three zones, and the ground for canaries. Under Retain the storage zone has no owner: it outlives the
    resource."""
    for zone in PLACES:
        obj = child(deployment, "v1", "Namespace", names.namespace(deployment.name, zone))
        obj["metadata"]["labels"] |= {names.LABEL_ZONE: str(zone)} | POD_SECURITY
        if not (zone is Zone.STORAGE and retains_storage(deployment)):
            obj["metadata"]["ownerReferences"] = [owner(deployment)]
        yield obj


def quotas(deployment: LLMDeployment, facts: Facts, settings: Settings) -> Iterator[Object]:
    """No NodePort and no load balancer: both would lead around the zone's policies."""
    for zone in PLACES:
        quota = child(deployment, "v1", "ResourceQuota", "no-way-in", zone=zone)
        yield quota | {"spec": {"hard": {"services.nodeports": "0", "services.loadbalancers": "0"}}}
