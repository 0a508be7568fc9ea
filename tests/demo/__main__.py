"""`python -m tests.demo up|down|node-up|node-down`.

`up` starts an embedded control plane (real etcd, kube-apiserver, kube-controller-manager and cert-manager), installs
the chart, runs the operator under its own service account, applies the support-bot example, shows what came of it,
and shows what is refused and what is repaired. Everything keeps running until `down`, which leaves nothing behind.

`node-up` does it on a real node (as root), where pods run: a small model's life, from raw text to an audited answer.
`node-down` ends that.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.console import Console

from tests.cluster import ControlPlane, binaries
from tests.cluster.kubectl import KubectlError
from tests.cluster.lasting import state
from tests.cluster.node import images, packages
from tests.cluster.node.node import Node
from tests.demo.node_story import NodeStory
from tests.demo.story import Story
from tests.installed import stop_operator


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.demo", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=["up", "down", "node-up", "node-down"])
    command = parser.parse_args(arguments).command
    console = Console(highlight=False, soft_wrap=True)
    try:
        return {"up": up, "down": down, "node-up": node_up, "node-down": node_down}[command](console)
    except (RuntimeError, OSError, KubectlError) as error:
        Console(stderr=True, highlight=False).print(f"demo: {error}", style="red", markup=False)
        return 1


def directory() -> Path:
    """Where the demo's control plane lives."""
    return state("demo")


def up(console: Console) -> int:
    """Tell the whole story; a demo that already runs is started afresh."""
    if directory().exists():
        down(console)
    binaries.paths([*binaries.WITH_CERT_MANAGER, "helm", "kubectl"])
    cluster = ControlPlane.start(directory(), detached=True)
    try:
        Story(cluster, console).tell()
    except BaseException:
        console.print("\nThe demo stopped half-way; it is left as it is for you to look at.", style="red")
        console.print(f"Logs: {directory() / 'log'}    Clean up: make demo-down")
        raise
    return 0


def node_up(console: Console) -> int:
    """Tell the story of the real node; one that already runs is started afresh."""
    directory = state("demo-node")
    if directory.exists():
        node_down(console)
    packages.install()
    binaries.paths([*binaries.NODE, *binaries.NETWORKS["cilium"]])
    for name in images.RECIPES:
        images.image(name)
    node = Node.start(directory, detached=True)
    try:
        NodeStory(node, console).tell()
    except BaseException:
        console.print("\nThe demo stopped half-way; it is left as it is for you to look at.", style="red")
        console.print(f"Logs: {directory / 'log'}    Clean up: make demo-node-down")
        raise
    return 0


def node_down(console: Console) -> int:
    """End the node and everything on it, and remove every file."""
    try:
        Node.open(state("demo-node")).remove()
    except FileNotFoundError:
        console.print("No demo is running on a node.")
        return 0
    console.print("The demo's node is gone: processes ended, files removed.")
    return 0


def down(console: Console) -> int:
    """End every process and remove every file of the demo."""
    try:
        cluster = ControlPlane.open(directory())
    except FileNotFoundError:
        console.print("No demo is running.")
        return 0
    stop_operator(cluster)
    cluster.remove()
    console.print("The demo is gone: processes ended, files removed.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
