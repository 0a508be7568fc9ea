"""`cloister check` against a real API server: a bare cluster, one with everything, and what is broken in it."""

import json
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cloister import cli
from cloister.check import CHECKS, State
from tests.cluster import ControlPlane
from tests.clusters import meta, rule
from tests.gate.running import until
from tests.installed import NAMESPACE, RELEASE, install_chart, operator_kubeconfig, start_operator, stop_operator

Object = dict[str, Any]
Found = dict[str, list[Object]]
RBAC = "rbac.authorization.k8s.io/v1"
LABELLED = {"app.kubernetes.io/component": "controller", "app.kubernetes.io/version": "v1.11.5"}


def check(kubeconfig: Path, *options: str, code: int | None = None) -> Found:
    """The answers by their codes."""
    result = CliRunner().invoke(cli.app, ["check", "-o", "json", "--kubeconfig", str(kubeconfig), *options])
    assert not result.exception or isinstance(result.exception, SystemExit), result.output
    assert code in (None, result.exit_code), result.output
    found: Found = defaultdict(list)
    for answer in json.loads(result.stdout):
        found[answer["code"]].append(answer)
    return found


def states(found: Found, code: str) -> set[str]:
    """How a check stands."""
    return {answer["state"] for answer in found[code]}


def said(found: Found, code: str, state: State) -> str:
    """What a check says in a state."""
    return "\n".join(f"{one['subject']}: {one['message']}" for one in found[code] if one["state"] == state)


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """An API server, and nothing else."""
    with ControlPlane.start(tmp_path_factory.mktemp("check")) as plane:
        yield plane


@pytest.fixture(scope="module")
def before(bare: ControlPlane) -> Found:
    """What is said of a bare cluster."""
    return check(bare.kubeconfig, code=1)


@pytest.fixture(scope="module")
def plane(bare: ControlPlane, before: Found) -> Iterator[ControlPlane]:
    """With cert-manager, a storage class, the chart and an operator; and what a kubelet would report."""
    assert before
    bare.install_cert_manager()
    bare.create_storage_class(parameters={"encrypted": "true"})
    install_chart(bare)
    bare.kubectl.apply(
        [workload("Deployment", "cert-manager", "cert-manager", LABELLED), workload("DaemonSet", "cilium")]
    )
    start_operator(bare, operator_kubeconfig(bare))
    report(bare, "deployment", RELEASE, NAMESPACE, {"replicas": 2, "readyReplicas": 2})
    report(bare, "deployment", "cert-manager", "cert-manager", {"replicas": 1, "readyReplicas": 1})
    everywhere = {"desiredNumberScheduled": 1, "currentNumberScheduled": 1, "numberMisscheduled": 0, "numberReady": 1}
    report(bare, "daemonset", "cilium", "kube-system", everywhere)
    yield bare
    stop_operator(bare)


def workload(kind: str, name: str, namespace: str = "kube-system", labels: dict[str, str] | None = None) -> Object:
    """A Deployment or DaemonSet, of which no kubelet runs anything."""
    app = {"app": name}
    pod = {"metadata": {"labels": app}, "spec": {"containers": [{"name": "c", "image": "example.com/c"}]}}
    named = {"app.kubernetes.io/name": name} | (labels or {})
    return {
        "apiVersion": "apps/v1", "kind": kind, "metadata": meta(name, namespace) | {"labels": named},
        "spec": {"selector": {"matchLabels": app}, "template": pod},
    }  # fmt: skip


def report(plane: ControlPlane, kind: str, name: str, namespace: str, status: Object) -> None:
    """Write a status, in the controllers' place: frozen, they do not write it back."""
    plane.pause_controller_manager()
    patch = json.dumps({"status": status})
    plane.kubectl("patch", kind, name, "-n", namespace, "--subresource=status", "--type=merge", "-p", patch)


def after(plane: ControlPlane, change: Callable[[], object]) -> Found:
    """What is said after a change."""
    change()
    return check(plane.kubeconfig)


def test_a_bare_cluster_lacks_everything_but_kubernetes(before: Found) -> None:
    assert {code for code in before if State.ERROR in states(before, code)} == {
        "CK201", "CK204", "CK501", "CK502", "CK503", "CK601", "CK602", "CK603",
    }  # fmt: skip
    assert states(before, "CK101") == states(before, "CK102") == {State.OK}
    assert states(before, "CK202") == states(before, "CK203") == states(before, "CK301") == {State.UNKNOWN}
    assert states(before, "CK104") == states(before, "CK402") == {State.NOTE}
    assert states(before, "CK401") == {State.WARNING}
    assert [code for code in before if code.startswith("CK7") and states(before, code) != {State.OK}] == []
    assert set(before) == {one.code for one in CHECKS}


def test_all_is_well_where_all_is_there(plane: ControlPlane) -> None:
    found = check(plane.kubeconfig, code=0)
    assert {code for code in found if states(found, code) - {State.OK, State.NOTE}} == set(), found
    assert "v1.11" in said(found, "CK202", State.OK)
    assert "leads" in said(found, "CK503", State.OK)
    assert "Cilium" in said(found, "CK301", State.OK)
    text = CliRunner().invoke(cli.app, ["check", "-v", "--kubeconfig", str(plane.kubeconfig)]).stdout
    assert "CK601" in text
    assert text.splitlines()[-1].startswith("0 error")


def test_a_webhook_that_does_not_answer(plane: ControlPlane) -> None:
    found = after(plane, plane.cert_manager.stop)
    plane.cert_manager.start()
    assert "failed calling webhook" in said(found, "CK204", State.ERROR)
    until(lambda: states(check(plane.kubeconfig), "CK204") == {State.OK}, "the webhook")


def test_guards_that_are_taken_away(plane: ControlPlane) -> None:
    binding = plane.kubectl.get("validatingadmissionpolicybinding", "exec-guard.cloister.dev")
    names = "exec-guard.cloister.dev", "exec-guard-operator.cloister.dev"
    for deleted, name in enumerate(names, 1):
        found = after(plane, lambda name=name: plane.kubectl("delete", "validatingadmissionpolicybinding", name))  # type: ignore[misc]
        missing = [f"exec-guard.cloister.dev: binding {one} is not installed" for one in names[:deleted]]
        assert said(found, "CK602", State.ERROR) == "\n".join(missing)
    warns = binding["spec"] | {"validationActions": ["Warn"]}
    again = {**binding, "metadata": {"name": binding["metadata"]["name"]}, "spec": warns}
    found = after(plane, lambda: plane.kubectl.apply([again]))
    assert "does not deny" in said(found, "CK602", State.ERROR)
    found = after(plane, lambda: plane.kubectl("delete", "validatingadmissionpolicy", "ca-guard.cloister.dev"))
    assert said(found, "CK601", State.ERROR) == "ca-guard.cloister.dev: is not installed"
    plane.kubectl("delete", "validatingadmissionpolicybinding", names[0])  # or helm would see a conflict
    install_chart(plane)
    assert states(check(plane.kubeconfig), "CK601") == {State.OK}


def test_an_operator_that_is_gone(plane: ControlPlane) -> None:
    stop_operator(plane)
    found = after(plane, lambda: report(plane, "deployment", RELEASE, NAMESPACE, {"replicas": 2, "readyReplicas": 0}))
    assert "nobody leads" in said(found, "CK503", State.ERROR)
    assert "0 of 2 pods" in said(found, "CK502", State.ERROR)


def test_rights_that_lead_around_the_guards(plane: ControlPlane) -> None:
    account = {"kind": "ServiceAccount", "namespace": "ci", "name": "deployer"}
    rules = [
        rule("", "nodes/proxy secrets pods/exec serviceaccounts/token", "get list create"),
        rule("", "users groups", "impersonate"),
        rule("", "persistentvolumes", "create"),
        rule("rbac.authorization.k8s.io", "clusterroles", "escalate bind"),
        rule("admissionregistration.k8s.io", "validatingadmissionpolicies", "delete"),
    ]
    reference = {"apiGroup": RBAC.partition("/")[0], "kind": "ClusterRole", "name": "power"}
    binding = {"apiVersion": RBAC, "metadata": meta("power"), "roleRef": reference, "subjects": [account]}
    plane.kubectl.apply([
        {"apiVersion": RBAC, "kind": "ClusterRole", "metadata": meta("power"), "rules": rules},
        {"kind": "ClusterRoleBinding", **binding},
        {"kind": "RoleBinding", **binding, "metadata": meta("all", "cert-manager"),
         "roleRef": reference | {"name": "cluster-admin"}},
    ])  # fmt: skip
    found = check(plane.kubeconfig)
    for code in ("CK702", "CK703", "CK704", "CK705", "CK708", "CK709"):
        text = said(found, code, State.WARNING)
        assert "ServiceAccount ci/deployer" in text
        assert "ClusterRoleBinding power" in text
    for code in ("CK706", "CK707"):
        assert "no guard refuses that in cert-manager" in said(found, code, State.WARNING)
    assert "in namespace cert-manager, by RoleBinding all" in said(found, "CK701", State.NOTE)
    plane.kubectl("delete", "clusterrolebinding/power", "clusterrole/power")
    plane.kubectl("delete", "rolebinding", "all", "-n", "cert-manager")


def test_a_network_plugin_that_does_not_enforce(plane: ControlPlane) -> None:
    plane.kubectl("delete", "daemonset", "cilium", "-n", "kube-system")
    found = after(plane, lambda: plane.kubectl.apply([workload("DaemonSet", "kube-flannel-ds")]))
    assert "does not enforce" in said(found, "CK301", State.ERROR)


def test_clocks_and_classes(plane: ControlPlane) -> None:
    lease = {
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": meta("n1", "kube-node-lease"),
        "spec": {"holderIdentity": "n1", "renewTime": "2099-01-01T00:00:00.000000Z"},
    }  # fmt: skip
    plane.kubectl.apply([{"apiVersion": "v1", "kind": "Node", "metadata": meta("n1")}, lease])
    ready = {"conditions": [{"type": "Ready", "status": "True"}]}
    plane.kubectl("patch", "node", "n1", "--subresource=status", "--type=merge", "-p", json.dumps({"status": ready}))
    runsc = {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": meta("gvisor"), "handler": "runsc"}
    plane.kubectl.apply([runsc])
    found = check(plane.kubeconfig)
    assert "node n1" in said(found, "CK103", State.WARNING)
    assert states(found, "CK104") == {State.OK}
    plane.create_storage_class("second")
    assert "are all the default" in said(check(plane.kubeconfig), "CK401", State.WARNING)


def test_who_may_see_nothing_is_told_so(plane: ControlPlane) -> None:
    nobody = plane.kubeconfig_for("nobody")
    found = check(nobody, code=0)
    assert states(found, "CK101") == {State.OK}
    told = {code for code in found if states(found, code) == {State.UNKNOWN}}
    assert told >= {"CK102", "CK201", "CK203", "CK204", "CK301", "CK401", "CK501", "CK502", "CK601", "CK702"}
    assert 'User "nobody" cannot list' in said(found, "CK704", State.UNKNOWN)
    check(nobody, "--strict", code=1)


def test_a_cluster_that_can_not_be_asked(plane: ControlPlane, tmp_path: Path) -> None:
    stranger = plane.kubeconfig_for_token("nonsense")
    result = CliRunner().invoke(cli.app, ["check", "--kubeconfig", str(stranger)])
    assert result.exit_code == 2
    assert "does not know you" in result.stderr
    away = tmp_path / "away"
    away.write_text(plane.kubeconfig.read_text().replace(plane.server, "https://127.0.0.1:1"))
    result = CliRunner().invoke(cli.app, ["check", "--kubeconfig", str(away)])
    assert result.exit_code == 2
    assert "can't be reached" in result.stderr
