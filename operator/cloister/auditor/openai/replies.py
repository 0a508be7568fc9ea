"""What a reply tells about itself: model, tokens, reasons to stop, and its text piece by piece."""

import re
from collections.abc import Iterator
from typing import Any

import orjson

from cloister.auditor.http.events import is_data, payloads
from cloister.auditor.openai.alike import Alike, only_choice
from cloister.auditor.output.places import Text, Uninspectable, texts
from cloister.journal import is_integer

Piece = tuple[str, str]
"""Where in the reply some text belongs (`0`: first choice; `0.tool.1`: arguments of its second tool call), and it."""

_USAGE = (
    ("gen_ai.usage.input_tokens", ("prompt_tokens", "input_tokens")),
    ("gen_ai.usage.output_tokens", ("completion_tokens", "output_tokens")),
)
_MAX_NAME = 256
_HEARD = 600
"""Characters that tell a language, and whether an answer declines."""
_ANSWER = frozenset({"0", "0.0"})
_OTHER = "other"
"""Where everything belongs that no later event goes on with."""
_CHOICE = re.compile(r"choices\[([^]]*)]\.(?:delta\.)?(?:tool_calls\[([^]]*)]\.)?(.*)", re.DOTALL)


class Summary:
    """Collects the attributes of one reply (OpenTelemetry semantic conventions for generative AI)."""

    def __init__(self) -> None:
        self._fields: dict[str, Any] = {}
        self._reasons: list[str] = []
        self.heard = ""
        """The beginning of what the first choice says."""

    def add(self, document: Any) -> None:
        """Takes in a whole reply, or an event of one."""
        if not isinstance(document, dict):
            return
        inner = document.get("response")  # the Responses API wraps it in its events
        if isinstance(inner, dict):
            document = inner
        fields = self._fields
        if "gen_ai.response.id" not in fields:
            for name, key in (("gen_ai.response.id", "id"), ("gen_ai.response.model", "model")):
                value = document.get(key)
                if isinstance(value, str):
                    fields[name] = value[:_MAX_NAME]
        choices = document.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            reason = choice.get("finish_reason") if isinstance(choice, dict) else None
            if isinstance(reason, str):
                self._reasons.append(reason[:_MAX_NAME])
        usage = document.get("usage")
        if isinstance(usage, dict):
            for name, keys in _USAGE:
                for key in keys:
                    count = usage.get(key)
                    if is_integer(count) and count >= 0:
                        fields[name] = count

    def hear(self, place: str, text: str) -> None:
        """Takes in some of the text, where it is the answer itself."""
        if len(self.heard) < _HEARD and place in _ANSWER:
            self.heard += text[: _HEARD - len(self.heard)]

    def hear_whole(self, document: Any) -> None:
        """The same of a reply that is one document."""
        choices = document.get("choices") if isinstance(document, dict) else None
        for choice in choices[:1] if isinstance(choices, list) else ():
            message = choice.get("message", choice) if isinstance(choice, dict) else None
            for key in ("content", "text"):
                if isinstance(message, dict) and isinstance(message.get(key), str):
                    self.hear("0", message[key])

    def fields(self) -> dict[str, Any]:
        """The attributes, for a record."""
        return self._fields | ({"gen_ai.response.finish_reasons": self._reasons[:128]} if self._reasons else {})


class Pieces:
    """Takes in the events of a stream, and gives the text that they carry."""

    def __init__(self, summary: Summary) -> None:
        self._summary = summary
        self._alike, self._place = Alike(), ""

    def of(self, events: bytes) -> Iterator[Piece]:
        """Of some whole events; what several say at one place may come together."""
        for alike, start, end in self._alike.runs(events):
            if not alike:
                yield from self._read(events[start:end])
            elif text := "".join([text for text, _ in alike]):
                self._summary.hear(self._place, text)
                yield self._place, text

    def _read(self, event: bytes) -> Iterator[Piece]:
        kinds: set[Any] = set()
        for payload in payloads(event):
            if payload == b"[DONE]":
                continue
            try:
                document = orjson.loads(payload)
            except orjson.JSONDecodeError:
                yield _OTHER, payload.decode("utf-8", "replace") + "\n"
                continue
            self._summary.add(document)
            if isinstance(document, dict):
                kinds.add(_bytes(document.get("type")))
            if (choice := only_choice(document)) and self._alike.learn(event, choice["delta"]["content"]):
                self._place = str(choice.get("index", 0))
            for place, text in _said(document, payload):
                self._summary.hear(place, text)
                yield place, text
        for line in event.splitlines():
            if line and not is_data(line) and not (line.startswith(b"event:") and line[6:].strip() in kinds):
                yield _OTHER, line.decode("utf-8", "replace") + "\n"


def _bytes(value: Any) -> bytes:
    return value.encode("utf-8", "replace") if isinstance(value, str) else b""


def _said(document: Any, payload: bytes) -> list[Piece]:
    """Every text of an event's document: those that others go on with by where they belong, the rest together."""
    goes_on = isinstance(document, dict) and (
        isinstance(document.get("choices"), list) or isinstance(document.get("delta"), str)
    )
    try:
        if goes_on:
            pieces = [_piece(document, text) for text in texts(document, known=True) if text.value]
            # What a delta says otherwise than as text.
            return pieces + [(_OTHER, orjson.dumps(value).decode() + "\n") for value in _unsaid(document)]
        # Written anew, since escapes would hide what is to be redacted.
        return [(_OTHER, orjson.dumps(document).decode() + "\n")]
    except (Uninspectable, orjson.JSONEncodeError):
        return [(_OTHER, payload.decode("utf-8", "replace") + "\n")]


def _unsaid(document: dict[str, Any]) -> Iterator[Any]:
    choices = document.get("choices")
    for choice in choices if isinstance(choices, list) else ():
        delta = choice.get("delta") if isinstance(choice, dict) else None
        for key, value in delta.items() if isinstance(delta, dict) else ():
            if value and key != "tool_calls" and not isinstance(value, str):
                yield value


def _piece(document: dict[str, Any], text: Text) -> Piece:
    if text.place == "delta":
        place = f"{document.get('output_index', 0)}.{document.get('content_index', 0)}"
        kind = document.get("type")
        return (place if kind == "response.output_text.delta" else f"{place}.{kind}"), text.value
    found = _CHOICE.fullmatch(text.place)
    if not found:
        return _OTHER, text.value + "\n"
    index, tool, rest = found.group(1, 2, 3)
    if tool is not None:
        return f"{index}.tool.{tool}.{rest.removeprefix('function.')}", text.value
    return (index if rest in ("content", "text") else f"{index}.{rest}"), text.value
