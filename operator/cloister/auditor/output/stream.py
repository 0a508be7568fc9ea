"""A streamed reply, event by event: each leaves when nothing that follows can make a value of what it says.

Events keep their order and their number. One in which nothing is found leaves as it came, byte for byte; one that a
value runs through says asterisks in its place, as many as the value had characters there. So a value may be spread over
any number of events, and any client goes on reading.
"""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import orjson

from cloister.auditor.http.events import is_data, payloads
from cloister.auditor.openai.alike import Alike, only_choice
from cloister.auditor.output.places import Text, Uninspectable, hidden, replace, texts
from cloister.inspection.held import Held
from cloister.inspection.rows import Hit

FOUND = "found"


class Waits(Protocol):
    """Who counts what waits."""

    held_bytes: int

    def waited(self, seconds: float) -> None:
        """An event had to wait so long."""


@dataclass(slots=True, eq=False)
class _Place:
    """A text that goes on from event to event."""

    held: Held
    ended: bool = False
    json: bool = False


class _Event:
    __slots__ = ("changed", "document", "parts", "raw", "since")

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        self.document: Any = None
        self.parts: list[tuple[_Place, int, int, Text]] = []
        """Texts of it: which, from where to where, and where they stand."""
        self.changed = False
        self.since = 0.0


class Events:
    """Takes events, and gives those that may leave."""

    def __init__(
        self,
        *,
        known: bool,
        block: bool,
        held: Callable[[Text], Held],
        found: Callable[[Hit, str], None],
        waits: Waits,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """`known`: the API is one of those whose events have known places. `block`: nothing leaves from the first event
        on that says a value. `held` begins a text; `found` hears of each value, and of its place."""
        self._known, self._block, self._held, self._found = known, block, held, found
        self._waits, self._now = waits, now
        self._places: dict[Any, dict[str, _Place]] = {}
        self._touched: set[_Place] = set()
        """Texts that have come to say more since it was last asked what can be let go."""
        self._alike = Alike()
        self._like: tuple[_Place, str] | None = None
        """The text that such events go on with, and where it stands in them."""
        self._queue: deque[_Event] = deque()
        self.waiting = 0
        """Bytes of events that wait."""
        self.stopped: str | None = None
        """Why nothing more will leave: `found`, or what about the reply can't be inspected."""

    def feed(self, events: bytes) -> bytes:
        """Some whole events have come; those that may leave now."""
        unreadable: str | None = None
        at = 0
        try:
            for alike, _, end in self._alike.runs(events):
                for said, stop in alike:
                    self._queue.append(self._goes_on_alike(_Event(events[at:stop]), said))
                    at = stop
                if not alike:
                    self._queue.append(self._read(_Event(events[at:end])))
                    at = end
        except Uninspectable as error:
            unreadable = str(error)
        self._hold(at)
        # Once for all that came together: a search costs more to begin than to go on.
        for place in self._touched:
            place.held.decide()
        self._touched.clear()
        out = self._leaving()
        self.stopped = self.stopped or unreadable
        return out

    def end(self) -> bytes:
        """That was all; what is left."""
        self._end(*self._places)
        return self._leaving()

    def close(self) -> None:
        """What still waits never leaves."""
        self._hold(-self.waiting)
        self._queue.clear()

    def _hold(self, more: int) -> None:
        self.waiting += more
        self._waits.held_bytes += more

    # --- in

    def _read(self, event: _Event) -> _Event:
        raw = event.raw
        payload = raw[6:-2]
        if not raw.startswith(b"data: ") or not raw.endswith(b"\n\n") or b"\n" in payload or b"\r" in payload:
            self._lines(raw)
            if not (found := payloads(raw)):
                return event
            payload = found[0]
        if payload == b"[DONE]":
            self._end(*self._places)
            return event
        try:
            document = orjson.loads(payload)
        except orjson.JSONDecodeError:
            raise Uninspectable("an event of it is not JSON") from None
        if not isinstance(document, dict):
            raise Uninspectable("an event of it is no JSON object")
        event.document = document
        self._take(event, document)
        return event

    def _goes_on_alike(self, event: _Event, said: str) -> _Event:
        assert self._like
        place, where = self._like
        self._goes_on(event, place, Text(None, "content", where, said, None))
        return event

    def _lines(self, raw: bytes) -> None:
        """Comments and the like have no text of the model; should they ever, it could not be masked."""
        for line in raw.splitlines():
            if not is_data(line):
                text = line.decode("utf-8", "replace")
                if self._hits(Text([text], 0, "comment", text, None)):
                    raise Uninspectable("a line of it beside the data says something")

    def _take(self, event: _Event, document: dict[str, Any]) -> None:
        choices = document.get("choices") if self._known else None
        if isinstance(choices, list):
            if text := _only(document):
                index = _choice_of(text)
                place = self._text(event, index, text)
                if self._alike.learn(event.raw, text.value):
                    self._like = (place, text.place)
                return
        elif self._known and isinstance(kind := document.get("type"), str) and kind.startswith("response."):
            self._response(event, document, kind)
            return
        for text in texts(document, known=self._known):
            self._text(event, _choice_of(text), text)
        for choice in choices if isinstance(choices, list) else ():
            if isinstance(choice, dict) and choice.get("finish_reason"):
                self._end(_group(choice.get("index", 0)))

    def _response(self, event: _Event, document: dict[str, Any], kind: str) -> None:
        """Events of the Responses API: deltas go on; everything else says what it says as a whole."""
        item = (_group(document.get("output_index")), _group(document.get("item_id")))
        number = document.get("content_index", document.get("summary_index", 0))
        goes_on = isinstance(document.get("delta"), str)
        for text in texts(document, known=True):
            if goes_on:
                self._text(event, item, text._replace(place=f"{kind}[{number}].{text.place}"))
            else:
                self._text(event, object(), text, whole=True)
        if kind.endswith(".done"):
            self._end(item)
        elif kind in ("response.completed", "response.failed", "response.incomplete"):
            self._end(*self._places)

    def _text(self, event: _Event, group: Any, text: Text, *, whole: bool = False) -> _Place:
        places = {} if whole else self._places.setdefault(group, {})
        place = places.get(text.place)
        if place is None:
            place = places[text.place] = _Place(self._held(text))
        self._goes_on(event, place, text)
        if whole:
            place.held.end()
        return place

    def _goes_on(self, event: _Event, place: _Place, text: Text) -> None:
        if place.ended and text.value:
            raise Uninspectable("it goes on after its end")
        held = place.held
        start = held.length
        if start == 0:
            place.json = text.value.lstrip()[:1] in ("{", "[")
        held.add(text.value)
        self._touched.add(place)
        event.parts.append((place, start, held.length, text))

    def _hits(self, text: Text) -> list[Hit]:
        held = self._held(text)
        held.add(text.value)
        held.end()
        return held.hits

    def _end(self, *groups: Any) -> None:
        for group in groups:
            for place in self._places.get(group, {}).values():
                place.held.end()
                place.ended = True

    # --- out

    def _leaving(self) -> bytes:
        queue = self._queue
        out: list[bytes] = []
        while queue and not self.stopped:
            event = queue[0]
            for place, _, stop, _ in event.parts:
                if stop > place.held.decided:
                    return self._left(out)
            data = self._written(event)
            if data is None:
                break
            queue.popleft()
            self._hold(-len(event.raw))
            if event.since:
                self._waits.waited(self._now() - event.since)
            out.append(data)
        return self._left(out)

    def _left(self, out: list[bytes]) -> bytes:
        now = 0.0
        for event in reversed(self._queue):
            if event.since:
                break
            now = now or self._now()
            event.since = now
        return out[0] if len(out) == 1 else b"".join(out)

    def _written(self, event: _Event) -> bytes | None:
        """The event as it may leave; None where it may not, and all ends."""
        for place, start, stop, text in event.parts:
            if place.held.hits:
                masked = self._masked(place, start, stop, text)
                if masked != text.value:
                    replace(text if event.document is not None else self._read_again(event), masked)
                    event.changed = True
        if not event.changed:
            return event.raw
        if self._block:
            self.stopped = FOUND
            return None
        kept = [line for line in event.raw.splitlines() if line and not is_data(line)]
        try:
            return b"\n".join([*kept, b"data: " + orjson.dumps(event.document), b"", b""])
        except orjson.JSONEncodeError:
            self.stopped = "an event of it is nested too deeply"
            return None

    def _read_again(self, event: _Event) -> Text:
        """The text of an event that was told by its likeness, where it stands."""
        event.document = orjson.loads(event.raw[6:-2])
        text = _only(event.document)
        assert text
        return text

    def _masked(self, place: _Place, start: int, stop: int, text: Text) -> str:
        value, hits = text.value, place.held.hits
        for hit in hits:
            first, last = max(hit.start, start), min(hit.stop, stop)
            if first < last:
                if hit.start >= start:
                    self._found(hit, text.place)
                mask = hidden(hit, last - first, json=place.json)
                value = value[: first - start] + mask + value[last - start :]
        place.held.hits = [hit for hit in hits if hit.stop > stop]
        return value


def _only(document: Any) -> Text | None:
    """The one text of an event that says nothing else."""
    choice = only_choice(document)
    if choice is None:
        return None
    delta = choice["delta"]
    return Text(delta, "content", f"choices[{choice.get('index', 0)}].delta.content", delta["content"], choice)


def _choice_of(text: Text) -> Any:
    return _group(text.scope.get("index", 0)) if isinstance(text.scope, dict) else 0


def _group(index: Any) -> Any:
    """What tells texts apart that stand at one place of several events."""
    if index is None or isinstance(index, int | float | str):
        return index
    raise Uninspectable("an index in it is no number")
