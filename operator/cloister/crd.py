"""The models of spec/ as a structural CustomResourceDefinition: references inlined, optionals flattened.

Source for what "structural" demands: Kubernetes documentation, "Extend the Kubernetes API with
CustomResourceDefinitions", section "Specifying a structural schema".
"""

from collections.abc import Iterator
from typing import Any

from cloister import names
from cloister.spec.deployment import MAX_NAME_LENGTH, Spec
from cloister.spec.fields import cel
from cloister.spec.status import Status
from cloister.zones import PLACES

_DROPPED = {"title", "default", "additionalProperties"}
"""Not allowed beside properties in a structural schema (additionalProperties), noise (title), or resolved in code:
defaults written by a schema make GitOps tools see a difference that never ends."""


def crd() -> dict[str, Any]:
    """The CustomResourceDefinition, whole."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{names.PLURAL}.{names.GROUP}"},
        "spec": {
            "group": names.GROUP,
            "scope": "Cluster",
            "names": {
                "kind": names.KIND,
                "listKind": f"{names.KIND}List",
                "plural": names.PLURAL,
                "singular": names.KIND.lower(),
                "shortNames": ["llmd"],
                "categories": ["cloister"],
            },
            "versions": [
                {
                    "name": names.VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": _COLUMNS,
                    "schema": {"openAPIV3Schema": schema()},
                }
            ],
        },
    }


def schema() -> dict[str, Any]:
    """The structural schema of the whole resource."""
    return {
        "type": "object",
        "description": "A language model in three isolated zones: training, inference and storage.",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": structural(Spec.model_json_schema(by_alias=True)),
            "status": structural(Status.model_json_schema(by_alias=True)),
        },
        "x-kubernetes-validations": [
            cel(
                f"self.metadata.name.size() <= {MAX_NAME_LENGTH}"
                " && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
                f"metadata.name must be a DNS label that begins with a letter, of at most {MAX_NAME_LENGTH} characters:"
                " the zones are named after it",
            ),
            *(_outside(machines) for machines in _MACHINES),
        ],
    }


_MACHINES = (
    "inference.clients",
    "storage.trainingData.readers",
    "storage.trainingData.writers",
    "storage.checkpoints.readers",
    "storage.checkpoints.writers",
    "storage.interactionLogs.readers",
    "metrics.scrapers",
)


def _outside(machines: str) -> dict[str, str]:
    """Only at the root does CEL know the name of the resource, and so of its zones."""
    field = f"self.spec.{machines}"
    block = field.rpartition(".")[0]
    own = ", ".join(f"self.metadata.name + '-{place}'" for place in PLACES)
    return cel(
        f"!has({block}) || !has({field}) || {field}.all(m, !(m.namespace in [{own}]))",
        f"spec.{machines}[].namespace is one of this deployment's own, where no machine of yours runs",
    )


def structural(document: dict[str, Any]) -> dict[str, Any]:
    """pydantic's JSON schema (2020-12, with ``$defs``) as a Kubernetes structural schema."""
    definitions = document.pop("$defs", {})
    result: dict[str, Any] = _convert(document, definitions)
    return result


def _convert(node: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    node = _flattened(node, definitions)
    result = {name: value for name, value in node.items() if name not in _DROPPED and value is not None}
    if "properties" in node:
        result["properties"] = {name: _convert(child, definitions) for name, child in node["properties"].items()}
    elif node.get("type") == "object":
        # Keys of a map can't carry a pattern in a structural schema: the models check them.
        result.pop("propertyNames", None)
        values = node.get("additionalProperties") or next(iter(node.get("patternProperties", {}).values()))
        result.pop("patternProperties", None)
        result["additionalProperties"] = _convert(values, definitions)
    if "items" in node:
        result["items"] = _convert(node["items"], definitions)
    return result


def _flattened(node: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """The node with its reference inlined and ``X | None`` reduced to X; what stands beside wins."""
    node = dict(node)
    if "$ref" in node:
        target = _flattened(definitions[node.pop("$ref").rsplit("/", 1)[1]], definitions)
        return _merged(target, node)
    options = node.get("anyOf")
    if options and any(option.get("type") == "null" for option in options):
        (option,) = (option for option in node.pop("anyOf") if option.get("type") != "null")
        return _merged(_flattened(option, definitions), node)
    return node


def _merged(target: dict[str, Any], beside: dict[str, Any]) -> dict[str, Any]:
    merged = target | beside
    key = "x-kubernetes-validations"
    if key in target and key in beside:
        merged[key] = [*target[key], *beside[key]]
    return merged


def _column(name: str, path: str, kind: str = "string", priority: int = 0) -> dict[str, Any]:
    return {"name": name, "type": kind, "jsonPath": path, "priority": priority}


def _condition(name: str) -> str:
    return f'.status.conditions[?(@.type=="{name}")].status'


_COLUMNS = [
    _column("Ready", _condition("Ready")),
    _column("Phase", ".status.phase"),
    _column("Isolated", _condition("ZonesIsolated")),
    _column("Audited", _condition("AuditRecording")),
    _column("Age", ".metadata.creationTimestamp", "date"),
    _column("Message", ".status.message", priority=1),
]


def fields(node: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any], bool]]:
    """Every field below a structural schema: its path, its schema, whether it is required."""
    required = node.get("required", ())
    for name, child in node.get("properties", {}).items():
        at = f"{path}.{name}" if path else name
        yield at, child, name in required
        yield from fields(child, at)
        yield from fields(child.get("items", {}), f"{at}[]")
        if isinstance(child.get("additionalProperties"), dict):
            yield from fields(child["additionalProperties"], f"{at}.<name>")
