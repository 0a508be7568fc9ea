"""cert-manager on a control plane without nodes: its real RBAC and webhook, its programs as local processes.

Its objects come from the chart and the CRDs in its own Go module. Controller and webhook hold tokens of their
own service accounts, so that RBAC, admission and audit see exactly who they see in a real cluster.
"""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from tests.cluster import binaries, components, ports
from tests.cluster.catalogue import CERT_MANAGER
from tests.cluster.components import LOOPBACK, Layout
from tests.cluster.pki import Authority
from tests.cluster.processes import ProcessTable

if TYPE_CHECKING:
    from tests.cluster.controlplane import ControlPlane

NAMESPACE = "cert-manager"
CONTROLLER, WEBHOOK = "cert-manager-controller", "cert-manager-webhook"
PROGRAMS = (CONTROLLER, WEBHOOK, "cert-manager-cainjector")
#: What would need a node, or is reached without a Service here.
_NOT_APPLIED = {"Deployment", "Job", "Service"}
_WEBHOOKS = {"ValidatingWebhookConfiguration", "MutatingWebhookConfiguration"}


class CertManager:
    """cert-manager on one control plane, installed or not."""

    def __init__(self, layout: Layout, processes: ProcessTable, cluster: ControlPlane) -> None:
        """Use `ControlPlane.cert_manager`."""
        self._layout = layout
        self._processes = processes
        self._cluster = cluster

    @property
    def installed(self) -> bool:
        """Whether `install` was completed, and `uninstall` was not called since."""
        return (self._layout.cert_manager / "installed").exists()

    def install(self) -> None:
        """Apply cert-manager's objects and start its processes; does nothing a second time."""
        binaries.paths(binaries.WITH_CERT_MANAGER)
        kubectl = self._cluster.kubectl
        crds = definitions()
        kubectl.apply([*crds, _namespace()])
        kubectl.apply(thing for thing in self._chart() if thing["kind"] not in _WEBHOOKS)
        kubectl.wait_until_served(*(definition["metadata"]["name"] for definition in crds))
        self._layout.cert_manager.mkdir(exist_ok=True)
        self.start()
        # Last, because from here on cert-manager's API fails closed without its webhook.
        kubectl.apply(thing for thing in self._chart() if thing["kind"] in _WEBHOOKS)
        (self._layout.cert_manager / "installed").touch()

    def uninstall(self) -> None:
        """Stop the processes and delete every object; does nothing when cert-manager is not installed."""
        objects = self._chart()
        kubectl = self._cluster.kubectl
        kubectl.delete(thing for thing in objects if thing["kind"] in _WEBHOOKS)
        self.stop()
        kubectl.delete([*definitions(), *(thing for thing in objects if thing["kind"] not in _WEBHOOKS)])
        kubectl.delete([_namespace()])
        shutil.rmtree(self._layout.cert_manager, ignore_errors=True)

    def start(self) -> None:
        """Start what does not run of an installed cert-manager."""
        state = json.loads(self._layout.state.read_text())["ports"]
        if not self._processes.find(WEBHOOK):
            port: int = state["cert-manager-webhook"]
            pair = self._authority.issue(WEBHOOK, hosts=[LOOPBACK])
            certificate, key = pair.write(self._layout.cert_manager, "webhook")
            account = self._cluster.kubeconfig_for_service_account(NAMESPACE, "cert-manager-webhook")
            self._processes.start(WEBHOOK, components.cert_manager_webhook(account, port, certificate, key))
            self._processes.wait_ready(WEBHOOK, lambda: ports.answers(port))
        if not self._processes.find(CONTROLLER):
            metrics: int = state["cert-manager-metrics"]
            account = self._cluster.kubeconfig_for_service_account(NAMESPACE, "cert-manager")
            self._processes.start(CONTROLLER, components.cert_manager_controller(account, metrics))
            self._processes.wait_ready(CONTROLLER, lambda: ports.answers(metrics))

    def stop(self) -> None:
        """Kill controller and webhook. The webhook's configuration stays, so its API now refuses writes."""
        self._processes.stop(CONTROLLER)
        self._processes.stop(WEBHOOK)

    def _chart(self) -> list[dict[str, Any]]:
        """The chart's objects, with the webhook at its loopback address and its authority filled in."""
        port = json.loads(self._layout.state.read_text())["ports"]["cert-manager-webhook"]
        values = {
            "webhook": {"url": {"host": f"{LOOPBACK}:{port}"}},
            "cainjector": {"enabled": False},
            "startupapicheck": {"enabled": False},
            "prometheus": {"enabled": False},
        }
        objects = [thing for thing in render(values) if thing["kind"] not in _NOT_APPLIED]
        bundle = base64.b64encode(self._authority.pair.certificate).decode()
        for thing in objects:
            if thing["kind"] in _WEBHOOKS:
                for webhook in thing["webhooks"]:
                    webhook["clientConfig"]["caBundle"] = bundle  # the cainjector's work
        return objects

    @property
    def _authority(self) -> Authority:
        return Authority.load_or_create(self._layout.pki, "ca")


def _namespace() -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}


def definitions() -> list[dict[str, Any]]:
    """cert-manager's CRDs. They are chart templates in which only labels are templated, each on a line of its own."""
    folder = binaries.cert_manager_files() / "deploy" / "crds"
    return [_without_template_lines(path.read_text()) for path in sorted(folder.glob("crd-*.yaml"))]


def _without_template_lines(text: str) -> dict[str, Any]:
    definition: dict[str, Any] = yaml.load(
        "\n".join(line for line in text.splitlines() if "{{" not in line), Loader=_Loader
    )
    return definition


def render(values: dict[str, Any]) -> list[dict[str, Any]]:
    """`helm template` of the module's chart, which lacks only the Chart.yaml that a release would write."""
    source = binaries.cert_manager_files() / "deploy" / "charts" / "cert-manager"
    with tempfile.TemporaryDirectory() as scratch:
        chart = Path(shutil.copytree(source, Path(scratch, "cert-manager")))
        about = yaml.safe_load((chart / "Chart.template.yaml").read_text())
        about |= {"version": CERT_MANAGER, "appVersion": CERT_MANAGER, "annotations": {}}
        (chart / "Chart.yaml").write_text(yaml.safe_dump(about))
        done = subprocess.run(
            [binaries.path("helm"), "template", NAMESPACE, chart, f"--namespace={NAMESPACE}", "--values=-"],
            input=json.dumps(values), capture_output=True, text=True, check=False,
        )  # fmt: skip
    if done.returncode != 0:
        raise RuntimeError(f"helm template of cert-manager's chart failed: {done.stderr}")
    return [document for document in yaml.load_all(done.stdout, Loader=_Loader) if document]


#: The C parser where PyYAML has it: the CRDs are 400 KB.
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
