"""`python -m cloister.auditor` as a process, a client on its socket, and a reader of what it recorded."""

import base64
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cloister import sidecar
from cloister.jobs.unixhttp import UnixConnection
from cloister.sealing import Kind, SecretKey, generate
from tests.auditor.model import Model, serving
from tests.auditor.opening import records
from tests.auditor.store import Store, storing
from tests.cluster.ports import choosing, free

CHAT = "/v1/chat/completions"
PEER = "spiffe://cluster.local/ns/batch/sa/nightly"
MACHINE = {sidecar.PEER_HEADER: PEER, sidecar.API_HEADER: "chat"}
KEY = generate(Kind.X25519)


def person(**claims: Any) -> dict[str, str]:
    """The gate's headers for somebody with these claims."""
    payload = {"sub": "ada", "sid": "s-1", "iat": int(time.time()), "auth_time": int(time.time())} | claims
    encoded = base64.urlsafe_b64encode(json.dumps(payload).encode()).decode().rstrip("=")
    return MACHINE | {sidecar.CLAIMS_HEADER: encoded}


def prompt(model: str = "tiny", text: str = "hello", **more: Any) -> bytes:
    """The body of a chat request; its `model` tells the stub what to do."""
    return json.dumps({"model": model, "messages": [{"role": "user", "content": text}], **more}).encode()


def posted(body: bytes, headers: Mapping[str, str] = MACHINE) -> bytes:
    """A chat request as the gate writes it."""
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"POST {CHAT} HTTP/1.1\r\nhost: x\r\n{head}content-length: {len(body)}\r\n\r\n".encode() + body


@dataclass(frozen=True)
class Reply:
    """An answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    def error(self) -> dict[str, Any]:
        """The error of an answer that is one, in the API's own shape."""
        found: dict[str, Any] = json.loads(self.body)["error"]
        assert set(found) == {"message", "type", "param", "code"}
        return found


@dataclass
class Auditor:
    """A running auditor with everything around it."""

    root: Path
    config: dict[str, Any]
    model: Model
    store: Store
    key: SecretKey = KEY
    process: subprocess.Popen[bytes] | None = None
    environment: dict[str, str] = field(default_factory=dict)
    module: str = "cloister.auditor"

    @property
    def address(self) -> str:
        """Where the gate would ask."""
        return str(self.config["listen"])

    @property
    def journal(self) -> Path:
        """Where its journal lies."""
        return Path(self.config["journal"]["directory"])

    def start(self, *, ready: bool = True) -> None:
        """Starts the process, and waits until it is ready."""
        path = self.root / "auditor.json"
        path.write_text(json.dumps(self.config))
        with (self.root / "auditor.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", self.module, str(path)],
                stdout=log,
                stderr=log,
                env=os.environ | self.environment,
            )
        if ready:
            self.until(lambda: self.health("/readyz") == 200, "readiness")

    def end(self, number: int = signal.SIGTERM) -> int:
        """Ends the process; its exit code."""
        assert self.process
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(60)

    def log(self) -> str:
        """What it has said."""
        return (self.root / "auditor.log").read_text()

    def ask(
        self,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        method: str = "POST",
        path: str = CHAT,
    ) -> Reply:
        """One request on a connection of its own."""
        connection = self.connection()
        try:
            connection.request(
                method, path, prompt() if body is None else body, dict(MACHINE if headers is None else headers)
            )
            answer = connection.getresponse()
            return Reply(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def connection(self) -> http.client.HTTPConnection:
        """A connection that can be used several times."""
        return UnixConnection(self.address, "auditor", timeout=60)

    def raw(self) -> socket.socket:
        """A connection on which a test writes bytes of its own."""
        found = socket.socket(socket.AF_UNIX)
        found.settimeout(30)
        found.connect(self.address)
        return found

    def health(self, path: str, port: str = "health_port") -> int | None:
        """What the kubelet sees; None where nothing answers."""
        with suppress(OSError, http.client.HTTPException):
            return self._get(path, port).status
        return None

    def metric(self, name: str, labels: str = "") -> float:
        """A figure of its metrics."""
        lines = self._get("/metrics", "metrics_port").body.decode().splitlines()
        return sum(
            float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(f"cloister_auditor_{name}{labels}")
        )

    def _get(self, path: str, port: str) -> Reply:
        connection = http.client.HTTPConnection("127.0.0.1", self.config[port], timeout=30)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return Reply(answer.status, {}, answer.read())
        finally:
            connection.close()

    def records(self, kind: str | None = None) -> list[dict[str, Any]]:
        """What is in the journal on disk, opened with the auditors' key."""
        return [record for record in records(self.journal, self.key) if kind is None or record["type"] == kind]

    def until(self, condition: Callable[[], bool], what: str, seconds: float = 60) -> None:
        """Waits for something that happens soon; how soon is nobody's promise."""
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                raise AssertionError(f"in vain waited for {what}\n{self.log()[-3000:]}")
            time.sleep(0.02)


def settings(root: Path, model: Model, **changes: Any) -> dict[str, Any]:
    """A configuration, with changes to its parts."""
    with choosing():
        ports = free(["health_port", "metrics_port"])
    journal = {
        "directory": str(root / "journal"),
        "recipients": [str(KEY.public)],
        "upstream": f"unix:{root / 'store.sock'}",
        "path": "/interaction-logs/ns/sa/",
        "content": "Full",
    }
    paths = [CHAT, "/v1/completions", "/v1/responses", "/v1/embeddings", "/v1/other"]
    config: dict[str, Any] = {
        "deployment": "support-bot",
        "component": "inference",
        "identity": "spiffe://cluster.local/ns/support-bot-inference/sa/inference",
        "listen": str(root / "auditor.sock"),
        "upstream": {"kind": "http", "address": f"127.0.0.1:{model.port}", "health_path": "/health"},
        "apis": [
            {"name": "chat", "methods": ["POST"], "paths": paths},
            {"name": "models", "methods": ["GET", "HEAD"], "paths": ["/v1/models"]},
        ],
        **ports,
    }
    return config | {"journal": journal | changes.pop("journal", {})} | changes


@contextmanager
def surroundings(**changes: Any) -> Iterator[Auditor]:
    """Everything but the process itself; ended always."""
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cloister-auditor-")))
        (root / "journal").mkdir()
        model = stack.enter_context(serving())
        store = stack.enter_context(storing(root / "store.sock"))
        found = Auditor(root, settings(root, model, **changes), model, store)
        try:
            yield found
        finally:
            if found.process and found.process.poll() is None:
                found.process.kill()
                found.process.wait(30)


@contextmanager
def running(**changes: Any) -> Iterator[Auditor]:
    """A running auditor."""
    with surroundings(**changes) as found:
        found.start()
        yield found
