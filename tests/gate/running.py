"""The real Envoy on a mounted configuration, a stub of the auditor behind it, and a client that lets one cheat."""

import http.client
import json
import os
import signal
import socketserver
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from cloister import sidecar
from cloister.jobs.unixhttp import UnixConnection
from cloister.render.gate.bootstrap import arguments
from cloister.zones import GATE_HEALTH_PORT, GATE_METRICS_PORT, GATE_PORT
from tests.cluster.ports import choosing, free
from tests.gate.identities import Leaf
from tests.gate.mounted import ENVOY, PORTS, Mounted, directory

HOST = "127.0.0.1"


@dataclass(frozen=True)
class Seen:
    """A request as the auditor got it."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Auditor:
    """A stub that remembers what reached it, and answers 200 to everything."""

    seen: list[Seen] = field(default_factory=list)

    def last(self) -> Seen:
        """The request that came last."""
        return self.seen[-1]


@dataclass(frozen=True)
class Reply:
    """An answer."""

    status: int
    headers: dict[str, str]
    body: bytes


@contextmanager
def auditor(path: str) -> Iterator[Auditor]:
    """The stub on a unix socket."""
    stub = Auditor()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            stub.seen.append(Seen(self.command, self.path, headers, body))
            answer = json.dumps({"path": self.path}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(answer)

        do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = do_PATCH = handle_any  # noqa: N815 (the library's names)

        def log_message(self, format: str, *args: object) -> None:
            pass

        def address_string(self) -> str:
            return "unix"

    class Server(socketserver.ThreadingUnixStreamServer):
        daemon_threads = True

    with suppress(FileNotFoundError):
        Path(path).unlink()
    with Server(path, Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield stub
        finally:
            server.shutdown()
            thread.join()


class Gate:
    """A running gate."""

    def __init__(self, mounted: Mounted, stub: Auditor, log: Path) -> None:
        self.mounted, self.auditor, self._log = mounted, stub, log
        self.port = mounted.ports[GATE_PORT]
        self._clients = 0

    def log(self) -> str:
        """Everything that it has written so far."""
        return self._log.read_text()

    def logged(self, **fields: Any) -> list[dict[str, Any]]:
        """Lines of its access logs with these values. Envoy writes them a little later."""
        lines = (json.loads(line) for line in self.log().splitlines() if line.startswith("{"))
        return [line for line in lines if fields.items() <= line.items()]

    def context(self, leaf: Leaf | None, authority: str) -> ssl.SSLContext:
        """A client's side of TLS."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.load_verify_locations(cadata=authority)
        # The deployment's CA may be an intermediate one, trusted in its own right.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        if leaf:
            self._clients += 1
            certificate, key = leaf.write(self.mounted.root, f"client-{self._clients}")
            context.load_cert_chain(certificate, key)
        return context

    def ask(
        self,
        context: ssl.SSLContext,
        method: str = "POST",
        path: str = "/v1/chat/completions",
        headers: Mapping[str, str] | None = None,
        body: bytes | None = b"{}",
    ) -> Reply:
        """One request on a connection of its own, its path exactly as given."""
        connection = http.client.HTTPSConnection(HOST, self.port, context=context, timeout=30)
        return _exchange(connection, method, path, headers, body)

    def over(
        self,
        path: str,
        method: str = "GET",
        target: str = "/",
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> Reply:
        """One request on a unix socket of the gate."""
        return _exchange(UnixConnection(self.mounted.path(path), "gate", timeout=30), method, target, headers, body)

    def health(self, path: str = "/ready") -> int:
        """What the kubelet sees."""
        return _exchange(self._plain(GATE_HEALTH_PORT), "GET", path, None, None).status

    def metrics(self, path: str = "/metrics", method: str = "GET") -> Reply:
        """What Prometheus sees."""
        return _exchange(self._plain(GATE_METRICS_PORT), method, path, None, None)

    def counter(self, name: str) -> float:
        """Sum of a metric over its labels."""
        lines = self.metrics().body.decode().splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith((name + "{", name + " ")))

    def _plain(self, port: int) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(HOST, self.mounted.ports[port], timeout=30)


def _exchange(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    headers: Mapping[str, str] | None,
    body: bytes | None,
) -> Reply:
    try:
        connection.request(method, path, body=body, headers=dict(headers or {}))
        answer = connection.getresponse()
        return Reply(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
    finally:
        connection.close()


def until(condition: Callable[[], bool], what: str, seconds: float = 60) -> None:
    """Wait for something that happens soon; how soon is nobody's promise."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"in vain waited for {what}")
        time.sleep(0.05)


@contextmanager
def mounted_gate() -> Iterator[Mounted]:
    """Directories and free ports for one gate."""
    with choosing():
        chosen = free(map(str, PORTS))
    with directory() as root:
        yield Mounted(root, {port: chosen[str(port)] for port in PORTS})


@contextmanager
def running(mounted: Mounted) -> Iterator[Gate]:
    """Envoy on mounted directories; ended always."""
    log = mounted.root / "envoy.log"
    command = [str(ENVOY), *(mounted.path(part) if part.startswith("/") else part for part in arguments())]
    with ExitStack() as stack:
        stub = stack.enter_context(auditor(mounted.path(sidecar.AUDITOR_SOCKET)))
        output = stack.enter_context(log.open("ab"))
        # A session of its own: the launcher may start Envoy as a child, and both are to end.
        process = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True)
        stack.callback(_end, process)
        gate = Gate(mounted, stub, log)
        until(lambda: process.poll() is not None or _ready(gate), "the gate")
        if process.poll() is not None:
            raise AssertionError(f"Envoy ended:\n{gate.log()[-3000:]}")
        yield gate


def _ready(gate: Gate) -> bool:
    try:
        return gate.health() == 200
    except (OSError, http.client.HTTPException):
        return False


def _end(process: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=10)
            return
