"""Cloister as its users install it: the chart by helm, and the operator under the chart's own service account.

There is no kubelet here, so the operator runs as a process of this machine instead of a pod: with the environment of
the chart's Deployment and a token of its service account, so that the chart's RBAC and guards are what it meets.
"""

from __future__ import annotations

import os
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from tests.cluster import ControlPlane, binaries, ports
from tests.cluster.kubectl import Kubectl
from tests.cluster.processes import Identity, ProcessTable

NAMESPACE = "cloister-system"
RELEASE = "cloister"
CHART = Path(__file__).parents[1] / "charts" / "cloister"
BREAK_GLASS = "cloister:break-glass"


def install_chart(cluster: ControlPlane, *values: str) -> None:
    """`helm upgrade --install`, with ``values`` as for `--set`; returns when the guards are in force."""
    command = [
        str(binaries.path("helm")), "upgrade", "--install", RELEASE, str(CHART), "--namespace", NAMESPACE,
        "--create-namespace", "--kubeconfig", str(cluster.kubeconfig), *(f"--set={value}" for value in values),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"helm: {done.stderr.strip()}")


def operator_kubeconfig(cluster: ControlPlane) -> Path:
    """A kubeconfig with a token of the operator's service account, asked for by a member of the break-glass group:
    the guards refuse it to everyone else, administrators included."""
    admin = Kubectl(cluster.kubeconfig_for("installer", ["system:masters", BREAK_GLASS]))
    return cluster.kubeconfig_for_token(admin.token(NAMESPACE, RELEASE))


def start_operator(
    cluster: ControlPlane, kubeconfig: Path, name: str = "operator", **settings: str
) -> tuple[Identity, int]:
    """Start `cloister run` beside the cluster's own processes; returns it and its health port.

    ``settings`` override the Deployment's environment, by their names without the prefix (``resync_seconds="5"``).
    """
    environment = _deployment_environment(cluster) | {"KUBECONFIG": str(kubeconfig)}
    processes = ProcessTable(cluster.directory)
    program = Path(sys.executable).with_name("cloister")
    with ports.choosing():
        chosen = ports.free((f"{name}-metrics", f"{name}-health"))
        health = chosen[f"{name}-health"]
        environment |= {
            "CLOISTER_METRICS_PORT": str(chosen[f"{name}-metrics"]),
            "CLOISTER_HEALTH_PORT": str(health),
        } | {f"CLOISTER_{key.upper()}": value for key, value in settings.items()}
        identity = processes.start(name, [program, "run"], env=environment)
        processes.wait_ready(name, lambda: _ready(health))
    return identity, health


def stop_operator(cluster: ControlPlane, name: str = "operator", grace: float = 10.0) -> None:
    """End an operator, as Kubernetes would: SIGTERM, and SIGKILL after the grace period."""
    ProcessTable(cluster.directory).stop(name, grace)


def _ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5):
            return True
    except (urllib.error.URLError, OSError):
        return False


def _deployment_environment(cluster: ControlPlane) -> dict[str, str]:
    """The environment that the chart gives the operator's container."""
    deployment: dict[str, Any] = cluster.kubectl.get("deployment", RELEASE, "-n", NAMESPACE)
    pod = deployment["spec"]["template"]["spec"]
    references = {"metadata.namespace": NAMESPACE, "spec.serviceAccountName": pod["serviceAccountName"]}
    (container,) = pod["containers"]
    return {
        variable["name"]: variable.get("value") or references[variable["valueFrom"]["fieldRef"]["fieldPath"]]
        for variable in container["env"]
    } | {"PATH": os.environ["PATH"]}
