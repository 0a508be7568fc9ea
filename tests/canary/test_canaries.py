"""The canaries' own programs, as they are rendered, on a network that enforces the rendered policies: in full, in part,
or not at all. What they tell must say where."""

from __future__ import annotations

import copy
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cloister import names
from cloister.canaries import posts, ready_port
from cloister.controller.findings import Reading, reading
from cloister.facts import Beyond, CanaryRun, Facts, Settings
from cloister.probing import Prober, ProberReport
from cloister.render import render
from cloister.render.phases import is_canary
from cloister.spec import LLMDeployment
from cloister.zones import Zone
from tests.canary.network import NetPod, Network, network, unable
from tests.edits import deployment as example

Object = dict[str, Any]
Key = tuple[str, str]
"""(role, post)."""

RUN = "0123456789"
OUTSIDE = """
import socket, threading
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.bind(("", 53))
tcp = socket.create_server(("", 443))
print("up", flush=True)
def answer():
    while True:
        data, peer = udp.recvfrom(512)
        udp.sendto(data, peer)
threading.Thread(target=answer, daemon=True).start()
while True:
    tcp.accept()
"""
"""Stands in for what lies around a cluster: a resolver, an API server."""

pytestmark = pytest.mark.skipif(unable() is not None, reason=unable() or "")


@dataclass
class Ground:
    """A deployment's canaries, of which those that listen run."""

    deployment: LLMDeployment
    net: Network
    run: CanaryRun
    pods: dict[Key, NetPod]
    policies: list[Object]

    def told(self, folder: Path) -> Reading:
        """What those that try find now."""
        jobs = _jobs(self.deployment, self.run)
        running = {}
        for post in posts(self.deployment):
            job = jobs[names.PROBER, post.name]
            prober = Prober.model_validate_json(_arguments(job)[-1]).model_copy(
                update={
                    "silence_seconds": 0.8,
                    "settle_seconds": 0.5,
                    "patience_seconds": 2.0,
                    "termination_log": str(folder / f"{post.name}.json"),
                }
            )
            command = ["probe", prober.model_dump_json(exclude_defaults=True)]
            running[post.name] = subprocess.Popen(
                self.pods[names.PROBER, post.name].enter(_program(command)), stdout=subprocess.DEVNULL
            )
        assert not any(process.wait(60) for process in running.values())
        reports = {name: ProberReport.model_validate_json((folder / f"{name}.json").read_text()) for name in running}
        return reading(self.deployment, self.run, reports)


@pytest.fixture(scope="module")
def ground() -> Iterator[Ground]:
    """Every canary's pod on one network, and those that listen running as they are rendered."""
    deployment = example({})
    with network() as net, ExitStack() as stack:
        pods = {
            key: net.add(job["metadata"]["namespace"], job["spec"]["template"]["metadata"]["labels"])
            for key, job in _jobs(deployment, CanaryRun(RUN)).items()
        }
        outside = net.add()
        listeners = {post: (pod.address,) for (role, post), pod in pods.items() if role == names.LISTENER}
        beyond = (Beyond("cluster DNS", outside.address, 53, "dns"), Beyond("API server", outside.address, 443))
        run = CanaryRun(RUN, listeners, beyond=beyond)
        _await(stack, outside, [sys.executable, "-c", OUTSIDE])
        for (role, post), job in _jobs(deployment, run).items():
            if role == names.LISTENER:
                pod = pods[role, post]
                _await(stack, pod, ["env", f"POD_IPS={pod.address}", *_program(_arguments(job))])
        rendered = render(deployment, Facts(canary=run), Settings())
        policies = [obj for obj in rendered if obj["kind"] == "NetworkPolicy"]
        yield Ground(deployment, net, run, pods, policies)


def _jobs(deployment: LLMDeployment, run: CanaryRun) -> dict[Key, Object]:
    rendered = [obj for obj in render(deployment, Facts(canary=run), Settings()) if is_canary(obj)]
    by_name = {obj["metadata"]["name"]: obj for obj in rendered}
    return {
        (role, post.name): by_name[names.canary(run.id, role, post.name)]
        for post in posts(deployment)
        for role in (names.LISTENER, names.PROBER)
    }


def _arguments(job: Object) -> list[str]:
    (container,) = job["spec"]["template"]["spec"]["containers"]
    found: list[str] = container["args"]
    return found


def _program(arguments: list[str]) -> list[str]:
    return [sys.executable, "-m", "cloister.jobs.canary", *arguments]


def _await(stack: ExitStack, pod: NetPod, command: list[str]) -> None:
    """Start something, and wait until it says a line."""
    process = subprocess.Popen(pod.enter(command), stdout=subprocess.PIPE)
    stack.callback(process.wait, 10)
    stack.callback(process.kill)
    assert process.stdout
    stack.callback(process.stdout.close)
    assert process.stdout.readline()


def sources(failures: list[str]) -> set[str]:
    return {failure.split(" -> ")[0] for failure in failures}


def targets(failures: list[str]) -> set[str]:
    return {failure.split(" -> ")[1].rpartition(": ")[0].rpartition(":")[0] for failure in failures}


def edited(ground: Ground, name: str, edit: Callable[[Object], Object | None]) -> list[Object]:
    """The rendered policies, one of them changed or taken away."""
    found = []
    for policy in copy.deepcopy(ground.policies):
        where = f"{policy['metadata']['namespace']}/{policy['metadata']['name']}"
        changed = edit(policy) if where == f"{ground.deployment.name}-{name}" else policy
        found += [changed] if changed else []
    assert found != ground.policies
    return found


def test_what_is_rendered_and_enforced_is_proved(ground: Ground, tmp_path: Path) -> None:
    ground.net.enforce(ground.policies)
    told = ground.told(tmp_path)
    assert (told.leaks, told.cut, told.closed) == ([], [], [])
    passed = {(pair.source, pair.target) for pair in told.pairs if pair.passed}
    assert ("training", "checkpoints") in passed
    assert ("inference", "training-data") not in passed
    assert ("stranger", "stranger") in passed


def test_a_network_that_enforces_nothing_is_found_out_from_everywhere(ground: Ground, tmp_path: Path) -> None:
    ground.net.enforce([])
    told = ground.told(tmp_path)
    everyone = {post.name for post in posts(ground.deployment)}
    assert sources(told.leaks) == everyone
    assert targets(told.leaks) == everyone | {"cluster DNS", "API server"}
    assert "training -> inference:8443/udp: reached, must be blocked" in told.leaks
    assert not told.cut


def test_ingress_alone_is_not_enough(ground: Ground, tmp_path: Path) -> None:
    ground.net.enforce(ground.policies, ["Ingress"])
    told = ground.told(tmp_path)
    assert targets(told.leaks) == {"stranger", "cluster DNS", "API server"}
    assert sources(told.leaks) == {post.name for post in posts(ground.deployment)} - {"stranger"}


def test_egress_alone_is_not_enough(ground: Ground, tmp_path: Path) -> None:
    ground.net.enforce(ground.policies, ["Egress"])
    told = ground.told(tmp_path)
    assert sources(told.leaks) == {"stranger"}
    assert targets(told.leaks) == {post.name for post in posts(ground.deployment)} - {"stranger"}


def test_a_foreign_policy_that_widens_a_zone_is_found_and_named(ground: Ground, tmp_path: Path) -> None:
    inference = names.namespace(ground.deployment.name, next(p.place for p in posts(ground.deployment)))
    foreign = {
        "metadata": {"name": "open", "namespace": inference},
        "spec": {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{}]},
    }
    ground.net.enforce([*ground.policies, foreign])
    told = ground.told(tmp_path)
    assert sources(told.leaks) == {"stranger"}
    assert targets(told.leaks) == {"inference"}


@pytest.mark.parametrize(
    ("gone", "cut"),
    [
        ("storage/checkpoints-ingress", "training -> checkpoints:8443: silent, must be reached"),
        ("training/training-egress", "training -> training-data:8443: silent, must be reached"),
    ],
)
def test_a_missing_policy_is_found_and_named(ground: Ground, tmp_path: Path, gone: str, cut: str) -> None:
    ground.net.enforce(edited(ground, gone, lambda _: None))
    told = ground.told(tmp_path)
    assert cut in told.cut
    assert not told.leaks


def test_a_zone_without_policies_is_found_and_named(ground: Ground, tmp_path: Path) -> None:
    zone = names.namespace(ground.deployment.name, Zone.TRAINING)
    ground.net.enforce([policy for policy in ground.policies if policy["metadata"]["namespace"] != zone])
    told = ground.told(tmp_path)
    assert "stranger -> training:8000: reached, must be blocked" in told.leaks
    assert "training -> API server:443: reached, must be blocked" in told.leaks
    assert not told.cut


def test_ports_count(ground: Ground, tmp_path: Path) -> None:
    def every_port(policy: Object) -> Object:
        for rule in policy["spec"]["ingress"]:
            del rule["ports"]
        return policy

    policies = edited(ground, "storage/checkpoints-ingress", every_port)
    ground.net.enforce(policies, ["Ingress"])  # or the other side's egress would stop it
    told = ground.told(tmp_path)
    assert "training -> checkpoints:9090: reached, must be blocked" in told.leaks
    assert "training -> checkpoints:8443/udp: reached, must be blocked" in told.leaks


def test_a_peer_is_a_namespace_and_a_pod_together(ground: Ground, tmp_path: Path) -> None:
    """Apart, each would admit on its own: a stranger with the right labels."""

    def apart(policy: Object) -> Object:
        for rule in policy["spec"]["ingress"]:
            rule["from"] = [{"podSelector": peer["podSelector"]} for peer in rule["from"]]
        return policy

    ground.net.enforce(edited(ground, "storage/checkpoints-ingress", apart))
    told = ground.told(tmp_path)
    assert told.leaks == ["stranger -> checkpoints:8443: reached, must be blocked"]


def test_a_closed_ground_is_told_from_a_proof(ground: Ground, tmp_path: Path) -> None:
    ground.net.enforce(edited(ground, "canary/canary-ingress", lambda _: None))
    told = ground.told(tmp_path)
    assert told.closed
    assert not told.leaks


def test_a_canary_that_nobody_can_reach_says_so_and_is_never_ready(ground: Ground) -> None:
    job = _jobs(ground.deployment, ground.run)[names.LISTENER, "training"]
    pod = ground.net.add()
    elsewhere = ["env", "POD_IPS=10.77.0.250", *_program(_arguments(job))]
    done = subprocess.run(pod.enter(elsewhere), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "can't reach itself at 10.77.0.250: 8000/tcp" in done.stderr


def test_who_asks_whether_a_canary_listens_uses_its_own_port(ground: Ground) -> None:
    for job in _jobs(ground.deployment, ground.run).values():
        (container,) = job["spec"]["template"]["spec"]["containers"]
        if "readinessProbe" in container:
            assert container["readinessProbe"]["tcpSocket"]["port"] == ready_port(ground.deployment)
