"""The words in a request to a model, each with whose they are and where they stand.

Whatever is text is given, in any of the APIs: messages, parts, names, calls and results of tools, documents that lie in
it as data. What whoever runs the service says (`system`, `developer`, descriptions of tools) has the role `system`.

A message may come in parts, which servers join before the model sees them. So parts are given joined too: what is
spread over them has no meaning in any one.
"""

import base64
import binascii
import codecs
import re
from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
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
    "text",
    "prediction",
)
"""Fields of requests that reach the model as words. The others only say how it is to answer."""
_OF_USERS = frozenset({"messages", "input", "prompt", "suffix", "prediction"})
"""Of these, what a user says where nothing in it tells whose it is."""
_MARKS = frozenset({"type", "role", "id", "call_id", "tool_call_id", "status", "detail", "format"})
"""Fields of messages that are no words, where they are strings: in a schema anything may be called so."""
MAX_DEPTH = 32
"""Of what lies in a message; deeper, its words are judged as JSON would show them."""
WHOLE = 320
"""Characters. A part that is as long is judged with the others, and weighs there as much as alone (it fills a window of
the classifier); a shorter one is judged alone as well."""
SHORT, FEW, TOGETHER = 160, 32, 1024
"""Characters of a short text; how many of a role are judged each alone in a request; and characters of what the others
are joined to. Every text costs about the same however short it is."""


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
    API does not have is text too, and what a user says. Where the API is not known (None), everything is: nobody can
    tell what a server makes of it.
    """
    return _few(_words(document, fields))


def _words(document: Mapping[str, Any], fields: Container[str] | None) -> Iterator[Words]:
    if fields is None:
        yield from _strange(document, "body")
        return
    for field in _SPOKEN:
        value = document.get(field)
        if value is None:
            continue
        if field in ("messages", "input") and isinstance(value, list):
            for number, turn in enumerate(value):
                yield from _turn(turn, f"{field}[{number}]")
        elif field == "prompt" and isinstance(value, list):
            # Each is a prompt of its own.
            for number, one in enumerate(value):
                yield from _texts(one, "user", f"{field}[{number}]", 1)
        else:
            role: Role = "user" if field in _OF_USERS or field not in fields else "system"
            yield from _texts(value, role, field, 0)
    strange = {field: value for field, value in document.items() if field not in _SPOKEN and field not in fields}
    if strange:
        yield from _strange(strange, "")


def _few(found: Iterable[Words]) -> Iterator[Words]:
    """The same, with short texts joined where there are more than :data:`FEW` of a role: a request of thousands of
    words that lie each apart takes about as long as one that says them in a row."""
    told: Counter[Role] = Counter()
    waiting: defaultdict[Role, list[Words]] = defaultdict(list)
    length: Counter[Role] = Counter()
    for one in found:
        if len(one.text) >= SHORT:
            yield one
        elif told[one.role] < FEW:
            told[one.role] += 1
            yield one
        else:
            waiting[one.role].append(one)
            length[one.role] += len(one.text) + 1
            if length[one.role] >= TOGETHER:
                yield _joined(waiting.pop(one.role))
                del length[one.role]
    yield from map(_joined, waiting.values())


def _joined(several: list[Words]) -> Words:
    first, last = several[0].where, several[-1].where
    where = first if first == last else f"{first} to {last}"
    return Words(several[0].role, where, "\n".join(one.text for one in several))


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


def _strange(document: Mapping[str, Any], where: str) -> Iterator[Words]:
    """What no API has: every text, and the names of fields as one, for a server may show the model those too."""
    for field, value in document.items():
        yield from _texts(value, "user", f"{where}.{field}" if where else field, 1, marks=frozenset())
    if names := "\n".join(_names(document, 0)):
        yield Words("user", f"{where} (names)".lstrip(), names)


def _names(value: Any, depth: int) -> Iterator[str]:
    if depth >= MAX_DEPTH:
        return  # there the texts are judged with the names
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield str(name)
            yield from _names(item, depth + 1)
    elif isinstance(value, list):
        for item in value:
            yield from _names(item, depth + 1)


def _texts(value: Any, role: Role, where: str, depth: int, marks: frozenset[str] = _MARKS) -> Iterator[Words]:
    if isinstance(value, str):
        if value:
            yield Words(role, where, value)
    elif depth >= MAX_DEPTH:
        if value is not None:
            yield Words(role, where, str(value))
    elif isinstance(value, dict):
        for name, item in value.items():
            if name in _DATA and isinstance(item, str):
                yield from _document(item, role, f"{where}.{name}")
            elif name not in marks or not isinstance(item, str):
                yield from _texts(item, role, f"{where}.{name}", depth + 1, marks)
    elif isinstance(value, list):
        yield from _list(value, role, where, depth, marks)


def _list(value: list[Any], role: Role, where: str, depth: int, marks: frozenset[str]) -> Iterator[Words]:
    parts = [text for item in value if (text := _part(item))]
    several = len(parts) > 1
    if several:
        yield Words(role, where, "\n".join(parts))
        # Templates join by a line's end or by nothing; without a space at the seam those are two texts.
        if any(not (one[-1].isspace() or then[0].isspace()) for one, then in pairwise(parts)):
            yield Words(role, where, "".join(parts))
    for number, item in enumerate(value):
        here, text = f"{where}[{number}]", _part(item)
        if several and text and len(text) >= WHOLE:
            if isinstance(item, dict):
                rest = {name: beside for name, beside in item.items() if name != "text"}
                yield from _texts(rest, role, here, depth + 1, marks)
        else:
            yield from _texts(item, role, here, depth + 1, marks)


def _part(item: Any) -> str | None:
    """The text of a part of a message, in any of the APIs."""
    text = item.get("text") if isinstance(item, dict) else item
    return text if isinstance(text, str) and text else None


def _document(data: str, role: Role, where: str) -> Iterator[Words]:
    """What lies in a document inline, base64 or a `data:` URL; nothing where that is no text, such as an image. What is
    neither is judged as it stands."""
    head, comma, rest = data.partition(",")
    url = comma and head[:5].lower() == "data:"
    if url and ";base64" not in head.lower():
        found: bytes | None = unquote_to_bytes(rest)
    else:
        found = _of_base64(rest if url else data)
    text = None if found is None else _readable(found)
    if text:
        yield Words("tool", where, text)
    # Words in a row may read as base64 of something; what that looks like then proves nothing.
    word = not url and len(data) <= MAX_WORD and not (text and text.isascii())
    if data and (found is None or word):
        yield Words(role, where, data)


MAX_WORD = 4096
"""Characters. A longer row of the signs of base64 is no text, whatever it stands for."""
_DATA = frozenset({"file_data", "data", "url", "image_url"})
"""Fields whose text may stand for another."""
_LINES = re.compile(r"\s*[A-Za-z0-9+/]+={0,2}\s*|\s*(?:[A-Za-z0-9+/]{40,}[ \t]*\r?\n[ \t]*)+[A-Za-z0-9+/]*={0,2}\s*")
"""Base64 in one row, or in lines (RFC 2045, section 6.8)."""
_WHITE = str.maketrans("", "", " \t\r\n")
_OF_TEXT = bytes(range(32, 127)) + b"\t\n\f\r"
_LEAST_TEXT = 0.7
"""Of a text in Latin letters hardly any byte is beyond ASCII; of what is no text, more than half are."""


def _of_base64(data: str) -> bytes | None:
    if not _LINES.fullmatch(data):
        return None
    plain = data.translate(_WHITE).rstrip("=")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4))
    except binascii.Error:
        return None


def _readable(data: bytes) -> str | None:
    """As text, in the encodings that documents have; None for what is none."""
    for mark, encoding in _BYTE_ORDER:
        if data.startswith(mark):
            return data.decode(encoding, "replace")
    half = len(data) // 2
    # Latin letters have a zero beside each in UTF-16.
    for zeros, encoding in ((data[1::2], "utf-16-le"), (data[::2], "utf-16-be")):
        if half and zeros.count(0) > 0.4 * half:
            text = data.decode(encoding, "replace")
            return text if sum(map(str.isprintable, text)) > 0.8 * len(text) else None
    try:
        return data.decode()
    except UnicodeDecodeError:
        latin = len(data.translate(None, _OF_TEXT)) <= (1 - _LEAST_TEXT) * len(data)
        return data.decode("latin-1") if latin else None


_BYTE_ORDER = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
