"""How every generated object begins: names, labels, owner, and the hash by which a change is told from drift."""

import hashlib
import json
from typing import Any

from cloister import names
from cloister.spec import DeletionPolicy, LLMDeployment
from cloister.zones import Component, Place

Object = dict[str, Any]


def child(
    deployment: LLMDeployment,
    api_version: str,
    kind: str,
    name: str,
    *,
    zone: Place | None = None,
    component: Component | None = None,
    namespace: str | None = None,
    owned: bool = False,
) -> Object:
    """The head of an object: in a zone (``zone``), in another namespace (``namespace``), or cluster-scoped.

    Inside a zone only the namespace is owned: Kubernetes ends a namespace in order, pods before policies, while the
    garbage collector would take owned policies first and open the network under pods that are still ending.
    """
    metadata: Object = {"name": name, "labels": names.owner_labels(deployment.name, deployment.uid)}
    if zone:
        metadata["namespace"] = names.namespace(deployment.name, zone)
        metadata["labels"][names.LABEL_ZONE] = str(zone)
    elif namespace:
        metadata["namespace"] = namespace
    if component:
        metadata["labels"][names.LABEL_COMPONENT] = str(component)
    if owned:
        metadata["ownerReferences"] = [owner(deployment)]
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata}


def owner(deployment: LLMDeployment) -> Object:
    """Owner reference to the resource, which may own objects anywhere because it is cluster-scoped."""
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.KIND,
        "name": deployment.name,
        "uid": deployment.uid,
        "controller": True,
    }


def retains_storage(deployment: LLMDeployment) -> bool:
    """Whether the storage zone outlives the resource."""
    return deployment.spec.deletion_policy is DeletionPolicy.RETAIN


def digest(value: Any, length: int = 16) -> str:
    """Short hash of JSON data, stable over processes and versions of Python."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:length]


def compact(value: Any) -> str:
    """JSON for a ConfigMap: sorted, so that equal data is equal text; and letters as they are, for it has a bound."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def sealed(obj: Object) -> Object:
    """The object with its own hash as an annotation."""
    metadata = obj["metadata"]
    annotations = metadata.get("annotations", {}) | {names.ANNOTATION_RENDERED: digest(obj)}
    return obj | {"metadata": metadata | {"annotations": annotations}}
