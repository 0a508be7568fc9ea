"""Server-sent events (WHATWG HTML, section 9.2): cut where events end, and otherwise untouched."""

import re

MAX_EVENT_BYTES = 1 << 20

_END = re.compile(rb"(?:\r\n|\n|\r(?!\n))(?:\r\n|\n|\r(?!\n))")
"""An empty line after a line. A CR may be the first half of a line's end, so one at the very end of the data decides
nothing: what follows it is awaited."""
_LINE = re.compile(rb"\r\n|\n|\r")


class EventTooLargeError(Exception):
    """An event longer than :data:`MAX_EVENT_BYTES`: it can't be held back until it is inspected."""


class EventSplitter:
    """Cuts a stream of bytes at events' ends, however the bytes arrive."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> bytes:
        """All bytes that belong to whole events by now; their concatenation is the stream itself."""
        data = self._rest + data if self._rest else data
        cut = _last_end(data)
        self._rest = data[cut:]
        if len(self._rest) > MAX_EVENT_BYTES:
            raise EventTooLargeError
        return data[:cut]

    def end(self) -> bytes:
        """What is left when the stream has ended. A browser drops such an event; other clients may not."""
        rest, self._rest = self._rest, b""
        return rest


def _last_end(data: bytes) -> int:
    if data.endswith(b"\n\n"):  # the usual case
        return len(data)
    if b"\r" not in data:
        return data.rfind(b"\n\n") + 2 if b"\n\n" in data else 0
    # A CR at the end may be half of CR LF: the line's end is only known with the next byte.
    whole = len(data) - 1 if data.endswith(b"\r") else len(data)
    cut = 0
    for found in _END.finditer(data, 0, whole):
        cut = found.end()
    return cut


def end_of(events: bytes, start: int, *, cr: bool) -> int:
    """Where the event ends that begins there, among some whole events. ``cr``: whether there is a CR in them."""
    if cr:
        found = _END.search(events, start)
        return found.end() if found else len(events)
    place = events.find(b"\n\n", start)
    return len(events) if place < 0 else place + 2


def split(events: bytes) -> list[bytes]:
    """Some whole events one by one; their concatenation is what was given."""
    if b"\r" not in events:
        *whole, rest = events.split(b"\n\n")
        return [event + b"\n\n" for event in whole] + ([rest] if rest else [])
    found, at = [], 0
    for end in _END.finditer(events):
        found.append(events[at : end.end()])
        at = end.end()
    return found + ([events[at:]] if events[at:] else [])


def is_data(line: bytes) -> bool:
    """Whether a line of an event belongs to its `data`."""
    return line == b"data" or line.startswith(b"data:")


def payloads(events: bytes) -> list[bytes]:
    """The `data` of each of some whole events, its lines joined by LF. Events without data are left out."""
    if events.startswith(b"data: ") and events.endswith(b"\n\n") and b"\r" not in events:  # the usual case
        found = [event[6:] for event in events.split(b"\n\n") if event.startswith(b"data: ") and b"\n" not in event]
        if len(found) == events.count(b"data: ") == events.count(b"\n\n"):
            return found
    return _payloads(events)


def _payloads(events: bytes) -> list[bytes]:
    found: list[bytes] = []
    lines: list[bytes] = []
    for line in [*_LINE.split(events), b""]:
        if not line:
            if lines:
                found.append(b"\n".join(lines))
            lines = []
        elif line.startswith(b"data:"):
            lines.append(line[6:] if line.startswith(b"data: ") else line[5:])
        elif line == b"data":
            lines.append(b"")
    return found
