"""Everything running at once: the model, and each path to it."""

import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path as File

from cloister import sidecar
from cloister.sealing import generate
from cloister.zones import GATE_PORT
from tests.auditor.running import MACHINE as MACHINE_HEADERS
from tests.bench.datapath import gates, litellm
from tests.bench.datapath.deployment import FRONTEND, MACHINE, Deployed
from tests.bench.datapath.figures import ALONE, BARE, BOTH, DIRECT, INSPECTING, PERSON
from tests.bench.datapath.paths import Path
from tests.bench.datapath.program import program
from tests.cluster.ports import answers, choosing, free
from tests.cluster.processes import Identity, ProcessTable
from tests.gate.mounted import Mounted, directory


@contextmanager
def stack(folder: File, *, others: bool = True) -> Iterator[list[Path]]:
    """Every path, ready. ``folder`` is on the disk that the journals are to be measured with; without ``others``
    LiteLLM is left out."""
    with ExitStack() as running:
        table = ProcessTable(folder)
        running.callback(table.stop_all)
        started = _Stack(table, running, folder, running.enter_context(directory()))
        paths = [
            Path(DIRECT, f"tcp:{started.model()}"),
            started.bare(),
            started.auditor_alone(),
            *started.gate_and_auditor(),
            started.inspecting(),
        ]
        if others:
            paths.append(litellm.proxy(table, folder / "litellm", started.address))
        yield paths


@dataclass
class _Stack:
    table: ProcessTable
    running: ExitStack
    folder: File
    sockets: File
    """Short enough for the 108 characters that a unix socket's path may have."""
    deployed: Deployed = field(default_factory=Deployed)
    address: str = ""
    """Of the model server."""

    def model(self) -> str:
        """The model server. It stands for the store as well, to which the journals' sealed segments go."""
        with choosing():
            port = free(["model"])["model"]
            self.table.start("model", [program(), "model", f"tcp:127.0.0.1:{port}", f"unix:{self._store}"])
            self.table.wait_ready("model", lambda: answers(port))
        self.address = f"127.0.0.1:{port}"
        return self.address

    def bare(self) -> Path:
        files = gates.bare(self.deployed.gate_files(), int(self.address.rpartition(":")[2]))
        envoy = gates.gate(self.table, "envoy-bare", self.deployed, files, gates.BARE)
        mounted, identity = self.running.enter_context(envoy)
        client = gates.client(mounted, self.deployed, self.deployed.authority.issue(MACHINE), "machine")
        return Path(BARE, f"tcp:127.0.0.1:{mounted.ports[GATE_PORT]}", (identity,), tls=client)

    def auditor_alone(self) -> Path:
        listen = str(self.sockets / "alone.sock")
        auditor = self._auditor("auditor-alone", listen, self.deployed)
        return Path(ALONE, f"unix:{listen}", (auditor,), headers=MACHINE_HEADERS)

    def gate_and_auditor(self) -> Iterator[Path]:
        mounted, processes = self._pod("gate", "auditor", self.deployed)
        address = f"tcp:127.0.0.1:{mounted.ports[GATE_PORT]}"
        machine = gates.client(mounted, self.deployed, self.deployed.authority.issue(MACHINE), "machine")
        frontend = gates.client(mounted, self.deployed, self.deployed.authority.issue(FRONTEND), "frontend")
        yield Path(BOTH, address, processes, tls=machine)
        token = {"authorization": f"Bearer {self.deployed.token()}"}
        yield Path(PERSON, address, processes, headers=token, tls=frontend)

    def inspecting(self) -> Path:
        deployed = replace(self.deployed, inspects=True)
        mounted, processes = self._pod("gate-inspecting", "auditor-inspecting", deployed)
        machine = gates.client(mounted, deployed, deployed.authority.issue(MACHINE), "machine")
        return Path(INSPECTING, f"tcp:127.0.0.1:{mounted.ports[GATE_PORT]}", processes, tls=machine)

    def _pod(self, gate: str, auditor: str, deployed: Deployed) -> tuple[Mounted, tuple[Identity, Identity]]:
        mounted, envoy = self.running.enter_context(gates.gate(self.table, gate, deployed, deployed.gate_files()))
        return mounted, (envoy, self._auditor(auditor, mounted.path(sidecar.AUDITOR_SOCKET), deployed))

    def _auditor(self, name: str, listen: str, deployed: Deployed) -> Identity:
        """Started as the pod does, on what is rendered; only paths, ports and the recipient are others."""
        config = deployed.auditor().model_dump(mode="json", exclude_none=True)
        home = self.folder / name
        home.mkdir()
        with choosing():
            ports = free(["health_port", "metrics_port"])
        config |= {"listen": listen, **ports, "upstream": {"kind": "http", "address": self.address}}
        config["journal"] |= {"directory": str(home / "journal"), "upstream": f"unix:{self._store}"}
        config["journal"] |= {"recipients": [str(generate().public)]}
        config["people"].pop("revocations", None)
        if deployed.inspects:
            config["behaviour"]["directory"] = str(home / "journal" / "behaviour")
            config["extraction"]["state"] = str(home / "journal" / "extraction.json")
        path = home / "auditor.json"
        path.write_text(json.dumps(config))
        identity = self.table.start(name, [sys.executable, "-m", "cloister.auditor", path])
        self.table.wait_ready(name, lambda: answers(ports["health_port"]) and File(listen).exists())
        return identity

    @property
    def _store(self) -> File:
        return self.sockets / "store.sock"
