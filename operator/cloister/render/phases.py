"""The order in which objects reach the cluster: deny first, workloads last."""

from enum import IntEnum

from cloister import names
from cloister.render.meta import Object
from cloister.zones import STORES


class Phase(IntEnum):
    """An object of a later phase is applied only when what it stands on is in force."""

    DENY = 0
    IDENTITY = 1
    PROOF = 2
    STORAGE = 3
    CONFIG = 4
    STORES = 5
    COMPUTE = 6


_BY_KIND = {
    "Namespace": Phase.DENY,
    "ResourceQuota": Phase.DENY,
    "ServiceAccount": Phase.IDENTITY,
    "RoleBinding": Phase.IDENTITY,
    "ClusterIssuer": Phase.IDENTITY,
    "PersistentVolumeClaim": Phase.STORAGE,
    "Service": Phase.STORAGE,
    "ConfigMap": Phase.CONFIG,
    "PodDisruptionBudget": Phase.CONFIG,
    "Job": Phase.COMPUTE,
    "CronJob": Phase.COMPUTE,
}


def phase(obj: Object) -> Phase:
    """The phase of a rendered object."""
    metadata, kind = obj["metadata"], obj["kind"]
    match kind:
        case "ConfigMap" if metadata["name"] == names.DECLARATION:
            return Phase.IDENTITY
        case "NetworkPolicy":
            return Phase.DENY if metadata["name"] == names.DENY_ALL else Phase.IDENTITY
        case "Certificate":
            return Phase.IDENTITY if obj["spec"].get("isCA") else Phase.STORAGE
        case "StatefulSet":
            return Phase.STORES if metadata["name"] in STORES else Phase.COMPUTE
        case "Job" if is_canary(obj):
            return Phase.PROOF
        case _:
            return _BY_KIND[kind]


def is_canary(obj: Object) -> bool:
    """Whether an object is a canary of a run, and no workload."""
    return names.LABEL_RUN in obj["metadata"]["labels"]


def within(obj: Object) -> int:
    """Order inside a phase: a namespace exists before anything is put into it, and what is going to be enforced is
    written down before any of it allows anything."""
    return 0 if obj["kind"] == "Namespace" or obj["metadata"]["name"] == names.DECLARATION else 1
