"""A cluster that is not of our making, for `make cluster` and `make e2e`: `CLUSTER=kind`, or `CLUSTER=current`.

It stands in for a `Node`, as far as any cluster can. What needs a node of our own (its processes to kill, its disks to
look at) is skipped by the test that asks for it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import pytest

from tests.cluster import binaries
from tests.cluster.external import ExternalCluster
from tests.cluster.node import addons, images

CHOICE, REGISTRY = "CLUSTER", "REGISTRY"
CHOICES = ("kind", "current")
KIND_NAME = "cloister"


class ElsewhereError(RuntimeError):
    """The cluster can't be had, or can't be given our images; the message says what is missing."""


class Elsewhere(ExternalCluster):
    """The cluster of the current kubeconfig context. Images go to it through a registry that it may pull from."""

    @classmethod
    def chosen(cls, directory: Path) -> Elsewhere | None:
        """The one that the environment names; None where that is a node of our own."""
        match os.environ.get(CHOICE, ""):
            case "":
                return None
            case "kind":
                return Kind.start(directory)
            case "current":
                return cls(_kept(_kubectl("config", "view", "--raw", "--minify", "--flatten"), directory), directory)
            case other:
                raise ElsewhereError(f"{CHOICE}={other}: is none of {', '.join(CHOICES)}; empty is a node of our own")

    def load_images(self, names: Sequence[str]) -> dict[str, str]:
        """Push images to the registry; the reference by digest of each."""
        registry = os.environ.get(REGISTRY, "").rstrip("/")
        if not registry:
            raise ElsewhereError(f"{CHOICE}=current needs {REGISTRY}=, a registry that the cluster may pull from")
        _needed("skopeo")
        return {name: self._pushed(name, registry) for name in names}

    def wait_for_pods(self, namespace: str, timeout: float = 180.0) -> None:
        """Wait until every pod of a namespace is ready."""
        self.kubectl("wait", "pods", "--all", "-n", namespace, "--for=condition=Ready", f"--timeout={timeout:.0f}s")

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        pytest.skip(f"needs a node of our own, for its {name}")

    @staticmethod
    def _pushed(name: str, registry: str) -> str:
        built, repository = images.image(name), f"{registry}/{name}"
        source, target = f"oci-archive:{built.archive}", f"docker://{repository}:{images.TAG}"
        _run("skopeo", "copy", "--preserve-digests", source, target)
        return f"{repository}@{built.digest}"


class Kind(Elsewhere):
    """A cluster in containers (https://kind.sigs.k8s.io), whose own network plugin enforces policies from v0.24 on."""

    def __init__(self, kubeconfig: Path, scratch: Path) -> None:
        super().__init__(kubeconfig, scratch)
        self.directory = scratch

    @classmethod
    def start(cls, directory: Path) -> Kind:
        """The cluster of our name, made if it is not there."""
        _needed("kind")
        if KIND_NAME not in _run("kind", "get", "clusters").split():
            _run("kind", "create", "cluster", f"--name={KIND_NAME}", f"--kubeconfig={directory / 'made'}", "--wait=3m")
        return cls(_kept(_run("kind", "get", "kubeconfig", f"--name={KIND_NAME}"), directory), directory)

    @staticmethod
    def remove() -> None:
        """Remove the cluster, if it is there."""
        _needed("kind")
        _run("kind", "delete", "cluster", f"--name={KIND_NAME}")

    def load_images(self, names: Sequence[str]) -> dict[str, str]:
        """Into each node's containerd, under the name and the digest that pods ask for."""
        engine = next((name for name in ("docker", "podman", "nerdctl") if shutil.which(name)), None)
        if engine is None:
            raise ElsewhereError("kind's nodes are containers: docker, podman or nerdctl must be on the PATH")
        nodes = _run("kind", "get", "nodes", f"--name={KIND_NAME}").split()
        return {name: self._imported(name, engine, nodes) for name in names}

    def install_cert_manager(self) -> None:
        """cert-manager's own chart, from images of ours."""
        addons.CertManagerInPods(self).install()

    @staticmethod
    def _imported(name: str, engine: str, nodes: Iterable[str]) -> str:
        built, repository = images.image(name), f"{images.REGISTRY}/{name}"
        into = ("ctr", "--namespace=k8s.io", "images", "import", f"--base-name={repository}", "--digests", "-")
        for node in nodes:
            with built.archive.open("rb") as archive:
                _run(engine, "exec", "-i", node, *into, stdin=archive)
        return f"{repository}@{built.digest}"


def _kept(kubeconfig: str, directory: Path) -> Path:
    """A copy that nobody's change of context reaches."""
    path = directory / "kubeconfig"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_text(kubeconfig)
    return path


def _kubectl(*arguments: str) -> str:
    return _run(str(binaries.path("kubectl")), *arguments)


def _needed(program: str) -> None:
    if shutil.which(program) is None:
        raise ElsewhereError(f"{program} is not on the PATH")


def _run(*command: str, stdin: Any = subprocess.DEVNULL) -> str:
    done = subprocess.run(command, stdin=stdin, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ElsewhereError(f"{' '.join(command)} failed with {done.returncode}: {done.stderr or done.stdout}")
    return done.stdout
