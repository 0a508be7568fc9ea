"""JSON schemas for kubeconform, without a download: from the API server's own OpenAPI, and from CRDs.

They are strict: an unknown field is an error, which kubeconform's usual schemas need a flag and another download for.
"""

from __future__ import annotations

import json
import ssl
import tempfile
import urllib.request
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

from tests.cluster import catalogue
from tests.cluster.components import Layout
from tests.cluster.controlplane import ControlPlane

Schema = dict[str, Any]

LOCATION = "{{ .Group }}-{{ .ResourceAPIVersion }}-{{ .ResourceKind }}.json"
"""kubeconform's template for the file of a kind. The core group, which has no name, is called like its version."""


def built_in() -> Path:
    """A folder with the schemas of Kubernetes' own kinds, kept beside the API server that it was asked from."""
    folder = catalogue.cache_root() / f"schemas-{catalogue.KUBERNETES}"
    if not (folder / "complete").exists():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as scratch, ControlPlane.start(Path(scratch)) as plane:
            for document in _openapi(plane):
                _write(folder, _kinds(document))
        (folder / "complete").touch()
    return folder


def of_definitions(folder: Path, definitions: Iterable[Path]) -> Path:
    """Write the schemas of these CRDs into the folder."""
    for path in definitions:
        # cert-manager ships its CRDs as templates in which only whole lines of labels are templated.
        text = "\n".join(line for line in path.read_text().splitlines() if "{{" not in line)
        spec = yaml.load(text, Loader=yaml.CSafeLoader)["spec"]
        for version in spec["versions"]:
            schema = _closed(version["schema"]["openAPIV3Schema"])
            # In a CRD the metadata is only said to be an object.
            schema["properties"]["metadata"] = {"type": "object"}
            _write(folder, [(spec["group"], version["name"], spec["names"]["kind"], schema)])
    return folder


def _openapi(plane: ControlPlane) -> Iterator[Schema]:
    """The OpenAPI document of every group and version."""
    layout = Layout(plane.directory)
    trust = ssl.create_default_context(cafile=str(layout.pki / "ca.crt"))
    trust.load_cert_chain(layout.pki / "admin.crt", layout.pki / "admin.key")

    def get(path: str) -> Schema:
        with urllib.request.urlopen(plane.server + path, context=trust, timeout=30) as reply:
            found: Schema = json.load(reply)
            return found

    for path in get("/openapi/v3")["paths"].values():
        yield get(path["serverRelativeURL"])


def _kinds(document: Schema) -> Iterator[tuple[str, str, str, Schema]]:
    """(group, version, kind, schema) of every kind in a document. A schema brings all definitions along."""
    schemas = {name: _closed(schema) for name, schema in document.get("components", {}).get("schemas", {}).items()}
    for schema in schemas.values():
        for kind in schema.get("x-kubernetes-group-version-kind", []):
            yield kind["group"], kind["version"], kind["kind"], schema | {"components": {"schemas": schemas}}


def _closed(schema: Schema) -> Schema:
    """The same schema, in which an object with named properties has no others."""
    found = {key: _inside(value) for key, value in schema.items()}
    if "properties" in found and not found.get("x-kubernetes-preserve-unknown-fields"):
        found.setdefault("additionalProperties", False)
    if found.pop("nullable", False) and "type" in found:
        found["type"] = [found["type"], "null"]
    if found.get("x-kubernetes-int-or-string"):
        found.pop("type", None)
    return found


def _inside(value: Any) -> Any:
    """A part of a schema: properties by name, lists of alternatives, or a plain value."""
    if isinstance(value, dict):
        if "type" in value or "$ref" in value or "allOf" in value or "properties" in value:
            return _closed(value)
        return {key: _inside(each) for key, each in value.items()}
    return [_inside(each) for each in value] if isinstance(value, list) else value


def _write(folder: Path, kinds: Iterable[tuple[str, str, str, Schema]]) -> None:
    for group, version, kind, schema in kinds:
        (folder / f"{group or version}-{version}-{kind.lower()}.json").write_text(json.dumps(schema))
