"""What runs in a rendered pod, started as a kubelet would, and an intruder where its workload runs."""

import http.client
import json
import ssl
from pathlib import Path
from typing import Any

import psutil

from cloister.facts import Facts
from cloister.render.auditor import auditor_settings
from cloister.render.gate import gate_files
from cloister.render.meta import compact
from cloister.spec import LLMDeployment
from cloister.zones import GATE_HEALTH_PORT, HEALTH_PORT, Component
from tests.gate import intruder
from tests.gate.model import OUR_CA
from tests.gate.pod import Object, Pod
from tests.gate.running import until


def mounted(deployment: LLMDeployment, component: Component, facts: Facts, identity: str) -> dict[str, dict[str, str]]:
    """What a pod of a component finds in its volumes: volume -> file -> text. The certificate is for ``identity``."""
    leaf = OUR_CA.issue(identity)
    config = auditor_settings(deployment, component).model_dump(mode="json", exclude_none=True)
    return {
        "gate-config": {name: compact(content) for name, content in gate_files(deployment, component, facts).items()},
        "auditor-config": {"auditor.json": json.dumps(config)},
        "leaf": {"tls.crt": leaf.chain, "tls.key": leaf.key},
        "trust": {"ca.crt": OUR_CA.pem},
    }


class Inhabited:
    """The pod with its gate and its auditor."""

    def __init__(self, made: Pod, workload: str, sockets: tuple[str, ...], forged: dict[str, str]) -> None:
        self.pod, self.workload = made, workload
        self._sockets, self._forged = sockets, forged
        self.started = {"gate": psutil.Process(made.start(made.container("gate")).pid)}
        self.wait("gate", GATE_HEALTH_PORT, "/ready")
        self.started["auditor"] = psutil.Process(made.start(made.container("auditor")).pid)
        self.wait("auditor", HEALTH_PORT, "/readyz")

    def work(self, path: str, *arguments: str, name: str) -> None:
        """Starts a program of the standard library in the workload's container."""
        self.pod.start(self.program(path, *arguments) | {"name": name})

    def wait(self, name: str, port: int, path: str) -> None:
        """Until the kubelet would go on."""
        try:
            until(lambda: self.status(port, path) == 200, name, seconds=30)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.pod.log(name)[-3000:]}") from None

    def program(self, path: str, *arguments: str) -> Object:
        """The workload's container with another program in it."""
        return self.pod.container(self.workload) | {
            "name": "intruder",
            "command": ["python", "-c", Path(path).read_text()],
            "args": list(arguments),
        }

    def intrude(self, container: Object | None = None, *mounts: Object, **task: Any) -> dict[str, Any]:
        """What the intruder meets."""
        whole = {
            "sockets": self._sockets,
            "directories": [],
            "scan": False,
            "requests": [],
            "tls": [],
            "headers": self._forged,
        }
        found = self.pod.run(
            (container or {})
            | self.program(intruder.__file__, json.dumps(whole | task))
            | ({"securityContext": container["securityContext"]} if container else {}),
            mounts,
        )
        answer: dict[str, Any] = json.loads(found)
        return answer

    def status(self, port: int, path: str) -> int | None:
        """What the kubelet sees."""
        try:
            return self.ask(port, "GET", path)[0]
        except (OSError, http.client.HTTPException):
            return None

    def ask(
        self,
        port: int,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
        context: ssl.SSLContext | None = None,
    ) -> tuple[int, dict[str, str], bytes]:
        """A request from beside the pod."""
        connection = http.client.HTTPConnection("pod", port)
        plain = self.pod.connection(port)
        connection.sock = context.wrap_socket(plain) if context else plain
        try:
            connection.request(method, path, body, headers or {})
            reply = connection.getresponse()
            return reply.status, {name.lower(): value for name, value in reply.getheaders()}, reply.read()
        finally:
            connection.close()


def asked(found: dict[str, Any]) -> list[int | str]:
    """The statuses of the intruder's requests."""
    return [answer if isinstance(answer, str) else answer[0] for *_, answer in found["asked"]]


def user(container: Object) -> int:
    """The user that a container runs as."""
    return int(container["securityContext"]["runAsUser"])
