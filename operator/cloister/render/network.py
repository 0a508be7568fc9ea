"""NetworkPolicies: everything denied both ways in every zone, then exactly the flows.

One policy a component and direction, whose peers are the flows at that component. Every peer is one namespaceSelector
and one podSelector together: apart, each would admit on its own.
"""

from collections.abc import Iterable, Iterator

from cloister import names
from cloister.facts import Facts, Settings
from cloister.flows import Flow, Peer, components, flows
from cloister.render.meta import Object, child
from cloister.spec import LLMDeployment
from cloister.zones import Component, Zone

_API = "networking.k8s.io/v1"


def deny_all(deployment: LLMDeployment, facts: Facts, settings: Settings) -> Iterator[Object]:
    """Default deny, ingress and egress, for every pod of every zone, even a zone without components."""
    for zone in Zone:
        policy = child(deployment, _API, "NetworkPolicy", names.DENY_ALL, zone=zone)
        yield policy | {"spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}}


def allow_flows(deployment: LLMDeployment, facts: Facts, settings: Settings) -> Iterator[Object]:
    """What each component may receive and send."""
    every = flows(deployment)
    for component in components(deployment):
        received = [flow for flow in every if flow.target.component is component]
        if received:
            yield _policy(deployment, component, "Ingress", "from", ((flow.source, flow) for flow in received))
        sent = [flow for flow in every if flow.source.component is component]
        if sent:
            yield _policy(deployment, component, "Egress", "to", ((flow.target, flow) for flow in sent))


def _policy(
    deployment: LLMDeployment,
    component: Component,
    direction: str,
    end: str,
    peers: Iterable[tuple[Peer, Flow]],
) -> Object:
    name = f"{component}-{direction.lower()}"
    policy = child(deployment, _API, "NetworkPolicy", name, zone=component.zone, component=component)
    by_port: dict[int, list[Object]] = {}
    for peer, flow in peers:
        allowed = by_port.setdefault(flow.port, [])
        selector = _selector(peer)
        if selector not in allowed:
            allowed.append(selector)
    rules = [{end: allowed, "ports": [{"protocol": "TCP", "port": port}]} for port, allowed in sorted(by_port.items())]
    return policy | {
        "spec": {
            "podSelector": {"matchLabels": names.pod_selector(deployment.name, component)},
            "policyTypes": [direction],
            direction.lower(): rules,
        }
    }


def _selector(peer: Peer) -> Object:
    return {
        "namespaceSelector": {"matchLabels": {names.LABEL_NAMESPACE_NAME: peer.namespace}},
        "podSelector": {"matchLabels": dict(peer.pods)} if peer.pods else {},
    }
