"""What nobody may do in a zone, tried with the person's own rights. Nothing is changed: writes are dry runs, and
exec, which can't be one, is asked for in a form that ends before anything runs."""

from collections.abc import Iterator, Mapping
from typing import Any

from cloister import names
from cloister.cli.live import Cluster
from cloister.cli.verification.check import Check, Outcome
from cloister.flows import components
from cloister.spec import LLMDeployment
from cloister.zones import Zone

_DRY = {"dryRun": "All"}
_MERGE = "application/merge-patch+json"
_GUARD = "ValidatingAdmissionPolicy"


def checks(cluster: Cluster, deployment: LLMDeployment) -> Iterator[Check]:
    """Every attempt, in every zone."""
    for zone in Zone:
        namespace = names.namespace(deployment.name, zone)
        core, network = f"/api/v1/namespaces/{namespace}", f"/apis/networking.k8s.io/v1/namespaces/{namespace}"
        yield _exec(cluster, core, namespace)
        for component in components(deployment):
            if component.zone is zone:
                token = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
                path = f"{core}/serviceaccounts/{component}/token"
                yield _refused(cluster, f"a token of {namespace}/{component}", "POST", path, token)
        yield _refused(cluster, f"a pod in {namespace}", "POST", f"{core}/pods", _pod())
        policy = {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{}]}
        opened = _object("networking.k8s.io/v1", "NetworkPolicy", spec=policy)
        yield _refused(cluster, f"an open policy in {namespace}", "POST", f"{network}/networkpolicies", opened)
        denial = f"{network}/networkpolicies/{names.DENY_ALL}"
        yield _refused(cluster, f"deletion of {namespace}/{names.DENY_ALL}", "DELETE", denial, None)
        label = {"metadata": {"labels": {names.LABEL_ZONE: None}}}
        yield _refused(
            cluster, f"the label of {namespace} taken away", "PATCH", f"/api/v1/namespaces/{namespace}", label
        )


def _refused(cluster: Cluster, what: str, method: str, path: str, body: Mapping[str, Any] | None) -> Check:
    content = _MERGE if method == "PATCH" else "application/json"
    status, answer = cluster.send(method, path, body, content, **_DRY)
    return _told(what, status, str(answer.get("message", "")), let_through=status < 300)


def _exec(cluster: Cluster, core: str, namespace: str) -> Check:
    """Without the headers that would switch protocols no kubelet runs anything; the guard answers before that."""
    what = f"exec into a pod of {namespace}"
    selector = f"{names.LABEL_ROLE}={names.WORKLOAD}"
    status, answer = cluster.send("GET", f"{core}/pods", labelSelector=selector)
    if status != 200:
        return Check("refusals", what, Outcome.UNTRIED, f"pods can't be listed ({status}): {answer.get('message', '')}")
    pods = [str(item["metadata"]["name"]) for item in answer["items"]]
    if not pods:
        return Check("refusals", what, Outcome.UNTRIED, "no pod runs there now")
    status, answer = cluster.send("POST", f"{core}/pods/{pods[0]}/exec", command="true", stdout="true")
    return _told(what, status, str(answer.get("message", "")), let_through=status not in (401, 403, 404))


def _told(what: str, status: int, message: str, *, let_through: bool) -> Check:
    if let_through:
        said = (
            f"let through ({status}). Are the chart's admission policies in force, or are you in its break-glass group?"
        )
        return Check("refusals", what, Outcome.FAILED, said)
    if status == 403:
        by = "by Cloister's guards" if _GUARD in message else "by RBAC: you have no such right; others may"
        return Check("refusals", what, Outcome.HOLDS, f"refused {by}")
    return Check("refusals", what, Outcome.UNTRIED, f"{status}: {message}")


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
