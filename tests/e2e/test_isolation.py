"""Isolation proved on a real network before anything starts (ZT-17)."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.cluster.kubectl import Kubectl
from tests.e2e.conftest import timed
from tests.e2e.life import NAME, Life
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


def isolation(life: Life) -> Object:
    """The condition."""
    status: Object = life.kubectl.get("llmd", NAME).get("status", {})
    return next((one for one in status.get("conditions", ()) if one["type"] == "IsolationProven"), {})


def verify(life: Life) -> tuple[int, dict[str, Object]]:
    """`cloister verify`: its exit code, and its checks by name."""
    program = Path(sys.executable).with_name("cloister")
    command: list[str | Path] = [
        program,
        "verify",
        NAME,
        "-o",
        "json",
        f"--kubeconfig={life.node.kubeconfig}",
        "--timeout=180",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout, done.stderr
    return done.returncode, {check["name"]: check for check in json.loads(done.stdout)["checks"]}


def test_the_model_was_started_on_the_strength_of_a_proof(life: Life) -> None:
    assert "exceptions" not in life.kubectl.get("llmd", NAME)["spec"]
    said = isolation(life)
    assert (said["status"], said["reason"]) == ("True", "Proven"), said


def test_a_person_verifies_all_of_it(life: Life) -> None:
    with timed("cloister verify, with canaries at every post"):
        code, checks = verify(life)
    assert [check for check in checks.values() if check["outcome"] == "failed"] == []
    assert code == 0
    for allowed in ("training -> training-data", "training -> checkpoints", "inference -> interaction-logs"):
        assert checks[allowed]["detail"].startswith("8443 passes; ")
    for source in ("training", "inference", "training-data", "checkpoints", "interaction-logs"):
        for beyond in ("API server", "metadata service", "cluster DNS", "internet", "stranger"):
            assert checks[f"{source} -> {beyond}"]["outcome"] == "holds"
    for gate in ("training-data", "checkpoints", "interaction-logs"):
        assert checks[f"training -> gate of {gate}"]["detail"] == "refused without a certificate"
    assert checks[f"exec into a pod of {NAME}-inference"]["detail"] == "refused by Cloister's guards"


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
    code, checks = verify(life)
    assert (code, checks["stranger -> inference"]["outcome"]) == (0, "holds")
