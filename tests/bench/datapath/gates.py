"""The two Envoys: the rendered gate, and the same listener with nothing left but TLS and the router."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from cloister import sidecar
from cloister.render.gate.bootstrap import WORKERS
from cloister.zones import GATE_PORT
from tests.bench.datapath.deployment import HOST, Deployed
from tests.bench.datapath.paths import Client
from tests.cluster.ports import answers
from tests.cluster.processes import Identity, ProcessTable
from tests.gate.identities import Leaf
from tests.gate.mounted import ENVOY, Mounted
from tests.gate.running import mounted_gate

Files = Mapping[str, Mapping[str, Any]]

_AS_IN_THE_POD = ("--disable-hot-restart", "--concurrency", str(WORKERS), "--log-level", "warning")
BARE = ("--disable-hot-restart", "--log-level", "warning")
"""As Envoy comes: with a worker for each core."""


@contextmanager
def gate(
    table: ProcessTable, name: str, deployed: Deployed, files: Files, options: Sequence[str] = _AS_IN_THE_POD
) -> Iterator[tuple[Mounted, Identity]]:
    """Envoy on these files, ready."""
    with mounted_gate() as mounted:
        mounted.identify(deployed.leaf.chain, deployed.leaf.key)
        mounted.trust(deployed.authority.pem)
        mounted.configure(files)
        config = mounted.path(f"{sidecar.GATE_CONFIG_DIR}/envoy.json")
        identity = table.start(name, [ENVOY, "--config-path", config, *options])
        table.wait_ready(name, lambda: answers(mounted.ports[GATE_PORT]))
        yield mounted, identity


def client(mounted: Mounted, deployed: Deployed, leaf: Leaf, name: str) -> Client:
    """Files for a caller."""
    certificate, key = leaf.write(mounted.root, name)
    authority = mounted.root / "authority.crt"
    authority.write_text(deployed.authority.pem)
    return Client(str(authority), str(certificate), str(key), HOST)


def bare(files: Files, model_port: int) -> dict[str, Any]:
    """The gate's own files with no filter but the router, one route, no access log, and the model behind it."""
    changed: dict[str, Any] = copy.deepcopy(dict(files))
    ingress = next(one for one in changed["listeners.json"]["resources"] if one["name"] == "ingress")
    ingress.pop("access_log", None)
    manager = ingress["filter_chains"][0]["filters"][0]["typed_config"]
    for option in ("early_header_mutation_extensions", "access_log", "local_reply_config", "rds"):
        manager.pop(option, None)
    manager["http_filters"] = manager["http_filters"][-1:]
    route = {"match": {"prefix": "/"}, "route": {"cluster": "auditor", "timeout": "3600s"}}
    manager["route_config"] = {
        "name": "ingress",
        "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}],
    }
    model = {"socket_address": {"address": "127.0.0.1", "port_value": model_port}}
    auditor = next(one for one in changed["clusters.json"]["resources"] if one["name"] == "auditor")
    auditor["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"] = model
    return changed
