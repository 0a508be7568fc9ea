"""Pods as the node sees them: their processes and their networks, without anything of ours inside them."""

from __future__ import annotations

import signal
from dataclasses import dataclass

from tests.cluster.node.machine import Machine

_CTR = ("ctr", "--namespace=k8s.io")
_KIND = "io.cri-containerd.kind"


class NoSuchContainerError(RuntimeError):
    """Nothing of that name runs on the node."""


@dataclass(frozen=True)
class Pods:
    """What runs on one node."""

    machine: Machine

    def network(self, namespace: str, pod: str) -> str:
        """The path, inside the machine, of a pod's network: it is there as long as the pod, whatever restarts in it."""
        sandbox = self._pid(namespace, pod, f'labels."{_KIND}"==sandbox')
        return f"/proc/{sandbox}/ns/net"

    def kill(self, namespace: str, pod: str, container: str) -> None:
        """Kill the first process of a container, and so all of it, without a word to anybody."""
        pid = self._pid(namespace, pod, f'labels."io.kubernetes.container.name"=={container}')
        self.machine.run("kill", f"-{signal.SIGKILL}", str(pid))

    def _pid(self, namespace: str, pod: str, which: str) -> int:
        labels = {"io.kubernetes.pod.namespace": namespace, "io.kubernetes.pod.name": pod}
        wanted = ",".join([*(f'labels."{name}"=={value}' for name, value in labels.items()), which])
        known = self.machine.run(*_CTR, "containers", "list", "--quiet", wanted).split()
        rows = [line.split() for line in self.machine.run(*_CTR, "tasks", "list").splitlines()[1:]]
        running = [int(pid) for task, pid, status in rows if status == "RUNNING" and task in known]
        if len(running) != 1:
            raise NoSuchContainerError(f"{len(running)} containers run on the node with {wanted}")
        return running[0]
