"""What the live proof tries: every pair of places, both ways, by the same flows that policies and gates are made of.

A canary carries the labels of the pods that it stands for, so that the same policies hold for it. It has no certificate
and no key: it is not that peer, and what lies behind a gate stays closed to it.

What tells "blocked" from "nobody is there" is that every canary that listens has first reached itself on all ports;
that what the flow table allows must be reached, in the same run; and the stranger. It stands on a ground outside the
zones, where a policy lets it reach every listener: so only the zone's own ingress keeps it out. And it listens for
everyone: so only a zone's own egress keeps the others from it. A network that enforces one direction alone is seen.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from cloister import names, sidecar
from cloister.facts import CanaryRun
from cloister.flows import components, flows, outside
from cloister.probing import Probe
from cloister.spec import LLMDeployment
from cloister.zones import (
    DNS_PORT,
    GATE_HEALTH_PORT,
    GATE_METRICS_PORT,
    GATE_PORT,
    GROUND,
    HEALTH_PORT,
    METRICS_PORT,
    Component,
    Place,
    Zone,
)

STRANGER = "stranger"
GATE_OF = "gate of "
"""How a gate is called as the target of a canary: this, and the component."""
UDP_PORT = GATE_PORT
"""A policy that names TCP must not let UDP through at the same number."""


@dataclass(frozen=True)
class Post:
    """Where two canaries stand, one that listens and one that tries."""

    name: str
    """A component, `<zone>-zone` in a zone without components, or the stranger."""
    place: Place
    pods: Mapping[str, str]
    """Labels by which policies know the pods that it stands for."""
    component: Component | None = None


def posts(deployment: LLMDeployment) -> tuple[Post, ...]:
    """Every post: each component, each zone without one, and the stranger."""
    present = components(deployment)
    manned = [
        Post(str(component), component.zone, names.pod_selector(deployment.name, component), component)
        for component in present
    ]
    empty = [zone for zone in Zone if not any(component.zone is zone for component in present)]
    return (*manned, *(Post(f"{zone}-zone", zone, {}) for zone in empty), _stranger(deployment))


def tcp_ports(deployment: LLMDeployment) -> tuple[int, ...]:
    """Every port that any program of a zone's pods listens on: all but the gate's lead around gate and auditor."""
    own = (HEALTH_PORT, GATE_HEALTH_PORT, METRICS_PORT, GATE_METRICS_PORT, sidecar.S3_PORT)
    return tuple(sorted({GATE_PORT, *own, deployment.spec.inference.port}))


def ready_port(deployment: LLMDeployment) -> int:
    """Where a canary says to its kubelet that it listens: at none of the ports that others try."""
    return next(port for port in range(8085, 65536) if port not in tcp_ports(deployment))


def probes(deployment: LLMDeployment, post: Post, run: CanaryRun) -> tuple[Probe, ...]:
    """What the canary of one post tries in a run."""
    return (*_among_posts(deployment, post, run), *_beyond(deployment, post, run), *_gates(deployment, post, run))


def _among_posts(deployment: LLMDeployment, post: Post, run: CanaryRun) -> Iterator[Probe]:
    allowed = {
        (flow.source.component, flow.target.component, flow.port)
        for flow in flows(deployment)
        if flow.source.component is not None and flow.target.component is not None
    }
    for other in posts(deployment):
        # That the ground is open is what every other attempt from it, and at it, is measured against.
        open_ground = post.name == other.name == STRANGER
        # Each address that a pod has: a network may enforce one family and forget the other.
        for address in run.listeners.get(other.name, ("",)):
            for port in tcp_ports(deployment):
                passes = open_ground or (post.component, other.component, port) in allowed
                yield Probe(to=other.name, address=address, port=port, passes=passes, canary=True)
            yield Probe(to=other.name, address=address, port=UDP_PORT, kind="udp", passes=open_ground, canary=True)


def _beyond(deployment: LLMDeployment, post: Post, run: CanaryRun) -> Iterator[Probe]:
    """The stranger is no part of what is protected: it does not try these. A store with a backend may ask for names;
    what else it may reach, nothing but an object store must be at."""
    resolves = any(flow.rule.id == "resolve" and flow.source.component is post.component for flow in flows(deployment))
    if post.name != STRANGER:
        for target in run.beyond:
            if not (resolves and target.port == DNS_PORT):
                yield Probe(to=target.name, address=target.address, port=target.port, kind=target.kind)


def _gates(deployment: LLMDeployment, post: Post, run: CanaryRun) -> Iterator[Probe]:
    """The network lets these through; the gate must not, for a canary has no certificate."""
    asked = {
        flow.target.component
        for flow in flows(deployment)
        if post.component and flow.source.component is post.component
    }
    for component, address in sorted(run.gates.items()):
        if component in asked:
            yield Probe(to=f"{GATE_OF}{component}", address=address, port=GATE_PORT, kind="tls")


def _stranger(deployment: LLMDeployment) -> Post:
    """With the labels of a component and of a client, in a namespace of neither: a policy must ask for both."""
    posing = Component.TRAINING if deployment.spec.training else Component.INFERENCE
    machine = next((dict(peer.pods) for peer in outside(deployment) if peer.pods), {})
    return Post(STRANGER, GROUND, machine | names.pod_selector(deployment.name, posing))


def untried(deployment: LLMDeployment) -> tuple[str, ...]:
    """Flows that no canary can try: their source lives in a namespace of the user's, where Cloister starts no pod."""
    found = (
        f"{flow.source.namespace}/{flow.source.service_account or '*'} -> {flow.target.component}:{flow.port}"
        for flow in flows(deployment)
        if flow.source.component is None
    )
    return tuple(dict.fromkeys(found))
