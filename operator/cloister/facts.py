"""What rendering must know of the cluster, gathered beforehand by controller/ and never read by render/ itself."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from cloister.zones import Component


@dataclass(frozen=True)
class Beyond:
    """Something outside the zones that nothing in a zone must reach."""

    name: str
    address: str
    port: int
    kind: Literal["tcp", "udp", "dns"] = "tcp"


@dataclass(frozen=True)
class CanaryRun:
    """A run of the canaries that is under way."""

    id: str
    listeners: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Post -> addresses of the canary that listens for it, one of each family; empty until every one does."""
    gates: Mapping[Component, str] = field(default_factory=dict)
    """ClusterIP of each gate that serves."""
    beyond: tuple[Beyond, ...] = ()


@dataclass(frozen=True)
class Facts:
    """A snapshot of the cluster, as far as one deployment's objects depend on it."""

    ca_generation: int = 1
    """Generation of the deployment's CA that signs leaves."""
    trust_bundle: str | None = None
    """PEM certificates of every CA generation that is trusted; None until cert-manager has issued the first."""
    cluster_ips: Mapping[Component, str] = field(default_factory=dict)
    """ClusterIP of each component's Service, as far as they exist. Gates dial these: pods have no DNS."""
    jwks: str | None = None
    """The identity provider's JWKS document (RFC 7517), JSON text; None when there is none yet: nobody is admitted."""
    revocations: str | None = None
    """A :class:`cloister.sidecar.Revocations`, JSON text; None when there is none (yet)."""
    canary: CanaryRun | None = None
    """The run of the canaries, while there is one."""
    injection_rules: str | None = None
    """The user's rules for prompt injection (:mod:`cloister.inspection.rules`), checked; None when there are none."""


@dataclass(frozen=True)
class Settings:
    """What the installation decides, the same for every deployment."""

    image: str = "ghcr.io/cloister-dev/cloister:0.1.0"
    """Cloister's own image: auditor and jobs."""
    gate_image: str = "docker.io/envoyproxy/envoy:distroless-v1.40.0"
    store_image: str = "docker.io/rclone/rclone:1.76.0"
    cert_manager_namespace: str = "cert-manager"
    """cert-manager's cluster resource namespace: where keys of ClusterIssuers lie."""
