"""What the demo does and says, in order."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from rich.console import Console
from rich.table import Table

from tests.cluster import ControlPlane, binaries
from tests.cluster.kubectl import Kubectl, KubectlError
from tests.cluster.processes import wait_until
from tests.demo.telling import Telling, denied
from tests.installed import install_chart, operator_kubeconfig, start_operator

EXAMPLE = Path(__file__).parents[2] / "manifests" / "examples" / "support-bot.yaml"
ZONES = ("training", "inference", "storage")
_TIMEOUT = 180.0
_GVISOR = {
    "apiVersion": "node.k8s.io/v1",
    "kind": "RuntimeClass",
    "metadata": {"name": "gvisor"},
    "handler": "runsc",
}
"""The sandbox that the example asks for."""


class Story(Telling):
    """The demo's steps."""

    def __init__(self, cluster: ControlPlane, console: Console) -> None:
        super().__init__(console)
        self.cluster = cluster
        self.kubectl = cluster.kubectl
        self.example: dict[str, Any] = yaml.safe_load(EXAMPLE.read_text())
        self.name: str = self.example["metadata"]["name"]

    def tell(self) -> None:
        """From an empty control plane to three enforced zones, three refusals and one repair."""
        self._title("1. A real control plane on this machine")
        self._note(f"etcd, kube-apiserver, kube-controller-manager at {self.cluster.server}; no node: no pod runs")
        with self._step("cert-manager installed"):
            self.cluster.install_cert_manager()
            self.cluster.create_storage_class()
            self.kubectl.apply([_GVISOR])

        self._title("2. Cloister, as its users install it")
        with self._step("helm upgrade --install cloister charts/cloister"):
            install_chart(self.cluster)
        self._note(
            "without a node the Deployment's pods stay Pending, so the operator runs as a process of this machine"
        )
        with self._step("operator running under its own service account, with the chart's RBAC and nothing else"):
            self.operator = operator_kubeconfig(self.cluster)
            start_operator(self.cluster, self.operator)

        self._title(f"3. One LLMDeployment: {EXAMPLE.relative_to(EXAMPLE.parents[2])}")
        with self._step("the clients' namespaces, and the identity provider's public keys"):
            self._prepare_clients()
        with self._step(f"kubectl apply; three zones, {self.name}, settled"):
            self.kubectl.apply([self._deployment()])
            self._wait_for(self._settled, "the deployment to settle")
        self._show_objects()
        self._cloister("map", self.name)
        self._cloister("status", self.name)

        self._title("4. What must be refused is refused, even for a cluster administrator")
        self._refused("exec into the model's pod", self._exec)
        self._refused("a certificate request for somebody else's identity", self._rogue_certificate_request)
        self._refused("a NetworkPolicy that would open a zone", self._foreign_policy)

        self._title("5. What is changed comes back")
        self._repaired()

        self._title("Look around")
        self.console.print(f"  export KUBECONFIG={self.cluster.kubeconfig}", markup=False)
        self.console.print(f"  kubectl get llmd; kubectl get networkpolicies -A; .venv/bin/cloister status {self.name}")
        self.console.print("  make demo-down        stops everything and leaves nothing behind\n")

    # --- steps ---

    def _prepare_clients(self) -> None:
        spec = self.example["spec"]
        declared = [*spec["inference"]["clients"]]
        for store in spec["storage"].values():
            declared += [*store.get("readers", ()), *store.get("writers", ())]
        reference = spec["identity"]["users"]["jwks"]["configMapRef"]
        namespaces = {machine["namespace"] for machine in declared} | {reference["namespace"]}
        self.kubectl.apply(
            [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in sorted(namespaces)]
        )
        self.kubectl.apply(
            [
                {
                    "apiVersion": "v1",
                    "kind": "ConfigMap",
                    "metadata": {"name": reference["name"], "namespace": reference["namespace"]},
                    "data": {"jwks.json": json.dumps(_jwks())},
                }
            ]
        )

    def _deployment(self) -> dict[str, Any]:
        """The example, with what a control plane without a node needs: there is no canary to prove anything."""
        expires = (datetime.now(UTC) + timedelta(days=30)).date().isoformat()
        exception = {"control": "ZT-17", "reason": "embedded demo: no kubelet runs the canary", "expires": expires}
        self._note("with an exception for ZT-17: without a node nothing can prove isolation, and status says so")
        self._note("on a node its exporter, and nothing else, would wait for a user to make the Secret export-keys")
        return {**self.example, "spec": {**self.example["spec"], "exceptions": [exception]}}

    def _settled(self) -> bool:
        """Everything is in place but the pods, which need a node."""
        found = self.kubectl.get("llmd", self.name)
        conditions = {c["type"]: c["status"] for c in found.get("status", {}).get("conditions", ())}
        wanted = ("ZonesIsolated", "IdentityIssued", "AccessMinimal", "StorageSeparated")
        return all(conditions.get(name) == "True" for name in wanted) and self._pod_exists()

    def _pod_exists(self) -> bool:
        pods = self.kubectl.get("pods", "-n", f"{self.name}-inference")
        return any(pod["metadata"]["name"] == "inference-0" for pod in pods["items"])

    def _show_objects(self) -> None:
        table = Table(title="What came of it", title_justify="left", box=None, pad_edge=False, padding=(0, 3, 0, 0))
        for column in ("zone", "namespace", "objects"):
            table.add_column(column)
        kinds = ("networkpolicies", "serviceaccounts", "rolebindings", "certificates", "configmaps", "services", "pvc",
                 "statefulsets", "cronjobs")  # fmt: skip
        mine = f"cloister.dev/deployment={self.name}"
        for zone in ZONES:
            namespace = f"{self.name}-{zone}"
            found = (self.kubectl.get(kind, "-n", namespace, "-l", mine)["items"] for kind in kinds)
            counts = Counter(item["kind"] for items in found for item in items)
            table.add_row(zone, namespace, ", ".join(f"{n} {kind}" for kind, n in sorted(counts.items())))
        self.console.print(table)
        self.console.print()

    def _refused(self, what: str, attempt: Callable[[], str]) -> None:
        """Show the API server's own words; an attempt that succeeds ends the demo."""
        try:
            attempt()
        except KubectlError as error:
            message = denied(error)
            if "is refused" not in message:
                raise
            self._show_refused(what, message)
        else:
            raise RuntimeError(f"{what} was allowed: the guards are not in force")

    def _exec(self) -> str:
        return self.kubectl("exec", "-n", f"{self.name}-inference", "inference-0", "-c", "server", "--", "id")

    def _rogue_certificate_request(self) -> str:
        key = ec.generate_private_key(ec.SECP256R1())
        return self._create(
            {
                "apiVersion": "cert-manager.io/v1",
                "kind": "CertificateRequest",
                "metadata": {"name": "rogue", "namespace": "default"},
                "spec": {
                    "issuerRef": {"name": f"cloister-ca-{self.name}-g1", "kind": "ClusterIssuer"},
                    "request": _signing_request(key, f"spiffe://cluster.local/ns/{self.name}-training/sa/training"),
                },
            }
        )

    def _foreign_policy(self) -> str:
        return self._create(
            {
                "apiVersion": "networking.k8s.io/v1",
                "kind": "NetworkPolicy",
                "metadata": {"name": "let-me-in", "namespace": f"{self.name}-storage"},
                "spec": {"podSelector": {}, "ingress": [{}], "policyTypes": ["Ingress"]},
            }
        )

    def _create(self, obj: dict[str, Any]) -> str:
        return self.kubectl("create", "-f", "-", stdin=json.dumps(obj))

    def _repaired(self) -> None:
        """The guard lets nobody else delete a policy in a zone, so the demo does it as the operator itself."""
        namespace, policy = f"{self.name}-storage", "checkpoints-ingress"
        before = self.kubectl.get("networkpolicy", policy, "-n", namespace)["metadata"]["uid"]
        watcher = subprocess.Popen(
            _watch_command(self.kubectl, namespace, policy),
            stdout=subprocess.PIPE,
            text=True,
            stderr=subprocess.DEVNULL,
        )
        try:
            assert watcher.stdout is not None
            watcher.stdout.readline()
            Kubectl(self.operator)("delete", "networkpolicy", policy, "-n", namespace, "--wait=false")
            deleted = back = 0.0
            for line in watcher.stdout:
                kind, uid = line.split()
                if kind == "DELETED":
                    deleted = time.monotonic()
                elif uid != before:
                    back = time.monotonic()
                    break
            if not back:
                raise RuntimeError(f"NetworkPolicy {namespace}/{policy} did not come back")
        finally:
            watcher.terminate()
            watcher.wait()
        took = (back - deleted) * 1000
        self.console.print(
            f"  [green]repaired[/] NetworkPolicy {namespace}/{policy}, deleted: back after {took:.0f} ms"
        )

    # --- telling ---

    def _wait_for(self, condition: Callable[[], bool], what: str) -> None:
        if not wait_until(condition, _TIMEOUT):
            status = self.kubectl.get("llmd", self.name).get("status", {})
            raise RuntimeError(f"waited {_TIMEOUT:.0f} s for {what}; status: {json.dumps(status, indent=2)}")

    def _cloister(self, *arguments: str) -> None:
        """The CLI, as a user would call it."""
        self.console.print(f"  $ cloister {' '.join(arguments)}", style="bold", markup=False)
        self.console.file.flush()
        program = Path(sys.executable).with_name("cloister")
        environment = {"KUBECONFIG": str(self.cluster.kubeconfig), "PATH": "/usr/bin:/bin", "COLUMNS": "120"}
        subprocess.run([str(program), *arguments], check=True, env=environment)
        self.console.print()


def _watch_command(kubectl: Kubectl, namespace: str, policy: str) -> list[str]:
    return [
        str(binaries.path("kubectl")), f"--kubeconfig={kubectl.kubeconfig}", "get", "networkpolicy", "-n", namespace,
        f"--field-selector=metadata.name={policy}", "--watch", "--output-watch-events",
        "-o=jsonpath={.type} {.object.metadata.uid}{\"\\n\"}",
    ]  # fmt: skip


def _jwks() -> dict[str, Any]:
    """A JWKS document (RFC 7517) with one fresh P-256 key, as an identity provider would publish it."""
    numbers = ec.generate_private_key(ec.SECP256R1()).public_key().public_numbers()

    def encoded(number: int) -> str:
        return base64.urlsafe_b64encode(number.to_bytes(32, "big")).rstrip(b"=").decode()

    key = {"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": "demo"}
    return {"keys": [key | {"x": encoded(numbers.x), "y": encoded(numbers.y)}]}


def _signing_request(key: ec.EllipticCurvePrivateKey, uri: str) -> str:
    """A PKCS #10 request for a URI name, base64 as cert-manager wants it."""
    names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)])
    request = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([]))
        .add_extension(names, critical=True)
        .sign(key, hashes.SHA256())
    )
    return base64.b64encode(request.public_bytes(serialization.Encoding.PEM)).decode()
