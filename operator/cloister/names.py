"""Every name, label, selector and SPIFFE ID that Cloister puts into a cluster, from one place."""

from collections.abc import Mapping
from typing import Any, Final

from cloister.zones import Component, Place

GROUP: Final = "cloister.dev"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"
KIND: Final = "LLMDeployment"
PLURAL: Final = "llmdeployments"

FIELD_MANAGER: Final = "cloister"

LABEL_DEPLOYMENT: Final = f"{GROUP}/deployment"
LABEL_OWNER: Final = f"{GROUP}/owner-uid"
LABEL_ZONE: Final = f"{GROUP}/zone"
LABEL_ROLE: Final = f"{GROUP}/role"
"""What a pod is for. Policies do not look at it, Services do: a canary has every other label of whom it stands for."""
WORKLOAD: Final = "workload"
LISTENER: Final = "listener"
"""A canary that is to be reached, or must not be."""
PROBER: Final = "prober"
"""A canary that tries."""
LABEL_RUN: Final = f"{GROUP}/canary-run"
LABEL_COMPONENT: Final = "app.kubernetes.io/component"
LABEL_MANAGED_BY: Final = "app.kubernetes.io/managed-by"
LABEL_NAME: Final = "app.kubernetes.io/name"
JOB_UID: Final = "batch.kubernetes.io/controller-uid"
JOB_NAME: Final = "batch.kubernetes.io/job-name"
JOB_LABELS: Final = (JOB_UID, JOB_NAME, "controller-uid", "job-name")
"""Labels by which a Job knows its pods; the API server adds them to its template (Kubernetes documentation, "Jobs")."""
LABEL_NAMESPACE_NAME: Final = "kubernetes.io/metadata.name"
"""Set by the API server on every namespace; nobody can forge it."""

ANNOTATION_RENDERED: Final = f"{GROUP}/rendered"
"""Hash of the object as rendered: tells a change of what we want from a change that others made."""
ANNOTATION_CONFIG: Final = f"{GROUP}/config"
"""Hash, on a pod template, of the configuration that its programs read only when they start."""

TRUST_BUNDLE: Final = "trust-bundle"
DENY_ALL: Final = "deny-all"
DECLARATION: Final = "declaration"
"""The ConfigMap, in the storage zone, with the last declaration that can be used."""
FETCH: Final = "fetch"
"""The init container that brings the weights."""
EXPORTER: Final = "exporter"
"""The exporter's container."""
TELLER: Final = "teller"
"""The container beside it that ends to tell of alerts."""
STORE: Final = "store"
"""The container with rclone, in stores."""
CANARY: Final = "canary"
"""Service account of the canaries, and name of the policy by which they reach out of their own namespace."""
VERIFY_REQUEST: Final = f"{GROUP}/verify-requested"
"""Annotation of an LLMDeployment by which a run of the canaries is asked for; the answer names its value."""
VERIFY_REQUEST_LENGTH: Final = 64
"""How much of that value the answer names."""
REVOCATIONS: Final = "revocations"
INJECTION_RULES: Final = "injection-rules"
"""The ConfigMap, in the inference zone, with the list of those who are no longer admitted."""


def namespace(deployment: str, place: Place) -> str:
    """The namespace that is the zone, or the ground beside the zones."""
    return f"{deployment}-{place}"


def service_host(deployment: str, component: Component) -> str:
    """The cluster-internal DNS name of a component's Service, as its certificate carries it (RFC 1123)."""
    return f"{component}.{namespace(deployment, component.zone)}.svc"


def spiffe_id(trust_domain: str, ns: str, service_account: str) -> str:
    """The workload's identity, in the form Istio and SPIRE use (SPIFFE-ID standard, section 2)."""
    return f"spiffe://{trust_domain}/ns/{ns}/sa/{service_account}"


def ca(deployment: str, generation: int) -> str:
    """Name of the deployment's CA certificate, of its Secret and of the ClusterIssuer over it."""
    return f"cloister-ca-{deployment}-g{generation}"


def self_signed_issuer(deployment: str) -> str:
    """The ClusterIssuer that signs the deployment's root and nothing else."""
    return f"cloister-selfsigned-{deployment}"


def leaf(component: Component) -> str:
    """Name of a component's Certificate and of the Secret it fills."""
    return f"cloister-{component}"


def client_certificate(deployment: str, service_account: str) -> str:
    """Name of a client's Certificate and Secret in the client's own namespace.

    No deployment has a dot in its name: with a hyphen, `a` and `b-c` would share a Secret with `a-b` and `c`.
    """
    return f"cloister-{deployment}.{service_account}"


def keyring(store: Component) -> str:
    """The Secret, in the storage zone, that holds a store's encryption keys."""
    return f"keyring-{store}"


def rotation_request(store: Component) -> str:
    """Annotation of an LLMDeployment by which a new key is asked for; its value is the time of asking (RFC 3339)."""
    return f"{GROUP}/rotate-{store}"


def gate_config(component: Component) -> str:
    """The ConfigMap with the gate's Envoy configuration."""
    return f"gate-{component}"


def auditor_config(component: Component) -> str:
    """The ConfigMap with the auditor's configuration."""
    return f"auditor-{component}"


def flow_policy(component: Component, direction: str) -> str:
    """The NetworkPolicy with a component's flows in one direction (`Ingress` or `Egress`)."""
    return f"{component}-{direction.lower()}"


def owner_labels(deployment: str, uid: str) -> dict[str, str]:
    """Labels that every generated object carries; pruning and drift repair touch nothing without them."""
    return {LABEL_MANAGED_BY: FIELD_MANAGER, LABEL_DEPLOYMENT: deployment, LABEL_OWNER: uid}


def pod_selector(deployment: str, component: Component) -> dict[str, str]:
    """Labels by which policies select one component's pods, and canaries that stand for it; stable over the life of
    the deployment."""
    return {LABEL_DEPLOYMENT: deployment, LABEL_COMPONENT: str(component)}


def workload_selector(deployment: str, component: Component) -> dict[str, str]:
    """Labels that select one component's pods, and no canary."""
    return pod_selector(deployment, component) | {LABEL_ROLE: WORKLOAD}


def canary(run: str, role: str, post: str) -> str:
    """Name of the Job that is one canary of a run."""
    return f"canary-{run}-{role}-{post}"


Key = tuple[str, str, str]
"""(kind, namespace or "", name): identifies an object among those Cloister makes."""


def key(obj: Mapping[str, Any]) -> Key:
    """The key of an object, rendered or read."""
    meta = obj["metadata"]
    return obj["kind"], meta.get("namespace", ""), meta["name"]
