"""Events of one stream that differ in their text alone, as most do: read without reading their JSON again.

Between two quotes of a JSON document any text may stand that has no quote, no backslash and no control character
(RFC 8259, section 7); what stands around it means the same. So from one event that was read as a whole, others with
the same bytes before and after follow.
"""

import re
from collections.abc import Iterator
from typing import Any

import orjson

from cloister.auditor.http.events import end_of

_PROBE = "cloister"
_CONTENT = re.compile(rb'"content": ?"')
_PLAIN = bytes(code for code in range(0x20, 0x100) if code not in b'"\\')
_TOGETHER = 1 << 15
"""Bytes in which the events are told apart at a time."""
_CREDIT = 4
"""So often in a row an event is learned from that none follows like it."""
_ENVELOPE = frozenset(("id", "object", "created", "model", "choices", "system_fingerprint", "service_tier", "usage"))
_CHOICE = frozenset(("index", "delta", "logprobs", "finish_reason", "stop_reason"))
_DELTA = frozenset(("role", "content"))


def only_choice(document: Any) -> dict[str, Any] | None:
    """The choice of an event that says one thing, `delta.content` of one choice, which is how most are; else None."""
    if not isinstance(document, dict) or not _ENVELOPE.issuperset(document) or document.get("usage"):
        return None
    choices = document.get("choices")
    choice = choices[0] if isinstance(choices, list) and len(choices) == 1 else None
    if not isinstance(choice, dict) or not _CHOICE.issuperset(choice):
        return None
    delta = choice.get("delta")
    if not isinstance(delta, dict) or not _DELTA.issuperset(delta) or not isinstance(delta.get("content"), str):
        return None
    return None if choice.get("logprobs") or choice.get("finish_reason") else choice


class Alike:
    """Knows the latest event that was read, and those that are like it."""

    def __init__(self) -> None:
        self._before = self._after = b""
        self._around = 0
        self._credit = _CREDIT

    def runs(self, events: bytes) -> Iterator[tuple[list[tuple[str, int]], int, int]]:
        """Some whole events, in order: what :meth:`run` tells of those from one place to another, or, where that is
        empty, one event that has to be read. It may be learned from before the next is asked for."""
        at, cr = 0, b"\r" in events
        while at < len(events):
            alike = self.run(events, at)
            end = alike[-1][1] if alike else end_of(events, at, cr=cr)
            yield alike, at, end
            at = end

    def run(self, events: bytes, start: int) -> list[tuple[str, int]]:
        """Of the events that follow each other from ``start`` and are like the one learned, the texts and where each
        ends; not more of them than are looked at together. Empty where the first has to be read."""
        if not self._around:
            return []
        before, after = self._before, self._after
        found: list[tuple[str, int]] = []
        at, stop = start, start + _TOGETHER
        while at < stop and events.startswith(before, at):
            begin = at + len(before)
            quote = events.find(b'"', begin)
            if quote < 0 or not events.startswith(after, quote):
                break
            said = events[begin:quote]
            if said.translate(None, _PLAIN):
                break
            try:
                text = said.decode()
            except UnicodeDecodeError:
                break
            at = quote + len(after)
            found.append((text, at))
        if found:
            self._credit = _CREDIT
        return found

    def learn(self, event: bytes, text: str) -> bool:
        """An event that was read, and the one text that it holds; whether those that are like it are known now."""
        if not self._credit:
            return False
        self._credit -= 1
        said = text.encode("utf-8", "surrogatepass")
        opened = _CONTENT.search(event)
        if not opened or not event.startswith(b"data: ") or not event.endswith(b"\n\n"):
            return False
        before, rest = event[: opened.end()], event[opened.end() :]
        after = rest[len(said) :]
        # Its own reading tells whether this is the place: another text there must be what the document then holds.
        if not rest.startswith(said) or not self._holds(before + _PROBE.encode() + after, _PROBE):
            return False
        self._before, self._after, self._around = before, after, len(before) + len(after)
        return True

    def _holds(self, event: bytes, text: str) -> bool:
        payload = event[6:-2]
        if b"\n" in payload or b"\r" in payload:
            return False
        try:
            choice = only_choice(orjson.loads(payload))
        except orjson.JSONDecodeError:
            return False
        return choice is not None and choice["delta"]["content"] == text
