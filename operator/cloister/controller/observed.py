"""What the operator knows of the cluster: filled by lists, kept by watch events and by the answers to its own writes.

Of two versions of an object the newer is kept: resource versions of one API server are numbers that grow.
Nothing here talks to the API server.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from cloister import names
from cloister.controller.kinds import CERT_MANAGER_CRDS
from cloister.names import Key, key

Object = dict[str, Any]

_STATUS_READ = {"Certificate", "CertificateRequest", "ClusterIssuer", "StatefulSet", "Job", "CronJob"}
"""Kinds of whose status something is read; a change in another's status wakes nobody."""


class Observed:
    """The cache: what carries our label, and every namespace, NetworkPolicy, storage class and LLMDeployment."""

    def __init__(self) -> None:
        self.cert_manager_crds: set[str] = set()
        """Names of cert-manager's CRDs that are there."""
        self._kept: dict[tuple[str, str], dict[str, Object]] = defaultdict(dict)
        """(kind, namespace) -> name -> object."""
        self._labelled: dict[str, set[Key]] = defaultdict(set)
        """Deployment -> keys of what carries its label."""
        self._gone: dict[Key, int] = {}
        """Versions at which objects were deleted, so that a late event does not bring them back."""

    # --- asking ---

    def get(self, wanted: Key) -> Object | None:
        """An object, as it was seen last."""
        kind, namespace, name = wanted
        return self._kept[kind, namespace].get(name)

    def of_kind(self, kind: str, namespace: str = "") -> Mapping[str, Object]:
        """Every known object of a kind in one namespace, or of a cluster-scoped kind, by name."""
        return self._kept[kind, namespace]

    def labelled(self, deployment: str) -> list[Object]:
        """Every object that carries this deployment's label, CertificateRequests included."""
        found = (self.get(wanted) for wanted in self._labelled.get(deployment, ()))
        return [obj for obj in found if obj is not None]

    def cert_manager_served(self) -> bool:
        """Whether cert-manager's kinds can be used at all."""
        return self.cert_manager_crds >= CERT_MANAGER_CRDS

    # --- learning ---

    def put(self, obj: Object) -> bool:
        """Keep an object unless a newer version is known. True when it says something new."""
        found, new = key(obj), _version(obj)
        if self._gone.get(found, -1) >= new:
            return False
        known = self.get(found)
        if known is not None and _version(known) >= new:
            return False
        self._discard(found)
        obj = _trimmed(obj)
        kind, namespace, name = found
        self._kept[kind, namespace][name] = obj
        if (deployment := deployment_of(obj)) and kind != names.KIND:
            self._labelled[deployment].add(found)
        return known is None or essence(known) != essence(obj)

    def remove(self, obj: Object) -> bool:
        """An object is gone, as of the version that it carries. True when it was known."""
        found, version = key(obj), _version(obj)
        known = self.get(found)
        if known is not None and _version(known) > version:
            return False  # made again since
        self._gone[found] = max(version, self._gone.get(found, -1))
        self._discard(found)
        return known is not None

    def replace_kind(self, kind: str, items: Iterable[Object], version: str) -> set[str]:
        """A fresh list of a kind: what it lacks is gone. The names of deployments for which that is news."""
        listed, at = {key(item): item for item in items}, int(version)
        news = [item for item in listed.values() if self.put(item)]
        for found, known in self._all(kind):
            if found not in listed and _version(known) <= at:
                self._discard(found)
                news.append(known)
        # Whatever is older than this list can't arrive any more.
        self._gone = {found: gone for found, gone in self._gone.items() if found[0] != kind or gone > at}
        return {deployment for item in news if (deployment := deployment_of(item))}

    def _all(self, kind: str) -> list[tuple[Key, Object]]:
        return [
            ((kind, namespace, name), obj)
            for (its_kind, namespace), objects in self._kept.items()
            if its_kind == kind
            for name, obj in objects.items()
        ]

    def _discard(self, found: Key) -> None:
        kind, namespace, name = found
        known = self._kept[kind, namespace].pop(name, None)
        if known is not None and (deployment := deployment_of(known)):
            self._labelled[deployment].discard(found)


def deployment_of(obj: Object) -> str | None:
    """Name of the deployment whose label an object carries, or that it is."""
    if obj["kind"] == names.KIND:
        return str(obj["metadata"]["name"])
    label = obj["metadata"].get("labels", {}).get(names.LABEL_DEPLOYMENT)
    return str(label) if label else None


def essence(obj: Object) -> Object:
    """What of an object anybody here reads: two versions that agree in it wake nobody."""
    metadata = {name: value for name, value in obj["metadata"].items() if name != "resourceVersion"}
    kept = {name: value for name, value in obj.items() if name not in ("metadata", "status")}
    if obj["kind"] in _STATUS_READ:
        kept["status"] = obj.get("status")
    return kept | {"metadata": metadata}


def _trimmed(obj: Object) -> Object:
    """Without the record of field managers: half of an object's size, and anyone can forge it."""
    metadata = {name: value for name, value in obj["metadata"].items() if name != "managedFields"}
    return obj | {"metadata": metadata}


def _version(obj: Object) -> int:
    return int(obj["metadata"]["resourceVersion"])
