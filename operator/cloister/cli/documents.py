"""Reads LLMDeployments from files, as kubectl would, and remembers on which line each field stands."""

import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from cloister import names
from cloister.cli.errors import UserError
from cloister.lint import checked
from cloister.spec import LLMDeployment, SpecError

STDIN = "-"
_MAX_BYTES = 4 * 2**20
"""An object in Kubernetes has at most 1.5 MiB."""
_MAX_DEPTH = 100
"""Deeper than any object, and safely less than Python's own stack."""
_MAX_NODES = 200_000
"""More than an object of 1.5 MiB has; a few lines of aliases can stand for billions."""


@dataclass(frozen=True)
class Document:
    """One LLMDeployment of a file."""

    source: str
    raw: Mapping[str, Any]
    lines: Mapping[str, int] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """metadata.name, as far as there is one."""
        metadata = self.raw.get("metadata")
        return str(metadata.get("name", "")) if isinstance(metadata, Mapping) else ""

    def line(self, path: str) -> int:
        """The line of a field, or of the nearest thing around it that is there."""
        while path and path not in self.lines:
            dot, bracket = path.rfind("."), path.rfind("[")
            path = path[: max(dot, bracket, 0)]
        return self.lines.get(path, 1)

    def parsed(self) -> LLMDeployment:
        """The model, or a :class:`UserError` that names every field that is wrong."""
        try:
            return checked(self.raw)
        except SpecError as error:
            raise UserError(*(f"{self._place(problem.field)}: {problem}" for problem in error.problems)) from None

    def _place(self, path: str) -> str:
        """Where a field stands: its line, where it was read from a file."""
        return f"{self.source}:{self.line(path)}" if self.lines else self.source


def read(source: str) -> list[Document]:
    """Every LLMDeployment in a file (`-`: standard input). Other objects in it are passed over."""
    label = _label(source)
    documents = list(_documents(_text(source), label))
    if not documents:
        raise UserError(f"{label}: holds no {names.KIND} ({names.API_VERSION})")
    return documents


def beginning(source: str, most: int) -> bytes:
    """A file (`-`: standard input) of so many bytes at most; of a larger one a byte more, which tells. OSError."""
    with nullcontext(sys.stdin.buffer) if source == STDIN else Path(source).open("rb") as file:
        return file.read(most + 1)


def text_of(source: str, most: int, too_large: str) -> str:
    """A text (`-`: standard input) of so many bytes at most, in UTF-8; UserError says `too_large` of a larger one."""
    label = _label(source)
    try:
        data = beginning(source, most)
    except OSError as error:
        raise UserError(f"{label}: {(error.strerror or str(error)).lower()}") from None
    if len(data) > most:
        raise UserError(f"{label}: {too_large}")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{label}: is not UTF-8 text (byte {error.start})") from None


def _label(source: str) -> str:
    return "<stdin>" if source == STDIN else source


def _text(source: str) -> str:
    return text_of(source, _MAX_BYTES, f"is larger than {_MAX_BYTES} bytes, more than Kubernetes stores")


def load_yaml(source: str) -> Any:
    """The one YAML document of any other file."""
    text = _text(source)
    try:
        node = yaml.compose(text, Loader=_Loader)
        return _Builder().build(node) if node else None
    except yaml.YAMLError as error:
        raise UserError(_where(source, error)) from None


def _documents(text: str, label: str) -> Iterator[Document]:
    try:
        for node in yaml.compose_all(text, Loader=_Loader):
            builder = _Builder()
            value, lines = builder.build(node), builder.lines
            if isinstance(value, Mapping) and value.get("kind") == "List" and isinstance(value.get("items"), list):
                for index, item in enumerate(value["items"]):
                    at = f"items[{index}]"
                    inside = {path.removeprefix(at).lstrip("."): n for path, n in lines.items() if path.startswith(at)}
                    yield from _ours(Document(label, item, inside))
            else:
                yield from _ours(Document(label, value, lines))
    except yaml.YAMLError as error:
        raise UserError(_where(label, error)) from None


def _ours(document: Document) -> Iterator[Document]:
    raw: object = document.raw
    if raw is None:
        return
    if not isinstance(raw, Mapping):
        raise UserError(f"{document.source}:{document.line('')}: is not a Kubernetes object, but {_kind_of(raw)}")
    # What has neither is a typo in an LLMDeployment more likely than anything else.
    group = str(raw.get("apiVersion", names.API_VERSION)).partition("/")[0]
    if group == names.GROUP or raw.get("kind", names.KIND) == names.KIND:
        yield document


def _kind_of(value: object) -> str:
    return "a list" if isinstance(value, list) else "a single value"


def _where(label: str, error: yaml.YAMLError) -> str:
    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        at = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        return f"{label}{at}: {error.problem or error.context}"
    # A character that YAML forbids; PyYAML knows its place only in the text.
    return f"{label}: {str(error).splitlines()[0]}"


class _Loader(yaml.SafeLoader):
    """YAML as kubectl reads it: dates and times are strings."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(None, None, "is nested too deeply", mark)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith((":timestamp", ":value"))]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
# What PyYAML leaves as texts and kubectl does not (go.yaml.in/yaml/v2, resolve.go).
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("^[yYnN]$"), list("yYnN"))
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)[eE][-+]?[0-9]+$"),
    list("-+.0123456789"),
)


class _Scalars(yaml.constructor.SafeConstructor):
    bool_values = yaml.constructor.SafeConstructor.bool_values | {"y": True, "n": False}


class _Builder:
    """Values of nodes, and their lines. PyYAML's own constructor takes the last of two equal keys without a word,
    and follows aliases wherever they lead."""

    def __init__(self) -> None:
        self.lines: dict[str, int] = {}
        self._nodes = 0
        self._scalars = _Scalars()

    def build(self, node: yaml.Node, path: str = "", depth: int = 0) -> Any:
        """The value of a node that stands at a path."""
        self._nodes += 1
        if depth > _MAX_DEPTH or self._nodes > _MAX_NODES:
            raise _error("its aliases unfold to too much", node)
        self.lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path, depth)
        if isinstance(node, yaml.SequenceNode):
            return [self.build(item, f"{path}[{index}]", depth + 1) for index, item in enumerate(node.value)]
        return self._scalar(node)

    def _mapping(self, node: yaml.MappingNode, path: str, depth: int) -> dict[Any, Any]:
        result: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            if key_node.tag.endswith(":merge"):
                raise _error("'<<' is not supported: write the fields out", key_node)
            if not isinstance(key_node, yaml.ScalarNode):
                raise _error("the name of a field must be a string", key_node)
            key = self._scalar(key_node)
            if key in result:
                raise _error(f"{key!r} stands here twice", key_node)
            at = f"{path}.{key_node.value}" if path else str(key_node.value)
            self.lines[at] = key_node.start_mark.line + 1
            result[key] = self.build(value_node, at, depth + 1)
        return result

    def _scalar(self, node: yaml.Node) -> Any:
        kind = node.tag.rpartition(":")[2]
        if kind not in ("str", "int", "float", "bool", "null"):
            raise _error(f"tag {node.tag} is not supported", node)
        if kind in ("int", "float") and ":" in node.value:
            return node.value  # YAML 1.1 reads 1:30 as 90; kubectl does not
        try:
            return self._scalars.construct_object(node, deep=True)
        except ValueError:
            raise _error(f"{node.value[:40]!r} is no {kind}", node) from None


def _error(message: str, node: yaml.Node) -> yaml.MarkedYAMLError:
    return yaml.constructor.ConstructorError(None, None, message, node.start_mark)
