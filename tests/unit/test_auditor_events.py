"""Server-sent events, cut and put together: no byte changes, however they arrive."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloister.auditor.http.events import MAX_EVENT_BYTES, EventSplitter, EventTooLargeError, payloads

STREAM = (
    b'data: {"choices":[{"index":0,"delta":{"content":"Gr\xc3\xbc\xc3\x9fe"}}]}\n\n'
    b": a comment\n\n"
    b"event: x\r\nid: 7\r\ndata: one\r\ndata: two\r\n\r\n"
    b"data:no space\r\r"
    b"data\n\n"
    b"retry: 5\n\n"
    b"data: \xf0\x9f\x98\x80\n\r\n"
    b"data: [DONE]\n\n"
)
DATA = [
    '{"choices":[{"index":0,"delta":{"content":"Grüße"}}]}'.encode(),
    b"one\ntwo",
    b"no space",
    b"",
    "😀".encode(),
    b"[DONE]",
]

lines = st.sampled_from([b"data: x", b"data: " + "é".encode(), b": c", b"event: e", b"data", b"id: 1", b"data:\x00y"])
ends = st.sampled_from([b"\n", b"\r\n", b"\r"])
streams = st.lists(st.tuples(st.lists(st.tuples(lines, ends), max_size=3), ends)).map(
    lambda events: b"".join(b"".join(line + end for line, end in event) + last for event, last in events)
)


def whole(pieces: list[bytes]) -> tuple[bytes, list[bytes]]:
    """What comes out, as one, and event by event."""
    splitter = EventSplitter()
    out = [splitter.feed(piece) for piece in pieces] + [splitter.end()]
    return b"".join(out), [payload for events in out for payload in payloads(events)]


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """The bytes in pieces."""
    at = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[start:end] for start, end in itertools.pairwise(at)]


def test_byte_by_byte() -> None:
    assert whole([STREAM[i : i + 1] for i in range(len(STREAM))]) == (STREAM, DATA)


@pytest.mark.parametrize("size", [2, 3, 5, 7, 64, 1000])
def test_in_pieces(size: int) -> None:
    assert whole([STREAM[i : i + size] for i in range(0, len(STREAM), size)]) == (STREAM, DATA)


@given(st.lists(st.integers(0, len(STREAM)), max_size=12))
def test_wherever_it_is_cut(places: list[int]) -> None:
    assert whole(cut(STREAM, places)) == (STREAM, DATA)


@given(streams, st.lists(st.integers(0, 10_000), max_size=8))
def test_any_stream(stream: bytes, places: list[int]) -> None:
    """However it is cut, the bytes are the same and the events are those of the uncut stream."""
    out, found = whole(cut(stream, places))
    assert out == stream
    assert found == payloads(stream)


@given(streams, st.lists(st.integers(0, 10_000), max_size=8))
def test_only_whole_events_leave(stream: bytes, places: list[int]) -> None:
    splitter = EventSplitter()
    for piece in cut(stream, places):
        events = splitter.feed(piece)
        assert not events or events.endswith((b"\n\n", b"\r\n\r\n", b"\r\r", b"\n\r", b"\r\n\r", b"\n\r\n", b"\r\r\n"))


def test_an_event_without_end_is_not_collected_for_ever() -> None:
    splitter = EventSplitter()
    splitter.feed(b"data: " + b"x" * (MAX_EVENT_BYTES - 6))
    with pytest.raises(EventTooLargeError):
        splitter.feed(b"x")
