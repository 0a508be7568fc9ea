"""Events that are told by their likeness to one that was read: never another text than their JSON says."""

import itertools
import json
from collections.abc import Iterable

import orjson
from hypothesis import given
from hypothesis import strategies as st

from cloister.auditor.openai.alike import Alike, only_choice
from cloister.auditor.openai.replies import Piece, Pieces, Summary

_ODD = ("a", " word", '", "content": "', "\\", "cloister", "Gr\u00fc\u00dfe", "\u2028")
_TEXTS = st.one_of(st.text(max_size=6), st.sampled_from(_ODD))


def _event(text: str, *, index: int, tight: bool, ascii_only: bool, last: bool, name: str) -> bytes:
    choice = {"index": index, "delta": {name: text}, "finish_reason": "stop" if last else None}
    document = {"id": '"content": "', "model": "content", "choices": [choice]}
    separators = (",", ":") if tight else (", ", ": ")
    written = json.dumps(document, separators=separators, ensure_ascii=ascii_only)
    return b"data: " + written.encode("utf-8", "replace") + b"\n\n"


_EVENTS = st.builds(
    _event,
    _TEXTS,
    index=st.integers(0, 1),
    tight=st.booleans(),
    ascii_only=st.booleans(),
    last=st.integers(0, 9).map(lambda number: number == 0),
    name=st.sampled_from(["content"] * 9 + ["refusal"]),
)


def told_of(alike: Alike, event: bytes) -> str | None:
    """The text of one event; None where it has to be read."""
    told = alike.run(event, 0)
    return told[0][0] if [end for _, end in told] == [len(event)] else None


@given(st.lists(_EVENTS, max_size=8), st.binary(max_size=3))
def test_an_event_that_is_told_by_likeness_says_what_its_json_says(events: list[bytes], noise: bytes) -> None:
    alike = Alike()
    for event in events:
        read = only_choice(orjson.loads(event[6:-2]))
        told = told_of(alike, event)
        assert told is None or (read and told == read["delta"]["content"])
        if read and alike.learn(event, read["delta"]["content"]):
            assert told_of(alike, event) in (None, read["delta"]["content"])
            spoilt = event.replace(b"finish", noise + b"finish")
            assert told_of(alike, spoilt) is None or spoilt == event


def test_most_events_of_a_stream_need_no_reading() -> None:
    alike = Alike()
    events = [_event(f" word{n}", index=0, tight=True, ascii_only=True, last=False, name="content") for n in range(9)]
    assert alike.learn(events[0], " word0")
    assert [told_of(alike, event) for event in events] == [f" word{n}" for n in range(9)]
    assert told_of(alike, events[0][:-1]) is None
    assert told_of(alike, events[3].replace(b"word3", b"wor\\u0064")) is None, "escapes are read"
    assert told_of(alike, events[3].replace(b"word3", b"wor\xff")) is None, "what is no UTF-8 is no text"


def test_who_learns_in_vain_stops() -> None:
    alike = Alike()
    pairs = [_event("a", index=n % 2, tight=True, ascii_only=True, last=False, name="content") for n in range(20)]
    assert [alike.learn(event, "a") for event in pairs].count(True) == 4


def joined(pieces: Iterable[Piece]) -> list[Piece]:
    """What several events in a row say at one place, together."""
    return [(place, "".join(text for _, text in run)) for place, run in itertools.groupby(pieces, lambda one: one[0])]


@given(st.lists(_EVENTS, max_size=8), st.integers(0, 8))
def test_several_events_are_told_apart_as_each_is_alone(events: list[bytes], learned: int) -> None:
    alike, alone = Alike(), Alike()
    for event in events[:learned]:
        if read := only_choice(orjson.loads(event[6:-2])):
            for one in (alike, alone):
                one.learn(event, read["delta"]["content"])
    rest = events[learned:]
    at, stream = 0, b"".join(rest)
    while rest:
        told = alike.run(stream, at)
        expected = list(itertools.takewhile(lambda text: text is not None, (told_of(alone, event) for event in rest)))
        assert [text for text, _ in told] == expected
        for event in rest[: len(told) or 1]:
            at += len(event)
        assert not told or told[-1][1] == at
        rest = rest[len(told) or 1 :]


@given(st.lists(_EVENTS, max_size=8))
def test_texts_are_the_same_one_by_one_and_together(events: list[bytes]) -> None:
    one_by_one, together = Summary(), Summary()
    single = [piece for event in events for piece in Pieces(one_by_one).of(event)]
    assert joined(Pieces(together).of(b"".join(events))) == joined(single)
    assert together.fields() == one_by_one.fields()
    assert together.heard == one_by_one.heard
