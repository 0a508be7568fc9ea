"""The concrete flows of one deployment: the flow table applied to its declarations.

NetworkPolicies, gate rules, the map and the live proof all read what :func:`flows` returns, so they cannot disagree.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from cloister import names
from cloister.spec import Client, LLMDeployment, MaskKind, Principal, UserToken
from cloister.zones import DNS_NAMESPACE, DNS_PODS, FLOW_TABLE, NODE_DNS, Component, FlowRule

EVERY_KIND = tuple(map(str, MaskKind))
"""What a reader without the right to raw data does not see."""


@dataclass(frozen=True)
class Peer:
    """One end of a flow: pods of one service account in one namespace; or addresses, where there is no namespace."""

    namespace: str
    service_account: str
    """Empty where nobody asks for it (scrapers, backends)."""
    pods: Mapping[str, str]
    """Labels of its pods; empty means every pod of the namespace (the gate still asks for the identity)."""
    identity: str
    """SPIFFE ID; empty where nobody asks for it."""
    component: Component | None = None
    """Which of ours it is; None for machines outside the zones."""
    addresses: tuple[str, ...] = ()
    """Networks (CIDR) in place of pods."""


@dataclass(frozen=True)
class Grant:
    """What the gate lets a source do. Paths are as the gate sees them after normalisation."""

    methods: tuple[str, ...]
    paths: tuple[str, ...] = ()
    """Exact paths."""
    prefixes: tuple[str, ...] = ()
    """Path prefixes, each ending in '/'."""
    api: str = ""
    """Name of the approved API, for flows to the model."""
    new_objects_only: bool = False
    """The gate adds ``If-None-Match: *`` (RFC 9110, section 13.1.2), so nothing is ever overwritten."""
    masked: tuple[str, ...] = ()
    """Kinds of values that the source does not see."""


@dataclass(frozen=True)
class Flow:
    """One allowed flow. Whatever is not one of these is denied."""

    rule: FlowRule
    source: Peer
    target: Peer
    grants: tuple[Grant, ...] = field(default=())
    people: bool = False
    """Whether the source speaks for people, whose tokens are then required."""

    @property
    def port(self) -> int:
        """TCP port at the target."""
        return self.rule.port


def components(deployment: LLMDeployment) -> tuple[Component, ...]:
    """The components that this deployment has: training and the exporter only where they are declared."""
    declared = {Component.TRAINING: deployment.spec.training, Component.EXPORTER: deployment.spec.audit.export}
    return tuple(component for component in Component if component not in declared or declared[component])


def flows(deployment: LLMDeployment) -> tuple[Flow, ...]:
    """Every flow that may pass in this deployment, in the order of the table."""
    return _flows(_TheSame(deployment))


@dataclass(frozen=True, eq=False)
class _TheSame:
    """Equal to another one of the very same deployment: a declaration never changes, and to compare two takes longer
    than to find its flows."""

    deployment: LLMDeployment

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _TheSame) and other.deployment is self.deployment

    def __hash__(self) -> int:
        return id(self.deployment)


@lru_cache(maxsize=16)
def _flows(of: _TheSame) -> tuple[Flow, ...]:
    """Everything that is rendered of a deployment asks for them."""
    return tuple(flow for rule in FLOW_TABLE for flow in _BUILDERS[rule.id](of.deployment, rule))


def gated(deployment: LLMDeployment) -> tuple[Flow, ...]:
    """The flows that end at a gate: those of machines with an identity."""
    return tuple(flow for flow in flows(deployment) if flow.rule.gated)


def outside(deployment: LLMDeployment) -> tuple[Peer, ...]:
    """Every machine outside the zones that is given an identity, once each."""
    found = {flow.source.identity: flow.source for flow in gated(deployment) if flow.source.component is None}
    return tuple(found[identity] for identity in sorted(found))


def peer(deployment: LLMDeployment, component: Component) -> Peer:
    """One of our components as an end of flows."""
    namespace = names.namespace(deployment.name, component.zone)
    return Peer(
        namespace,
        str(component),
        names.pod_selector(deployment.name, component),
        names.spiffe_id(deployment.spec.identity.trust_domain, namespace, str(component)),
        component,
    )


def machine(deployment: LLMDeployment, declared: Client | Principal) -> Peer:
    """A declared machine outside the zones as an end of flows."""
    return Peer(
        declared.namespace,
        declared.service_account,
        declared.pod_selector,
        names.spiffe_id(deployment.spec.identity.trust_domain, declared.namespace, declared.service_account),
    )


def bucket_path(store: Component, prefix: str = "") -> str:
    """Path of a key prefix: each store serves one bucket, of its own name (path-style S3 addressing)."""
    return f"/{store}/{prefix}"


def _methods(rule: FlowRule) -> tuple[str, ...]:
    return tuple(method for verb in rule.verbs for method in verb.methods)


def _prompt(deployment: LLMDeployment, rule: FlowRule) -> Iterator[Flow]:
    inference = deployment.spec.inference
    users = deployment.spec.identity.users
    for client in inference.clients:
        people = client.users is UserToken.REQUIRED
        # For people the rules decide among the APIs; a machine that speaks for itself has only those it declares.
        by_rules = {api for user_rule in (users.rules if users else ()) for api in user_rule.apis} if people else set()
        allowed = set(client.apis) or by_rules
        grants = tuple(
            Grant(tuple(map(str, api.methods)), paths=api.paths, api=name)
            for name, api in sorted(inference.apis.items())
            if name in allowed
        )
        yield Flow(rule, machine(deployment, client), peer(deployment, Component.INFERENCE), grants, people)


def _fetch(deployment: LLMDeployment, rule: FlowRule) -> Iterator[Flow]:
    model = deployment.spec.inference.model
    if model:
        objects = (model.object, model.signature) if model.signature else (model.object,)
        paths = tuple(bucket_path(Component.CHECKPOINTS, key) for key in objects)
        grant = Grant(_methods(rule), paths=paths)
        yield _between(deployment, rule, Component.INFERENCE, Component.CHECKPOINTS, grant)


def _learn(deployment: LLMDeployment, rule: FlowRule) -> Iterator[Flow]:
    training = deployment.spec.training
    if training and training.reads:
        masked = EVERY_KIND if training.mask is None else tuple(map(str, training.mask))
        grant = _prefixes(rule, Component.TRAINING_DATA, training.reads, masked)
        yield _between(deployment, rule, Component.TRAINING, Component.TRAINING_DATA, grant)


def _checkpoint(deployment: LLMDeployment, rule: FlowRule) -> Iterator[Flow]:
    training = deployment.spec.training
    if training and training.writes:
        grant = _prefixes(rule, Component.CHECKPOINTS, training.writes)
        yield _between(deployment, rule, Component.TRAINING, Component.CHECKPOINTS, grant)


def _journal(deployment: LLMDeployment, rule: FlowRule) -> Iterator[Flow]:
    for component in components(deployment):
        if component.audited and component is not Component.INTERACTION_LOGS:
            source = peer(deployment, component)
            own = bucket_path(Component.INTERACTION_LOGS, f"{source.namespace}/{source.service_account}/")
            grant = Grant(_methods(rule), prefixes=(own,), new_objects_only=True)
            yield _between(deployment, rule, component, Component.INTERACTION_LOGS, grant)


def _read(deployment: LLMDeployment, rule: FlowRule) -> Iterator[Flow]:
    storage = deployment.spec.storage
    for store, readers in (
        (Component.TRAINING_DATA, storage.training_data.readers),
        (Component.CHECKPOINTS, storage.checkpoints.readers),
    ):
        for reader in readers:
            grant = _prefixes(rule, store, reader.prefixes, () if reader.raw else EVERY_KIND)
            yield Flow(rule, machine(deployment, reader), peer(deployment, store), (grant,))
    for log_reader in storage.interaction_logs.readers:
        grant = Grant(_methods(rule), prefixes=(bucket_path(Component.INTERACTION_LOGS),))
        yield Flow(rule, machine(deployment, log_reader), peer(deployment, Component.INTERACTION_LOGS), (grant,))


def _write(deployment: LLMDeployment, rule: FlowRule) -> Iterator[Flow]:
    storage = deployment.spec.storage
    for store, writers in (
        (Component.TRAINING_DATA, storage.training_data.writers),
        (Component.CHECKPOINTS, storage.checkpoints.writers),
    ):
        for writer in writers:
            grant = _prefixes(rule, store, writer.prefixes)
            yield Flow(rule, machine(deployment, writer), peer(deployment, store), (grant,))


def _scrape(deployment: LLMDeployment, rule: FlowRule) -> Iterator[Flow]:
    for scraper in deployment.spec.metrics.scrapers:
        for component in components(deployment):
            source = Peer(scraper.namespace, "", scraper.pod_selector, "")
            yield Flow(rule, source, peer(deployment, component), (Grant(_methods(rule), paths=("/metrics",)),))


def _resolve(deployment: LLMDeployment, rule: FlowRule) -> Iterator[Flow]:
    for component, store in deployment.spec.storage.by_component().items():
        if store.backend:
            for dns in (Peer(DNS_NAMESPACE, "", DNS_PODS, ""), Peer("", "", {}, "", addresses=(NODE_DNS,))):
                yield Flow(rule, peer(deployment, component), dns)


def _keep(deployment: LLMDeployment, rule: FlowRule) -> Iterator[Flow]:
    for component, store in deployment.spec.storage.by_component().items():
        if store.backend:
            place = Peer("", "", {}, "", addresses=store.backend.addresses)
            yield Flow(rule, peer(deployment, component), place)


def _collect(deployment: LLMDeployment, rule: FlowRule) -> Iterator[Flow]:
    if deployment.spec.audit.export:
        grant = Grant(_methods(rule), prefixes=(bucket_path(Component.INTERACTION_LOGS),))
        yield _between(deployment, rule, Component.EXPORTER, Component.INTERACTION_LOGS, grant)


def _export(deployment: LLMDeployment, rule: FlowRule) -> Iterator[Flow]:
    export = deployment.spec.audit.export
    for sink in export.sinks().values() if export else ():
        yield Flow(rule, peer(deployment, Component.EXPORTER), Peer("", "", {}, "", addresses=sink.networks))


def _between(deployment: LLMDeployment, rule: FlowRule, source: Component, target: Component, grant: Grant) -> Flow:
    return Flow(rule, peer(deployment, source), peer(deployment, target), (grant,))


def _prefixes(rule: FlowRule, store: Component, prefixes: tuple[str, ...], masked: tuple[str, ...] = ()) -> Grant:
    return Grant(_methods(rule), prefixes=tuple(bucket_path(store, prefix) for prefix in prefixes), masked=masked)


_BUILDERS: dict[str, Callable[[LLMDeployment, FlowRule], Iterator[Flow]]] = {
    "prompt": _prompt,
    "fetch": _fetch,
    "learn": _learn,
    "checkpoint": _checkpoint,
    "journal": _journal,
    "read": _read,
    "write": _write,
    "scrape": _scrape,
    "scrape-gate": _scrape,
    "resolve": _resolve,
    "keep": _keep,
    "collect": _collect,
    "export": _export,
}
