"""The command line of every component of the control plane, as data: no process is started here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cluster import binaries

LOOPBACK = "127.0.0.1"
#: The API server must advertise an address that is not loopback. This one is set aside for documentation
#: (RFC 5737): nothing answers there, and nothing needs to, because no pod runs.
ADVERTISED = "192.0.2.1"
SERVICE_RANGE = "10.96.0.0/16"
API_SERVER_HOSTS = (LOOPBACK, "localhost", "10.96.0.1", ADVERTISED, "kubernetes", "kubernetes.default",
                    "kubernetes.default.svc", "kubernetes.default.svc.cluster.local")  # fmt: skip


@dataclass(frozen=True)
class Layout:
    """Where a control plane keeps what in its directory."""

    directory: Path

    @property
    def state(self) -> Path:
        """Ports and mode; also the mark that the directory is ours to remove."""
        return self.directory / "cluster.json"

    @property
    def pki(self) -> Path:
        """Keys and certificates."""
        return self.directory / "pki"

    @property
    def etcd(self) -> Path:
        """etcd's data."""
        return self.directory / "etcd"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self.directory / "kubeconfig"

    @property
    def controller_manager_kubeconfig(self) -> Path:
        """The controller-manager's own identity."""
        return self.directory / "controller-manager.kubeconfig"

    @property
    def audit_policy(self) -> Path:
        """What the API server's audit log records."""
        return self.directory / "audit-policy.yaml"

    @property
    def audit_log(self) -> Path:
        """The API server's audit log, one JSON event a line."""
        return self.directory / "log" / "audit.jsonl"

    @property
    def cert_manager(self) -> Path:
        """What cert-manager was installed with; absent when it is not installed."""
        return self.directory / "cert-manager"


#: Every write and nothing else, without bodies: tests count writes and read audit annotations.
AUDIT_POLICY: dict[str, Any] = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        {"level": "Metadata", "verbs": ["create", "update", "patch", "delete", "deletecollection"]},
        {"level": "None"},
    ],
}


def etcd(layout: Layout, client_port: int, peer_port: int) -> list[str | Path]:
    """One member, with an authority of its own: a cluster user's certificate must not open the database."""
    tls = {"cert-file": "etcd-peer.crt", "key-file": "etcd-peer.key", "trusted-ca-file": "etcd-ca.crt"}
    client, peer = f"https://{LOOPBACK}:{client_port}", f"https://{LOOPBACK}:{peer_port}"
    return [
        binaries.path("etcd"),
        "--name=etcd",
        f"--data-dir={layout.etcd}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=etcd={peer}",
        "--client-cert-auth",
        "--peer-client-cert-auth",
        *[f"--{flag}={layout.pki / file}" for flag, file in tls.items()],
        *[f"--peer-{flag}={layout.pki / file}" for flag, file in tls.items()],
        "--unsafe-no-fsync",  # nobody needs this data after a power cut
        "--log-level=warn",
    ]


def kube_apiserver(layout: Layout, port: int, etcd_port: int) -> list[str | Path]:
    """Defaults wherever possible: tests must meet the admission plugins and authorizers that users have."""
    pki = layout.pki
    return [
        binaries.path("kube-apiserver"),
        f"--etcd-servers=https://{LOOPBACK}:{etcd_port}",
        f"--etcd-cafile={pki / 'etcd-ca.crt'}",
        f"--etcd-certfile={pki / 'etcd-client.crt'}",
        f"--etcd-keyfile={pki / 'etcd-client.key'}",
        f"--bind-address={LOOPBACK}",
        f"--secure-port={port}",
        f"--advertise-address={ADVERTISED}",
        f"--client-ca-file={pki / 'ca.crt'}",
        f"--tls-cert-file={pki / 'apiserver.crt'}",
        f"--tls-private-key-file={pki / 'apiserver.key'}",
        f"--service-account-key-file={pki / 'service-accounts.pub'}",
        f"--service-account-signing-key-file={pki / 'service-accounts.key'}",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        f"--service-cluster-ip-range={SERVICE_RANGE}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged=true",
        f"--audit-policy-file={layout.audit_policy}",
        f"--audit-log-path={layout.audit_log}",
        "--audit-log-mode=blocking-strict",  # on file before the request is answered: counts are exact
        "--audit-log-maxsize=10240",  # MB: no rotation under a test's feet
    ]


def kube_controller_manager(layout: Layout) -> list[str | Path]:
    """Every default controller, each under its own service account, as in a real cluster."""
    kubeconfig, pki = layout.controller_manager_kubeconfig, layout.pki
    return [
        binaries.path("kube-controller-manager"),
        f"--kubeconfig={kubeconfig}",
        "--secure-port=0",
        "--leader-elect=false",
        "--use-service-account-credentials",
        f"--service-account-private-key-file={pki / 'service-accounts.key'}",
        f"--root-ca-file={pki / 'ca.crt'}",
        f"--cluster-signing-cert-file={pki / 'ca.crt'}",
        f"--cluster-signing-key-file={pki / 'ca.key'}",
        "--kube-api-qps=300",  # benchmarks measure the operator, not this client's throttle
        "--kube-api-burst=600",
    ]


def cert_manager_controller(kubeconfig: Path, metrics_port: int) -> list[str | Path]:
    """cert-manager's controller; ClusterIssuers keep their secrets in its own namespace, as by default."""
    return [
        binaries.path("cert-manager-controller"),
        f"--kubeconfig={kubeconfig}",
        "--cluster-resource-namespace=cert-manager",
        "--leader-elect=false",
        f"--metrics-listen-address={LOOPBACK}:{metrics_port}",
        "--kube-api-qps=200",
        "--kube-api-burst=400",
        "--v=2",
    ]


def cert_manager_webhook(kubeconfig: Path, port: int, certificate: Path, key: Path) -> list[str | Path]:
    """cert-manager's admission webhook. It has no flag for an address and listens on all of them."""
    return [
        binaries.path("cert-manager-webhook"),
        f"--kubeconfig={kubeconfig}",
        f"--secure-port={port}",
        "--healthz-port=0",
        f"--tls-cert-file={certificate}",
        f"--tls-private-key-file={key}",
        "--v=2",
    ]
