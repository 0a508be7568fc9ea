"""The gate: Envoy's configuration for each component, from the flows that end or begin there.

A gate lets in what a flow grants and nothing else, and lets out what a flow grants and nothing else. It holds the
pod's only key. Everything but the bootstrap is followed while Envoy runs: a new client restarts no pod. Who may ask
what lies in files apart from the listeners: a right or a signing key that is withdrawn ends with the next request of
every connection, and no reply that is under way is cut.
"""

from collections.abc import Iterator

from cloister import names
from cloister.facts import Facts, Settings
from cloister.flows import components, gated
from cloister.render.gate import listeners, tls
from cloister.render.gate.bootstrap import bootstrap
from cloister.render.gate.clusters import clusters
from cloister.render.gate.xds import Object, discovery
from cloister.render.meta import child, compact
from cloister.spec import LLMDeployment
from cloister.zones import Component

__all__ = ["gate", "gate_files"]


def gate(deployment: LLMDeployment, facts: Facts, settings: Settings) -> Iterator[Object]:
    """One ConfigMap a component, mounted at :data:`cloister.sidecar.GATE_CONFIG_DIR`."""
    for component in components(deployment):
        name = names.gate_config(component)
        config = child(deployment, "v1", "ConfigMap", name, zone=component.zone, component=component)
        files = gate_files(deployment, component, facts)
        yield config | {"data": {file: compact(content) for file, content in files.items()}}


def gate_files(deployment: LLMDeployment, component: Component, facts: Facts) -> dict[str, Object]:
    """Every file of one component's gate."""
    declared = gated(deployment)
    incoming = tuple(flow for flow in declared if flow.target.component is component)
    outgoing = tuple(flow for flow in declared if flow.source.component is component)
    return {
        **listeners.rules(deployment, component, incoming, facts.jwks),
        "envoy.json": bootstrap(deployment, component),
        "listeners.json": discovery(
            [
                *listeners.ingress(deployment, component, incoming),
                *listeners.egress(deployment, outgoing),
                *([listeners.drain()] if component is Component.INFERENCE else ()),
                listeners.health(),
                listeners.metrics(),
            ]
        ),
        "clusters.json": discovery([*clusters(deployment, outgoing, facts, ingress=bool(incoming))]),
        "leaf.json": tls.leaf(),
        "bundle.json": tls.bundle(),
    }
