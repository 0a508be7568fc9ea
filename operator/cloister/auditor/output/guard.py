"""`guard.sensitiveOutput`: what is done about values in replies, and what the record says of it."""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

import orjson

from cloister import sidecar
from cloister.auditor.http.messages import Head
from cloister.auditor.judges import Asked
from cloister.auditor.output.places import Text, Uninspectable, hidden, replace, texts
from cloister.auditor.output.stream import FOUND, Events
from cloister.auditor.refusal import Refusal
from cloister.auditor.stats import Stats
from cloister.inspection.held import Held
from cloister.inspection.leaks import RULE, Instructions, Watch
from cloister.inspection.own import CANARY, Own
from cloister.inspection.rows import Hit
from cloister.inspection.sensitive import Detector
from cloister.inspection.verdict import MAX_VERDICTS, Action, Finding, Kind

_LEAKS = (RULE, CANARY)
UNINSPECTED = "not-inspectable"
"""Rule of the verdict on a reply that nobody can read."""


class OutputGuard:
    """Looks at every reply of a deployment."""

    def __init__(self, output: sidecar.Output, stats: Stats) -> None:
        self.action, self._stats = Action(output.action), stats
        own = Own(output.patterns, output.dictionaries, output.canaries)
        self._detector = Detector(output.kinds, own)

    def begin(self, asked: Asked) -> "Inspection":
        """Looks at the reply to this request."""
        return Inspection(self._detector, self.action, asked, self._stats)


class Inspection:
    """One reply, and what is found in it."""

    def __init__(self, detector: Detector, action: Action, asked: Asked, stats: Stats) -> None:
        self._detector, self._action, self._stats = detector, action, stats
        self._known = asked.dialect is not None
        instructions = _read(tuple(_instructions(asked.document)))
        self._instructions = instructions if instructions.needed else None
        self._events: Events | None = None
        self._verdicts: list[dict[str, Any]] = []
        self._told = 0
        self._leaks: set[str] = set()
        """Texts of which it is told that they repeat the instructions."""

    # --- what is said of it

    def verdicts(self) -> list[dict[str, Any]]:
        """What was found since the last call, for the record; of all calls at most MAX_VERDICTS."""
        found, self._verdicts = self._verdicts, []
        return found

    def refusal(self) -> Refusal | None:
        """Why the stream must end here, if it must."""
        stopped = self._events.stopped if self._events else None
        if stopped is None or self._action is Action.FLAG:
            return None
        return _blocked() if stopped == FOUND else _unreadable(stopped)

    # --- a reply that is there as a whole

    def whole(self, head: Head, body: bytes) -> bytes:
        """The body as it may leave. A Refusal where it may not."""
        if not body:
            return body
        kind = (head.header(b"content-type") or b"").partition(b";")[0].strip().lower()
        if kind == b"application/json" or kind.endswith(b"+json"):
            out = self._json(body)
        elif kind.startswith(b"text/") and (not self._known or head.status >= 400):
            out = self._plain(body)
        else:
            out = self._uninspected(body, f"its content type is {kind.decode('latin-1')[:100] or 'not given'}")
        if self._action is Action.FLAG:
            return body
        if out is None:
            raise _blocked()
        return out

    def _json(self, body: bytes) -> bytes | None:
        try:
            document = orjson.loads(body)
        except orjson.JSONDecodeError:
            return self._uninspected(body, "it is not JSON")
        changed = False
        try:
            for text in texts([document] if isinstance(document, str) else document, known=self._known):
                if hits := self._hits(text):
                    if self._action is Action.BLOCK:
                        return None
                    json = text.value.lstrip()[:1] in ("{", "[")
                    replace(text, masked(text.value, hits, json=json))
                    changed = True
            return orjson.dumps(document) if changed else body
        except Uninspectable as error:
            return self._uninspected(body, str(error))
        except orjson.JSONEncodeError:
            return self._uninspected(body, "it is nested too deeply")

    def _plain(self, body: bytes) -> bytes | None:
        try:
            text = body.decode()
        except UnicodeDecodeError:
            return self._uninspected(body, "it is no text in UTF-8")
        hits = self._hits(Text(None, 0, "body", text, None))
        if not hits:
            return body
        return None if self._action is Action.BLOCK else masked(text, hits, json=False).encode()

    def _hits(self, text: Text) -> list[Hit]:
        held = self._held(text)
        held.add(text.value)
        held.end()
        for hit in held.hits:
            self._found(hit, text.place)
        return held.hits

    def _uninspected(self, body: bytes, why: str) -> bytes:
        self._note(Finding("sensitive-output", UNINSPECTED, 1.0, why))
        if self._action is not Action.FLAG:
            raise _unreadable(why)
        return body

    # --- a reply that comes as a stream

    def feed(self, events: bytes) -> bytes:
        """Some whole events have come; those that may leave now. Then :meth:`refusal` tells whether it goes on."""
        if self._events is None:
            waits = self._stats if self._action is not Action.FLAG else Stats()
            self._events = Events(
                known=self._known,
                block=self._action is Action.BLOCK,
                held=self._held,
                found=self._found,
                waits=waits,
            )
        before = self._events.stopped
        out = self._events.feed(events) if before is None else b""
        return self._passed(before, events, out)

    def end(self) -> bytes:
        """That was all; what is left."""
        if self._events is None:
            return b""
        before = self._events.stopped
        return self._passed(before, b"", self._events.end())

    @property
    def waiting(self) -> int:
        """Bytes of events that wait for what follows them; under Flag nothing does."""
        return self._events.waiting if self._events and self._action is not Action.FLAG else 0

    def close(self) -> None:
        """It went on no further."""
        if self._events:
            self._events.close()

    def _passed(self, before: str | None, events: bytes, out: bytes) -> bytes:
        stopped = self._events.stopped if self._events else None
        if stopped and stopped not in (before, FOUND):
            self._note(Finding("sensitive-output", UNINSPECTED, 1.0, stopped))
        return events if self._action is Action.FLAG else out

    # --- within

    def _held(self, text: Text) -> Held:
        return Held(self._detector, Watch(self._instructions) if self._instructions else None)

    def _found(self, hit: Hit, place: str) -> None:
        if hit.rule == RULE:
            # It goes on word by word; that a text repeats the instructions is one finding.
            if place in self._leaks:
                return
            self._leaks.add(place)
        kind: Kind = "system-prompt-leak" if hit.rule in _LEAKS else "sensitive-output"
        self._note(Finding(kind, hit.rule, 1.0, place))

    def _note(self, finding: Finding) -> None:
        self._stats.found([finding], self._action)
        if self._told < MAX_VERDICTS:
            self._told += 1
            self._verdicts.append(finding.record(self._action))


def masked(text: str, hits: Iterable[Hit], *, json: bool) -> str:
    """The text with as many asterisks in place of its values."""
    for hit in hits:
        text = text[: hit.start] + hidden(hit, hit.stop - hit.start, json=json) + text[hit.stop :]
    return text


def _instructions(document: Mapping[str, Any]) -> Iterable[str]:
    """What the request says to the model in the name of who runs the service."""
    if isinstance(text := document.get("instructions"), str):
        yield text
    for name in ("messages", "input"):
        turns = document.get(name)
        for turn in turns if isinstance(turns, list) else ():
            if isinstance(turn, dict) and turn.get("role") in ("system", "developer"):
                content = turn.get("content")
                if isinstance(content, str):
                    yield content
                for part in content if isinstance(content, list) else ():
                    if isinstance(part, dict) and isinstance(part.get("text"), str):
                        yield part["text"]


@lru_cache(64)
def _read(parts: tuple[str, ...]) -> Instructions:
    return Instructions(parts)


def _blocked() -> Refusal:
    return Refusal(
        403, "The reply was withheld: it says what it must not.", kind="permission_error", code="sensitive_output"
    )


def _unreadable(why: str) -> Refusal:
    return Refusal.upstream(f"The reply can't be inspected: {why}.", code="reply_not_inspectable")
