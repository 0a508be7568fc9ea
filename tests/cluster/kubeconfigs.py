"""The shape of a kubeconfig, for a user with a client certificate or with a token."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from tests.cluster.pki import KeyPair, write_secret


def for_certificate(server: str, ca: bytes, user: str, pair: KeyPair) -> dict[str, Any]:
    """A kubeconfig whose user shows a client certificate."""
    credentials = {
        "client-certificate-data": _base64(pair.certificate),
        "client-key-data": _base64(pair.key),
    }
    return _kubeconfig(server, ca, user, credentials)


def for_token(server: str, ca: bytes, user: str, token: str) -> dict[str, Any]:
    """A kubeconfig whose user sends a bearer token."""
    return _kubeconfig(server, ca, user, {"token": token})


def write(path: Path, kubeconfig: dict[str, Any]) -> Path:
    """Write a kubeconfig that only its owner can read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_secret(path, yaml.safe_dump(kubeconfig, sort_keys=False).encode())
    return path


def file_name(user: str, groups: Iterable[str] = ()) -> str:
    """A file name for a user's kubeconfig: readable, and different for every user and set of groups."""
    readable = re.sub(r"[^A-Za-z0-9.-]+", "-", user).strip("-.")[:60]
    digest = hashlib.sha256("\0".join([user, *groups]).encode()).hexdigest()[:8]
    return f"{readable}-{digest}.kubeconfig"


def cluster_of(path: Path) -> tuple[str, bytes]:
    """The server and the CA of a kubeconfig's current context."""
    config = yaml.safe_load(path.read_text())
    context = _named(config["contexts"], config["current-context"])["context"]
    cluster = _named(config["clusters"], context["cluster"])["cluster"]
    if "certificate-authority-data" in cluster:
        return cluster["server"], base64.b64decode(cluster["certificate-authority-data"])
    if "certificate-authority" in cluster:
        return cluster["server"], (path.parent / cluster["certificate-authority"]).read_bytes()
    raise ValueError(f"{path}: the cluster of the current context has no certificate authority")


def _kubeconfig(server: str, ca: bytes, user: str, credentials: dict[str, str]) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "cloister",
        "clusters": [
            {"name": "cloister", "cluster": {"server": server, "certificate-authority-data": _base64(ca)}},
        ],
        "contexts": [{"name": "cloister", "context": {"cluster": "cloister", "user": user}}],
        "users": [{"name": user, "user": credentials}],
    }


def _named(entries: list[dict[str, Any]], name: str) -> dict[str, Any]:
    return next(entry for entry in entries if entry["name"] == name)


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
