"""Why one end may reach another, or not: the flow table, layer by layer, for a person who asks.

Everything is read from :mod:`cloister.flows`, of which policies and gates are made: there is no second truth.
"""

from collections.abc import Iterator, Mapping

from cloister.explain.answer import Explanation, Layer, Verdict
from cloister.explain.ends import End, Place, UnknownEndError, is_there, parse_end, parse_target
from cloister.explain.gate import asked
from cloister.explain.network import entering, leaving, neighbours, ports
from cloister.flows import Flow, flows
from cloister.spec import LLMDeployment
from cloister.spec.storage import FIELDS
from cloister.zones import (
    FLOW_TABLE,
    GATE_HEALTH_PORT,
    GATE_METRICS_PORT,
    GATE_PORT,
    HEALTH_PORT,
    METRICS_PORT,
    Component,
    Party,
)

__all__ = ["DECLARATIONS", "End", "Explanation", "Layer", "Place", "UnknownEndError", "Verdict", "explain", "explained"]

DECLARATIONS: Mapping[str, str] = {
    "prompt": "spec.inference.clients, for what this machine calls, for itself or for people",
    "fetch": "spec.inference.model, for the weights that it serves",
    "learn": "spec.training.reads, for the prefixes that it learns from",
    "checkpoint": "spec.training.writes, for the prefixes of its checkpoints",
    "read": "spec.storage.{store}.readers, for what this machine reads",
    "write": "spec.storage.{store}.writers, for what this machine writes",
    "resolve": "spec.storage.{store}.backend, for the names of its object store",
    "keep": "spec.storage.{store}.backend.addresses, for what it keeps there",
    "collect": "spec.audit.export, for what it tells of the journal",
    "export": "spec.audit.export, with the addresses of otlp or webhook",
    "scrape": "spec.metrics.scrapers, for the counts of the auditor",
    "scrape-gate": "spec.metrics.scrapers, for the counts of the gate",
}
"""Row of the flow table -> the field that makes a flow of it. Records need none: every auditor stores them."""
_NODE_SEES = {
    HEALTH_PORT: "whether all is well, and nothing else",
    GATE_HEALTH_PORT: "whether all is well, and nothing else",
    METRICS_PORT: "counts, and nothing about anybody",
    GATE_METRICS_PORT: "counts, and nothing about anybody",
}
"""Port -> what it tells to a pod's own node, which no policy keeps away."""


def explained(deployment: LLMDeployment, source: str, target: str) -> Explanation:
    """For ends as a person writes them; :class:`UnknownEndError` for what names nothing."""
    end, port = parse_target(deployment, target)
    return explain(deployment, parse_end(deployment, source), end, port)


def explain(deployment: LLMDeployment, source: End, target: End, port: int | None = None) -> Explanation:
    """The way from one end to the other; :class:`UnknownEndError` if it touches no zone of this deployment."""
    if source.zone is None and target.zone is None:
        text = f"neither {source} nor {target} is in a zone of {deployment.name}: Cloister has no say there"
        raise UnknownEndError(text)
    for end in (source, target):
        if not is_there(deployment, end):
            layer = Layer(Verdict.DENIES, "deployment", f"{deployment.name} has no {end.component}")
            return Explanation(deployment.name, source, target, port, False, (), (layer,), (f"spec.{end.component}",))
    if source.place is Place.KUBELET:
        return _from_the_node(deployment, source, target, port)
    between = tuple(flow for flow in flows(deployment) if source.is_of(flow.source) and target.is_of(flow.target))
    found = tuple(flow for flow in between if port in (None, flow.port))
    layers = [leaving(deployment, source, target, found), entering(deployment, source, target, port, found)]
    layers += dict.fromkeys(layer for flow in found for layer in asked(deployment, flow))
    if not found and neighbours(deployment, source, target, port):
        layers.append(Layer(Verdict.DENIES, "gate: certificate", f"{source} has no identity that may call {target}"))
    passing = tuple(flow for flow in found if _passes(deployment, flow))
    declare = () if passing else tuple(_declarations(source, target, port, between))
    remark = "" if passing or declare else _remark(source, target, between)
    return Explanation(deployment.name, source, target, port, bool(passing), passing, tuple(layers), declare, remark)


def _passes(deployment: LLMDeployment, flow: Flow) -> bool:
    return not any(layer.verdict is Verdict.DENIES for layer in asked(deployment, flow))


def _from_the_node(deployment: LLMDeployment, source: End, target: End, port: int | None) -> Explanation:
    layers = [Layer(Verdict.THROUGH, "network policies", "Kubernetes lets a pod's own node through, whatever they say")]
    told = _NODE_SEES.get(HEALTH_PORT if port is None else port)
    if told:
        layers.append(Layer(Verdict.THROUGH, f"port {port or HEALTH_PORT}", f"asks for no identity, and tells {told}"))
    elif port == GATE_PORT:
        layers.append(Layer(Verdict.DENIES, "gate: certificate", "the node has no identity of this deployment"))
    else:
        layers.append(Layer(Verdict.DENIES, f"port {port}", "nothing of Cloister's listens there"))
    remark = "" if told else "the flow table has no row for nodes"
    return Explanation(deployment.name, source, target, port, bool(told), (), tuple(layers), remark=remark)


def _remark(source: End, target: End, between: tuple[Flow, ...]) -> str:
    if between:
        return f"it passes on {ports(between)} only"
    return f"the flow table has no row from {source} to {target}"


def _declarations(source: End, target: End, port: int | None, between: tuple[Flow, ...]) -> Iterator[str]:
    if not between:
        yield from _rows(source, target, port)
    for flow in between:
        if port not in (None, flow.port):
            continue
        if not flow.grants:
            yield "spec.inference.clients[].apis; for people, spec.identity.users.rules[].apis"
        elif flow.people:
            yield "spec.identity.users and its rules, for the people whom this machine speaks for"


def _rows(source: End, target: End, port: int | None) -> list[str]:
    """The rows that these ends could stand in. Counts are suggested to nobody who did not name their port."""
    sources, targets = source.parties(), target.parties()
    component = target.component or source.component
    store = FIELDS.get(component) if component else None
    return [
        DECLARATIONS[rule.id].format(store=store)
        for rule in FLOW_TABLE
        if rule.id in DECLARATIONS
        and rule.source in sources
        and rule.target in targets
        and (port == rule.port or (port is None and rule.target is not Party.EVERY_COMPONENT))
        # Records are only ever added, by the auditors themselves.
        and not (rule.id == "write" and target.component is Component.INTERACTION_LOGS)
    ]
