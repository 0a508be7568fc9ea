"""The objects that the admission tests send: the operator's, other people's, and those of an intruder."""

from __future__ import annotations

import base64
from functools import cache
from pathlib import Path
from typing import Any

from tests.cluster.pki import certificate_request as certificate_signing_request
from tests.integration.admission.api import Object

HOME = "cloister-system"
DEPLOYMENT = "guarded"
TRAINING, INFERENCE, STORAGE = (f"{DEPLOYMENT}-{zone}" for zone in ("training", "inference", "storage"))
RELABELLED = f"{DEPLOYMENT}-canary"
CLIENTS = "guarded-clients"
NODE = "guarded-node"

OURS = {
    "app.kubernetes.io/managed-by": "cloister",
    "cloister.dev/deployment": DEPLOYMENT,
    "cloister.dev/owner-uid": "1",
}
CORE, APPS, BATCH = "api/v1", "apis/apps/v1", "apis/batch/v1"
CERT_MANAGER, CILIUM = "apis/cert-manager.io/v1", "apis/cilium.io/v2"
SIGNING_REQUESTS = "apis/certificates.k8s.io/v1/certificatesigningrequests"
DEFINITIONS = "apis/apiextensions.k8s.io/v1/customresourcedefinitions"
DEPLOYMENTS = "apis/cloister.dev/v1alpha1/llmdeployments"
ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "manifests" / "examples" / "minimal.yaml"
DEFINITION = ROOT / "crds" / "llmdeployments.cloister.dev.yaml"


def meta(name: str, namespace: str | None = None, **more: Any) -> Object:
    """Metadata of an object of ours."""
    found: Object = {"name": name, "labels": dict(OURS)} | more
    return found | ({"namespace": namespace} if namespace else {})


def zone(name: str, deployment: str = DEPLOYMENT, **labels: str) -> Object:
    """A zone's Namespace, as the operator writes it."""
    own = OURS | {"cloister.dev/deployment": deployment, "cloister.dev/zone": name}
    own |= {"pod-security.kubernetes.io/enforce": "restricted"} | labels
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": f"{deployment}-{name}", "labels": own},
    }


def pod_spec(**more: Any) -> Object:
    """A pod under Pod Security `restricted`."""
    container: Object = {
        "name": "server",
        "image": "registry.example/image@sha256:" + "0" * 64,
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    security = {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}}
    return {
        "containers": [container],
        "securityContext": security,
        "automountServiceAccountToken": False,
    } | more


def template(labels: dict[str, str], **more: Any) -> Object:
    """A pod template."""
    return {"metadata": {"labels": labels}, "spec": pod_spec(**more)}


def stateful_set(name: str, namespace: str) -> Object:
    """A StatefulSet with a volume claim."""
    labels = {"app": name}
    claim = {
        "metadata": {"name": "journal"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    spec = {
        "serviceName": name,
        "selector": {"matchLabels": labels},
        "template": template(labels),
        "volumeClaimTemplates": [claim],
    }
    return {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": meta(name, namespace), "spec": spec}


def job(name: str, namespace: str) -> Object:
    """A Job."""
    spec = {"template": template({"job": name}, restartPolicy="Never")}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": meta(name, namespace), "spec": spec}


def cron_job(name: str, namespace: str) -> Object:
    """A CronJob that does not come round while tests run."""
    spec = {"schedule": "0 0 31 2 *", "jobTemplate": {"spec": job(name, namespace)["spec"]}}
    return {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": meta(name, namespace), "spec": spec}


def claim(name: str, namespace: str) -> Object:
    """A PersistentVolumeClaim."""
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": meta(name, namespace),
        "spec": spec,
    }


def service(name: str, namespace: str) -> Object:
    """A Service in front of the StatefulSet of that name."""
    spec = {"selector": {"app": name}, "ports": [{"port": 8443}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": meta(name, namespace), "spec": spec}


def autoscaler(name: str, namespace: str, kind: str = "StatefulSet", target: str = "inference") -> Object:
    """A HorizontalPodAutoscaler."""
    spec = {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": kind, "name": target}, "maxReplicas": 3}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    }


def budget(name: str, namespace: str) -> Object:
    """A PodDisruptionBudget."""
    spec = {"maxUnavailable": 1, "selector": {"matchLabels": {"app": name}}}
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": meta(name, namespace),
        "spec": spec,
    }


def certificate(name: str, namespace: str, issuer: str, **spec: Any) -> Object:
    """A cert-manager Certificate whose Secret has its name."""
    defaults: Object = {
        "secretName": name,
        "privateKey": {"algorithm": "ECDSA", "size": 256},
        "issuerRef": {"name": issuer, "kind": "ClusterIssuer", "group": "cert-manager.io"},
        "commonName": name,
    }
    return {
        "apiVersion": "cert-manager.io/v1",
        "kind": "Certificate",
        "metadata": meta(name, namespace),
        "spec": defaults | spec,
    }


def issuer(name: str, spec: Object, kind: str = "ClusterIssuer", namespace: str = CLIENTS) -> Object:
    """A cert-manager Issuer or ClusterIssuer."""
    metadata = meta(name, None if kind == "ClusterIssuer" else namespace)
    return {"apiVersion": "cert-manager.io/v1", "kind": kind, "metadata": metadata, "spec": spec}


def certificate_request(name: str, issuer: str, namespace: str = CLIENTS, **annotations: str) -> Object:
    """A cert-manager CertificateRequest."""
    reference = {"name": issuer, "kind": "ClusterIssuer", "group": "cert-manager.io"}
    return {
        "apiVersion": "cert-manager.io/v1",
        "kind": "CertificateRequest",
        "metadata": {"name": name, "namespace": namespace, "annotations": annotations},
        "spec": {"request": _csr(), "issuerRef": reference},
    }


def signing_request(signer: str) -> Object:
    """A CertificateSigningRequest."""
    spec = {"request": _csr(), "signerName": signer, "usages": ["client auth"]}
    return {"metadata": {"name": "guarded"}, "spec": spec}


def token_request(**spec: Any) -> Object:
    """The body of a request for a service account's token."""
    return {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}


def operator_pod(**metadata: Any) -> Object:
    """A pod that runs as the operator."""
    return {"metadata": {"name": "pod"} | metadata, "spec": pod_spec(serviceAccountName="cloister")}


def custom_kind(kind: str) -> Object:
    """A stand-in for a kind that Cilium brings; left alone where the real one is."""
    plural = plural_of(kind)
    version = {
        "name": "v2",
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.cilium.io"},
        "spec": {
            "group": "cilium.io",
            "scope": "Namespaced",
            "names": {"kind": kind, "plural": plural, "singular": kind.lower()},
            "versions": [version],
        },
    }


def custom_object(kind: str, name: str) -> Object:
    """An object of such a kind."""
    return {"apiVersion": "cilium.io/v2", "kind": kind, "metadata": {"name": name}, "spec": {}}


def plural_of(kind: str) -> str:
    """ciliumnetworkpolicies, ciliumendpoints."""
    return kind.lower().removesuffix("y") + ("ies" if kind.endswith("y") else "s")


@cache
def _csr() -> str:
    return base64.b64encode(certificate_signing_request("guarded", []).certificate).decode()
