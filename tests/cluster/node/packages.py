"""Debian's part of the node: what is missing is installed, by name, and said."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from tests.cluster.progress import run_watched

#: What the node and its images need -> the package that brings it.
PACKAGES: Mapping[str, str] = {
    "/usr/bin/containerd": "containerd",
    "/usr/sbin/runc": "runc",
    "/usr/lib/cni/loopback": "containernetworking-plugins",
    "/usr/bin/catatonit": "catatonit",  # holds a namespace: the node's, and each pod's
    "/usr/bin/clang-19": "clang-19",  # Cilium compiles its datapath for the kernel that it finds
    "/usr/bin/llc-19": "llvm-19",
    "/usr/bin/nsenter": "util-linux",
    "/usr/sbin/ip": "iproute2",
    "/usr/sbin/iptables": "iptables",
    "/usr/sbin/conntrack": "conntrack",
    "/usr/bin/kmod": "kmod",
    "/usr/bin/buildah": "buildah",
    "/usr/bin/mmdebstrap": "mmdebstrap",
}
_SECONDS = 90


class MissingPackagesError(RuntimeError):
    """Something is missing that this user or system can't install."""


def install() -> None:
    """Install what is missing; does nothing, and asks nobody, where all of it is there."""
    wanted = sorted({package for path, package in PACKAGES.items() if not Path(path).exists()})
    if not wanted:
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise MissingPackagesError(f"please install, as root: {' '.join(wanted)}")
    for command, label in (
        (["apt-get", "update", "-qq"], "package lists"),
        (["apt-get", "install", "-y", "-qq", "--no-install-recommends", *wanted], " ".join(wanted)),
    ):
        run_watched(command, f"Debian: {label}", _SECONDS, doing="installing", DEBIAN_FRONTEND="noninteractive")
