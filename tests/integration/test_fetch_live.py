"""The weights' whole way: rendered pod, fetch, gate of the pod, gate of the store, objects (ZT-18, ZT-26)."""

import asyncio
import hashlib
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from cloister import names, sidecar
from cloister.facts import Facts, Settings
from cloister.render import render
from cloister.render.gate import gate_files
from cloister.sealing import Kind, generate, generate_signing, write_secret
from cloister.spec import LLMDeployment
from cloister.weights import detached, seal_file
from cloister.zones import GATE_PORT, Component
from tests.gate.identities import Authority
from tests.gate.mounted import Mounted
from tests.gate.running import mounted_gate, running, until
from tests.gate.specs import deployment, example

CA = Authority()
HERE = Facts(cluster_ips=dict.fromkeys(Component, "127.0.0.1"))
KEY = generate(Kind.X25519)
SIGNING = generate_signing()
WEIGHTS = b"weights " * (1 << 20)
OBJECT = "checkpoints/support-bot/model.gguf.sealed"


@dataclass
class Objects:
    """A server of files, behind the store's gate where the store would be. It may be told to stop half-way."""

    folder: Path
    ranges: list[str | None] = field(default_factory=list)
    halting: bool = False
    halted: threading.Event = field(default_factory=threading.Event)
    ending: asyncio.Event = field(default_factory=asyncio.Event)

    async def get(self, request: web.Request) -> web.StreamResponse:
        self.ranges.append(request.headers.get("Range"))
        path = self.folder / request.path.lstrip("/")
        if not path.is_file():
            return web.Response(status=404)
        if not self.halting or path.suffix == ".sig":
            return web.FileResponse(path)
        self.halting = False
        whole = path.read_bytes()
        # aiohttp's own ETag, so that the rest may come from a FileResponse.
        status = path.stat()
        etag = f'"{status.st_mtime_ns:x}-{status.st_size:x}"'
        response = web.StreamResponse(headers={"ETag": etag, "Content-Length": str(len(whole))})
        await response.prepare(request)
        await response.write(whole[: len(whole) // 2])
        self.halted.set()
        await self.ending.wait()
        assert request.transport
        request.transport.abort()
        return response


@contextmanager
def serving(objects: Objects, socket: str) -> Iterator[None]:
    """The server, on a unix socket."""
    loop, started = asyncio.new_event_loop(), threading.Event()
    end = objects.ending = asyncio.Event()

    async def serve() -> None:
        app = web.Application()
        app.router.add_get("/{path:.*}", objects.get)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.UnixSite(runner, socket).start()
        started.set()
        await end.wait()
        await runner.cleanup()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    assert started.wait(30)
    try:
        yield
    finally:
        loop.call_soon_threadsafe(end.set)
        thread.join()
        loop.close()


@dataclass
class Net:
    """The pod's own gate, the store's, and the objects behind it."""

    declared: LLMDeployment
    pod: Mounted
    store: Mounted
    objects: Objects
    folder: Path

    def arguments(self) -> list[str]:
        """What the pod runs, with this machine's paths."""
        found = {
            container["name"]: container
            for obj in render(self.declared, HERE, Settings())
            if obj["kind"] == "StatefulSet" and obj["metadata"]["name"] == str(Component.INFERENCE)
            for container in obj["spec"]["template"]["spec"]["initContainers"]
        }
        container = found[names.FETCH]
        assert container["command"][0] == "python"
        wanted = sidecar.Fetch.model_validate_json(container["args"][0])
        own = {"socket": self.pod.path(wanted.socket), "target": str(self.folder / "models" / Path(wanted.target).name)}
        own |= {"unseal_key": str(self.folder / "key")} if wanted.unseal_key else {}
        return [sys.executable, *container["command"][1:], wanted.model_copy(update=own).model_dump_json()]

    def start(self) -> subprocess.Popen[str]:
        return subprocess.Popen(self.arguments(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def run(self) -> tuple[int, str]:
        with self.start() as process:
            out, err = process.communicate(timeout=120)
        return process.returncode, out + err

    @property
    def served(self) -> list[Path]:
        return sorted((self.folder / "models").iterdir())

    @contextmanager
    def store_gate(self) -> Iterator[Any]:
        with running(self.store) as gate:
            socket = self.store.path(sidecar.AUDITOR_SOCKET)
            Path(socket).unlink()  # where the stub listens
            with serving(self.objects, socket):
                yield gate


def prepare(declared: LLMDeployment, component: Component, mounted: Mounted, dials: dict[str, int]) -> None:
    namespace = names.namespace(declared.name, component.zone)
    leaf = CA.issue(names.spiffe_id(declared.spec.identity.trust_domain, namespace, str(component)))
    mounted.identify(leaf.chain, leaf.key)
    mounted.trust(CA.pem)
    mounted.configure(gate_files(declared, component, HERE), dials)


@pytest.fixture
def net(tmp_path: Path) -> Iterator[Net]:
    stored = tmp_path / "objects" / OBJECT
    stored.parent.mkdir(parents=True)
    (tmp_path / "models").mkdir()
    (tmp_path / "plain").write_bytes(WEIGHTS)
    done = seal_file(tmp_path / "plain", stored, [KEY.public], lambda _: None)
    Path(f"{stored}.sig").write_bytes(detached(SIGNING, done.sha256))
    (stored.parent / "other.sig").write_bytes(b"x")
    write_secret(tmp_path / "key", KEY)
    spec = example("support-bot")
    spec["inference"]["model"] |= {
        "object": OBJECT.removeprefix("checkpoints/"),
        "sha256": done.sha256,
        "publicKey": str(SIGNING.public),
        "sealed": True,
        "unsealKeyRef": {"name": "weights-key"},
        "memory": True,
    }
    declared = deployment(spec)
    with ExitStack() as stack:
        pod, store = (stack.enter_context(mounted_gate()) for _ in range(2))
        prepare(declared, Component.INFERENCE, pod, {"gate-checkpoints": store.ports[GATE_PORT]})
        prepare(declared, Component.CHECKPOINTS, store, {})
        yield Net(declared, pod, store, Objects(tmp_path / "objects"), tmp_path)


def test_sealed_and_signed_weights_arrive(net: Net) -> None:
    with running(net.pod) as gate, net.store_gate():
        code, said = net.run()
        assert (code, "signed" in said) == (0, True), said + gate.log()[-2000:]
        (model,) = net.served
        assert model.name == "model.gguf"
        assert model.read_bytes() == WEIGHTS
        assert model.stat().st_mode & 0o777 == 0o444
        # The gate lets through these two objects, and nothing that only looks like them.
        assert gate.over(sidecar.FETCH_SOCKET, target=f"/{OBJECT}.sig").status == 200
        for path in ("other.sig", "model.gguf.sealed.sig.sig", "model.gguf.sig", "model.gguf"):
            target = f"/checkpoints/support-bot/{path}"
            assert gate.over(sidecar.FETCH_SOCKET, target=target).status == 403, path
        assert gate.over(sidecar.FETCH_SOCKET, "PUT", f"/{OBJECT}.sig", body=b"x").status == 403


def test_a_transfer_goes_on_after_the_store_went_away(net: Net) -> None:
    net.objects.halting = True
    with running(net.pod) as gate:
        with net.store_gate():
            process = net.start()
            assert net.objects.halted.wait(60)
            partial = net.folder / "models" / ".model.gguf.partial"
            until(lambda: partial.exists() and partial.stat().st_size > 0, "a part of the weights")
            assert [path.name for path in net.served] == [partial.name], "not under its own name before it is whole"
        with net.store_gate():
            out, err = process.communicate(timeout=120)
        assert process.returncode == 0, out + err + gate.log()[-2000:]
    (model,) = net.served
    assert hashlib.sha256(model.read_bytes()).digest() == hashlib.sha256(WEIGHTS).digest()
    assert net.objects.ranges[:2] == [None, None]
    again = net.objects.ranges[2]
    assert again
    assert int(again.removeprefix("bytes=").removesuffix("-")) > 0


@pytest.mark.parametrize(
    ("spoilt", "reason"),
    [
        ("signature", "SignatureMissing"),
        ("signed by another", "SignatureInvalid"),
        ("object", "SealBroken|DigestMismatch"),
    ],
)
def test_what_was_exchanged_in_the_store_is_not_served(net: Net, spoilt: str, reason: str) -> None:
    stored = net.folder / "objects" / OBJECT
    match spoilt:
        case "signature":
            Path(f"{stored}.sig").unlink()
        case "signed by another":
            digest = hashlib.sha256(stored.read_bytes()).hexdigest()
            Path(f"{stored}.sig").write_bytes(detached(generate_signing(), digest))
        case "object":
            content = bytearray(stored.read_bytes())
            content[-5000] ^= 1
            stored.write_bytes(content)
    with running(net.pod), net.store_gate():
        code, said = net.run()
    assert code == 1
    assert any(f"fetch: {one}: " in said for one in reason.split("|")), said
    assert net.served == []
