"""Who is there on the node, what each could try, and what the flow table says of it.

Every pod of the zones, machines outside that are declared and others that are not, the internet, the metadata service,
and the node itself. Something answers at every place, so that silence means a policy.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product
from typing import Any

from cloister import names, zones
from cloister.flows import Flow, flows
from cloister.spec import LLMDeployment, parse
from tests.cluster.node import commands
from tests.cluster.node.machine import Machine
from tests.cluster.node.pods import Pods
from tests.e2e import outsiders
from tests.e2e.life import NAME, Life
from tests.e2e.prober import Attempt, End, Listener, Prober

SERVING, OTHER = zones.GATE_PORT, zones.GATE_PORT + 1
METADATA = "169.254.169.254"
INTERNET = "203.0.113.7"
"""Somewhere outside (RFC 5737): a network beside the node's, with something that answers."""
OUTSIDE, _NODE_SIDE = "198.51.100.2", "198.51.100.1"
_CLOSED_PORTS = (8000, 9000, zones.HEALTH_PORT, zones.GATE_HEALTH_PORT, zones.METRICS_PORT, zones.GATE_METRICS_PORT)
"""Ports of a zone's pod where somebody may listen, besides the gate's."""


def neighbourhood(life: Life) -> Prober:
    """What tries everything on the node of that life."""
    machine, kubectl = life.node.machine, life.kubectl
    deployment = parse(kubectl.get("llmd", NAME))
    namespaces = [names.namespace(NAME, zone) for zone in zones.Zone]
    namespaces += sorted({outsider.namespace for outsider in outsiders.ALL})
    listed = [pod for namespace in namespaces for pod in kubectl.get("pods", "-n", namespace)["items"]]
    ends = [*_pods(listed, Pods(machine), deployment), outside(machine), _the_node(machine)]
    services = {
        f"{service['metadata']['name']}": service["spec"]["clusterIP"]
        for zone in zones.Zone
        for service in kubectl.get("services", "-n", names.namespace(NAME, zone))["items"]
    }
    (dns,) = kubectl.get("pods", "-n", "kube-system", "-l", "k8s-app=kube-dns")["items"]
    tried = list(_attempts(ends, services, dns["status"]["podIP"], machine))
    return Prober(machine, ends, list(_listeners(ends)), tried, _said(deployment, ends, tried))


def _listeners(ends: Sequence[End]) -> Iterator[Listener]:
    """Something listens everywhere where nobody does, so that silence means a policy."""
    for end in ends:
        if end.namespace:
            yield from product([end.name], ["tcp", "udp"], [SERVING, OTHER])
            if end.in_zone:
                yield from product([end.name], ["tcp"], _CLOSED_PORTS)
        elif end.address == INTERNET:
            yield from product([end.name], ["tcp", "udp"], [80, 443])


def _pods(listed: Iterable[Mapping[str, Any]], on_node: Pods, deployment: LLMDeployment) -> list[End]:
    """The pods of a list that run, but for canaries, which come and go."""
    own = {names.namespace(deployment.name, zone) for zone in zones.Zone}
    found = []
    for pod in listed:
        meta = pod["metadata"]
        passing = names.LABEL_RUN in meta.get("labels", {}) or meta.get("deletionTimestamp")
        if pod["status"].get("phase") == "Running" and not passing:
            namespace, name = meta["namespace"], meta["name"]
            found.append(
                End(
                    f"{namespace}/{name}", on_node.network(namespace, name), pod["status"]["podIP"],
                    namespace, meta.get("labels", {}), namespace in own,
                )
            )  # fmt: skip
    return found


def outside(machine: Machine) -> End:
    """A network beside the node's, where the internet and the metadata service are; made on the first call."""
    if "outside" not in machine.run("ip", "netns", "list").split():
        for words in (
            "ip netns add outside",
            "ip link add outside type veth peer name eth0 netns outside",
            f"ip addr add {_NODE_SIDE}/30 dev outside",
            "ip link set outside up",
            "ip -n outside link set lo up",
            f"ip -n outside addr add {OUTSIDE}/30 dev eth0",
            f"ip -n outside addr add {INTERNET}/32 dev eth0",
            f"ip -n outside addr add {METADATA}/32 dev eth0",
            "ip -n outside link set eth0 up",
            f"ip -n outside route add default via {_NODE_SIDE}",
            f"ip route add {INTERNET}/32 via {OUTSIDE}",
            f"ip route add {METADATA}/32 via {OUTSIDE}",
        ):
            machine.run(*words.split())
    return End("the internet", "/run/netns/outside", INTERNET)


def _the_node(machine: Machine) -> End:
    """The node itself, whose traffic no NetworkPolicy can deny."""
    return End("the node", "/proc/1/ns/net", machine.address, deniable=False)


def _attempts(ends: Sequence[End], services: Mapping[str, str], dns: str, machine: Machine) -> Iterator[Attempt]:
    """Everything to and from the zones: all ordered pairs, and what a cluster offers to pods.

    ``services``: the zones' Services, name -> address. The node tries to reach everybody, to show that they answer.
    """
    for source, target in product(ends, ends):
        if source is target or not target.namespace:
            continue
        if source.deniable and not (source.in_zone or target.in_zone):
            continue
        for protocol, port in product(("tcp", "udp"), (SERVING, OTHER)):
            yield Attempt(source, target.name, protocol, target.address, port)
        if target.in_zone:
            for port in _CLOSED_PORTS:
                yield Attempt(source, target.name, "tcp", target.address, port)
    fixed = [
        ("cluster DNS", "tcp", commands.DNS, 53),
        ("cluster DNS", "udp", commands.DNS, 53),
        ("a DNS pod", "tcp", dns, 53),
        ("a DNS pod", "udp", dns, 53),
        ("the API server", "tcp", "10.96.0.1", 443),
        ("the API server's address", "tcp", machine.address, commands.API_PORT),
        ("the kubelet", "tcp", machine.address, 10250),
        ("the metadata service", "tcp", METADATA, 80),
        ("the metadata service", "udp", METADATA, 80),
        ("the internet", "tcp", INTERNET, 443),
        ("the internet", "udp", INTERNET, 443),
    ]
    for source in ends:
        if source.namespace:
            yield from (Attempt(source, *rest) for rest in fixed)
            for name, address in services.items():
                if not (source.in_zone and _component(source) == name):  # a pod always reaches itself
                    yield Attempt(source, f"Service {name}", "tcp", address, SERVING)


def _said(deployment: LLMDeployment, ends: Sequence[End], tried: Iterable[Attempt]) -> dict[str, bool]:
    """What the flow table says of each attempt, by name. It speaks of what leaves a zone or reaches one, but for what
    comes from the node itself."""
    table = flows(deployment)
    targets = {end.name: end for end in ends if end.namespace}
    targets |= {f"Service {_component(end)}": end for end in ends if end.in_zone}
    return {
        str(attempt): _allowed(table, attempt, targets.get(attempt.target))
        for attempt in tried
        if attempt.source.deniable and (attempt.source.in_zone or attempt.target in targets)
    }


def _allowed(table: Iterable[Flow], attempt: Attempt, target: End | None) -> bool:
    return target is not None and any(
        (attempt.protocol, attempt.port) == ("tcp", flow.port)
        and attempt.source.stands_for(flow.source)
        and target.stands_for(flow.target)
        for flow in table
    )


def _component(end: End) -> str | None:
    return end.labels.get(names.LABEL_COMPONENT)
