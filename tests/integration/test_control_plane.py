"""The control plane that the other tests stand on does what a real one does."""

import base64
import json
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from tests.cluster import ControlPlane, ExternalCluster, Kubectl, KubectlError, ProcessError, binaries
from tests.cluster.elsewhere import Elsewhere
from tests.cluster.processes import ProcessTable, wait_until

REPOSITORY = Path(__file__).parents[2]
CERT_MANAGER_USER = "system:serviceaccount:cert-manager:cert-manager"


@pytest.fixture
def namespace(cluster: ControlPlane | ExternalCluster) -> Iterator[str]:
    """A namespace for one test; nothing else is in it."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    cluster.kubectl("create", "namespace", name)
    yield name
    cluster.kubectl("delete", "namespace", name, "--ignore-not-found", "--wait=false")


def test_the_server_is_the_pinned_version(control_plane: ControlPlane) -> None:
    version = json.loads(control_plane.kubectl("get", "--raw", "/version"))
    assert version["gitVersion"] == binaries.PROGRAMS["kube-apiserver"].version


def test_the_current_context_is_a_cluster_too(
    control_plane: ControlPlane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLUSTER", "current")
    monkeypatch.setenv("KUBECONFIG", str(control_plane.kubeconfig))
    found = Elsewhere.chosen(tmp_path)
    assert found is not None
    found.install_cert_manager()
    assert found.kubectl.get("namespace", "default") == control_plane.kubectl.get("namespace", "default")


@pytest.mark.parametrize(
    "asked",
    [
        "cm kube-root-ca.crt",
        "configmaps",
        "configmaps -l a=b",
        "namespaces",
        "sa --field-selector metadata.name=default",
    ],
)
def test_what_is_read_is_what_kubectl_gets(cluster: ControlPlane | ExternalCluster, namespace: str, asked: str) -> None:
    cluster.kubectl("create", "configmap", "one", "-n", namespace)
    cluster.kubectl("label", "configmap", "one", "a=b", "-n", namespace)
    where = (*asked.split(), "-n", namespace)
    assert wait_until(lambda: "kube-root-ca.crt" in cluster.kubectl("get", "cm", "-n", namespace), 60)
    assert wait_until(lambda: cluster.kubectl("get", "sa", "-n", namespace, "-o=name") != "", 60)
    found, expected = cluster.kubectl.get(*where), json.loads(cluster.kubectl("get", *where, "-o", "json"))
    if "items" not in expected:
        assert found == expected
        return
    mine = [item for item in found["items"] if namespace in json.dumps(item["metadata"])]
    assert mine == [item for item in expected["items"] if namespace in json.dumps(item["metadata"])] != []


def test_what_is_not_there_is_said_as_kubectl_says_it(cluster: ControlPlane | ExternalCluster, namespace: str) -> None:
    with pytest.raises(KubectlError, match="NotFound"):
        cluster.kubectl.get("configmap", "none", "-n", namespace)
    with pytest.raises(KubectlError, match="the server doesn't have a resource type"):
        cluster.kubectl.get("unicorns")


def test_everything_runs(control_plane: ControlPlane) -> None:
    assert set(control_plane.running()) == {
        "etcd",
        "kube-apiserver",
        "kube-controller-manager",
        "cert-manager-controller",
        "cert-manager-webhook",
    }


def test_controllers_delete_a_namespace(cluster: ControlPlane | ExternalCluster, namespace: str) -> None:
    cluster.kubectl("create", "configmap", "one", "-n", namespace)
    cluster.kubectl("delete", "namespace", namespace, "--timeout=60s")
    with pytest.raises(KubectlError, match="NotFound"):
        cluster.kubectl("get", "namespace", namespace)


def test_garbage_collection_follows_owner_references(cluster: ControlPlane | ExternalCluster, namespace: str) -> None:
    cluster.kubectl.apply([_config_map("owner", namespace)])
    owner = cluster.kubectl.get("configmap", "owner", "-n", namespace)
    child = _config_map("child", namespace)
    child["metadata"]["ownerReferences"] = [
        {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["metadata"]["uid"]}
    ]
    cluster.kubectl.apply([child])
    cluster.kubectl("delete", "configmap", "owner", "-n", namespace)
    cluster.kubectl("wait", "--for=delete", "configmap/child", "-n", namespace, "--timeout=60s")
    assert cluster.kubectl("get", "configmap", "child", "-n", namespace, "--ignore-not-found") == ""


def test_controllers_make_pods_under_their_own_accounts(control_plane: ControlPlane, namespace: str) -> None:
    before = control_plane.audit_mark()
    control_plane.kubectl("create", "job", "one", "--image=none", "-n", namespace)
    assert wait_until(lambda: len(_items(control_plane.kubectl, "pods", namespace)) == 1, 60)
    makers = {
        event["user"]["username"]
        for event in control_plane.audit_events(before)
        if event["verb"] == "create" and _target(event) == ("pods", namespace)
    }
    assert makers == {"system:serviceaccount:kube-system:job-controller"}


def test_pod_security_is_enforced(cluster: ControlPlane | ExternalCluster, namespace: str) -> None:
    label = "pod-security.kubernetes.io/enforce=restricted"
    cluster.kubectl("label", "namespace", namespace, label)
    with pytest.raises(KubectlError, match="violates PodSecurity"):
        cluster.kubectl("run", "one", "--image=none", "--privileged", "-n", namespace)


def test_claims_of_the_default_class_wait_for_a_volume(control_plane: ControlPlane, namespace: str) -> None:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    metadata = {"name": "one", "namespace": namespace}
    claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": spec}
    control_plane.kubectl.apply([claim])
    made = control_plane.kubectl.get("persistentvolumeclaim", "one", "-n", namespace)
    assert made["spec"]["storageClassName"] == "standard"
    assert made["status"]["phase"] == "Pending"


# --- users ---


def test_a_user_may_do_what_rbac_grants_and_no_more(cluster: ControlPlane | ExternalCluster, namespace: str) -> None:
    alice = Kubectl(cluster.kubeconfig_for("alice", ["readers"]))
    with pytest.raises(KubectlError, match='User "alice" cannot list'):
        alice("get", "configmaps", "-n", namespace)
    cluster.kubectl("create", "rolebinding", "readers", "--clusterrole=view", "--group=readers", "-n", namespace)
    assert "kube-root-ca.crt" in alice("get", "configmaps", "-n", namespace)
    with pytest.raises(KubectlError, match='User "alice" cannot delete'):
        alice("delete", "configmap", "kube-root-ca.crt", "-n", namespace)


def test_users_are_who_they_say(cluster: ControlPlane | ExternalCluster) -> None:
    bob = Kubectl(cluster.kubeconfig_for("bob", ["devs", "ops"]))
    about = json.loads(bob("auth", "whoami", "-o", "json"))["status"]["userInfo"]
    assert about["username"] == "bob"
    assert {"devs", "ops"} <= set(about["groups"])


def test_a_service_account_is_itself(cluster: ControlPlane | ExternalCluster, namespace: str) -> None:
    cluster.kubectl("create", "serviceaccount", "robot", "-n", namespace)
    robot = Kubectl(cluster.kubeconfig_for_service_account(namespace, "robot"))
    about = json.loads(robot("auth", "whoami", "-o", "json"))["status"]["userInfo"]
    assert about["username"] == f"system:serviceaccount:{namespace}:robot"


# --- audit ---


def test_every_write_is_in_the_audit_log_before_its_answer(control_plane: ControlPlane, namespace: str) -> None:
    before = control_plane.audit_mark()
    writer = Kubectl(control_plane.kubeconfig_for("writer", ["system:masters"]))
    for number in range(5):
        writer("create", "configmap", f"n{number}", "-n", namespace)
    writer("get", "configmaps", "-n", namespace)
    events = [event for event in control_plane.audit_events(before) if event["user"]["username"] == "writer"]
    assert [event["verb"] for event in events] == ["create"] * 5
    assert {event["level"] for event in events} == {"Metadata"}
    assert {event["annotations"]["authorization.k8s.io/decision"] for event in events} == {"allow"}


def test_a_refused_write_is_in_the_audit_log(control_plane: ControlPlane, namespace: str) -> None:
    before = control_plane.audit_mark()
    stranger = Kubectl(control_plane.kubeconfig_for("stranger"))
    with pytest.raises(KubectlError, match="forbidden"):
        stranger("create", "configmap", "one", "-n", namespace)
    codes = [
        event["responseStatus"]["code"]
        for event in control_plane.audit_events(before)
        if event["user"]["username"] == "stranger"
    ]
    assert codes == [403]


# --- cert-manager ---


def test_cert_manager_issues_a_self_signed_certificate(cluster: ControlPlane | ExternalCluster, namespace: str) -> None:
    cluster.kubectl.apply(_self_signed("leaf", namespace))
    cluster.kubectl("wait", "--for=condition=Ready", "certificate/leaf", "-n", namespace, "--timeout=60s")
    data = cluster.kubectl.get("secret", "leaf", "-n", namespace)["data"]["tls.crt"]
    certificate = x509.load_pem_x509_certificate(base64.b64decode(data))
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    assert uris == ["spiffe://cluster.local/ns/test/sa/leaf"]


def test_cert_manager_acts_under_its_own_account(control_plane: ControlPlane, namespace: str) -> None:
    control_plane.kubectl.apply(_self_signed("leaf", namespace))
    control_plane.kubectl("wait", "--for=condition=Ready", "certificate/leaf", "-n", namespace, "--timeout=60s")
    (request,) = _items(control_plane.kubectl, "certificaterequests", namespace)
    assert request["spec"]["username"] == CERT_MANAGER_USER


def test_the_webhook_refuses_what_the_schema_lets_through(
    cluster: ControlPlane | ExternalCluster, namespace: str
) -> None:
    issuer, certificate = _self_signed("leaf", namespace)
    certificate["spec"] |= {"duration": "1h", "renewBefore": "2h"}
    with pytest.raises(KubectlError, match="admission webhook"):
        cluster.kubectl.apply([issuer, certificate])


# --- what tests do to it ---


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """One to start and stop parts of, without cert-manager at first."""
    with ControlPlane.start(tmp_path_factory.mktemp("own")) as plane:
        yield plane


def test_cert_manager_comes_and_goes(own: ControlPlane) -> None:
    with pytest.raises(KubectlError, match="the server doesn't have a resource type"):
        own.kubectl("get", "certificates")

    own.install_cert_manager()
    own.install_cert_manager()
    own.kubectl.apply(_self_signed("leaf", "default"))
    own.kubectl("wait", "--for=condition=Ready", "certificate/leaf", "--timeout=60s")

    own.uninstall_cert_manager()
    assert not any(name.startswith("cert-manager") for name in own.running())
    assert "cert-manager" not in own.kubectl(
        "get",
        "crd,namespace,clusterrole,validatingwebhookconfiguration,mutatingwebhookconfiguration",
        "-o=name",
    )

    own.install_cert_manager()
    own.kubectl.apply(_self_signed("again", "default"))
    own.kubectl("wait", "--for=condition=Ready", "certificate/again", "--timeout=60s")
    assert "again" in own.kubectl("get", "secrets", "-o=name")


def test_the_api_server_restarts_with_its_data(own: ControlPlane) -> None:
    own.kubectl("create", "configmap", "before")
    first = own.pid("kube-apiserver")
    own.restart_apiserver()
    assert own.pid("kube-apiserver") != first
    assert "configmap/before" in own.kubectl("get", "configmaps", "-o=name")


def test_without_controllers_nothing_is_cleaned_up(own: ControlPlane) -> None:
    own.kubectl("create", "namespace", "leaving")
    own.stop_controller_manager()
    own.kubectl("delete", "namespace", "leaving", "--wait=false")
    assert own.kubectl.get("namespace", "leaving")["status"]["phase"] == "Terminating"
    own.start_controller_manager()
    own.kubectl("wait", "--for=delete", "namespace/leaving", "--timeout=60s")

    own.pause_controller_manager()
    own.kubectl("create", "namespace", "paused")
    assert own.kubectl("get", "serviceaccounts", "-n", "paused", "-o=name") == ""
    own.resume_controller_manager()
    assert wait_until(lambda: bool(_items(own.kubectl, "serviceaccounts", "paused")), 60)


def test_a_component_that_cannot_start_says_why(own: ControlPlane) -> None:
    (key := own.directory / "pki" / "apiserver.key").rename(kept := key.with_suffix(".kept"))
    key.write_text("not a key")
    with pytest.raises(ProcessError, match=r"(?s)kube-apiserver ended.*command failed.*in key input"):
        own.restart_apiserver()
    kept.rename(key)
    own.restart_apiserver()


def test_stopping_ends_every_process_and_keeps_the_logs(own: ControlPlane) -> None:
    """Last of those with that cluster."""
    own.uninstall_cert_manager()
    processes = list(ProcessTable(own.directory).running().values())
    assert len(processes) == 3
    own.stop()
    own.stop()
    assert not any(process.alive() for process in processes)
    assert own.log("kube-apiserver").stat().st_size > 0


def test_it_ends_with_the_process_that_started_it_even_a_killed_one(tmp_path: Path) -> None:
    directory = tmp_path / "plane"
    script = (
        "import pathlib, sys, time; from tests.cluster import ControlPlane;"
        "ControlPlane.start(pathlib.Path(sys.argv[1])); print('up', flush=True); time.sleep(600)"
    )
    starter = subprocess.Popen(
        [sys.executable, "-c", script, str(directory)], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
    )
    with starter:
        assert starter.stdout is not None
        assert starter.stdout.readline() == "up\n"
        processes = ProcessTable(directory).running()
        assert set(processes) == {"etcd", "kube-apiserver", "kube-controller-manager"}
        starter.send_signal(signal.SIGKILL)
    assert wait_until(lambda: not any(process.alive() for process in processes.values()), 60)


def test_the_command_line_leaves_it_running_and_takes_all_of_it_down(tmp_path: Path) -> None:
    directory = tmp_path / "plane"
    _command("up", "--dir", str(directory))
    try:
        processes = ProcessTable(directory).running()
        assert set(processes) == {"etcd", "kube-apiserver", "kube-controller-manager"}
        assert f"KUBECONFIG={directory}/kubeconfig" in _command("env", "--dir", str(directory))
        plane = ControlPlane.open(directory)
        plane.kubectl("create", "configmap", "kept")

        plane.stop_controller_manager()
        _command("up", "--dir", str(directory))  # brings back what is missing, and only that
        again = ProcessTable(directory).running()
        assert again["etcd"] == processes["etcd"]
        assert again["kube-controller-manager"] != processes["kube-controller-manager"]
        assert "configmap/kept" in plane.kubectl("get", "configmaps", "-o=name")
    finally:
        _command("down", "--dir", str(directory))
    assert not any(process.alive() for process in [*processes.values(), *again.values()])
    assert not directory.exists()
    _command("down", "--dir", str(directory))


def _command(*arguments: str) -> str:
    command = [sys.executable, "-m", "tests.cluster", *arguments]
    return subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True, text=True).stdout


def _config_map(name: str, namespace: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace}}


def _self_signed(name: str, namespace: str) -> list[dict[str, Any]]:
    metadata = {"name": name, "namespace": namespace}
    version = "cert-manager.io/v1"
    spec = {
        "secretName": name,
        "uris": [f"spiffe://cluster.local/ns/test/sa/{name}"],
        "issuerRef": {"name": name, "kind": "Issuer"},
    }
    return [
        {"apiVersion": version, "kind": "Issuer", "metadata": metadata, "spec": {"selfSigned": {}}},
        {"apiVersion": version, "kind": "Certificate", "metadata": metadata, "spec": spec},
    ]


def _items(kubectl: Kubectl, kind: str, namespace: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = kubectl.get(kind, "-n", namespace)["items"]
    return items


def _target(event: dict[str, Any]) -> tuple[str, str]:
    reference = event.get("objectRef", {})
    return reference.get("resource", ""), reference.get("namespace", "")
