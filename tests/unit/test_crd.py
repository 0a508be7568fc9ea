"""The CRD is structural, bounded and described; the API server's own opinion is in tests/integration."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from cloister.crd import crd, fields, schema
from cloister.reference import reference

SCHEMA = schema()
MAX_BYTES = 256 * 1024
"""What `kubectl apply` can keep in its annotation."""


def nodes(node: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, node
    for name, child in node.get("properties", {}).items():
        yield from nodes(child, f"{path}.{name}")
    for part in ("items", "additionalProperties"):
        if part in node:
            yield from nodes(node[part], f"{path}[{part}]")


NODES = [(path, node) for path, node in nodes(SCHEMA) if path.startswith((".spec", ".status"))]
BY_TYPE = {
    kind: [(p, n) for p, n in NODES if n.get("type") == kind] for kind in ("string", "array", "object", "integer")
}


def test_it_is_small_enough() -> None:
    assert len(json.dumps(crd())) < MAX_BYTES


def test_it_is_made_anew_every_time() -> None:
    first = crd()
    first["spec"].clear()
    assert crd()["spec"]["scope"] == "Cluster"


def test_no_reference_and_no_default_is_left() -> None:
    text = json.dumps(crd())
    assert "$ref" not in text
    assert "$defs" not in text
    for path, node in NODES:
        assert "default" not in node, path


def test_every_node_is_structural() -> None:
    for path, node in NODES:
        assert ("type" in node) != ("x-kubernetes-int-or-string" in node), path
        assert not ("properties" in node and "additionalProperties" in node), path
        assert not {"oneOf", "allOf", "not", "title", "patternProperties", "propertyNames", "const"} & set(node), path
        if "anyOf" in node:
            assert node["anyOf"] == [{"type": "integer"}, {"type": "string"}], path


def test_every_string_is_bounded() -> None:
    unbounded = [path for path, node in BY_TYPE["string"] if not {"maxLength", "enum", "format"} & set(node)]
    assert not unbounded
    assert len(BY_TYPE["string"]) > 50


def test_every_list_is_bounded() -> None:
    assert [path for path, node in BY_TYPE["array"] if "maxItems" not in node] == []


def test_every_map_is_bounded() -> None:
    maps = [(path, node) for path, node in BY_TYPE["object"] if "additionalProperties" in node]
    assert len(maps) > 5
    assert [path for path, node in maps if "maxProperties" not in node] == []


def test_every_number_of_the_spec_is_bounded() -> None:
    numbers = [(path, node) for path, node in BY_TYPE["integer"] if path.startswith(".spec")]
    assert numbers
    assert [path for path, node in numbers if not {"minimum", "maximum"} <= set(node)] == []


def test_every_field_is_described() -> None:
    described = [(path, node) for path, node, _ in fields(SCHEMA) if path not in ("apiVersion", "kind", "metadata")]
    assert len(described) > 100
    assert [path for path, node in described if len(node.get("description", "")) < 3] == []


def test_every_object_has_fields_or_is_a_map() -> None:
    empty = [p for p, node in BY_TYPE["object"] if not {"properties", "additionalProperties"} & set(node)]
    assert not empty


@pytest.mark.parametrize(
    "needle",
    [
        "@sha256:",
        "'ZT-04'",
        "'ZT-06'",
        "self.metadata.name",
        "self.metadata.name + '-training'",
        "oldSelf.storageClassName",
        "oldSelf.identity.trustDomain",
        "a in self.inference.apis",
    ],
)
def test_a_rule_says_what_a_schema_can_not(needle: str) -> None:
    rules = [rule for _, node in nodes(SCHEMA) for rule in node.get("x-kubernetes-validations", ())]
    assert any(needle in rule["rule"] for rule in rules)
    assert all(rule["message"] for rule in rules)


def test_status_is_a_subresource_with_conditions_by_type() -> None:
    version = crd()["spec"]["versions"][0]
    assert version["subresources"] == {"status": {}}
    conditions = SCHEMA["properties"]["status"]["properties"]["conditions"]
    assert conditions["x-kubernetes-list-type"] == "map"
    assert conditions["x-kubernetes-list-map-keys"] == ["type"]


def test_columns_show_what_matters_first() -> None:
    columns = crd()["spec"]["versions"][0]["additionalPrinterColumns"]
    assert [column["name"] for column in columns] == ["Ready", "Phase", "Isolated", "Audited", "Age", "Message"]
    assert [column["name"] for column in columns if column.get("priority")] == ["Message"]


def test_the_reference_has_every_field() -> None:
    page = reference()
    for path, _, _ in fields(SCHEMA["properties"]["spec"]):
        assert f"| `{path}` |" in page, path
    for path, _, _ in fields(SCHEMA["properties"]["status"]):
        assert f"| `status.{path}` |" in page, path


def test_the_reference_shows_defaults_and_that_nothing_is_refused() -> None:
    lines = {line.split("`")[1]: line for line in reference().splitlines() if line.startswith("| `")}
    assert not [line for line in lines.values() if "**Refused**" in line]
    assert "`24h`" in lines["identity.certificateTTL"]
    assert "`[alert, refusal]`" in lines["audit.export.records"]
    assert not [line for line in lines.values() if "<OutputKind" in line or re.search(r"<\w+\.\w+: ", line)]
    assert "`true`" in lines["identity.users.rules[].managedDevice"]
    assert " yes " in lines["inference.image"]
    assert all(line.count(" | ") == 5 for key, line in lines.items() if key.startswith(("identity.", "inference.")))
