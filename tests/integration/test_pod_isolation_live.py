"""What a model server can do from inside its pod to the programs that watch it: nothing (ZT-10, ZT-18, ZT-21).

Gate and auditor as rendered, under their own UIDs, in one network namespace with a model server that is somebody's
else: it shares loopback and the pod's fsGroup with them, and nothing more.
"""

import http.client
import json
import os
import socket
import ssl
import sys
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cloister import sidecar
from cloister.facts import Facts, Settings
from cloister.render.auditor import auditor_settings
from cloister.render.gate.bootstrap import arguments
from cloister.render.workloads import inference
from cloister.sealing import generate
from cloister.zones import GATE_HEALTH_PORT, GATE_METRICS_PORT, GATE_PORT, HEALTH_PORT, METRICS_PORT, Component
from tests.gate.model import CHAT, FRONTEND, NIGHTLY, OUR_CA, OWN, inference_files, model
from tests.gate.mounted import ENVOY, Mounted, directory
from tests.gate.pod import Container, Pod, ended, network, there, volumes
from tests.gate.running import until
from tests.gate.specs import deployment

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="makes a network namespace and takes UIDs: needs root")

SPEC = model()
SOCKETS = (sidecar.ADMIN_SOCKET, sidecar.AUDITOR_SOCKET, sidecar.JOURNAL_SOCKET, sidecar.FETCH_SOCKET)
PORTS = (GATE_PORT, GATE_HEALTH_PORT, GATE_METRICS_PORT, HEALTH_PORT, METRICS_PORT)
MODEL_PORT = SPEC["inference"].get("port", 8000)


def containers() -> dict[str, Container]:
    """Of the rendered pod."""
    (pod,) = [o["spec"]["template"]["spec"] for o in inference(deployment(SPEC), Facts(), Settings())]
    return {one["name"]: Container.of(one) for one in [*pod["initContainers"], *pod["containers"]]}


CONTAINERS = containers()
SERVER = CONTAINERS["server"]


@dataclass
class Running:
    """The pod, running."""

    pod: Pod
    mounted: Mounted
    contexts: dict[str, ssl.SSLContext]

    def server(self, work: Any) -> Any:
        """What the model server's UID gets for an answer."""
        return self.pod.inside(SERVER, work)


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    """Gate and auditor; the model server is whatever a test does in its name."""
    with ExitStack() as stack:
        root = stack.enter_context(directory())
        pod = stack.enter_context(network())
        mounted = Mounted(root, {port: port for port in PORTS})
        leaf = OUR_CA.issue(OWN)
        mounted.identify(leaf.chain, leaf.key)
        mounted.trust(OUR_CA.pem)
        mounted.configure(inference_files(SPEC))
        volumes(root, *(path.rsplit("/", 1)[0] for path in SOCKETS), sidecar.JOURNAL_DIR)
        for entry in Path(mounted.path(sidecar.LEAF_DIR)).rglob("tls.key"):
            os.chown(entry, 0, sidecar.VOLUME_GID)
            entry.resolve().chmod(0o440)
        config = auditor_settings(deployment(SPEC), Component.INFERENCE).model_dump(mode="json", exclude_none=True)
        config["listen"] = mounted.path(sidecar.AUDITOR_SOCKET)
        config["journal"] |= {
            "directory": mounted.path(sidecar.JOURNAL_DIR),
            "upstream": f"unix:{mounted.path(sidecar.JOURNAL_SOCKET)}",
            "recipients": [str(generate().public)],
        }
        config["people"].pop("revocations", None)
        (root / "auditor.json").write_text(json.dumps(config))
        envoy = [str(ENVOY), *(mounted.path(part) if part.startswith("/") else part for part in arguments())]
        auditor = [sys.executable, "-m", "cloister.auditor", str(root / "auditor.json")]
        for name, command in (("gate", envoy), ("auditor", auditor)):
            process = pod.start(CONTAINERS[name], command, root / f"{name}.log")
            stack.callback(ended, process)
        there(mounted.path(sidecar.JOURNAL_SOCKET))
        there(mounted.path(sidecar.AUDITOR_SOCKET))
        until(lambda: pod.inside(None, lambda: asked(HEALTH_PORT, "/readyz")[0]) == 200, "the auditor")
        contexts = {}
        for name in ("nightly", "none"):
            context = contexts[name] = ssl.create_default_context(cadata=OUR_CA.pem)
            context.check_hostname = False
        contexts["nightly"].load_cert_chain(*OUR_CA.issue(NIGHTLY).write(root, "nightly"))
        yield Running(pod, mounted, contexts)


def asked(port: int, path: str, method: str = "GET", headers: dict[str, str] | None = None) -> tuple[int, str]:
    """Status and body of a plain request on loopback; 0 and why where there is no answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path, headers=headers or {})
        answer = connection.getresponse()
        return answer.status, answer.read().decode("utf-8", "replace")
    except (OSError, http.client.HTTPException) as error:
        return 0, repr(error)
    finally:
        connection.close()


def connected(path: str) -> str:
    """Whether a unix socket lets one in, or why not."""
    with socket.socket(socket.AF_UNIX) as found:
        try:
            found.connect(path)
        except OSError as error:
            return type(error).__name__
        return "connected"


def test_each_program_has_its_own_uid_and_the_server_none_of_their_volumes() -> None:
    assert len({one.uid for one in CONTAINERS.values()}) == len(CONTAINERS)
    assert SERVER.gid not in {one.gid for name, one in CONTAINERS.items() if name != "server"}
    ours = {"gate-config", "auditor-config", "leaf", "trust", "journal", "revocations"}
    assert not [name for name in SERVER.mounts if name.startswith("run-") or name in ours]
    assert [name for name, one in CONTAINERS.items() if "run-admin" in one.mounts] == ["gate"]
    assert [name for name, one in CONTAINERS.items() if "leaf" in one.mounts] == ["gate"]


def test_who_is_meant_to_use_a_socket_can(running: Running) -> None:
    """Otherwise the refusals below would prove nothing."""
    path = running.mounted.path
    assert running.pod.inside(CONTAINERS["gate"], lambda: connected(path(sidecar.AUDITOR_SOCKET))) == "connected"
    assert running.pod.inside(CONTAINERS["auditor"], lambda: connected(path(sidecar.JOURNAL_SOCKET))) == "connected"
    assert running.pod.inside(CONTAINERS["fetch"], lambda: connected(path(sidecar.FETCH_SOCKET))) == "connected"
    assert running.pod.inside(CONTAINERS["gate"], lambda: connected(path(sidecar.ADMIN_SOCKET))) == "connected"


@pytest.mark.parametrize("what", [sidecar.ADMIN_SOCKET, sidecar.AUDITOR_SOCKET])
def test_a_socket_refuses_the_server_even_where_it_is_mounted(running: Running, what: str) -> None:
    path = running.mounted.path(what)
    assert running.server(lambda: connected(path)) == "PermissionError"


def test_no_socket_is_reached_without_a_mount(running: Running) -> None:
    """A unix socket with a name in the file system belongs to its mount; one without would belong to the network."""
    names = running.server(lambda: Path("/proc/self/net/unix").read_text().split("\n"))
    assert names
    assert not [line for line in names if line.rpartition(" ")[2].startswith("@")]


def test_loopback_holds_the_known_ports_alone(running: Running) -> None:
    def listening() -> list[int]:
        found = set()
        for table in ("tcp", "tcp6", "udp", "udp6"):
            with suppress(FileNotFoundError):
                for line in Path(f"/proc/self/net/{table}").read_text().splitlines()[1:]:
                    fields = line.split()
                    if fields[3] == ("0A" if table.startswith("tcp") else "07"):
                        found.add(int(fields[1].rpartition(":")[2], 16))
        return sorted(found)

    assert running.server(listening) == sorted(PORTS)


def test_the_gate_asks_the_server_for_a_certificate_like_everybody(running: Running) -> None:
    context = running.contexts["none"]

    def tried() -> str:
        try:
            with socket.create_connection(("127.0.0.1", GATE_PORT), 10) as plain, context.wrap_socket(plain) as tls:
                tls.sendall(b"GET /v1/models HTTP/1.1\r\nHost: a\r\n\r\n")
                return tls.recv(100).decode()
        except OSError:
            return ""

    assert running.server(tried) == ""


@pytest.mark.parametrize("port", [GATE_HEALTH_PORT, GATE_METRICS_PORT, HEALTH_PORT, METRICS_PORT])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_what_needs_no_identity_can_change_nothing(running: Running, port: int, method: str) -> None:
    for path in ("/", "/quitquitquit", "/config_dump", "/certs", "/logging?level=debug", "/drain_listeners", CHAT):
        status, _ = running.server(lambda path=path: asked(port, path, method))
        assert status in {403, 404, 405}, path
    assert running.pod.inside(None, lambda: asked(HEALTH_PORT, "/readyz")[0]) == 200


def test_metrics_tell_no_secret(running: Running) -> None:
    for port in (GATE_METRICS_PORT, METRICS_PORT):
        status, text = running.server(lambda port=port: asked(port, "/metrics"))
        assert status == 200
        for hidden in ("BEGIN", "eyJ", "Bearer", "alice"):
            assert hidden not in text


def test_files_of_the_others_are_closed(running: Running) -> None:
    path = running.mounted.path

    def opened(file: str) -> str:
        try:
            Path(file).read_bytes()
        except OSError as error:
            return type(error).__name__
        return "read"

    for file in Path(path(sidecar.JOURNAL_DIR)).rglob("*"):
        if file.is_file():
            assert running.server(lambda file=file: opened(str(file))) == "PermissionError", file


def test_a_server_cannot_speak_for_the_gate(running: Running) -> None:
    """Neither in its reply, nor by asking its own gate with headers of a person."""
    forged = {sidecar.PEER_HEADER: FRONTEND, sidecar.CLAIMS_HEADER: "eyJzdWIiOiJyb290In0", sidecar.API_HEADER: "chat"}
    lines = "".join(f"{name}: {value}\r\n" for name, value in forged.items())
    more = "Set-Cookie: a=b\r\nLocation: https://evil.example/\r\nX-Envoy-Upstream-Service-Time: 1\r\nServer: gate\r\n"
    body = b'{"id":"1","object":"chat.completion","model":"m","choices":[]}'
    reply = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n{lines}{more}Content-Length: {len(body)}\r\n\r\n"
    context = running.contexts["nightly"]

    def served() -> tuple[str, list[str]]:
        with socket.create_server(("127.0.0.1", MODEL_PORT)) as listener:
            listener.settimeout(30)
            with socket.create_connection(("127.0.0.1", GATE_PORT), 10) as plain, context.wrap_socket(plain) as caller:
                prompt = b'{"model":"m","messages":[{"role":"user","content":"hi"}]}'
                head = f"POST {CHAT} HTTP/1.1\r\nHost: a\r\n{lines}Content-Length: {len(prompt)}\r\n\r\n"
                caller.sendall(head.encode() + prompt)
                upstream, _ = listener.accept()
                asked_for = upstream.recv(65536).decode()
                upstream.sendall(reply.encode() + body)
                answer = http.client.HTTPResponse(caller)
                answer.begin()
                got = [f"{name.lower()}: {value}" for name, value in answer.getheaders()]
                assert answer.read() == body
                return asked_for, got

    asked_for, got = running.pod.inside(None, served)
    assert sidecar.HEADER_PREFIX not in asked_for.lower()
    for name in (sidecar.HEADER_PREFIX, "set-cookie", "location", "x-envoy", "server: gate"):
        assert not [line for line in got if line.startswith(name)], got
