"""The reference of the custom resource, in Markdown, from the models that define it: it can't be out of date."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, get_args

import jinja2
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from cloister import crd, names
from cloister.spec import UNENFORCED, Spec

_BOUNDS = (
    ("minimum", "at least {}"),
    ("maximum", "at most {}"),
    ("minLength", "at least {} characters"),
    ("maxLength", "at most {} characters"),
    ("minItems", "at least {} items"),
    ("maxItems", "at most {} items"),
    ("minProperties", "at least {} entries"),
    ("maxProperties", "at most {} entries"),
)


@dataclass(frozen=True)
class Row:
    """One field, as the reference shows it. Every cell is Markdown."""

    path: str
    type: str
    required: bool
    default: str
    bounds: str
    description: str
    unenforced: str
    """The control that would need the field; empty for a field that works."""


@dataclass(frozen=True)
class Section:
    """One block of the resource."""

    title: str
    description: str
    rows: list[Row] = field(default_factory=list)


@dataclass(frozen=True)
class Rule:
    """One CEL rule."""

    path: str
    message: str
    rule: str


def reference() -> str:
    """The whole page."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("cloister"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701  (Markdown of our own; cells are escaped where they are made)
    )
    schema = crd.schema()
    return environment.get_template("llmdeployment.md.j2").render(
        names=names, sections=_sections(schema), rules=list(_rules(schema, "")), unenforced=UNENFORCED
    )


def _sections(schema: Mapping[str, Any]) -> list[Section]:
    """The spec block by block, then the status; single fields of the spec come first, together."""
    spec, status = schema["properties"]["spec"], schema["properties"]["status"]
    defaults = dict(_defaults(Spec, ""))
    blocks = {name: child for name, child in spec["properties"].items() if _is_block(child)}
    single = {name: child for name, child in spec["properties"].items() if name not in blocks}
    result = [Section("spec", spec["description"], _rows({**spec, "properties": single}, "", defaults))]
    for name, child in blocks.items():
        only = {**spec, "properties": {name: child}}
        result.append(Section(f"spec.{name}", child["description"], _rows(only, "", defaults)))
    result.append(Section("status", status["description"], _rows(status, "status.", {})))
    return result


def _is_block(node: Mapping[str, Any]) -> bool:
    return "properties" in node or "properties" in node.get("items", {})


def _rows(node: dict[str, Any], prefix: str, defaults: Mapping[str, str]) -> list[Row]:
    unenforced = dict(UNENFORCED)
    return [
        Row(
            path=f"{prefix}{path}",
            type=_type(child),
            required=required,
            default=defaults.get(path, ""),
            bounds=_bounds(child),
            description=_cell(child.get("description", "")),
            unenforced=unenforced.get(path, ""),
        )
        for path, child, required in crd.fields(node)
    ]


def _type(node: Mapping[str, Any]) -> str:
    if node.get("x-kubernetes-int-or-string"):
        return "quantity"
    if "enum" in node:
        return " \\| ".join(f"`{value}`" for value in node["enum"])
    if node.get("type") == "array":
        return f"list of {_type(node['items'])}"
    if isinstance(node.get("additionalProperties"), dict):
        return f"map to {_type(node['additionalProperties'])}"
    return str(node.get("format") or node["type"])


def _bounds(node: Mapping[str, Any]) -> str:
    found = [text.format(node[key]) for key, text in _BOUNDS if key in node]
    if "pattern" in node:
        found.append(f"`{_cell(node['pattern'])}`")
    if "items" in node and not _is_block(node) and (inside := _bounds(node["items"])):
        found.append(f"each {inside}")
    return ", ".join(found)


def _cell(text: str) -> str:
    """Text that can't end its table cell."""
    return text.replace("\n", " ").replace("|", "\\|")


def _rules(node: Mapping[str, Any], path: str) -> Iterator[Rule]:
    for rule in node.get("x-kubernetes-validations", ()):
        yield Rule(path or "(the resource)", rule["message"], rule["rule"])
    for name, child in node.get("properties", {}).items():
        yield from _rules(child, f"{path}.{name}" if path else name)
    if "items" in node:
        yield from _rules(node["items"], f"{path}[]")
    if isinstance(node.get("additionalProperties"), dict):
        yield from _rules(node["additionalProperties"], f"{path}.<name>")


def _defaults(model: type[BaseModel], path: str) -> Iterator[tuple[str, str]]:
    """What the models put where nothing is given; the schema itself has no defaults."""
    for name, info in model.model_fields.items():
        at = f"{path}{info.alias or name}"
        default = info.default
        if default not in (PydanticUndefined, None, ()):
            yield at, f"`{_written(default)}`"
        inner = next(_models(info.annotation), None)
        if inner:
            container = _container(info.annotation)
            yield from _defaults(inner, f"{at}{container}.")


def _written(value: Any) -> str:
    """A value as it would stand in the resource."""
    if isinstance(value, tuple):
        return f"[{', '.join(map(_written, value))}]"
    if isinstance(value, Enum):
        return str(value.value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models(argument)


def _container(annotation: Any) -> str:
    """How crd.fields writes the items of a list and the values of a map."""
    text = str(annotation)
    if text.startswith("tuple["):
        return "[]"
    return ".<name>" if text.startswith("dict[") else ""
