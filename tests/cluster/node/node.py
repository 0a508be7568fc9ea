"""A control plane with a node: what `ControlPlane` offers, and pods that run."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, Self

import yaml

from tests.cluster import binaries, components, kubeconfigs
from tests.cluster.controlplane import ControlPlane
from tests.cluster.kubectl import KubectlError
from tests.cluster.node import addons, commands, images, packages
from tests.cluster.node.commands import NODE, NodeLayout
from tests.cluster.node.machine import Machine, sweep
from tests.cluster.processes import Identity, ProcessTable, wait_until

Network = Literal["cilium", "bridge"]
"""Who connects pods: Cilium, which enforces NetworkPolicies, or the reference plugins alone, which do not."""
#: Network -> the programs that containerd calls.
_PLUGINS: Mapping[Network, tuple[str, ...]] = {"cilium": ("cilium-cni",), "bridge": ("bridge", "host-local")}
_REFERENCE_PLUGINS = Path("/usr/lib/cni")

#: Component -> its user and groups, as on every cluster. Cilium has its own account's name, for whoever looks at names,
#: and an administrator's rights.
_USERS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "scheduler": ("system:kube-scheduler", ()),
    "kubelet": (f"system:node:{NODE}", ("system:nodes",)),
    "proxy": ("system:kube-proxy", ()),
    "cilium": ("system:serviceaccount:kube-system:cilium", ("system:masters",)),
}


class NodeError(RuntimeError):
    """Something on the node did not come up; the message says what, and what it waits for."""


@dataclass(frozen=True)
class NodeProcesses(ProcessTable):
    """Processes inside the machine's namespaces."""

    machine: Machine

    def start(self, name: str, command: Sequence[str | Path], env: Mapping[str, str] | None = None) -> Identity:
        """Start a process inside, under a name that is free, and record it."""
        return super().start(name, [*self.machine.enter(), *command], env)

    def stop_all(self) -> None:
        """End everything, in pods too, and remove what processes leave behind."""
        super().stop_all()
        sweep(self.directory)


class Node(ControlPlane):
    """A running node with its own control plane, also a context manager that stops it.

    Made by `start` or `open`, in a directory that holds everything it has. `remove` leaves nothing.
    """

    def __init__(self, directory: Path) -> None:
        """Prefer `start` or `open`."""
        super().__init__(directory)
        self.machine = Machine(self.directory)
        self._layout: NodeLayout = NodeLayout(self.directory)
        self._processes: NodeProcesses = NodeProcesses(self.directory, self.machine)

    # --- life ---

    @classmethod
    def start(cls, directory: Path, *, detached: bool = False, network: Network = "cilium") -> Self:
        """As `ControlPlane.start`. A node keeps the network that it was first started with."""
        node = cls(directory)
        state = node._layout.state
        if not state.exists() and not (node.directory.exists() and any(node.directory.iterdir())):
            node.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            state.write_text(json.dumps({"network": network}))
        if state.exists() and node.network != network:
            raise NodeError(f"the node in {directory} has network {node.network}, not {network}: remove it first")
        return super().start(directory, detached=detached)

    @property
    def network(self) -> Network:
        """Who connects its pods."""
        found: Network = json.loads(self._layout.state.read_text())["network"]
        return found

    @property
    def server(self) -> str:
        """The API server's URL, reachable from this machine."""
        return f"https://{self.machine.address}:{commands.API_PORT}"

    # --- what tests do to it ---

    def restart(self, component: str, grace: float = 0.0) -> None:
        """Kill a component (or let it end within `grace` seconds) and start it again."""
        self._processes.stop(component, grace)
        self._start_component(component)

    def kill(self, component: str) -> None:
        """Kill a component; `bring_back` starts it again."""
        self._processes.stop(component)

    def bring_back(self, component: str) -> None:
        """Start a component that does not run."""
        self._start_component(component)

    def wait_until_ready(self, timeout: float = 90.0) -> None:
        """Wait until the API server answers and says that the node would take pods, and pods could be connected."""

        def connecting() -> bool:
            return self.network != "cilium" or self._layout.cilium_network.exists()

        if not wait_until(lambda: self._answers("/readyz") and self._ready() and connecting(), timeout):
            raise NodeError(self.kubectl("describe", "node", NODE)[-3000:])

    def volume(self, pod: str, name: str) -> Path:
        """The folder, inside the machine, into which the kubelet writes a ConfigMap for a pod with this UID."""
        return self._layout.directory / "kubelet/pods" / pod / "volumes/kubernetes.io~configmap" / name

    def load_images(self, names: Sequence[str]) -> dict[str, str]:
        """Make images known to the node; the reference by digest of each."""
        return images.load(self.machine, names)

    # --- how it starts ---

    def _prepare(self) -> None:
        packages.install()
        super()._prepare()
        binaries.paths([*binaries.NODE, *binaries.NETWORKS[self.network]])
        layout = self._layout
        for folder in (layout.cni_programs, layout.cni_networks, layout.tools, layout.volumes):
            folder.mkdir(parents=True, exist_ok=True)
        for name in ("loopback", *_PLUGINS[self.network]):
            program = _REFERENCE_PLUGINS / name
            shutil.copyfile(program if program.exists() else binaries.path(name), layout.cni_programs / name)
            (layout.cni_programs / name).chmod(0o755)
        for name in ("clang", "llc"):
            (layout.tools / name).unlink(missing_ok=True)
            (layout.tools / name).symlink_to(f"/usr/bin/{name}-19")
        library = self.directory / "cilium" / "lib"
        if not library.exists():
            shutil.copytree(binaries.cilium_files() / "bpf", library / "bpf")
        (self.directory / "resolv.conf").touch()  # CoreDNS has nobody to ask further
        layout.containerd_config.write_text(commands.containerd_config(layout))
        layout.kubelet_config.write_text(yaml.safe_dump(commands.kubelet_config(layout, self.machine.group)))

    def _choose_ports(self) -> None:
        """None is chosen: the node has all ports for itself. But its address is, which credentials name."""
        if not self._processes.find("machine"):
            self.machine.start(ProcessTable(self.directory))

    def _write_credentials(self) -> None:
        super()._write_credentials()
        pki = self._layout.pki
        if (pki / "node-complete").exists():
            return
        hosts = [*components.API_SERVER_HOSTS, self.machine.address]
        self._authority.issue("kube-apiserver", hosts=hosts).write(pki, "apiserver")
        self._authority.issue(NODE, hosts=[NODE, self.machine.address]).write(pki, "kubelet")
        for component, (user, groups) in _USERS.items():
            config = kubeconfigs.for_certificate(self.server, self._ca, user, self._authority.issue(user, groups))
            kubeconfigs.write(self._layout.kubeconfig_of(component), config)
        (pki / "node-complete").touch()

    def _start_processes(self) -> None:
        for component in ("etcd", "kube-apiserver", "containerd"):
            self._start_component(component)
        self._processes.wait_ready("containerd", (self.directory / "containerd").exists)
        self._processes.wait_ready("kube-apiserver", lambda: self._answers("/readyz"))
        self._start_component("kube-controller-manager")
        self._start_component("kube-scheduler")
        references = self.load_images(images.SYSTEM)
        self._start_component("kubelet")
        self._processes.wait_ready("kubelet", self._registered)
        if self.network == "cilium":
            self._connect_by_cilium()
        else:
            self._connect_by_bridge()
        self._processes.wait_ready("kubelet", self._ready)
        addons.install(self.kubectl, self._layout, references)

    def _connect_by_cilium(self) -> None:
        addons.prepare_cilium(self.kubectl)
        self._start_component("cilium-agent")
        self._processes.wait_ready("cilium-agent", self._layout.cilium_network.exists, timeout=180)
        # Copied: Debian's containerd sees a file that is written, and overlooks one that is renamed.
        shutil.copyfile(self._layout.cilium_network, self._layout.network)

    def _connect_by_bridge(self) -> None:
        def pods() -> str | None:
            found: str | None = self.kubectl.get("node", NODE)["spec"].get("podCIDR")
            return found

        self._processes.wait_ready("kube-controller-manager", lambda: pods() is not None)
        self._start_component("kube-proxy")
        self._layout.network.write_text(json.dumps(commands.bridge_network(str(pods()))))

    def _start_component(self, component: str) -> None:
        layout, machine = self._layout, self.machine
        made: Mapping[str, Callable[[], list[str | Path]]] = {
            "etcd": lambda: components.etcd(layout, commands.ETCD_PORT, commands.ETCD_PEER_PORT),
            "kube-apiserver": lambda: commands.kube_apiserver(layout, machine.address),
            "kube-controller-manager": lambda: commands.kube_controller_manager(layout),
            "kube-scheduler": lambda: commands.kube_scheduler(layout),
            "containerd": lambda: commands.containerd(layout),
            "kubelet": lambda: commands.kubelet(layout, machine.address),
            "cilium-agent": lambda: commands.cilium_agent(layout, machine.unified_group),
            "kube-proxy": lambda: commands.kube_proxy(layout),
        }
        if not self._processes.find(component):
            if component == "cilium-agent":
                layout.cilium_network.unlink(missing_ok=True)  # it writes it anew when it is ready
            self._processes.start(component, made[component](), self._environment(component))

    def _environment(self, component: str) -> dict[str, str]:
        if component != "cilium-agent":
            return {}
        path = f"{self._layout.tools}:{os.environ['PATH']}"
        return {"PATH": path, "K8S_NODE_NAME": NODE, "CILIUM_K8S_NAMESPACE": "kube-system"}

    def _registered(self) -> bool:
        return self._answers(f"/api/v1/nodes/{NODE}")

    def _ready(self) -> bool:
        """Whether the node would take pods."""
        try:
            found = self.kubectl.get("node", NODE)
        except KubectlError:
            return False
        conditions = {c["type"]: c["status"] for c in found["status"].get("conditions", ())}
        return conditions.get("Ready") == "True" and not found["spec"].get("taints")

    def wait_for_pods(self, namespace: str, timeout: float = 180.0) -> None:
        """Wait until every pod of a namespace, and at least one, is ready."""

        def ready() -> bool:
            pods = self.kubectl.get("pods", "-n", namespace)["items"]
            return bool(pods) and all(_is_ready(pod) for pod in pods)

        if not wait_until(ready, timeout):
            raise NodeError(self.kubectl("describe", "pods", "-n", namespace)[-6000:])

    @cached_property
    def cert_manager(self) -> addons.CertManagerInPods:  # type: ignore[override]
        """cert-manager as its chart installs it, in pods."""
        return addons.CertManagerInPods(self)


def _is_ready(pod: Mapping[str, object]) -> bool:
    conditions = pod["status"].get("conditions", ())  # type: ignore[attr-defined]
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
