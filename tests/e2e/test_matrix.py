"""Who reaches whom: exactly what the flow table says, whatever happens to the objects that enforce it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import partial

import pytest

from cloister import names, zones
from tests.cluster.kubectl import Kubectl, KubectlError
from tests.cluster.processes import wait_until
from tests.e2e.conftest import NOTES
from tests.e2e.life import NAME, Life
from tests.e2e.neighbourhood import INTERNET, OTHER, SERVING
from tests.e2e.outsiders import STRANGER
from tests.e2e.prober import Prober
from tests.installed import NAMESPACE, RELEASE, operator_kubeconfig

pytestmark = pytest.mark.timeout(3000)

ZONES = [names.namespace(NAME, zone) for zone in zones.Zone]
OUTSIDER = f"{STRANGER.namespace}/{STRANGER.name}"


@pytest.fixture(scope="module")
def operator(life: Life) -> Kubectl:
    """kubectl with the operator's own identity: the zone guard lets nobody else touch a policy."""
    return Kubectl(operator_kubeconfig(life.node))


def policies(life: Life) -> dict[tuple[str, str], str]:
    """(zone, name) -> UID."""
    return {
        (zone, policy["metadata"]["name"]): policy["metadata"]["uid"]
        for zone in ZONES
        for policy in life.kubectl.get("networkpolicies", "-n", zone)["items"]
    }


def is_back(life: Life, before: Mapping[tuple[str, str], str], key: tuple[str, str]) -> bool:
    """Whether there is another policy of the same name."""
    return policies(life).get(key, before[key]) != before[key]


def test_every_pair_is_tried(prober: Prober) -> None:
    pods = {end.name for end in prober.ends if end.namespace}
    in_zones = {end.name for end in prober.ends if end.in_zone}
    assert len(in_zones) == 5
    assert len(pods) == 11
    pairs = {(attempt.source.name, attempt.target) for attempt in prober.attempts}
    assert pairs >= {(a, b) for a in pods for b in pods if a != b and {a, b} & in_zones}


def test_something_answers_everywhere_so_that_silence_means_a_policy(prober: Prober) -> None:
    """From where nothing is denied: the node into the zones, a stranger to everything else."""
    seen = prober.now(5)
    wanted = {
        f"the node -> {end.name} {protocol}/{port}"
        for end in prober.ends
        if end.namespace
        for protocol in ("tcp", "udp")
        for port in (SERVING, OTHER)
    }
    everything = {str(a) for a in prober.attempts if a.source.name == OUTSIDER}
    wanted |= {name for name in everything if name not in prober.allowed}
    assert any(a.address == INTERNET for a in prober.attempts if str(a) in wanted)
    assert wanted - seen == set()


def test_exactly_the_flow_table_passes(prober: Prober) -> None:
    allowed = {name for name, may in prober.allowed.items() if may}
    assert len(allowed) > 20
    seen = prober.now(8)
    assert seen & prober.allowed.keys() == allowed
    from_the_node = [str(a) for a in prober.attempts if not a.source.deniable]
    NOTES.append(
        f"{len(prober.allowed)} connections tried, every {prober.period:.2f} s: {len(allowed)} pass, as the flow table"
        f" says; from the pods' own node, which no NetworkPolicy can deny, {len(seen & set(from_the_node))} of"
        f" {len(from_the_node)} pass"
    )


def test_a_hole_would_be_seen(prober: Prober, operator: Kubectl) -> None:
    """What all that follows stands on."""
    began = time.time()
    zone = names.namespace(NAME, zones.Zone.TRAINING)
    hole = {
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "hole", "namespace": zone},
        "spec": {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{}]},
    }  # fmt: skip
    operator.apply([hole])
    try:
        assert wait_until(lambda: any(name.startswith(OUTSIDER) for name in prober.widened(began)), 20)
        assert all(f" -> {zone}/" in name for name in prober.widened(began))
    finally:
        operator.delete([hole])
    assert wait_until(lambda: not any(name.startswith(OUTSIDER) and zone in name for name in prober.now()), 30)


@pytest.mark.parametrize("zone", ZONES)
def test_nobody_but_the_operator_deletes_a_policy(life: Life, zone: str) -> None:
    with pytest.raises(KubectlError, match="zone-guard"):
        life.kubectl("delete", "networkpolicy", names.DENY_ALL, "-n", zone)


def test_no_policy_is_missed_while_it_is_gone(life: Life, prober: Prober, operator: Kubectl) -> None:
    """Not even the one that denies everything: it comes back, and until then the others deny what it denied."""
    began, before = time.time(), policies(life)
    assert len(before) > 10
    slowest = 0.0
    for zone, name in before:
        deleted = time.time()
        operator("delete", "networkpolicy", name, "-n", zone)
        assert wait_until(partial(is_back, life, before, (zone, name)), 30), name
        slowest = max(slowest, time.time() - deleted)
    NOTES.append(f"each of {len(before)} policies deleted: back within {slowest:.1f} s at most, nothing widened")
    assert wait_until(lambda: prober.narrowed() == frozenset(), 30)
    assert prober.widened(began) == {}


def test_nothing_is_widened_while_flows_come_and_go(life: Life, prober: Prober) -> None:
    """A client more, whose pods are nowhere, and a client less: policies and gates change on the running pods."""
    began = time.time()
    declared = life.kubectl.get("llmd", NAME)["spec"]["inference"]["clients"]
    another = {"namespace": "web", "serviceAccount": "another", "podSelector": {"app": "nowhere"}}
    for clients in ([*declared, another], declared):
        life.patch(inference={"clients": clients})
        life.settled()
    assert prober.narrowed() == frozenset()
    assert prober.widened(began) == {}


def test_nothing_is_widened_while_the_operator_starts_anew(life: Life, prober: Prober) -> None:
    began = time.time()
    life.kubectl("rollout", "restart", f"deployment/{RELEASE}", "-n", NAMESPACE)
    life.kubectl("rollout", "status", f"deployment/{RELEASE}", "-n", NAMESPACE, "--timeout=120s")
    life.settled()
    assert prober.narrowed() == frozenset()
    assert prober.widened(began) == {}
