"""The words in a request to a model, each with whose they are and where they stand.

Whatever is text is given, in any of the APIs: messages, parts, names, calls and results of tools, documents that lie in
it as data. What whoever runs the service says (`system`, `developer`, descriptions of tools) has the role `system`.
"""

import base64
import binascii
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_to_bytes

from cloister.inspection.rules import Role

_ROLES: dict[Any, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
    "function": "tool",
}
_SPOKEN = (
    "messages",
    "input",
    "prompt",
    "suffix",
    "instructions",
    "tools",
    "functions",
    "response_format",
    "prediction",
)
"""Fields of requests that reach the model as words. The others only say how it is to answer."""
_MARKS = frozenset({"type", "role", "id", "call_id", "tool_call_id", "status", "detail", "format"})
"""Fields of messages that are no words."""
MAX_DEPTH = 32
"""Of what lies in a message; deeper, its words are judged as JSON would show them."""


@dataclass(frozen=True, slots=True)
class Words:
    """One text of a conversation."""

    role: Role
    where: str
    """`messages[2].content`."""
    text: str


def words(document: Mapping[str, Any], fields: Container[str] | None = ()) -> Iterator[Words]:
    """Every text of a request.

    ``fields`` are those that its API has: of them, the ones that are not spoken only say how it is to answer. What the
    API does not have is text too. Where the API is not known (None), everything is what a user says: nobody can tell
    what a server makes of it.
    """
    if fields is None:
        yield from _texts(document, "user", "body", 0, marks=frozenset())
        return
    for field in _SPOKEN:
        value = document.get(field)
        if value is None:
            continue
        if field in ("messages", "input") and isinstance(value, list):
            for number, turn in enumerate(value):
                yield from _turn(turn, f"{field}[{number}]")
        else:
            role: Role = "user" if field in ("input", "prompt", "suffix", "prediction") else "system"
            yield from _texts(value, role, field, 0)
    for field, value in document.items():
        if field not in _SPOKEN and field not in fields:
            yield from _texts(value, "user", field, 0, marks=frozenset())


def _turn(turn: Any, where: str) -> Iterator[Words]:
    """A message, or an item of the Responses API."""
    role: Role = "user"
    if isinstance(turn, dict):
        kind = turn.get("type")
        if kind == "function_call_output":
            role = "tool"
        elif kind in ("function_call", "reasoning"):
            role = "assistant"
        else:
            role = _ROLES.get(turn.get("role"), "user")
    yield from _texts(turn, role, where, 0)


def _texts(value: Any, role: Role, where: str, depth: int, marks: frozenset[str] = _MARKS) -> Iterator[Words]:
    if isinstance(value, str):
        if value:
            yield Words(role, where, value)
    elif depth >= MAX_DEPTH:
        if value is not None:
            yield Words(role, where, str(value))
    elif isinstance(value, dict):
        for name, item in value.items():
            if name in ("file_data", "data", "url", "image_url") and isinstance(item, str):
                if text := _document(item):
                    yield Words("tool", f"{where}.{name}", text)
            elif name not in marks:
                yield from _texts(item, role, f"{where}.{name}", depth + 1, marks)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _texts(item, role, f"{where}[{number}]", depth + 1, marks)


def _document(data: str) -> str | None:
    """The text of a document inline, base64 or a `data:` URL; None where it is none, such as an image."""
    head, comma, rest = data.partition(",")
    try:
        if data.startswith("data:") and comma and not head.endswith(";base64"):
            return unquote_to_bytes(rest).decode()
        return base64.b64decode(rest if comma else data, validate=True).decode()
    except (ValueError, binascii.Error):
        return None
