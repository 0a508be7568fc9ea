"""What a cluster's users find in it: CoreDNS, a storage provisioner and cert-manager, in pods."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from tests.cluster import binaries, certmanager
from tests.cluster.kubectl import Kubectl
from tests.cluster.node.commands import DNS, DOMAIN, NodeLayout

if TYPE_CHECKING:
    from tests.cluster.elsewhere import Kind
    from tests.cluster.node.node import Node

STORAGE = "local-path-storage"
STORAGE_CLASS = "local-path"
#: Who makes volumes, as the chart's `admission.extraWriters` names users.
PROVISIONER = f"system:serviceaccount:{STORAGE}:local-path-provisioner"

_COREFILE = f"""
.:53 {{
    errors
    health
    ready
    kubernetes {DOMAIN} in-addr.arpa {{
        pods insecure
        ttl 5
    }}
    reload
}}
"""


def prepare_cilium(kubectl: Kubectl) -> None:
    """Cilium's CRDs, which its operator would otherwise bring; the agent is all of it that a single node needs."""
    folder = binaries.cilium_files() / "pkg/k8s/apis/cilium.io/client/crds"
    kubectl.apply([_loaded(path.read_text()) for path in sorted(folder.rglob("*.yaml"))])


def install(kubectl: Kubectl, layout: NodeLayout, references: Mapping[str, str]) -> None:
    """CoreDNS and storage; returns when both have been applied, not when they run."""
    kubectl.apply(_dns(references["coredns"]))
    kubectl.apply([_namespace(STORAGE)])
    kubectl.apply(_storage(layout, references))


class CertManagerInPods:
    """cert-manager's own chart with all its parts, on a node."""

    def __init__(self, node: Node | Kind) -> None:
        """Use `Node.cert_manager`."""
        self._node = node

    @property
    def installed(self) -> bool:
        """Whether `install` was completed."""
        return self._mark.exists()

    def install(self) -> None:
        """Apply cert-manager's CRDs and chart, and wait until its pods are ready; does nothing a second time."""
        if self.installed:
            return
        kubectl, references = self._node.kubectl, self._node.load_images(certmanager.PROGRAMS)
        kubectl.apply([*certmanager.definitions(), _namespace(certmanager.NAMESPACE)])
        values: dict[str, Any] = {"startupapicheck": {"enabled": False}, "prometheus": {"enabled": False}}
        for program, section in zip(certmanager.PROGRAMS, ("", "webhook", "cainjector"), strict=True):
            image = {"image": _by_digest(references[program])}
            values |= {section: values.get(section, {}) | image} if section else image
        kubectl.apply(certmanager.render(values))
        self._node.wait_for_pods(certmanager.NAMESPACE)
        self._mark.touch()

    def start(self) -> None:
        """Nothing: its pods start by themselves."""

    @property
    def _mark(self) -> Path:
        return self._node.directory / "cert-manager-installed"


def _by_digest(reference: str) -> dict[str, str]:
    repository, digest = reference.split("@")
    return {"repository": repository, "digest": digest, "pullPolicy": "IfNotPresent"}


def _dns(image: str) -> Iterable[dict[str, Any]]:
    """CoreDNS as kubeadm installs it: the labels and the address are the ones that everyone expects."""
    labels = {"k8s-app": "kube-dns"}
    head = {"name": "coredns", "namespace": "kube-system"}
    yield {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": head}
    yield {
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "system:coredns"},
        "rules": [
            {"apiGroups": [""], "resources": ["endpoints", "services", "pods", "namespaces"],
             "verbs": ["list", "watch"]},
            {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]},
        ],
    }  # fmt: skip
    yield {
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
        "metadata": {"name": "system:coredns"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "system:coredns"},
        "subjects": [{"kind": "ServiceAccount", **head}],
    }  # fmt: skip
    yield {"apiVersion": "v1", "kind": "ConfigMap", "metadata": head, "data": {"Corefile": _COREFILE}}
    ports = [{"name": "dns", "port": 53, "protocol": "UDP"}, {"name": "dns-tcp", "port": 53, "protocol": "TCP"}]
    yield {
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": "kube-dns", "namespace": "kube-system", "labels": labels},
        "spec": {"clusterIP": DNS, "selector": labels, "ports": ports},
    }  # fmt: skip
    container = {
        "name": "coredns",
        "image": image,
        "args": ["-conf", "/etc/coredns/Corefile"],
        "ports": [{"name": port["name"], "containerPort": 53, "protocol": port["protocol"]} for port in ports],
        "readinessProbe": {"httpGet": {"path": "/ready", "port": 8181}, "periodSeconds": 2},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"add": ["NET_BIND_SERVICE"], "drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
            "runAsUser": 0,
        },
        "volumeMounts": [{"name": "config", "mountPath": "/etc/coredns", "readOnly": True}],
    }
    yield {
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "coredns", "namespace": "kube-system", "labels": labels},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "serviceAccountName": "coredns",
                    "priorityClassName": "system-cluster-critical",
                    "dnsPolicy": "Default",
                    "containers": [container],
                    "volumes": [{"name": "config", "configMap": {"name": "coredns"}}],
                },
            },
        },
    }  # fmt: skip


def _storage(layout: NodeLayout, references: Mapping[str, str]) -> list[dict[str, Any]]:
    """Local volumes, which kubelet gives to a pod's fsGroup as it does block devices; they belong to root before."""
    provisioner = _by_digest(references["local-path-provisioner"])
    helper = _by_digest(references["base"])
    values = {
        # The chart knows tags only; a digest after the repository reads the same to containerd.
        "image": {"repository": f"{provisioner['repository']}@sha256", "tag": provisioner["digest"].split(":")[1]},
        "helperImage": {"repository": f"{helper['repository']}@sha256", "tag": helper["digest"].split(":")[1]},
        "storageClass": {"defaultClass": True, "defaultVolumeType": "local", "name": STORAGE_CLASS},
        "nodePathMap": [{"node": "DEFAULT_PATH_FOR_NON_LISTED_NODES", "paths": [str(layout.volumes)]}],
        "configmap": {"setup": 'set -eu\nmkdir -m 0755 -p "$VOL_DIR"'},
        "fullnameOverride": "local-path-provisioner",
    }
    chart = binaries.local_path_files() / "deploy" / "chart" / "local-path-provisioner"
    done = subprocess.run(
        [binaries.path("helm"), "template", STORAGE, chart, f"--namespace={STORAGE}", "--values=-"],
        input=json.dumps(values), capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        raise RuntimeError(f"helm template of the storage provisioner's chart failed: {done.stderr}")
    return [document for document in yaml.safe_load_all(done.stdout) if document]


def _namespace(name: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def _loaded(text: str) -> dict[str, Any]:
    document: dict[str, Any] = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    return document
