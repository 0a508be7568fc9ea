"""A user's list of revocations: JSON or YAML, read strictly, in the form that the auditor reads."""

import json
from typing import Annotated, Any

import yaml
from pydantic import Field, ValidationError

from cloister import sidecar
from cloister.document import short
from cloister.spec.fields import Model

MAX_BYTES = 900_000
"""A ConfigMap holds 1 MiB with everything around it."""

_Entry = Annotated[str, Field(min_length=1, max_length=1024)]
_Seconds = Annotated[int, Field(ge=0, lt=2**53)]


class _List(Model):
    subjects: tuple[_Entry, ...] = ()
    sessions: tuple[_Entry, ...] = ()
    tokens: tuple[_Entry, ...] = ()
    issued_before: dict[_Entry, _Seconds] = Field(default_factory=dict)


class NoListError(Exception):
    """A text is no list of revocations, and why."""


def read(text: str) -> str:
    """The list as JSON of :class:`sidecar.Revocations`; the same entries are the same text. NoListError otherwise.

    A field that is misspelt or stands twice would let somebody back in: it is refused.
    """
    found = _parsed(text)
    if not isinstance(found, dict):
        raise NoListError("is not a mapping: write {} for a list without entries")
    try:
        entries = _List.model_validate_json(json.dumps(found), strict=True, by_alias=True, by_name=False)
    except ValidationError as error:
        raise NoListError(_problem(error)) from None
    document = sidecar.Revocations(
        subjects=tuple(sorted(set(entries.subjects))),
        sessions=tuple(sorted(set(entries.sessions))),
        tokens=tuple(sorted(set(entries.tokens))),
        issued_before=dict(sorted(entries.issued_before.items())),
    ).model_dump_json()
    size = len(document.encode())
    if size > MAX_BYTES:
        raise NoListError(
            f"is {size} bytes long, and a ConfigMap has room for {MAX_BYTES}: remove entries whose tokens have expired,"
            " or replace many of them by one of issuedBefore"
        )
    return document


def _parsed(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_once)
    except RecursionError:
        raise NoListError("is nested too deeply") from None
    except ValueError:
        pass
    try:
        return _Reader(text).document()
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        at = f" (line {mark.line + 1})" if mark else ""
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise NoListError(f"is neither JSON nor YAML: {problem}{at}") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for name, value in pairs:
        if name in result:
            raise NoListError(f"{short(name)} stands there twice")
        result[name] = value
    return result


class _Reader:
    """YAML from its events, as far as a list of revocations goes. A constructor would take the last of two equal keys
    without a word, and follow aliases wherever they lead."""

    def __init__(self, text: str) -> None:
        self._loader = yaml.CSafeLoader(text)

    def document(self) -> Any:
        """The one document."""
        value = None
        while not isinstance(begun := self._next(), yaml.StreamEndEvent):
            if isinstance(begun, yaml.DocumentStartEvent):
                if value is not None:
                    raise NoListError("is more than one document")
                value = self._value(self._next(), 0)
        return value

    def _next(self) -> Any:
        event: Any = self._loader.get_event()
        if isinstance(event, yaml.AliasEvent):
            raise NoListError(f"has an alias (*{event.anchor}): write it out, or put it in quotes")
        return event

    def _value(self, event: Any, depth: int) -> Any:
        if depth > 2:
            raise NoListError("is nested too deeply")
        match event:
            case yaml.MappingStartEvent():
                pairs = []
                while not isinstance(event := self._next(), yaml.MappingEndEvent):
                    if not isinstance(event, yaml.ScalarEvent):
                        raise NoListError("has a field whose name is no text")
                    # `123: 4` means the person 123, whatever YAML makes of it.
                    pairs.append((str(event.value), self._value(self._next(), depth + 1)))
                return _once(pairs)
            case yaml.SequenceStartEvent():
                items = []
                while not isinstance(event := self._next(), yaml.SequenceEndEvent):
                    items.append(self._value(event, depth + 1))
                return items
            case _:
                return self._scalar(event)

    def _scalar(self, event: Any) -> Any:
        tag = event.tag or self._loader.resolve(yaml.ScalarNode, event.value, event.implicit)  # type: ignore[no-untyped-call]
        match tag.rpartition(":")[2]:
            case "int":
                return self._loader.construct_yaml_int(yaml.ScalarNode(tag, event.value))
            case "null":
                return None
            case "str":
                return event.value
            case kind:
                raise NoListError(f"{short(event.value)} is a {kind} to YAML: put it in quotes")


def _problem(error: ValidationError) -> str:
    detail = error.errors(include_url=False)[0]
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in detail["loc"]).lstrip(".")
    if detail["type"] == "extra_forbidden":
        known = ", ".join(str(field.alias) for field in _List.model_fields.values())
        return f"{path}: is no field of the list; they are {known}"
    message = detail["msg"]
    hint = ": put it in quotes" if detail["type"] == "string_type" else ""
    return f"{path}: {short(detail['input'])}: {message[0].lower()}{message[1:]}{hint}"
