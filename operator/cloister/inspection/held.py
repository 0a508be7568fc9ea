"""One text of a reply as it comes: what of it is decided, and where its values are.

Whatever the pieces, the same values are found as in the whole text. What may still become one waits; everything else
is let go at once. Of a text at most :data:`MAX_HELD` characters wait: longer values are not seen whole, but what began
as one goes on being hidden to its end.
"""

import re

from cloister.inspection.leaks import Watch
from cloister.inspection.rows import Hit, merged
from cloister.inspection.sensitive import Detector
from cloister.masking import MAX_LENGTH
from cloister.masking.escapes import ESCAPE, Place, unescaped

MAX_HELD = MAX_LENGTH
_CONTEXT = 64
"""Bytes before what waits that are looked at with it: a number may be the middle of a longer one."""
_PATIENT = 512
"""An end that is longer than this is looked at again when it has grown by a quarter, so that time stays linear."""
_MAX_VIEWS = 3
"""JSON in a string of JSON in a string: so often are escapes undone."""
_CUT_ESCAPE = re.compile(rb"\\(?:u[0-9A-Fa-f]{0,3})?\Z")
_GOES_ON = {"key": re.compile(r'[^"-]*'), "": re.compile(r"[^\s\"'<>]*")}


class Held:
    """A text that comes in pieces."""

    def __init__(self, detector: Detector, watch: Watch | None = None) -> None:
        self._detector, self._watch = detector, watch
        self._waiting, self._base = "", 0
        self._contexts: list[bytes] = []
        """By view: the end of what was decided, as that view has it."""
        self._read = 0
        """How much of what waits the watch has read."""
        self._enough = 0
        self._going_on = ""
        self.hits: list[Hit] = []
        """Values in what is decided, in order, by characters of the whole text. Who has passed them on removes them."""
        self.decided = 0
        """Characters that can be passed on."""
        self.length = 0
        """Characters that have come."""

    def feed(self, text: str) -> None:
        """More of it has come, by itself."""
        self.add(text)
        self.decide()

    def add(self, text: str) -> None:
        """More of it has come, and what came with it follows before anything is decided: one search for all of it."""
        self.length += len(text)
        if self._going_on:
            text = self._hide_on(text)
        self._waiting += text

    def decide(self) -> None:
        """Lets go of what can be let go of all that was added."""
        if self._waiting and len(self._waiting) >= self._enough:
            self._decide(final=False)

    def end(self) -> None:
        """That was all."""
        if self._waiting:
            self._decide(final=True)

    def _decide(self, *, final: bool) -> None:
        waiting = self._waiting
        hits, live = self._leaks(final=final) if self._watch else ([], len(waiting))
        data = waiting.encode("utf-8", "surrogatepass")
        if not hits and len(data) == len(waiting) and b"\\" not in data:
            # The usual case: some words, and nothing in them.
            cut = len(data) if final else min(live, self._detector.live(data))
            if len(data) - cut < _PATIENT:
                if cut == 0:
                    return
                before = self._contexts[0] if self._contexts else b""
                if not self._detector.find(before + data, len(before)):
                    self._let_go(cut)
                    self._contexts = [(before + data[max(0, cut - _CONTEXT) : cut])[-_CONTEXT:]]
                    return
        self._decide_closely(data, hits, live, final=final)

    def _let_go(self, cut: int) -> None:
        self._waiting = self._waiting[cut:]
        self._base += cut
        self.decided = self._base
        self._read = max(0, self._read - cut)
        waits = len(self._waiting)
        self._enough = waits + waits // 4 if waits > _PATIENT else 0

    def _decide_closely(self, data: bytes, hits: list[Hit], live: int, *, final: bool) -> None:
        plain = data.isascii()
        byte = live if plain else len(self._waiting[:live].encode("utf-8", "surrogatepass"))
        found, byte = self._values(data, byte, final=final)
        capped = len(data) - byte > MAX_HELD and not final
        if capped:
            found, byte = self._values(data, len(data), final=True)
        if plain:
            hits += [hit._replace(start=self._base + hit.start, stop=self._base + hit.stop) for hit in found]
        else:
            hits += [self._in_characters(data, hit) for hit in found]
            while byte < len(data) and data[byte] & 0xC0 == 0x80:
                byte -= 1
        cut = byte if plain else len(data[:byte].decode("utf-8", "surrogatepass"))
        self._settle(merged(hits) if len(hits) > 1 else hits, data[:byte], cut, capped=capped)

    def _settle(self, hits: list[Hit], decided: bytes, cut: int, *, capped: bool) -> None:
        self.hits += hits
        self._let_go(cut)
        if decided:
            self._remember(decided)
        if capped and hits and hits[-1].stop == self._base:
            self._going_on = hits[-1].rule

    def _hide_on(self, text: str) -> str:
        """The rest of a value that was too long to wait for."""
        found = _GOES_ON.get(self._going_on, _GOES_ON[""]).match(text)
        assert found
        if found.end():
            self.hits.append(Hit(self._base, self._base + found.end(), self._going_on))
            self._base += found.end()
            self.decided = self._base
        if found.end() < len(text):
            self._going_on = ""
        return text[found.end() :]

    def _leaks(self, *, final: bool) -> tuple[list[Hit], int]:
        assert self._watch
        hits, self._read, live = self._watch.read(self._waiting, self._base, self._read, final=final)
        return hits, len(self._waiting) if final else max(0, live - self._base)

    def _values(self, data: bytes, limit: int, *, final: bool) -> tuple[list[Hit], int]:
        """Values, and the bytes that are decided: at most `limit`, and never a part of a value."""
        views, cut = _views(data, final=final)
        limit = min(limit, cut)
        if not final:
            for view, place in views:
                limit = min(limit, place(self._detector.live(view)))
            if limit == 0:
                return [], 0
        found: list[Hit] = []
        for number, (view, place) in enumerate(views):
            context = self._context(number)
            skip = len(context)
            for hit in self._detector.find(context + view, skip):
                start, stop = place(hit.start - skip), place(hit.stop - skip)
                found.append(Hit(start, stop, hit.rule, data[start:stop].isdigit()))
        for hit in sorted(found, reverse=True):
            if hit.start < limit < hit.stop:
                limit = hit.start
        return [hit for hit in found if hit.stop <= limit], limit

    def _remember(self, decided: bytes) -> None:
        views, _ = _views(decided, final=True)
        self._contexts = [(self._context(number) + view)[-_CONTEXT:] for number, (view, _) in enumerate(views)]

    def _context(self, view: int) -> bytes:
        """What was decided without escapes reads the same in every view."""
        return self._contexts[min(view, len(self._contexts) - 1)] if self._contexts else b""

    def _in_characters(self, data: bytes, hit: Hit) -> Hit:
        start = len(data[: hit.start].decode("utf-8", "ignore"))
        stop = hit.stop
        while stop < len(data) and data[stop] & 0xC0 == 0x80:
            stop += 1
        stop = len(data[:stop].decode("utf-8", "surrogatepass"))
        return hit._replace(start=self._base + start, stop=self._base + stop)


def _views(data: bytes, *, final: bool) -> tuple[list[tuple[bytes, Place]], int]:
    """The text as it is and, where it has escapes, with them undone; each with the way back to places in the text. And
    where an escape begins that is cut off: it belongs to none of the others."""
    views: list[tuple[bytes, Place]] = [(data, _same)]
    cut = len(data)
    while b"\\" in views[-1][0] and len(views) <= _MAX_VIEWS:
        text, back = views[-1]
        whole = len(text) if final else _last_escape(text)
        plain, place = unescaped(text[:whole])
        cut = min(cut, back(whole))
        views.append((plain, _after(place, back)))
    return views, cut


def _same(place: int) -> int:
    return place


def _after(first: Place, then: Place) -> Place:
    return lambda place: then(first(place))


def _last_escape(text: bytes) -> int:
    """Where an escape begins that the end of the text cuts off; its length if none does."""
    end = 0
    for found in ESCAPE.finditer(text):
        if _CUT_ESCAPE.match(text, found.start()):
            return found.start()
        end = found.end()
    return len(text) - 1 if end < len(text) and text.endswith(b"\\") else len(text)
