"""Every part is killed once while people ask: it comes back by itself, and nothing is widened or answered unrecorded.

What was answered is compared with the records in test_record, when the last of them have been stored.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from cloister import names, zones
from tests.cluster.kubectl import Kubectl
from tests.cluster.node.pods import Pods
from tests.cluster.processes import wait_until
from tests.e2e.conftest import NOTES
from tests.e2e.life import NAME, Life
from tests.e2e.load import Load, under_load
from tests.e2e.prober import Prober
from tests.installed import NAMESPACE, RELEASE, operator_kubeconfig

pytestmark = pytest.mark.timeout(3000)

AWAY = 4.0
"""Seconds until a process of the node is started again, as a node's own service manager would."""


@dataclass(frozen=True)
class Victim:
    """What is killed: a process of the node, or a container of a pod (``pod`` is the beginning of its name)."""

    name: str
    namespace: str = ""
    pod: str = ""
    container: str = ""
    noticed: bool = False
    """Whether people notice: what answers them is killed."""

    def __str__(self) -> str:
        return self.name

    def kill(self, life: Life) -> None:
        """With SIGKILL; a process of the node is back after `AWAY`."""
        if not self.namespace:
            life.node.kill(self.name)
            time.sleep(AWAY)
            life.node.bring_back(self.name)
            return
        found = [pod["metadata"] for pod in life.kubectl.get("pods", "-n", self.namespace)["items"]]
        (pod,) = [m["name"] for m in found if m["name"].startswith(self.pod) and "deletionTimestamp" not in m]
        Pods(life.node.machine).kill(self.namespace, pod, self.container)


INFERENCE, STORAGE, TRAINING = (
    names.namespace(NAME, zone) for zone in (zones.Zone.INFERENCE, zones.Zone.STORAGE, zones.Zone.TRAINING)
)
VICTIMS = [
    Victim("operator", NAMESPACE, RELEASE, "operator"),
    Victim("auditor", INFERENCE, "inference-0", "auditor", noticed=True),
    Victim("gate", INFERENCE, "inference-0", "gate", noticed=True),
    Victim("store", STORAGE, "interaction-logs-0", "store"),
    Victim("kubelet"),
    Victim("containerd"),
    Victim("cilium-agent"),
    Victim("kube-apiserver"),
    Victim("etcd"),
]


@pytest.fixture(scope="module")
def load(life: Life) -> Iterator[Load]:
    """People who ask while everything dies."""
    with under_load(life, "kills") as load:
        yield load


@pytest.fixture(scope="module")
def operator(life: Life) -> Kubectl:
    """kubectl with the operator's own identity."""
    return Kubectl(operator_kubeconfig(life.node))


@pytest.mark.parametrize("victim", VICTIMS, ids=str)
def test_it_comes_back_by_itself(victim: Victim, life: Life, load: Load, prober: Prober, operator: Kubectl) -> None:
    load.recovered()
    began, running = time.time(), life.node.running()
    victim.kill(life)
    answered = load.recovered()
    life.node.wait_until_ready()
    assert life.node.running() == running
    life.settled()
    repaired(life, operator)
    well = time.time() - began
    assert prober.narrowed() == frozenset()
    assert prober.widened(began) == {}
    load.recovered()  # so that what was asked until now has ended
    failed = load.failures(began)
    NOTES.append(
        f"{victim} killed: {len(load.since(began))} questions, {len(failed)} failed; everybody was answered again after"
        f" {answered:.1f} s, all was well after {well:.1f} s"
    )
    if not victim.noticed:
        assert failed == []


def repaired(life: Life, operator: Kubectl) -> None:
    """The operator does its work: what is deleted comes back."""
    where = ("networkpolicy", names.DENY_ALL, "-n", TRAINING)
    before = life.kubectl.get(*where)["metadata"]["uid"]
    operator("delete", *where)

    def back() -> bool:
        found = life.kubectl.get(*where[:1], "-n", TRAINING)["items"]
        return any(p["metadata"]["name"] == names.DENY_ALL and p["metadata"]["uid"] != before for p in found)

    assert wait_until(back, 90), "the operator repairs nothing"
