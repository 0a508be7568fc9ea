"""What a reply tells about itself: model, tokens, reasons to stop, and its text piece by piece."""

from collections.abc import Iterator
from typing import Any

import orjson

from cloister.auditor.http.events import payloads, split
from cloister.auditor.openai.alike import Alike, only_choice

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
                    if isinstance(count, int) and 0 <= count < 1 << 53:
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
        """Of some whole events."""
        for event in split(events):
            text = self._alike.text(event)
            if text is None:
                yield from self._read(event)
            else:
                self._summary.hear(self._place, text)
                yield self._place, text

    def _read(self, event: bytes) -> Iterator[Piece]:
        for payload in payloads(event):
            if payload == b"[DONE]":
                continue
            try:
                document = orjson.loads(payload)
            except orjson.JSONDecodeError:
                yield "other", payload.decode("utf-8", "replace") + "\n"
                continue
            self._summary.add(document)
            if (choice := only_choice(document)) and self._alike.learn(event, choice["delta"]["content"]):
                self._place = str(choice.get("index", 0))
            for place, text in _texts(document):
                self._summary.hear(place, text)
                yield place, text


def _texts(document: Any) -> Iterator[Piece]:
    choices = document.get("choices") if isinstance(document, dict) else None
    if isinstance(choices, list):
        for choice in choices:
            if isinstance(choice, dict):
                yield from _choice(choice)
        return
    delta = document.get("delta") if isinstance(document, dict) else None
    if isinstance(delta, str):
        place = f"{document.get('output_index', 0)}.{document.get('content_index', 0)}"
        yield (
            (place if document.get("type") == "response.output_text.delta" else f"{place}.{document.get('type')}"),
            delta,
        )
    else:
        yield "other", orjson.dumps(document).decode() + "\n"


def _choice(choice: dict[str, Any]) -> Iterator[Piece]:
    place = str(choice.get("index", 0))
    text = choice.get("text")
    if isinstance(text, str):
        yield place, text
    delta = choice.get("delta")
    if not isinstance(delta, dict):
        return
    for key, value in delta.items():
        if isinstance(value, str):
            if key != "role":
                yield (place if key == "content" else f"{place}.{key}"), value
        elif key == "tool_calls" and isinstance(value, list):
            yield from _tools(place, value)
        elif value is not None:
            yield f"{place}.{key}", orjson.dumps(value).decode()


def _tools(place: str, calls: list[Any]) -> Iterator[Piece]:
    for call in calls:
        function = call.get("function") if isinstance(call, dict) else None
        if isinstance(function, dict):
            where = f"{place}.tool.{call.get('index', 0)}"
            for key in ("name", "arguments"):
                if isinstance(function.get(key), str):
                    yield f"{where}.{key}", function[key]
