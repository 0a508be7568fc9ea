"""The trust model as data: three zones, their components, and the table of flows that may pass.

Everything is denied; :data:`FLOW_TABLE` is the whole list of what is not. NetworkPolicies, gate rules, the flow map
and the live proof are all derived from this one table (through :mod:`cloister.flows`), so they cannot disagree.
"""

from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Literal


class Zone(StrEnum):
    """One zone is one namespace: only a namespace keeps a pod from mounting another zone's volume or secret."""

    TRAINING = "training"
    INFERENCE = "inference"
    STORAGE = "storage"


Place = Zone | Literal["canary"]
"""A zone, or the ground beside the zones, on which canaries stand as strangers."""
GROUND: Place = "canary"
PLACES: tuple[Place, ...] = (*Zone, GROUND)


class Component(StrEnum):
    """A workload that Cloister runs. Its service account, Service and leaf certificate carry the same name."""

    INFERENCE = "inference"
    TRAINING = "training"
    TRAINING_DATA = "training-data"
    CHECKPOINTS = "checkpoints"
    INTERACTION_LOGS = "interaction-logs"
    EXPORTER = "exporter"

    @property
    def zone(self) -> Zone:
        """The only zone this component ever runs in."""
        return {Component.INFERENCE: Zone.INFERENCE, Component.TRAINING: Zone.TRAINING}.get(self, Zone.STORAGE)

    @property
    def is_store(self) -> bool:
        """Stores keep data; the others compute, or carry."""
        return self in (Component.TRAINING_DATA, Component.CHECKPOINTS, Component.INTERACTION_LOGS)

    @property
    def audited(self) -> bool:
        """Whether an auditor stands beside its gate. Nobody asks the exporter anything, and what it asks is recorded by
        the store's own."""
        return self is not Component.EXPORTER

    @property
    def receives(self) -> bool:
        """Whether other components reach it: then it has a Service."""
        return self not in (Component.TRAINING, Component.EXPORTER)


STORES = tuple(component for component in Component if component.is_store)

GATE_PORT = 8443
"""Where every gate listens, mutual TLS only."""
HEALTH_PORT = 8081
"""Answered to the node's kubelet without identity and without data; always open by Kubernetes' own rule."""
GATE_HEALTH_PORT = 8082
"""The gate's own readiness, likewise without identity and without data."""
METRICS_PORT = 9090
"""Prometheus metrics of the auditor, for declared scrapers."""
GATE_METRICS_PORT = 9091
"""Prometheus metrics of the gate, likewise. Two programs of a pod can't share a port."""


DNS_PORT = 53
HTTPS_PORT = 443
DNS_NAMESPACE, DNS_PODS = "kube-system", MappingProxyType({"k8s-app": "kube-dns"})
"""The cluster's DNS, as kubeadm and the clouds' Kubernetes label it."""
NODE_DNS = "169.254.20.10/32"
"""The node's DNS cache, where there is one (Kubernetes documentation, "NodeLocal DNSCache"); elsewhere nobody's."""


class Party(StrEnum):
    """Who may stand at either end of a flow."""

    CLIENT = "client"
    READER = "reader"
    WRITER = "writer"
    SCRAPER = "scraper"
    INFERENCE = "inference"
    TRAINING = "training"
    TRAINING_DATA = "training-data"
    CHECKPOINTS = "checkpoints"
    INTERACTION_LOGS = "interaction-logs"
    EXPORTER = "exporter"
    SINK = "sink"
    BACKED_STORE = "store-with-backend"
    BACKEND = "backend"
    CLUSTER_DNS = "cluster-dns"
    EVERY_AUDITOR = "every-auditor"
    EVERY_STORE = "every-store"
    EVERY_COMPONENT = "every-component"


class Verb(StrEnum):
    """What a flow lets its source do, in the terms of the store or model API behind the gate."""

    CALL = "call"
    READ = "read"
    WRITE = "write"
    APPEND = "append"
    SCRAPE = "scrape"
    RESOLVE = "resolve"
    SEND = "send"

    @property
    def methods(self) -> tuple[str, ...]:
        """HTTP methods of the verb. ``call`` has none here: each API of the deployment names its own; ``resolve`` is no
        HTTP."""
        return _METHODS[self]


_METHODS: dict[Verb, tuple[str, ...]] = {
    Verb.CALL: (),
    Verb.READ: ("GET", "HEAD"),
    Verb.WRITE: ("PUT", "DELETE"),
    Verb.APPEND: ("PUT",),
    Verb.SCRAPE: ("GET",),
    Verb.RESOLVE: (),
    Verb.SEND: ("POST",),
}


@dataclass(frozen=True)
class FlowRule:
    """One row of the table.

    ``scope`` says, for people, how far the row is narrowed by the deployment's own declarations.
    """

    id: str
    source: Party
    target: Party
    verbs: tuple[Verb, ...]
    port: int
    scope: str
    gated: bool = True
    """Whether it ends at a gate, which asks who calls. Other ports tell counts, nothing about anybody, or are not
    ours."""
    protocols: tuple[str, ...] = ("TCP",)


FLOW_TABLE: tuple[FlowRule, ...] = (
    FlowRule(
        "prompt",
        Party.CLIENT,
        Party.INFERENCE,
        (Verb.CALL,),
        GATE_PORT,
        "mTLS, the person's token, declared APIs",
    ),
    FlowRule(
        "fetch",
        Party.INFERENCE,
        Party.CHECKPOINTS,
        (Verb.READ,),
        GATE_PORT,
        "this model's object and its signature",
    ),
    FlowRule("learn", Party.TRAINING, Party.TRAINING_DATA, (Verb.READ,), GATE_PORT, "declared prefixes"),
    FlowRule(
        "checkpoint",
        Party.TRAINING,
        Party.CHECKPOINTS,
        (Verb.READ, Verb.WRITE),
        GATE_PORT,
        "declared prefixes",
    ),
    FlowRule(
        "journal",
        Party.EVERY_AUDITOR,
        Party.INTERACTION_LOGS,
        (Verb.APPEND,),
        GATE_PORT,
        "new segments under its own name",
    ),
    FlowRule("read", Party.READER, Party.EVERY_STORE, (Verb.READ,), GATE_PORT, "declared prefixes"),
    FlowRule("write", Party.WRITER, Party.EVERY_STORE, (Verb.WRITE,), GATE_PORT, "declared prefixes"),
    FlowRule(
        "scrape",
        Party.SCRAPER,
        Party.EVERY_COMPONENT,
        (Verb.SCRAPE,),
        METRICS_PORT,
        "declared scrapers, counts of the auditor",
        gated=False,
    ),
    FlowRule(
        "scrape-gate",
        Party.SCRAPER,
        Party.EVERY_COMPONENT,
        (Verb.SCRAPE,),
        GATE_METRICS_PORT,
        "declared scrapers, counts of the gate",
        gated=False,
    ),
    FlowRule(
        "resolve",
        Party.BACKED_STORE,
        Party.CLUSTER_DNS,
        (Verb.RESOLVE,),
        DNS_PORT,
        "names, of a store with a backend alone",
        gated=False,
        protocols=("UDP", "TCP"),
    ),
    FlowRule(
        "keep",
        Party.BACKED_STORE,
        Party.BACKEND,
        (Verb.READ, Verb.WRITE),
        HTTPS_PORT,
        "sealed objects, at the declared addresses",
        gated=False,
    ),
    FlowRule(
        "collect",
        Party.EXPORTER,
        Party.INTERACTION_LOGS,
        (Verb.READ,),
        GATE_PORT,
        "sealed segments, which its key opens",
    ),
    FlowRule(
        "export",
        Party.EXPORTER,
        Party.SINK,
        (Verb.SEND,),
        HTTPS_PORT,
        "alerts and metadata of records, at the declared addresses",
        gated=False,
    ),
)
"""Everything that may pass, besides the kubelet's health probes. Nothing here reaches the API server, the metadata
address or, but for a store's declared backend and the declared sinks of alerts, anything outside the cluster."""
