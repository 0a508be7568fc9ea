"""Isolation proved on a real network before anything starts (ZT-17)."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from cloister import names
from cloister.zones import GATE_PORT, Component
from tests.cluster.kubectl import Kubectl
from tests.cluster.processes import wait_until
from tests.e2e.conftest import timed
from tests.e2e.life import NAME, Life
from tests.gate.careless import unverified
from tests.installed import NAMESPACE, RELEASE

Object = dict[str, Any]

OPERATOR = f"system:serviceaccount:{NAMESPACE}:{RELEASE}"
"""The guards let nobody else make a policy in a zone: so whoever does has stolen this."""
OPEN = {
    "apiVersion": "networking.k8s.io/v1",
    "kind": "NetworkPolicy",
    "metadata": {"name": "open", "namespace": f"{NAME}-inference"},
    "spec": {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{}]},
}


ASKS_NOBODY = """
import socket, ssl, sys
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
with context.wrap_socket(socket.create_connection((sys.argv[1], int(sys.argv[2])))) as connection:
    connection.settimeout(1)
    try:
        connection.recv(1)
    except TimeoutError:
        print("asks nobody")
    except ssl.SSLError as error:
        print(error)
"""


def isolation(life: Life) -> Object:
    """The condition."""
    status: Object = life.kubectl.get("llmd", NAME).get("status", {})
    return next((one for one in status.get("conditions", ()) if one["type"] == "IsolationProven"), {})


def verify(life: Life, seconds: int = 180) -> tuple[int, dict[str, Object]]:
    """`cloister verify`: its exit code, and its checks by name."""
    program = Path(sys.executable).with_name("cloister")
    command: list[str | Path] = [
        program,
        "verify",
        NAME,
        "-o",
        "json",
        f"--kubeconfig={life.node.kubeconfig}",
        f"--timeout={seconds}",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout, done.stderr
    return done.returncode, {check["name"]: check for check in json.loads(done.stdout)["checks"]}


def test_the_model_was_started_on_the_strength_of_a_proof(life: Life) -> None:
    assert "exceptions" not in life.kubectl.get("llmd", NAME)["spec"]
    said = isolation(life)
    assert (said["status"], said["reason"]) == ("True", "Proven"), said


def test_a_foreign_policy_is_found_by_name_and_by_what_it_does(life: Life) -> None:
    thief = Kubectl(life.node.kubeconfig_for(OPERATOR, ["system:masters"]))
    thief.apply([OPEN])
    try:
        code, checks = verify(life)
    finally:
        thief("delete", "networkpolicy", "open", "-n", f"{NAME}-inference")
    assert code == 1
    assert checks[f"no foreign policy in {NAME}-inference"]["detail"].endswith(": open")
    assert "stranger -> inference:8443: reached, must be blocked" in checks["stranger -> inference"]["detail"]
    assert checks["stranger -> checkpoints"]["outcome"] == "holds"


@contextmanager
def without_operator(life: Life) -> Iterator[Kubectl]:
    """Nobody repairs anything meanwhile; kubectl with what a thief would have who stole the operator's identity."""
    scale = ("scale", f"deployment/{RELEASE}", "-n", NAMESPACE)
    life.kubectl(*scale, "--replicas=0")
    try:
        assert wait_until(lambda: life.kubectl.get("pods", "-n", NAMESPACE)["items"] == [], 60)
        yield Kubectl(life.node.kubeconfig_for(OPERATOR, ["system:masters"]))
    finally:
        life.kubectl(*scale, "--replicas=1")


def test_a_missing_policy_is_found_while_nobody_repairs_it(life: Life) -> None:
    missing = f"{NAME}-inference/{names.DENY_ALL}"

    def back() -> bool:
        policies = life.kubectl.get("networkpolicies", "-n", f"{NAME}-inference")["items"]
        return names.DENY_ALL in {policy["metadata"]["name"] for policy in policies}

    with without_operator(life) as thief:
        thief("delete", "networkpolicy", names.DENY_ALL, "-n", f"{NAME}-inference")
        code, checks = verify(life, seconds=1)
    assert code == 1
    assert (checks[missing]["outcome"], checks[missing]["detail"]) == ("failed", "is missing")
    assert checks["every pair of places"]["detail"] == "the operator has not answered within 1 s: does it run?"
    assert wait_until(back, 90), "the operator that is back repairs nothing"


@contextmanager
def unwritable(life: Life, namespace: str, pod: str, volume: str) -> Iterator[None]:
    """Nothing that the kubelet would bring into a pod's ConfigMap volume gets there meanwhile."""
    uid = life.kubectl.get("pod", pod, "-n", namespace)["metadata"]["uid"]
    folder = str(life.node.volume(uid, volume))
    life.node.machine.run("mount", "--bind", folder, folder)
    try:
        life.node.machine.run("mount", "-o", "remount,bind,ro", folder)
        yield
    finally:
        life.node.machine.run("umount", folder)


def test_a_gate_that_asks_nobody_for_a_certificate_is_found(life: Life) -> None:
    """Its configuration was spoilt while no operator ran. The next one mends it at once, and the kubelet would bring
    that to the gate within seconds: here it can't until the canaries have been there."""
    namespace, pod, config = f"{NAME}-storage", "checkpoints-0", names.gate_config(Component.CHECKPOINTS)
    address = life.kubectl.get("pod", pod, "-n", namespace)["status"]["podIP"]

    def asks() -> str:
        return life.node.machine.run(sys.executable, "-c", ASKS_NOBODY, address, str(GATE_PORT))

    with ExitStack() as stack:
        with without_operator(life) as thief:
            files = thief.get("configmap", config, "-n", namespace)["data"]
            listeners = json.loads(files["listeners.json"])
            assert list(unverified(listeners))
            spoilt = json.dumps({"data": {"listeners.json": json.dumps(listeners)}})
            thief("patch", "configmap", config, "-n", namespace, "--type=merge", "-p", spoilt)
            assert wait_until(lambda: asks() == "asks nobody\n", 120), asks()
            stack.enter_context(unwritable(life, namespace, pod, "gate-config"))
        code, checks = verify(life)
    assert code == 1
    said = checks["training -> gate of checkpoints"]["detail"]
    assert said == "training -> gate of checkpoints:8443: answered without a certificate, must be refused"
    assert checks["training -> gate of training-data"]["outcome"] == "holds"
    assert wait_until(lambda: "CERTIFICATE_REQUIRED" in asks(), 120), asks()


def test_a_person_verifies_all_of_it(life: Life) -> None:
    """After all that was spoilt above: what was found then is gone."""
    with timed("cloister verify, with canaries at every post"):
        code, checks = verify(life)
    assert [check for check in checks.values() if check["outcome"] == "failed"] == []
    assert code == 0
    assert checks[f"{NAME}-inference/{names.DENY_ALL}"]["outcome"] == "holds"
    assert checks["stranger -> inference"]["outcome"] == "holds"
    for allowed in ("training -> training-data", "training -> checkpoints", "inference -> interaction-logs"):
        assert checks[allowed]["detail"].startswith("8443 passes; ")
    for source in ("training", "inference", "training-data", "checkpoints", "interaction-logs"):
        for beyond in ("API server", "metadata service", "cluster DNS", "internet", "stranger"):
            assert checks[f"{source} -> {beyond}"]["outcome"] == "holds"
    for gate in ("training-data", "checkpoints", "interaction-logs"):
        assert checks[f"training -> gate of {gate}"]["detail"] == "refused without a certificate"
    assert checks[f"exec into a pod of {NAME}-inference"]["detail"] == "refused by Cloister's guards"
