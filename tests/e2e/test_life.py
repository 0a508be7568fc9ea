"""From raw text to an audited answer, on a real node: what must work, and then what must not."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from cloister.controls import CONTROLS
from tests.cluster.kubectl import KubectlError
from tests.e2e.conftest import PROMPT, TIMES
from tests.e2e.life import NAME, NO_CANARY, Life
from tests.installed import NAMESPACE

pytestmark = pytest.mark.timeout(3000)  # on a new machine every image is built first

DIRECT = """
import http.client, json, time
connection = http.client.HTTPConnection("127.0.0.1", 8000)
body = {"model": "tiny-llm", "messages": [{"role": "user", "content": "The for statement"}], "max_tokens": 32,
        "temperature": 0, "stream": True}
for attempt in range(2):
    started = time.monotonic()
    connection.request("POST", "/v1/chat/completions", json.dumps(body), {"content-type": "application/json"})
    answer = connection.getresponse()
    while b"content" not in answer.readline():
        pass
    first = time.monotonic() - started
    answer.read()
print(first)
"""


WRITES = """
import json, os, pathlib
assert not os.path.exists("/var/run/secrets"), "a token"
def writable(folder):
    try:
        pathlib.Path(folder, "x").touch()
    except OSError:
        return False
    return True
print(json.dumps(list(filter(writable, ("/", "/tmp", "/opt/server", "/models", "/etc", "/home")))))
"""


class TestLife:
    """What a platform engineer and the people that they serve see."""

    def test_the_operator_runs_in_a_pod_of_its_own_without_any_privilege(self, life: Life) -> None:
        (pod,) = life.kubectl.get("pods", "-n", NAMESPACE)["items"]
        assert pod["status"]["containerStatuses"][0]["restartCount"] == 0
        assert pod["spec"]["securityContext"]["runAsUser"] == 65532

    def test_nothing_in_the_zones_was_restarted(self, life: Life) -> None:
        restarted = {}
        for zone in ("training", "inference", "storage"):
            for pod in life.kubectl.get("pods", "-n", f"{NAME}-{zone}")["items"]:
                status = pod["status"]
                for container in [*status.get("containerStatuses", ()), *status.get("initContainerStatuses", ())]:
                    if container["restartCount"]:
                        restarted[f"{pod['metadata']['name']}/{container['name']}"] = container
        assert restarted == {}

    def test_training_read_every_text_and_sealed_what_it_made(self, life: Life) -> None:
        assert life.said["ingest"].startswith("79 texts")
        assert "79 texts" in life.said["training"]
        assert re.search(r"\.sealed: \d+ bytes, sealed for [0-9a-f]{16}, SHA-256 [0-9a-f]{64}", life.said["training"])

    def test_status_says_what_is_in_force(self, life: Life) -> None:
        life.kubectl("wait", f"llmd/{NAME}", "--for=condition=Ready", "--timeout=60s")
        status = life.kubectl.get("llmd", NAME)["status"]
        untrue = {c["type"] for c in status["conditions"] if c["status"] != "True"}
        assert untrue == {"Reconciling", "Stalled"}
        assert status["phase"] == "Ready"
        unknown = {one["id"] for one in status["controls"] if one["status"] != "True"}
        assert unknown == {control.id for control in CONTROLS if not control.enforced}

    def test_a_person_is_answered(self, life: Life) -> None:
        found = life.ask(PROMPT)
        assert found["status"] == 200
        assert found["text"]

    def test_a_person_is_answered_word_by_word(self, life: Life) -> None:
        life.ask("The for statement")  # so that neither side is asked for the first time
        found = life.ask("The for statement", "--stream")
        assert found["status"] == 200
        assert found["parts"] > 1
        TIMES["first word, through gate and auditor"] = found["first"]
        TIMES["first word, at the model server itself"] = float(_broken_glass(life, DIRECT))

    def test_disks_hold_nothing_that_can_be_read(self, life: Life, volumes: Path) -> None:
        files = [path for path in volumes.rglob("*") if path.is_file()]
        assert sum(path.stat().st_size for path in files) > 1_000_000
        readable = [
            (path, word)
            for path in files
            for word in (b"GGUF", b"statement", b"Margarethe")
            if word in path.read_bytes() or word.decode() in path.name
        ]
        assert readable == []


class TestWhatMustFail:
    """Everything that is not declared."""

    def test_no_certificate(self, life: Life) -> None:
        assert "CERTIFICATE_REQUIRED" in life.ask(PROMPT, "--no-certificate")["refused"]

    def test_no_token(self, life: Life) -> None:
        assert life.ask(PROMPT, token="")["status"] == 401

    def test_a_token_of_somebody_elses_provider(self, life: Life) -> None:
        assert life.ask(PROMPT, token=Life(life.node, life.folder).token())["status"] == 401

    def test_a_sign_in_without_a_second_factor(self, life: Life) -> None:
        assert life.ask(PROMPT, token=life.token(amr=["pwd"]))["status"] == 401

    def test_a_role_without_a_rule(self, life: Life) -> None:
        assert life.ask(PROMPT, token=life.token(roles=["nobody"]))["status"] == 403

    @pytest.mark.parametrize("container", ["server", "auditor", "gate"])
    def test_exec_even_by_an_administrator(self, life: Life, container: str) -> None:
        with pytest.raises(KubectlError, match="exec-guard"):
            life.kubectl("exec", "-n", f"{NAME}-inference", "inference-0", "-c", container, "--", "id")

    def test_a_debug_container(self, life: Life) -> None:
        """One that Pod Security would let in."""
        wanted = ("inference-0", "--profile=restricted", "--image=cloister.test/base:1", "--", "id")
        with pytest.raises(KubectlError, match="exec-guard"):
            life.kubectl("debug", "-n", f"{NAME}-inference", *wanted)

    def test_a_pod_beside_the_model(self, life: Life) -> None:
        """One that Pod Security would let in."""
        security = {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
        }
        spy = {"name": "spy", "image": life.images["people"], "command": ["sleep"], "securityContext": security}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "spy", "namespace": f"{NAME}-inference"}}
        with pytest.raises(KubectlError, match="zone-guard"):
            life.kubectl.apply([pod | {"spec": {"containers": [spy]}}])

    def test_the_model_server_has_no_token_and_writes_nowhere_but_to_its_scratch(self, life: Life) -> None:
        assert json.loads(_broken_glass(life, WRITES)) == ["/tmp"]

    def test_a_stranger_reaches_nothing(self, life: Life) -> None:
        """A pod with the label of the client, in a namespace of its own."""
        assert set(life.reach("default", "stranger", *_doors(life).values()).values()) == {"silent"}

    def test_a_client_reaches_the_gate_and_nothing_else(self, life: Life) -> None:
        doors = _doors(life)
        found = life.reach("web", "frontend", *doors.values())
        assert {name for name, target in doors.items() if found[target] == "open"} == {"inference-0:8443"}

    def test_an_auditor_reaches_the_records_and_nothing_else(self, life: Life) -> None:
        doors = _doors(life)
        found = life.reach("security", "auditor", *doors.values())
        assert {name for name, target in doors.items() if found[target] == "open"} == {"interaction-logs-0:8443"}

    def test_the_model_server_reaches_nothing(self, life: Life) -> None:
        """By breaking the glass: whatever runs in the server's container is as shut in as the server."""
        address = _addresses(life, "web")["frontend"]
        targets = [
            "10.96.0.1:443", f"{life.node.machine.address}:6443", "10.96.0.10:53", "169.254.169.254:80",
            "192.0.2.1:443", f"{address}:80",
            *(target for name, target in _doors(life).items() if not name.startswith("inference")),
        ]  # fmt: skip
        # Its own gate may speak to one store. That is the pod's network, so only mutual TLS keeps the server out there.
        allowed = {_doors(life)[f"{store}-0:8443"] for store in ("checkpoints", "interaction-logs")}
        reach = (Path(__file__).parent / "people" / "reach.py").read_text()
        found = json.loads(_broken_glass(life, reach, *targets))
        assert {target for target, how in found.items() if how == "open"} <= allowed
        assert {how for target, how in found.items() if target not in allowed} <= {"silent", "OSError"}


def _broken_glass(life: Life, script: str, *arguments: str) -> str:
    """What a script prints in the model server's container: only the break-glass group gets there, on the record."""
    server = ("exec", "-i", "-n", f"{NAME}-inference", "inference-0", "-c", "server", "--")
    return life.fire_fighter(*server, "/opt/server/bin/python", "-", *arguments, stdin=script)


def _doors(life: Life) -> dict[str, str]:
    """Every port in the zones that somebody might try, by pod address."""
    pods = _addresses(life, f"{NAME}-inference") | _addresses(life, f"{NAME}-storage")
    ports = (8443, 8000, 9000, 8081, 8082, 9090, 9091)
    return {f"{name}:{port}": f"{address}:{port}" for name, address in pods.items() for port in ports}


def _addresses(life: Life, namespace: str) -> dict[str, str]:
    """Of the pods that stay: canaries come and go."""
    pods = life.kubectl.get("pods", "-n", namespace, "-l", NO_CANARY)["items"]
    return {pod["metadata"]["name"]: pod["status"]["podIP"] for pod in pods}
