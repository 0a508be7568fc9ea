"""What the network policies at both ends say, which know namespaces, labels and ports, and no identity."""

from collections.abc import Iterable

from cloister import names
from cloister.explain.answer import Layer, Verdict
from cloister.explain.ends import End
from cloister.flows import Flow, Peer, flows
from cloister.spec import LLMDeployment


def leaving(deployment: LLMDeployment, source: End, target: End, found: tuple[Flow, ...]) -> Layer:
    """The source's policies; `found` are the flows of that very way."""
    if source.zone is None:
        says = f"Cloister makes none for {source}; those that are there must let it out"
        return Layer(Verdict.THROUGH, "network policies of the source", says)
    sent = [flow for flow in flows(deployment) if source.is_of(flow.source)]
    name = _policy(source, "Egress", sent)
    if found:
        where = (
            str(target)
            if target.component
            else ", ".join(sorted({place for flow in found for place in _places(flow.target)}))
        )
        return Layer(Verdict.THROUGH, name, f"lets it out to {where}, {ports(found)}")
    return Layer(Verdict.DENIES, name, f"lets it out to {_only((flow.target, flow) for flow in sent)}")


def entering(deployment: LLMDeployment, source: End, target: End, port: int | None, found: tuple[Flow, ...]) -> Layer:
    """The target's policies."""
    if target.zone is None:
        return Layer(Verdict.THROUGH, "network policies of the target", f"Cloister makes none for {target}")
    received = [flow for flow in flows(deployment) if target.is_of(flow.target)]
    name = _policy(target, "Ingress", received)
    if found:
        return Layer(Verdict.THROUGH, name, f"admits {_pods(found)}, {ports(found)}")
    if beside := neighbours(deployment, source, target, port):
        return Layer(Verdict.THROUGH, name, f"admits {_pods(beside)}, {ports(beside)}; it does not tell accounts apart")
    return Layer(Verdict.DENIES, name, f"admits {_only((flow.source, flow) for flow in received)}")


def neighbours(deployment: LLMDeployment, source: End, target: End, port: int | None) -> tuple[Flow, ...]:
    """Flows of other accounts in the source's namespace, whose pods may look the same to a network policy."""
    if source.zone or source.place or source.address:
        return ()
    return tuple(
        flow
        for flow in flows(deployment)
        if flow.source.namespace == source.namespace and target.is_of(flow.target) and port in (None, flow.port)
    )


def ports(found: Iterable[Flow]) -> str:
    """The ports of flows."""
    return ", ".join(sorted({f"{'/'.join(flow.rule.protocols)} {flow.port}" for flow in found}))


def _policy(end: End, direction: str, some: list[Flow]) -> str:
    """A component's own policy in a direction in which it has flows; else the one that denies everything."""
    name = names.flow_policy(end.component, direction) if end.component and some else names.DENY_ALL
    return f"NetworkPolicy {end.namespace}/{name}"


def _pods(found: Iterable[Flow]) -> str:
    texts = set()
    for flow in found:
        labels = ",".join(f"{key}={value}" for key, value in sorted(flow.source.pods.items()))
        which = f"pods labelled {labels}" if labels else "every pod"
        texts.add(f"{which} of namespace {flow.source.namespace}")
    return " and ".join(sorted(texts))


def _only(ends: Iterable[tuple[Peer, Flow]]) -> str:
    texts = {f"{place}:{flow.port}" for end, flow in ends for place in _places(end)}
    return f"{', '.join(sorted(texts))} only" if texts else "nothing"


def _places(end: Peer) -> tuple[str, ...]:
    """Addresses, or an account; where nobody asks for one, the labels by which policies know its pods."""
    if end.addresses or end.service_account:
        return end.addresses or (f"{end.namespace}/{end.service_account}",)
    labels = ",".join(f"{key}={value}" for key, value in sorted(end.pods.items()))
    return (f"{end.namespace}/*[{labels}]" if labels else f"{end.namespace}/*",)
