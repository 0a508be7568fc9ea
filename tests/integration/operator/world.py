"""An operator under test: its cluster, and what tests do there as an administrator."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import urllib3
import yaml

from cloister import names
from cloister.controller.kinds import BY_KIND, OWNED
from tests.cluster import ControlPlane
from tests.cluster.processes import wait_until
from tests.installed import NAMESPACE, RELEASE
from tests.integration.admission.api import Answer, Server, User

Object = dict[str, Any]
Key = tuple[str, str, str]
T = TypeVar("T")

EXAMPLES = Path(__file__).parents[3] / "manifests" / "examples"
WAIT = 90.0
"""Longer than anything here takes; only a failure waits so long."""
CLIENT_NAMESPACES = ("web", "batch", "etl", "release", "security")
WITHOUT_PROOF = {"control": "ZT-17", "reason": "there is no kubelet here", "expires": "2099-12-31"}
JWKS = {
    "keys": [
        {
            "kty": "EC",
            "crv": "P-256",
            "kid": "a",
            "alg": "ES256",
            "use": "sig",
            "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
            "y": "x0DDfjXoFXA5_cZ0ggaHbXzqjd8aGdQv3Nrf4C9bI_w",
        }
    ]
}


def until(check: Callable[[], T | None], what: str, seconds: float = WAIT) -> T:
    """Poll until the check returns something true, and return that."""
    found = wait_until(check, seconds)
    assert found, f"not within {seconds:.0f} s: {what}"
    return found


@dataclass
class World:
    """A cluster, and an administrator of it whom the guards would let through."""

    plane: ControlPlane
    admin: User

    @classmethod
    def of(cls, plane: ControlPlane, scratch: Path) -> World:
        """The world of a control plane."""
        return cls(plane, User(Server(plane.kubeconfig, scratch), "tester", ("cloister:break-glass",)))

    # --- single objects ---

    def path(self, key: Key, subresource: str = "") -> str:
        """URL path of an object."""
        kind, namespace, name = key
        return BY_KIND[kind].path(namespace, name, subresource).lstrip("/")

    def find(self, key: Key) -> Object | None:
        """An object, or None."""
        answer = self.admin.get(self.path(key))
        assert answer.code in (200, 404), str(answer)
        return answer.body if answer.code == 200 else None

    def get(self, key: Key) -> Object:
        """An object that must be there."""
        found = self.find(key)
        assert found is not None, key
        return found

    def create(self, obj: Object) -> Object:
        """POST."""
        resource = BY_KIND[obj["kind"]]
        return _done(self.admin.create(resource.path(obj["metadata"].get("namespace", "")).lstrip("/"), obj, real=True))

    def replace(self, obj: Object) -> Object:
        """PUT."""
        return _done(self.admin.replace(self.path(names.key(obj)), obj, real=True))

    def change(self, key: Key, edit: Callable[[Object], Object]) -> Object:
        """Read, edit and PUT, again if a controller was faster."""

        def attempt() -> Object | None:
            answer = self.admin.replace(self.path(key), edit(self.get(key)), real=True)
            return None if answer.code == 409 else _done(answer)

        return until(attempt, f"{key} is changed")

    def merge(self, key: Key, patch: Object) -> Object:
        """Merge patch."""
        return _done(self.admin.patch(self.path(key), patch, real=True))

    def delete(self, key: Key, **query: str) -> None:
        """DELETE."""
        _done(self.admin.delete(self.path(key), real=True, **query))

    def until_gone(self, key: Key) -> None:
        """Wait for an object's end."""
        until(lambda: self.find(key) is None, f"{key} is gone")

    def every(self, kind: str, selector: str = "") -> list[Object]:
        """Every object of a kind."""
        query = {"labelSelector": selector} if selector else {}
        answer = self.admin.server.send("GET", BY_KIND[kind].path().lstrip("/"), None, urllib3.HTTPHeaderDict(), query)
        if answer.code == 404:
            return []
        head = {"apiVersion": BY_KIND[kind].api_version, "kind": kind}
        return [head | item for item in _done(answer)["items"]]

    def owned(self, deployment: str) -> dict[Key, Object]:
        """Everything that the operator has made for a deployment."""
        return {
            names.key(obj): obj
            for resource in OWNED
            # With the owner: claims of a StatefulSet carry its selector, and are its controller's.
            for obj in self.every(resource.kind, f"{names.LABEL_DEPLOYMENT}={deployment},{names.LABEL_OWNER}")
        }

    def versions(self, deployment: str) -> dict[Key, str]:
        """Resource version of everything that carries a deployment's label, and of the deployment."""
        every = self.owned(deployment) | {(names.KIND, "", deployment): self.deployment(deployment)}
        return {key: obj["metadata"]["resourceVersion"] for key, obj in every.items()}

    # --- deployments ---

    def declare(self, resource: Object) -> Object:
        """Apply an LLMDeployment as a user would."""
        self.plane.kubectl.apply([resource])
        return self.deployment(resource["metadata"]["name"])

    def deployment(self, name: str) -> Object:
        """An LLMDeployment."""
        return self.get((names.KIND, "", name))

    def condition(self, name: str, kind: str) -> Object:
        """A condition of an LLMDeployment; empty when it has none."""
        deployment = self.find((names.KIND, "", name)) or {}
        status = deployment.get("status", {})
        if status.get("observedGeneration") != deployment.get("metadata", {}).get("generation"):
            return {}
        return next((one for one in status.get("conditions", ()) if one["type"] == kind), {})

    def until_condition(self, name: str, kind: str, status: str, reason: str | None = None) -> Object:
        """Wait for a condition at the deployment's current generation."""

        def there() -> Object | None:
            found = self.condition(name, kind)
            agrees = found.get("status") == status and (reason is None or found.get("reason") == reason)
            return found if agrees else None

        try:
            return until(there, f"{kind}={status} {reason or ''} of {name}")
        except AssertionError:
            found = self.deployment(name).get("status", {}).get("conditions", ())
            said = [f"{one['type']}={one['status']} {one['reason']}: {one['message'][:400]}" for one in found]
            raise AssertionError("\n".join([f"{name}: no {kind}={status} {reason or ''}", *said])) from None

    def converge(self, resource: Object) -> str:
        """Declare a deployment and wait until everything but its pods is in force. Returns its name."""
        name: str = self.declare(resource)["metadata"]["name"]
        self.until_converged(name)
        return name

    def until_converged(self, name: str) -> None:
        """Wait until the operator has nothing more to do but to wait for pods."""
        for kind in ("ZonesIsolated", "IdentityIssued", "StorageSeparated"):
            self.until_condition(name, kind, "True")
        self.until_access(name)
        self.until_condition(name, "WorkloadsReady", "False", "PodsNotReady")

    def until_access(self, name: str) -> None:
        """Wait until access is as declared; in a cluster without guards, until nothing but those is missing."""
        binding = "apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings/zone-guard.cloister.dev"
        if self.admin.get(binding).code == 200:
            self.until_condition(name, "AccessMinimal", "True")
        else:
            self.until_condition(name, "AccessMinimal", "False", "GuardsMissing")

    def quiet(self, name: str, seconds: float = 2.0) -> dict[Key, str]:
        """Wait until nobody has written anything of a deployment for a while; returns its versions."""
        seen, since = self.mark(), time.monotonic()

        def still() -> bool:
            nonlocal seen, since
            before, seen = seen, self.mark()
            if any(name in json.dumps(event["objectRef"]) for event in self.plane.audit_events(before)):
                since = time.monotonic()
            return time.monotonic() - since > seconds

        until(still, f"{name} becomes quiet")
        return self.versions(name)

    # --- the operator's traces ---

    def mark(self) -> int:
        """A moment in the audit log."""
        return self.plane.audit_mark()

    def operator_writes(self, after: int, name: str | None = None) -> list[Object]:
        """What the operator has written since a moment, but for its Lease; of one deployment, or at all."""
        return [
            event
            for event in self.plane.audit_events(after)
            if event["user"]["username"] == f"system:serviceaccount:{NAMESPACE}:{RELEASE}"
            and event["objectRef"]["resource"] != "leases"
            and (name is None or name in json.dumps(event["objectRef"]))
        ]

    def events_about(self, name: str) -> list[Object]:
        """Events about a deployment."""
        return [event for event in self.every("Event") if event.get("regarding", {}).get("name") == name]


def minimal(name: str, **spec: Any) -> Object:
    """The smallest example under another name, started without proof."""
    return _example("minimal", name, spec)


def full(name: str, **spec: Any) -> Object:
    """The example with every feature under another name, started without proof."""
    return _example("support-bot", name, spec)


def _example(file: str, name: str, spec: Object) -> Object:
    resource: Object = yaml.safe_load((EXAMPLES / f"{file}.yaml").read_text())
    resource["metadata"]["name"] = name
    resource["spec"] |= {"exceptions": [copy.deepcopy(WITHOUT_PROOF)]} | spec
    return resource


def surroundings() -> Iterator[Object]:
    """What the examples expect in a cluster."""
    for name in CLIENT_NAMESPACES:
        yield {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    yield {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "login-example-com-jwks", "namespace": "web"},
        "data": {"jwks.json": json.dumps(JWKS)},
    }


def _done(answer: Answer) -> Object:
    assert answer.code < 300, str(answer)
    return answer.body
