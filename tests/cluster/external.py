"""A cluster that the user named with CLOISTER_TEST_KUBECONFIG: used as it is, never started or stopped."""

from __future__ import annotations

import base64
import os
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.cluster import kubeconfigs
from tests.cluster.kubectl import Kubectl, KubectlError
from tests.cluster.pki import KeyPair, certificate_request

VARIABLE = "CLOISTER_TEST_KUBECONFIG"
_SIGNER = "kubernetes.io/kube-apiserver-client"


class NotOnThisClusterError(RuntimeError):
    """The test needs what only a control plane of our own offers; fixtures turn this into a skip."""


class ExternalCluster:
    """The part of `ControlPlane`'s interface that any cluster can offer to an administrator."""

    def __init__(self, kubeconfig: Path, scratch: Path) -> None:
        """`scratch` takes the kubeconfigs that are made for other users."""
        self.kubeconfig = kubeconfig
        self._scratch = scratch

    @classmethod
    def from_environment(cls, scratch: Path) -> ExternalCluster | None:
        """The cluster that the environment names, if it names one."""
        path = os.environ.get(VARIABLE)
        return cls(Path(path).expanduser(), scratch) if path else None

    @property
    def kubectl(self) -> Kubectl:
        """kubectl as the given user, who must be an administrator."""
        return Kubectl(self.kubeconfig)

    def kubeconfig_for(self, user: str, groups: Iterable[str] = ()) -> Path:
        """A kubeconfig for a user. The cluster signs its certificate, and refuses group system:masters."""
        groups = tuple(groups)
        request = certificate_request(user, groups)
        name = f"cloister-test-{uuid.uuid4().hex[:12]}"
        self.kubectl.apply([_signing_request(name, request)])
        self.kubectl("certificate", "approve", name)
        path = "{.status.certificate}"
        try:
            self.kubectl("wait", f"--for=jsonpath={path}", "--timeout=30s", f"csr/{name}")
        except KubectlError as error:
            raise NotOnThisClusterError(f"the cluster signed no client certificate for {user}: {error}") from error
        signed = base64.b64decode(self.kubectl("get", "csr", name, "-o", f"jsonpath={path}"))
        self.kubectl("delete", "csr", name)
        server, ca = kubeconfigs.cluster_of(self.kubeconfig)
        config = kubeconfigs.for_certificate(server, ca, user, KeyPair(signed, request.key))
        return kubeconfigs.write(self._scratch / kubeconfigs.file_name(user, groups), config)

    def kubeconfig_for_token(self, token: str) -> Path:
        """A kubeconfig that sends this bearer token."""
        server, ca = kubeconfigs.cluster_of(self.kubeconfig)
        config = kubeconfigs.for_token(server, ca, "token", token)
        return kubeconfigs.write(self._scratch / kubeconfigs.file_name("token", [token]), config)

    def kubeconfig_for_service_account(self, namespace: str, name: str) -> Path:
        """A kubeconfig with a token of this service account, which must exist."""
        return self.kubeconfig_for_token(self.kubectl.token(namespace, name, duration="1h"))

    def install_cert_manager(self) -> None:
        """Only looks: a cluster that is not ours has cert-manager, or the tests that need it cannot run."""
        try:
            self.kubectl("get", "crd/certificates.cert-manager.io")
        except KubectlError as error:
            raise NotOnThisClusterError("this cluster has no cert-manager") from error

    def stop(self) -> None:
        """Nothing: the cluster is the user's."""


def _signing_request(name: str, request: KeyPair) -> dict[str, Any]:
    return {
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "CertificateSigningRequest",
        "metadata": {"name": name},
        "spec": {
            "request": base64.b64encode(request.certificate).decode(),
            "signerName": _SIGNER,
            "usages": ["client auth"],
            "expirationSeconds": 86400,
        },
    }
