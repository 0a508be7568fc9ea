"""Paths of the programs in `catalogue`, which are built on first use: `binaries.path("helm")`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tests.cluster import builder
from tests.cluster.catalogue import (
    CERT_MANAGER_FILES,
    CILIUM_FILES,
    CONTROL_PLANE,
    LOCAL_PATH_FILES,
    NETWORKS,
    NODE,
    ONLY_FOR_NODE,
    PROGRAMS,
    WITH_CERT_MANAGER,
)

__all__ = [
    "CONTROL_PLANE", "NETWORKS", "NODE", "ONLY_FOR_NODE", "PROGRAMS", "WITH_CERT_MANAGER", "cert_manager_files",
    "cilium_files", "local_path_files", "path", "paths",
]  # fmt: skip


def path(name: str) -> Path:
    """The executable of that name in `PROGRAMS`, built first where it is missing."""
    return paths([name])[name]


def paths(names: Iterable[str]) -> dict[str, Path]:
    """The executables of these names; what is missing is built in one go."""
    return builder.build(PROGRAMS[name] for name in names)


def cert_manager_files() -> Path:
    """The folder with cert-manager's own chart (`deploy/charts`) and CRDs (`deploy/crds`)."""
    return builder.fetch(CERT_MANAGER_FILES)


def cilium_files() -> Path:
    """The folder with Cilium's BPF sources (`bpf`) and its CRDs (`pkg/k8s/apis/cilium.io/client/crds`)."""
    return builder.fetch(CILIUM_FILES)


def local_path_files() -> Path:
    """The folder with the storage provisioner's own manifests (`deploy`)."""
    return builder.fetch(LOCAL_PATH_FILES)
