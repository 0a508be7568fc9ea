"""What nobody may do in a zone, tried with the person's own rights. Nothing is changed: writes are dry runs, and
exec, which can't be one, is asked for in a form that ends before anything runs."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cloister import names
from cloister.cli.api import Response
from cloister.cli.live import Cluster
from cloister.cli.verification.check import Check, Outcome
from cloister.flows import components
from cloister.guards import GUARD_SUFFIX
from cloister.spec import LLMDeployment
from cloister.zones import Zone

_DRY = {"dryRun": "All"}
_MERGE = "application/merge-patch+json"
_UPGRADE = "Upgrade request required"
"""What the API server says to an exec that is let through and lacks those headers."""
_VERBS = {"POST": "create", "DELETE": "delete", "PATCH": "patch"}


@dataclass(frozen=True)
class _Attempt:
    """One request that must be refused, and the right that carries it past RBAC to the guards."""

    what: str
    method: str
    path: str
    resource: str

    @property
    def verb(self) -> str:
        return _VERBS[self.method]


def checks(cluster: Cluster, deployment: LLMDeployment) -> Iterator[Check]:
    """Every attempt: on the deployment's status, and in every zone."""
    path = f"/apis/{names.API_VERSION}/{names.PLURAL}/{deployment.name}/status"
    attempt = _Attempt(f"a forged status of {deployment.name}", "PATCH", path, f"{names.PLURAL}/status")
    yield _refused(cluster, attempt, {"status": {"phase": "Ready"}})
    for zone in Zone:
        namespace = names.namespace(deployment.name, zone)
        core, network = f"/api/v1/namespaces/{namespace}", f"/apis/networking.k8s.io/v1/namespaces/{namespace}"
        yield _exec(cluster, core, namespace)
        for component in components(deployment):
            if component.zone is zone:
                token = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
                path = f"{core}/serviceaccounts/{component}/token"
                attempt = _Attempt(f"a token of {namespace}/{component}", "POST", path, "serviceaccounts/token")
                yield _refused(cluster, attempt, token)
        yield _refused(cluster, _Attempt(f"a pod in {namespace}", "POST", f"{core}/pods", "pods"), _pod())
        policies = f"{network}/networkpolicies"
        policy = {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{}]}
        opened = _object("networking.k8s.io/v1", "NetworkPolicy", spec=policy)
        attempt = _Attempt(f"an open policy in {namespace}", "POST", policies, "networkpolicies")
        yield _refused(cluster, attempt, opened)
        denial = f"{policies}/{names.DENY_ALL}"
        attempt = _Attempt(f"deletion of {namespace}/{names.DENY_ALL}", "DELETE", denial, "networkpolicies")
        yield _refused(cluster, attempt, None)
        label = {"metadata": {"labels": {names.LABEL_ZONE: None}}}
        path = f"/api/v1/namespaces/{namespace}"
        yield _refused(cluster, _Attempt(f"the label of {namespace} taken away", "PATCH", path, "namespaces"), label)


def _refused(cluster: Cluster, attempt: _Attempt, body: Mapping[str, Any] | None) -> Check:
    content = _MERGE if attempt.method == "PATCH" else "application/json"
    reply = cluster.send(attempt.method, attempt.path, body, content, **_DRY)
    return _told(attempt, reply, let_through=reply.status < 300)


def _exec(cluster: Cluster, core: str, namespace: str) -> Check:
    """Without the headers that would switch protocols no kubelet runs anything; the guard answers before that."""
    what = f"exec into a pod of {namespace}"
    selector = f"{names.LABEL_ROLE}={names.WORKLOAD}"
    found = cluster.send("GET", f"{core}/pods", labelSelector=selector)
    if found.status != 200:
        return Check("refusals", what, Outcome.UNTRIED, f"pods can't be listed ({found.status}): {found.message}")
    pods = [str(item["metadata"]["name"]) for item in found.body["items"]]
    if not pods:
        return Check("refusals", what, Outcome.UNTRIED, "no pod runs there now")
    attempt = _Attempt(what, "POST", f"{core}/pods/{pods[0]}/exec", "pods/exec")
    reply = cluster.send(attempt.method, attempt.path, command="true", stdout="true")
    # Only this tells that the guard was asked and had nothing against it; an API server that is busy tells nothing.
    asked_to_switch = reply.status == 400 and _UPGRADE in reply.message
    return _told(attempt, reply, let_through=reply.status < 400 or asked_to_switch)


def _told(attempt: _Attempt, reply: Response, *, let_through: bool) -> Check:
    status, message = reply.status, reply.message
    if let_through:
        said = (
            f"let through ({status}). Are the chart's admission policies in force, or are you in its break-glass group?"
        )
        return Check("refusals", attempt.what, Outcome.FAILED, said)
    if status == 403 and GUARD_SUFFIX in message:
        return Check("refusals", attempt.what, Outcome.HOLDS, "refused by Cloister's guards")
    if status == 403 and f"cannot {attempt.verb} resource" in message:
        # RBAC answers first, so the guards were not asked: whoever has the right may find them gone.
        said = (
            f"RBAC refuses you before the guards are asked: it needs somebody who may {attempt.verb} {attempt.resource}"
        )
        return Check("refusals", attempt.what, Outcome.UNTRIED, said)
    return Check("refusals", attempt.what, Outcome.UNTRIED, f"{status}: {message}")


def _object(api_version: str, kind: str, **more: Any) -> dict[str, Any]:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": "cloister-verify"}, **more}


def _pod() -> dict[str, Any]:
    """One that Pod Security would let through, so that a refusal is the guard's."""
    security = {
        "allowPrivilegeEscalation": False,
        "runAsNonRoot": True,
        "runAsUser": 65532,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    container = {"name": "verify", "image": "example.com/none", "securityContext": security}
    return _object("v1", "Pod", spec={"containers": [container], "automountServiceAccountToken": False})
