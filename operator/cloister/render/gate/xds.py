"""Small words of Envoy's configuration language (v3 API as JSON) that every part of a gate uses."""

from collections.abc import Sequence
from typing import Any

from cloister import sidecar

Object = dict[str, Any]

AUDITOR = "auditor"
"""Cluster of the auditor in the same pod."""
ADMIN = "admin"
"""Cluster of Envoy's own admin interface."""

SOCKET_MODE = 0o660
OWN_MODE = 0o600
"""Of a socket that nobody else uses."""


def typed(kind: str, **fields: Any) -> Object:
    """A message inside an ``Any``: Envoy needs its type spelt out."""
    return {"@type": f"type.googleapis.com/{kind}", **fields}


def named(name: str, kind: str, **fields: Any) -> Object:
    """An extension: its name, and its configuration."""
    return {"name": name, "typed_config": typed(kind, **fields)}


def followed(name: str, *kinds: str) -> Object:
    """An HTTP filter whose configuration is a file of its own, ``<name>.json`` (:func:`extension`): a change holds for
    the next request of every connection, also of those that were there before. Without the file every request is
    refused (Envoy documentation, "Extension configuration": 500)."""
    urls = [f"type.googleapis.com/{kind}" for kind in kinds]
    return {"name": name, "config_discovery": {"config_source": watched(f"{name}.json"), "type_urls": urls}}


def extension(found: Object) -> Object:
    """The file that :func:`followed` names. Envoy takes exactly one filter from each."""
    return discovery([typed("envoy.config.core.v3.TypedExtensionConfig", **found)])


def exact(value: str) -> Object:
    """A string matcher."""
    return {"exact": value}


def tcp(port: int) -> Object:
    """A port of the pod, on IPv4: `::` can't be bound where the kernel has IPv6 off, and the gate would not start."""
    return {"socket_address": {"address": "0.0.0.0", "port_value": port}}  # noqa: S104 (the pod's own address)


def pipe(path: str, *, mode: int | None = None) -> Object:
    """A unix socket; with the mode that Envoy gives it where Envoy binds it."""
    return {"pipe": {"path": path} | ({} if mode is None else {"mode": mode})}


def watched(path: str, directory: str = sidecar.GATE_CONFIG_DIR) -> Object:
    """A file of the configuration, read again whenever Kubernetes swaps the ``..data`` symlink of ``directory``
    (Envoy documentation, `config.core.v3.PathConfigSource`: watched_directory)."""
    return {
        "path_config_source": {
            "path": f"{sidecar.GATE_CONFIG_DIR}/{path}",
            "watched_directory": {"path": directory},
        },
        "resource_api_version": "V3",
    }


def discovery(resources: Sequence[Object]) -> Object:
    """What a file-based xDS source holds. Equal content needs no version: Envoy compares resources by hash."""
    return {"resources": list(resources)}
