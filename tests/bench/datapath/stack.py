"""Everything running at once: the model, and each path to it."""

import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path as File

from cloister import sidecar
from cloister.sealing import generate
from tests.auditor.running import MACHINE as MACHINE_HEADERS
from tests.auditor.store import storing
from tests.bench.datapath import gates, litellm
from tests.bench.datapath.deployment import FRONTEND, MACHINE, Deployed
from tests.bench.datapath.figures import ALONE, BARE, BOTH, DIRECT, PERSON
from tests.bench.datapath.paths import Path
from tests.bench.datapath.program import program
from tests.cluster.ports import answers, choosing, free
from tests.cluster.processes import Identity, ProcessTable


@contextmanager
def stack(folder: File) -> Iterator[list[Path]]:
    """Every path, ready. ``folder`` is on the disk that the journals are to be measured with."""
    table = ProcessTable(folder)
    deployed = Deployed()
    with ExitStack() as running:
        running.callback(table.stop_all)
        with choosing():
            port = free(["model"])["model"]
            table.start("model", [program(), "model", f"tcp:127.0.0.1:{port}"])
            table.wait_ready("model", lambda: answers(port))
        running.enter_context(storing(folder / "store.sock"))
        yield [
            Path(DIRECT, f"tcp:127.0.0.1:{port}"),
            _bare(running, table, deployed, port),
            _auditor_alone(table, deployed, folder, port),
            *_gate_and_auditor(running, table, deployed, folder, port),
            running.enter_context(litellm.proxy(table, folder / "litellm", f"127.0.0.1:{port}"))[0],
        ]


def _bare(running: ExitStack, table: ProcessTable, deployed: Deployed, port: int) -> Path:
    files = gates.bare(deployed.gate_files(), port)
    mounted, identity = running.enter_context(gates.gate(table, "envoy-bare", deployed, files))
    client = gates.client(mounted, deployed, deployed.authority.issue(MACHINE), "machine")
    return Path(BARE, f"tcp:127.0.0.1:{mounted.ports[8443]}", (identity,), tls=client)


def _auditor_alone(table: ProcessTable, deployed: Deployed, folder: File, port: int) -> Path:
    listen = str(folder / "alone.sock")
    identity = _auditor(table, "auditor-alone", deployed, folder, listen, port)
    return Path(ALONE, f"unix:{listen}", (identity,), headers=MACHINE_HEADERS)


def _gate_and_auditor(
    running: ExitStack, table: ProcessTable, deployed: Deployed, folder: File, port: int
) -> Iterator[Path]:
    mounted, gate = running.enter_context(gates.gate(table, "gate", deployed, deployed.gate_files()))
    auditor = _auditor(table, "auditor", deployed, folder, mounted.path(sidecar.AUDITOR_SOCKET), port)
    address, processes = f"tcp:127.0.0.1:{mounted.ports[8443]}", (gate, auditor)
    machine = gates.client(mounted, deployed, deployed.authority.issue(MACHINE), "machine")
    frontend = gates.client(mounted, deployed, deployed.authority.issue(FRONTEND), "frontend")
    yield Path(BOTH, address, processes, tls=machine)
    token = {"authorization": f"Bearer {deployed.token()}"}
    yield Path(PERSON, address, processes, headers=token, tls=frontend)


def _auditor(table: ProcessTable, name: str, deployed: Deployed, folder: File, listen: str, port: int) -> Identity:
    """Started as the pod does, on what is rendered; only paths, ports and the recipient are others."""
    config = deployed.auditor().model_dump(mode="json", exclude_none=True)
    with choosing():
        ports = free(["health_port", "metrics_port"])
    journal = {"directory": str(folder / name / "journal"), "upstream": f"unix:{folder / 'store.sock'}"}
    config |= {"listen": listen, **ports}
    config["upstream"] = {"kind": "http", "address": f"127.0.0.1:{port}"}
    config["journal"] |= journal | {"recipients": [str(generate().public)]}
    config["people"].pop("revocations", None)
    (folder / name).mkdir()
    path = folder / name / "auditor.json"
    path.write_text(json.dumps(config))
    identity = table.start(name, [sys.executable, "-m", "cloister.auditor", path])
    table.wait_ready(name, lambda: answers(ports["health_port"]) and File(listen).exists())
    return identity
