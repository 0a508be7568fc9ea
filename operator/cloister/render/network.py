"""NetworkPolicies: everything denied both ways in every zone, then exactly the flows.

One policy a component and direction, whose peers are the flows at that component. Every peer is one namespaceSelector
and one podSelector together: apart, each would admit on its own.

Every policy isolates its pods both ways, also in the direction that it says nothing of: policies only ever add to each
other, and so none of them, the deny-all included, can be deleted without the rest still denying what it denied.
"""

from collections.abc import Iterable, Iterator

from cloister import names
from cloister.facts import Facts, Settings
from cloister.flows import Flow, Peer, components, flows
from cloister.render.meta import Object, child
from cloister.spec import LLMDeployment
from cloister.zones import PLACES, Component

_API = "networking.k8s.io/v1"
_BOTH_WAYS = ("Ingress", "Egress")


def deny_all(deployment: LLMDeployment, facts: Facts, settings: Settings) -> Iterator[Object]:
    """Default deny, ingress and egress, for every pod of every zone, even one without components, and of the ground."""
    for zone in PLACES:
        policy = child(deployment, _API, "NetworkPolicy", names.DENY_ALL, zone=zone)
        yield policy | {"spec": {"podSelector": {}, "policyTypes": list(_BOTH_WAYS)}}


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
    name = names.flow_policy(component, direction)
    policy = child(deployment, _API, "NetworkPolicy", name, zone=component.zone, component=component)
    by_port: dict[tuple[int, tuple[str, ...]], list[Object]] = {}
    for peer, flow in peers:
        allowed = by_port.setdefault((flow.port, flow.rule.protocols), [])
        allowed += [one for one in _ends(peer) if one not in allowed]
    rules = [
        {end: allowed, "ports": [{"protocol": protocol, "port": port} for protocol in protocols]}
        for (port, protocols), allowed in sorted(by_port.items())
    ]
    return policy | {
        "spec": {
            "podSelector": {"matchLabels": names.pod_selector(deployment.name, component)},
            "policyTypes": list(_BOTH_WAYS),
            direction.lower(): rules,
        }
    }


def _ends(peer: Peer) -> list[Object]:
    """Pods by both selectors, or networks: never both in one peer."""
    if peer.addresses:
        return [{"ipBlock": {"cidr": network}} for network in peer.addresses]
    return [
        {
            "namespaceSelector": {"matchLabels": {names.LABEL_NAMESPACE_NAME: peer.namespace}},
            "podSelector": {"matchLabels": dict(peer.pods)} if peer.pods else {},
        }
    ]
