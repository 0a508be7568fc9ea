"""The whole way to the stores as it is rendered: real Envoy gates, auditors and rclone, and the S3 clients of users."""

import http.client
import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import s3fs
from botocore.config import Config

from cloister import names, sidecar
from cloister.facts import Facts
from cloister.render.auditor import auditor_settings
from cloister.render.gate import gate_files
from cloister.sealing import Kind, generate
from cloister.spec import LLMDeployment
from cloister.zones import GATE_PORT, STORES, Component
from tests.auditor.opening import records
from tests.cluster.ports import choosing, free
from tests.gate.identities import Authority, Leaf
from tests.gate.mounted import Mounted
from tests.gate.running import Gate, mounted_gate, running
from tests.store.running import Store, mounted_store, serving, until

KEY = generate(Kind.X25519)
CA = Authority()
HERE = Facts(cluster_ips=dict.fromkeys(Component, "127.0.0.1"))
NAME = "support-bot"
_CREDENTIALS = {"aws_access_key_id": "none", "aws_secret_access_key": "none", "region_name": "us-east-1"}


def spiffe(namespace: str, account: str) -> str:
    """A machine's identity."""
    return names.spiffe_id("cluster.local", namespace, account)


def of(component: Component) -> str:
    """The identity of one of ours."""
    return spiffe(names.namespace(NAME, component.zone), str(component))


@dataclass
class Auditor:
    """An auditor's process."""

    root: Path
    config: dict[str, Any]
    process: subprocess.Popen[bytes] | None = None

    @property
    def journal(self) -> Path:
        """Where its journal lies."""
        return Path(self.config["journal"]["directory"])

    def log(self) -> str:
        """What it has said."""
        return (self.root / "auditor.log").read_text()

    def start(self) -> None:
        """Starts it, and waits until it is ready."""
        path = self.root / "auditor.json"
        path.write_text(json.dumps(self.config))
        with (self.root / "auditor.log").open("ab") as log:
            command = [sys.executable, "-m", "cloister.auditor", str(path)]
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        until(self._ready, "the auditor")

    def _ready(self) -> bool:
        assert self.process
        if self.process.poll() is not None:
            raise AssertionError(f"the auditor ended:\n{self.log()[-3000:]}")
        connection = http.client.HTTPConnection("127.0.0.1", self.config["health_port"], timeout=10)
        with suppress(OSError, http.client.HTTPException):
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        return False

    def end(self, number: int = signal.SIGTERM) -> int:
        """Ends it; its exit code."""
        assert self.process
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(60)

    def records(self, *kinds: str) -> list[dict[str, Any]]:
        """What is in its journal, opened with the auditors' key."""
        return [record for record in records(self.journal, KEY) if not kinds or record["type"] in kinds]

    def outcome(self, exchange: str) -> dict[str, Any]:
        """The one result of an exchange."""
        (found,) = [record for record in self.records("result") if record["exchange"] == exchange]
        return found


@dataclass
class Chain:
    """Everything that runs."""

    deployment: LLMDeployment
    root: Path
    gates: dict[Component, Gate] = field(default_factory=dict)
    auditors: dict[Component, Auditor] = field(default_factory=dict)
    stores: dict[Component, Store] = field(default_factory=dict)
    mounted: dict[Component, Mounted] = field(default_factory=dict)
    """Directories of the gates."""

    def client(self, store: Component, identity: str, **options: Any) -> Any:
        """boto3 at a store's gate, with the certificate of a machine."""
        files, authority = self._identity(identity)
        config = Config(client_cert=tuple(map(str, files)), retries={"total_max_attempts": 1}, **options)
        endpoint = f"https://localhost:{self.gates[store].port}"
        return boto3.client("s3", endpoint_url=endpoint, verify=str(authority), config=config, **_CREDENTIALS)

    def training(self, **options: Any) -> Any:
        """boto3 as it finds the endpoint in a training pod."""
        config = Config(retries={"total_max_attempts": 1}, **options)
        return boto3.client("s3", endpoint_url=self.training_endpoint, config=config, **_CREDENTIALS)

    def files(self) -> Any:
        """s3fs in a training pod."""
        return _files(self.training_endpoint)

    def files_at(self, store: Component, identity: str) -> Any:
        """s3fs at a store's gate, with the certificate of a machine."""
        files, authority = self._identity(identity)
        return _files(
            f"https://localhost:{self.gates[store].port}",
            client_kwargs={"verify": str(authority)},
            config_kwargs={"client_cert": tuple(map(str, files)), "retries": {"total_max_attempts": 1}},
        )

    @property
    def training_endpoint(self) -> str:
        """AWS_ENDPOINT_URL."""
        return f"http://{self.auditors[Component.TRAINING].config['s3_listen']}"

    def _identity(self, identity: str) -> tuple[tuple[Path, Path], Path]:
        folder = self.root / identity.removeprefix("spiffe://").replace("/", "_")
        if not folder.exists():
            folder.mkdir()
            CA.issue(identity).write(folder)
            (folder / "ca.crt").write_text(CA.pem)
        return (folder / "client.crt", folder / "client.key"), folder / "ca.crt"


def _files(endpoint: str, **options: Any) -> Any:
    s3fs.S3FileSystem.clear_instance_cache()
    return s3fs.S3FileSystem(key="none", secret="none", endpoint_url=endpoint, use_listings_cache=False, **options)


def _prepare(deployment: LLMDeployment, component: Component, mounted: Mounted, ports: dict[Component, int]) -> None:
    leaf: Leaf = CA.issue(of(component), hosts=("localhost",))
    mounted.identify(leaf.chain, leaf.key)
    mounted.trust(CA.pem)
    dials = {f"gate-{store}": ports[store] for store in STORES}
    mounted.configure(gate_files(deployment, component, HERE), dials)


def _auditor(chain: Chain, component: Component, mounted: Mounted) -> Auditor:
    """Configured as rendered; only paths, ports and the journal's keys differ."""
    root = chain.root / str(component)
    (root / "journal").mkdir(parents=True)
    (root / "scratch").mkdir()
    config = auditor_settings(chain.deployment, component).model_dump(mode="json", exclude_none=True)
    with choosing():
        ports = free(["health_port", "metrics_port", "s3"])
    config["health_port"], config["metrics_port"] = ports["health_port"], ports["metrics_port"]
    own, exported = component is Component.INTERACTION_LOGS, chain.deployment.spec.audit.export
    upstream = chain.stores[component].socket if own else mounted.path(sidecar.JOURNAL_SOCKET)
    config["journal"] |= {
        "directory": str(root / "journal"),
        "recipients": [str(KEY.public), *(() if exported is None else (exported.public_key,))],
        "upstream": f"unix:{upstream}",
    }
    if component is Component.TRAINING:
        config["s3_listen"] = f"127.0.0.1:{ports['s3']}"
        config["s3_upstream"] = f"unix:{mounted.path(sidecar.STORES_SOCKET)}"
    else:
        config["listen"] = mounted.path(sidecar.AUDITOR_SOCKET)
        config["upstream"]["address"] = f"unix:{chain.stores[component].socket}"
        config["scratch_directory"] = str(root / "scratch")
    return Auditor(root, config)


@contextmanager
def running_chain(deployment: LLMDeployment) -> Iterator[Chain]:
    """Three stores and a training pod; ended always."""
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="chain-")))
        chain = Chain(deployment, root)
        components = [*STORES, Component.TRAINING, Component.INFERENCE]
        components += [Component.EXPORTER] if deployment.spec.audit.export else []
        mounted = {component: stack.enter_context(mounted_gate()) for component in components}
        ports = {component: found.ports[GATE_PORT] for component, found in mounted.items()}
        for component, found in mounted.items():
            _prepare(deployment, component, found, ports)
            chain.gates[component] = stack.enter_context(running(found))
            chain.mounted[component] = found
        for component in STORES:
            chain.stores[component] = stack.enter_context(serving(stack.enter_context(mounted_store(component))))
        for component in (*STORES, Component.TRAINING):
            auditor = chain.auditors[component] = _auditor(chain, component, mounted[component])
            stack.callback(_end, auditor)
            auditor.start()
        yield chain


def _end(auditor: Auditor) -> None:
    if auditor.process and auditor.process.poll() is None:
        auditor.process.kill()
        auditor.process.wait(30)


def memory(process: subprocess.Popen[bytes]) -> int:
    """The most that a process has ever had in memory, in bytes."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024
