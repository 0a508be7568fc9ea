"""A thousand ways to get a resource wrong: mutations of the examples, one at a time, the same on every run.

Each case knows the field that a message about it must name. What the API server is able to see as well is marked, so
that the two can be compared.
"""

import copy
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from cloister import crd

EXAMPLES = tuple(sorted((Path(__file__).parents[1] / "manifests" / "examples").glob("*.yaml")))

BASES = (*EXAMPLES, Path(__file__).parent / "cases" / "fetched-keys" / "input.yaml")
"""What is spoilt: the examples, and what none of them has."""

Path_ = tuple[str | int, ...]


@dataclass(frozen=True)
class Case:
    """One resource that must be refused."""

    id: str
    field: str
    """What the message names, or something below it."""
    raw: Any
    api: bool = True
    """Whether the API server refuses it too: it sees no patterns of map keys, and only JSON reaches it."""


def example(path: Path) -> dict[str, Any]:
    """A valid resource to start from."""
    return copy.deepcopy(_read(path))


@cache
def _read(path: Path) -> dict[str, Any]:
    raw: dict[str, Any] = yaml.safe_load(path.read_text())
    return raw


def cases() -> list[Case]:
    """Every case, in a fixed order."""
    schema = crd.schema()
    found = [
        case
        for path in BASES
        for case in [*_envelope(path), *_mutations(example(path), schema["properties"]["spec"], path.stem)]
    ]
    assert len({case.id for case in found}) == len(found)
    return found


def shown(path: Path_) -> str:
    """A path as messages write it."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")


def _envelope(path: Path) -> Iterator[Case]:
    def case(what: str, field: str, raw: Any, api: bool = True) -> Case:
        return Case(f"{path.stem}: {what}", field, raw, api)

    def changed(**fields: Any) -> dict[str, Any]:
        return {**example(path), **fields}

    def without(name: str) -> dict[str, Any]:
        return {key: value for key, value in example(path).items() if key != name}

    yield case("no apiVersion", "apiVersion", without("apiVersion"), api=False)
    yield case("no kind", "kind", without("kind"), api=False)
    yield case("another kind", "kind", changed(kind="Deployment"))
    yield case("another version", "apiVersion", changed(apiVersion="cloister.dev/v9"), api=False)
    yield case("no metadata", "metadata", without("metadata"), api=False)
    yield case("no spec", "spec", without("spec"))
    yield case("unknown at the top", "specs", changed(specs={}))
    yield case("namespace", "metadata.namespace", changed(metadata={"name": "a", "namespace": "b"}), api=False)
    yield case("unknown in metadata", "metadata.label", changed(metadata={"name": "a", "label": {}}))
    no_mappings: tuple[Any, ...] = (None, [], "x", 1, True)
    for spec in no_mappings:
        yield case(f"spec is {spec!r}", "spec", changed(spec=spec))
    for metadata in no_mappings:
        yield case(f"metadata is {metadata!r}", "metadata", changed(metadata=metadata), api=False)
    for name in ("", "A", "a_b", "-a", "a-", "1a", "a.b", "a" * 41, "ä", "a\n", "a b", "../a", 1, None, ["a"], "a\x00"):
        yield case(f"name is {name!r}", "metadata.name", changed(metadata={"name": name}), api=isinstance(name, str))
    yield case("no name", "metadata.name", changed(metadata={}), api=False)


def _mutations(raw: dict[str, Any], schema: dict[str, Any], stem: str) -> Iterator[Case]:
    for path, value, node in _walk(raw["spec"], schema, ("spec",)):
        where = shown(path)
        for what, replacement, api in _replacements(value, node):
            yield Case(f"{stem}: {where} {what}", where, _with(raw, path, replacement), api)
        if isinstance(value, dict):
            for what, key, field, changed in _mappings(value, node, where):
                named = what not in ("bad key", "control key")
                yield Case(f"{stem}: {where} {what} {key!a}", field, _with(raw, path, changed), named)


def _walk(value: Any, node: dict[str, Any], path: Path_) -> Iterator[tuple[Path_, Any, dict[str, Any]]]:
    yield path, value, node
    if isinstance(value, dict):
        for key, child in value.items():
            inner = node["properties"][key] if "properties" in node else node["additionalProperties"]
            yield from _walk(child, inner, (*path, key))
    elif isinstance(value, list):
        for index, child in enumerate(value):
            yield from _walk(child, node["items"], (*path, index))


_OBJECTS: tuple[tuple[str, Any, bool], ...] = (
    ("null", None, False),  # the API server takes it for a field that is left out
    ("NaN", float("nan"), False),
    ("infinite", float("inf"), False),
    ("bytes", b"x", False),
    ("set", {1}, False),
    ("object", object(), False),
    ("surrogate", "\ud800", False),
    ("number without end", 10**5000, False),
)
"""What is wrong anywhere."""


def _replacements(value: Any, node: dict[str, Any]) -> Iterator[tuple[str, Any, bool]]:
    """(what, replacement, whether the API server refuses it)."""
    yield from _OBJECTS
    quantity = node.get("x-kubernetes-int-or-string")
    kind = "quantity" if quantity else node["type"]
    wrong: dict[str, tuple[Any, ...]] = {
        "string": (7, True, ["x"], {"x": "y"}),
        "integer": ("7", True, [7], {"x": 7}, 7.5, -1, 10**12),
        "boolean": ("yes", "true", 1, [], {}),
        "array": ("x", 7, {"x": "y"}, True),
        "object": ("x", 7, ["x"], True),
        "quantity": ("1.2.3", "ten", "-1Gi", "1GiB", "", " 1Gi", "1Gi\n", True, 1.5, [], {}),
    }
    for index, replacement in enumerate(wrong[kind]):
        yield f"{kind} {index}", replacement, True
    if kind == "string":
        yield from _strings(value, node)
    if kind == "array":
        if "maxItems" in node and value:
            yield "too many", [copy.deepcopy(value[0]) for _ in range(node["maxItems"] + 1)], True
        if node.get("minItems"):
            yield "too few", [], True
    yield "nested", _nested(60), kind != "quantity"
    yield "nested without end", _nested(5000), False


def _strings(value: str, node: dict[str, Any]) -> Iterator[tuple[str, Any, bool]]:
    if "maxLength" in node:
        yield "too long", "a" * (node["maxLength"] + 1), True
    if "pattern" in node or "enum" in node:
        yield "newline after", f"{value}\n", True
        yield "newline before", f"\n{value}", True
        yield "NUL", f"{value}\x00", True
        yield "escape", f"\x1b[31m{value}", True
    if "enum" in node:
        yield "no such word", "Sometimes", True
        yield "other case", value.swapcase(), True
    if "format" in node:
        yield "no date", "tomorrow", True
        yield "no such day", "2026-02-30", True
    if node.get("pattern", "").startswith("^[a-z0-9]"):
        yield "upper case", f"{value}A", True
        yield "unicode", f"{value}é", True
        yield "homoglyph", f"{value}\u0430", True  # a Cyrillic letter that looks Latin


def _mappings(value: dict[str, Any], node: dict[str, Any], where: str) -> Iterator[tuple[str, str, str, Any]]:
    """(what, key, field, changed mapping)."""
    if "properties" in node:
        for key in node.get("required", ()):
            yield "without", key, f"{where}.{key}", {k: v for k, v in value.items() if k != key}
        for key in ("unknown", "x-y", "", "constructor"):
            yield "unknown", key, f"{where}.{key}" if key else where, {**value, key: "x"}
        for key in value:
            for misspelt in _misspelt(key):
                if misspelt not in node["properties"]:
                    changed = {misspelt if k == key else k: v for k, v in value.items()}
                    yield "misspelt", misspelt, f"{where}.{misspelt}", changed
    else:
        inner = next(iter(value.values()), "x")
        many = {f"k{index}": copy.deepcopy(inner) for index in range(node["maxProperties"] + 1)}
        yield "too many in", "k0", where, many
        if where.endswith(("apis", "nodeSelector", "podSelector")):
            yield "bad key", "a b", where, {**value, "a b": copy.deepcopy(inner)}
            yield "control key", "a\x07", where, {**value, "a\x07": copy.deepcopy(inner)}


def _misspelt(key: str) -> Iterator[str]:
    snake = re.sub("([A-Z]+)", lambda match: f"_{match[1].lower()}", key)
    if snake != key:
        yield snake
    yield key[:-1] + "X"
    yield key.upper()


@cache
def _nested(depth: int) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for _ in range(depth):
        result = {"a": result}
    return result


def _with(raw: dict[str, Any], path: Path_, replacement: Any) -> dict[str, Any]:
    """A copy of the resource with one value replaced. Only the way to it is copied."""

    def put(node: Any, rest: Path_) -> Any:
        if not rest:
            return replacement
        changed = copy.copy(node)
        changed[rest[0]] = put(node[rest[0]], rest[1:])
        return changed

    result: dict[str, Any] = put(raw, path)
    return result


def as_json(raw: Any) -> bytes | None:
    """What a client would send; None for what is no JSON."""
    try:
        return json.dumps(raw, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError):
        return None
