"""How many deployments one operator carries, and how fast, beside a bare loop that applies the same objects."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import os
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import yaml
from rich.console import Console
from rich.table import Table

from cloister.controller.cluster import Cluster
from cloister.controller.conditions import is_ready
from cloister.controller.errors import NotFoundError
from cloister.controller.keyrings import new_key
from cloister.controller.kinds import BY_KIND
from cloister.facts import Facts, Settings
from cloister.keyring import Keyring
from cloister.render import render
from cloister.render.keys import keyring_secret
from cloister.render.phases import Phase, phase
from cloister.spec import parse
from cloister.zones import STORES
from tests.cluster import ControlPlane, binaries
from tests.cluster.processes import wait_until
from tests.installed import NAMESPACE, RELEASE, install_chart, operator_kubeconfig, start_operator, stop_operator

EXAMPLE = Path(__file__).parents[2] / "manifests" / "examples" / "minimal.yaml"
CONCURRENCY = 16
"""Requests under way at once, in the bare loop; the operator's workers have about as many."""
REPAIRS = 100
RATIO, EXTRA_WRITES = 0.7, 3
"""Targets: the operator's rate over the bare loop's, and writes a deployment beyond its objects."""
_TIMEOUT = 1800.0

Object = dict[str, Any]


@dataclass(frozen=True)
class Measured:
    """What one run of the operator showed."""

    seconds: float
    writes: float
    """API writes of the operator, per deployment, statuses and Events included."""
    repairs: list[float]
    """Seconds from the deletion of a NetworkPolicy to its return."""
    memory_empty: int
    memory_full: int
    """Resident bytes of the operator's process."""


def run(deployments: int) -> int:
    """Measure, print one table, and return 1 if a target is missed."""
    console = Console(highlight=False)
    binaries.paths([*binaries.WITH_CERT_MANAGER, "helm", "kubectl"])
    objects = len(render(parse(_resource(0)), Facts(), Settings())) + len(STORES)
    console.print(f"{deployments} deployments of {objects} objects each, on {os.cpu_count()} cores; cert-manager runs.")
    with console.status("bare server-side-apply loop"):
        bare = _bare(deployments)
    console.print(f"bare loop: {bare.applied:.1f} s, certificates issued after {bare.issued:.1f} s")
    with console.status("operator"):
        operator = _operator(deployments, objects)
    return _report(console, deployments, objects, bare, operator)


def _report(console: Console, deployments: int, objects: int, bare: Bare, operator: Measured) -> int:
    repairs = sorted(operator.repairs)
    ratio = bare.issued / operator.seconds
    table = Table(title="make bench-operator", title_justify="left")
    table.add_column("figure")
    table.add_column("measured", justify="right")
    table.add_column("target", justify="right")
    total = deployments * objects
    table.add_row("bare loop, seconds to apply", f"{bare.applied:.1f}", "")
    table.add_row("bare loop, seconds until certificates are issued", f"{bare.issued:.1f}", "")
    table.add_row("operator, seconds to converge", f"{operator.seconds:.1f}", "")
    table.add_row(
        "objects a second, bare loop / operator", f"{total / bare.issued:.0f} / {total / operator.seconds:.0f}", ""
    )
    table.add_row("rate, operator over bare loop, to the same end", f"{ratio:.2f}", f">= {RATIO}")
    table.add_row("rate, operator over bare loop's applying alone", f"{bare.applied / operator.seconds:.2f}", "")
    table.add_row("API writes a deployment", f"{operator.writes:.2f}", f"<= {objects + EXTRA_WRITES}")
    table.add_row("deleted NetworkPolicy back, p50", f"{statistics.median(repairs) * 1000:.0f} ms", "")
    table.add_row("deleted NetworkPolicy back, p99", f"{repairs[int(len(repairs) * 0.99) - 1] * 1000:.0f} ms", "")
    table.add_row("memory, no deployment", f"{operator.memory_empty / 2**20:.0f} MiB", "")
    table.add_row(f"memory, {deployments} deployments", f"{operator.memory_full / 2**20:.0f} MiB", "")
    console.print(table)
    return 0 if ratio >= RATIO and operator.writes <= objects + EXTRA_WRITES else 1


# --- the bare loop ---


@dataclass(frozen=True)
class Bare:
    """What the bare loop took."""

    applied: float
    """Seconds until the last object was applied; cert-manager is still busy with them then."""
    issued: float
    """Seconds until every certificate was issued as well: the end that the operator, which waits for it, reaches."""


def _bare(deployments: int) -> Bare:
    with _cluster() as cluster:
        _declare_only(cluster, deployments)
        os.environ["KUBECONFIG"] = str(operator_kubeconfig(cluster))
        sets = [_rendered(cluster, index) for index in range(deployments)]
        return asyncio.run(_apply_all(sets))


async def _apply_all(sets: list[list[Object]]) -> Bare:
    """Apply every set in its own order, phase by phase, under the one bound on requests."""
    cluster = await Cluster.connect()
    waiting = asyncio.Semaphore(CONCURRENCY)

    async def apply(obj: Object) -> None:
        async with waiting:
            await cluster.apply(obj)

    async def apply_set(objects: list[Object]) -> None:
        for obj in objects[:3]:  # the namespaces
            await apply(obj)
        for step in sorted({_step(obj) for obj in objects}):
            await asyncio.gather(*(apply(obj) for obj in objects[3:] if _step(obj) is step))

    started = time.monotonic()
    await asyncio.gather(*(apply_set(objects) for objects in sets))
    applied = time.monotonic() - started
    while not await _all_issued(cluster):  # noqa: ASYNC110 - nothing would set an event
        await asyncio.sleep(0.5)
    issued = time.monotonic() - started
    await cluster.close()
    return Bare(applied, issued)


async def _all_issued(cluster: Cluster) -> bool:
    certificates, _ = await cluster.list(BY_KIND["Certificate"])
    return all(is_ready(certificate) for certificate in certificates)


def _step(obj: Object) -> Phase:
    """Keyrings are made before volumes, apart from what is rendered."""
    return Phase.STORAGE if obj["kind"] == "Secret" else phase(obj)


def _rendered(cluster: ControlPlane, index: int) -> list[Object]:
    """The objects of a stored deployment, of the size they have in the end."""
    stored = cluster.kubectl.get("llmd", _resource(index)["metadata"]["name"])
    facts = Facts(trust_bundle="-----BEGIN CERTIFICATE-----\n" + "A" * 700 + "\n-----END CERTIFICATE-----\n")
    deployment = parse(stored)
    keys = Keyring(current=1, keys=(new_key(1, datetime.now(UTC)),))
    keyrings = [keyring_secret(deployment, store, keys) for store in STORES]
    return render(deployment, facts, Settings()) + keyrings


# --- the operator ---


def _operator(deployments: int, objects: int) -> Measured:
    with _cluster() as cluster:
        kubeconfig = operator_kubeconfig(cluster)
        identity, _ = start_operator(cluster, kubeconfig, resync_seconds="3600")
        process = psutil.Process(identity.pid)
        memory_empty = process.memory_info().rss
        mark = cluster.audit_mark()
        started = time.monotonic()
        _declare_only(cluster, deployments)
        if not wait_until(lambda: _converged(cluster) == deployments, _TIMEOUT):
            raise RuntimeError(f"{_converged(cluster)} of {deployments} converged; see {cluster.directory}/log")
        seconds = _last_creation(cluster, mark) - started
        writes = _operator_writes(cluster, mark)
        memory_full = process.memory_info().rss
        repairs = [_repair(cluster, kubeconfig, index % deployments) for index in range(REPAIRS)]
        stop_operator(cluster)
    return Measured(seconds, writes / deployments, repairs, memory_empty, memory_full)


def _converged(cluster: ControlPlane) -> int:
    """Deployments of which the last object, the model server, is there and the status says what can be said."""
    time.sleep(1)
    servers = cluster.kubectl("get", "statefulsets", "-A", "-l", "app.kubernetes.io/component=inference", "-o", "name")
    settled = [item for item in cluster.kubectl.get("llmd")["items"] if _identity_issued(item)]
    return min(len(servers.split()), len(settled))


def _identity_issued(item: Object) -> bool:
    conditions = {c["type"]: c["status"] for c in item.get("status", {}).get("conditions", ())}
    return conditions.get("IdentityIssued") == "True"


def _last_creation(cluster: ControlPlane, mark: int) -> float:
    """When, on this machine's monotonic clock, the operator finished the last write that created something."""
    ends = [
        event["stageTimestamp"]
        for event in cluster.audit_events(mark)
        if event["user"]["username"] == _user() and event["verb"] == "patch" and event["responseStatus"]["code"] == 201
    ]
    ago = datetime.now(UTC) - datetime.fromisoformat(max(ends))
    return time.monotonic() - ago.total_seconds()


def _operator_writes(cluster: ControlPlane, mark: int) -> int:
    """Write requests of the operator's own account, its Lease apart: that is written by the clock, not by the work."""
    counted = Counter(
        event["objectRef"]["resource"]
        for event in cluster.audit_events(mark)
        if event["user"]["username"] == _user() and event["objectRef"]["resource"] != "leases"
    )
    return sum(counted.values())


def _repair(cluster: ControlPlane, kubeconfig: Path, index: int) -> float:
    """Delete a policy as the operator itself, the only one whom the guard lets, and time its return by polling."""
    return asyncio.run(_deleted_and_back(kubeconfig, f"{_resource(index)['metadata']['name']}-storage"))


async def _deleted_and_back(kubeconfig: Path, namespace: str) -> float:
    os.environ["KUBECONFIG"] = str(kubeconfig)
    cluster = await Cluster.connect()
    try:
        live = await cluster.get("NetworkPolicy", "interaction-logs-ingress", namespace)
        await cluster.delete(live)
        started = time.monotonic()
        while True:
            with contextlib.suppress(NotFoundError):
                await cluster.get("NetworkPolicy", live["metadata"]["name"], namespace)
                return time.monotonic() - started
            await asyncio.sleep(0.002)
    finally:
        await cluster.close()


# --- both ---


@contextmanager
def _cluster() -> Iterator[ControlPlane]:
    """A fresh control plane with cert-manager and the chart, so that neither contestant finds the other's objects."""
    with (
        tempfile.TemporaryDirectory(prefix="cloister-bench-") as folder,
        ControlPlane.start(Path(folder) / "cluster") as cluster,
    ):
        cluster.install_cert_manager()
        cluster.create_storage_class()
        install_chart(cluster)
        cluster.kubectl("create", "namespace", "batch")
        yield cluster


def _declare_only(cluster: ControlPlane, deployments: int) -> None:
    cluster.kubectl.apply(_resource(index) for index in range(deployments))


def _resource(index: int) -> Object:
    """The smallest complete deployment, started without proof: there is no node to run a canary."""
    resource: Object = copy.deepcopy(yaml.safe_load(EXAMPLE.read_text()))
    resource["metadata"] = {"name": f"bench-{index:04d}"}
    exception = {"control": "ZT-17", "reason": "benchmark without a node", "expires": "2099-12-31"}
    resource["spec"]["exceptions"] = [exception]
    resource["spec"]["inference"]["clients"][0]["serviceAccount"] = f"client-{index:04d}"
    return resource


def _user() -> str:
    return f"system:serviceaccount:{NAMESPACE}:{RELEASE}"
