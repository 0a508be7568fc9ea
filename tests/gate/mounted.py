"""A gate's directories as Kubernetes would mount them, below a temporary one.

Production paths and ports are rewritten here, on the finished JSON, so that production code has no switch for tests.
"""

import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cloister import sidecar
from cloister.zones import GATE_HEALTH_PORT, GATE_METRICS_PORT, GATE_PORT

ENVOY = Path(sys.executable).with_name("envoy")
PORTS = (GATE_PORT, GATE_HEALTH_PORT, GATE_METRICS_PORT)
_counter = itertools.count()


class Mounted:
    """The directories of one gate."""

    def __init__(self, root: Path, ports: Mapping[int, int] | None = None) -> None:
        self.root = root
        self.ports = dict(ports or {})
        own = (sidecar.FETCH_SOCKET, sidecar.EXPORT_SOCKET, sidecar.ADMIN_SOCKET)
        for socket in (sidecar.AUDITOR_SOCKET, sidecar.JOURNAL_SOCKET, *own):
            Path(self.path(socket)).parent.mkdir(parents=True, exist_ok=True)
        for volume in (sidecar.LEAF_DIR, sidecar.BUNDLE_DIR):
            Path(self.path(volume)).mkdir(parents=True, exist_ok=True)

    def path(self, path: str) -> str:
        """Where a production path lies here."""
        return str(self.root) + path

    def exists(self, path: str) -> bool:
        """Whether something lies at a production path."""
        return Path(self.path(path)).exists()

    def stat(self, path: str) -> os.stat_result:
        """Mode and owner of what lies there."""
        return Path(self.path(path)).stat()

    def configure(self, files: Mapping[str, Mapping[str, Any]], dials: Mapping[str, int] | None = None) -> None:
        """Mount the gate's ConfigMap. ``dials``: cluster -> the port that its Service has here."""
        self.mount(
            sidecar.GATE_CONFIG_DIR,
            {name: json.dumps(self.rewritten(content, dials or {})) for name, content in files.items()},
        )

    def identify(self, certificate: str, key: str) -> None:
        """Mount the leaf."""
        self.mount(sidecar.LEAF_DIR, {"tls.crt": certificate, "tls.key": key})

    def trust(self, *bundle: str) -> None:
        """Mount the trust bundle."""
        self.mount(sidecar.BUNDLE_DIR, {"ca.crt": "".join(bundle)} if bundle else {})

    def mount(self, directory: str, files: Mapping[str, str]) -> None:
        """Write files at a production path."""
        write_as_kubelet(Path(self.path(directory)), files)

    def rewritten(self, value: Any, dials: Mapping[str, int]) -> Any:
        """The same JSON with this machine's paths and ports."""
        match value:
            case {"@type": str(kind), "name": str(name)} if kind.endswith("Cluster") and name in dials:
                return self._walk(value, {GATE_PORT: dials[name]})
            case {"resources": list(resources)}:
                return {"resources": [self.rewritten(resource, dials) for resource in resources]}
        return self._walk(value, self.ports)

    def _walk(self, value: Any, ports: Mapping[int, int]) -> Any:
        match value:
            case dict():
                return {
                    key: ports.get(item, item) if key == "port_value" else self._walk(item, ports)
                    for key, item in value.items()
                }
            case list():
                return [self._walk(item, ports) for item in value]
            case str() if value.startswith(("/etc/cloister/", "/run/cloister/")):
                return self.path(value)
        return value

    def validate(self, files: Mapping[str, Mapping[str, Any]]) -> subprocess.CompletedProcess[str]:
        """Ask Envoy. It validates no file that another only names, so all become one static bootstrap."""
        bootstrap = {key: value for key, value in files["envoy.json"].items() if key != "dynamic_resources"}
        bootstrap["static_resources"] = {
            "listeners": _untyped(_inlined(files["listeners.json"], files)),
            "clusters": _untyped(files["clusters.json"]),
        }
        self.configure({**files, "static.json": bootstrap})
        config = self.path(f"{sidecar.GATE_CONFIG_DIR}/static.json")
        return subprocess.run(
            [ENVOY, "--mode", "validate", "--config-path", config],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )


def _inlined(value: Any, files: Mapping[str, Mapping[str, Any]]) -> Any:
    """Listeners with the filters and routes that they name."""
    match value:
        case {"name": str(name), "config_discovery": {"type_urls": list(kinds)}}:
            (found,) = files[f"{name}.json"]["resources"]
            assert found["typed_config"]["@type"] in kinds, f"Envoy would refuse {name}.json"
            return {"name": found["name"], "typed_config": found["typed_config"]}
        case {"rds": {"route_config_name": str(name)}, **rest}:
            (found,) = files["routes.json"]["resources"]
            assert found["name"] == name, "Envoy would wait for routes of another name"
            routes = {key: item for key, item in found.items() if key != "@type"} | {"validate_clusters": False}
            return {"route_config": routes, **{key: _inlined(item, files) for key, item in rest.items()}}
        case dict():
            return {key: _inlined(item, files) for key, item in value.items()}
        case list():
            return [_inlined(item, files) for item in value]
    return value


def _untyped(file: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{key: value for key, value in resource.items() if key != "@type"} for resource in file["resources"]]


def write_as_kubelet(base: Path, files: Mapping[str, str]) -> None:
    """Write files as the kubelet does: into a new directory, then one rename of the ``..data`` symlink
    (kubernetes/kubernetes, pkg/volume/util/atomic_writer.go)."""
    generation = base / f"..{next(_counter)}"
    generation.mkdir(parents=True)
    for name, content in files.items():
        (generation / name).write_text(content)
    fresh = base / "..data_tmp"
    fresh.symlink_to(generation.name)
    fresh.rename(base / "..data")
    for name in files:
        if not (base / name).is_symlink():
            (base / name).symlink_to(f"..data/{name}")


@contextmanager
def directory() -> Iterator[Path]:
    """Not pytest's own: paths of unix sockets must stay below 108 characters."""
    root = Path(tempfile.mkdtemp(prefix="gate-"))
    try:
        yield root
    finally:
        shutil.rmtree(root, ignore_errors=True)
