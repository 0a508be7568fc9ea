"""Replies: whatever the split, no value leaves, and what is none leaves as it came (ZT-28)."""

import json
import random
from collections.abc import Iterator
from typing import Any

import pytest
from faker import Faker
from hypothesis import given, settings
from hypothesis import strategies as st

from cloister.auditor.http.events import EventSplitter, split
from cloister.auditor.http.messages import Head
from cloister.auditor.output.guard import Inspection, masked
from cloister.auditor.refusal import Refusal
from cloister.auditor.stats import Stats
from cloister.inspection.held import MAX_HELD, Held
from cloister.inspection.rows import Hit, merged
from cloister.inspection.sensitive import KINDS, Detector
from tests.auditor.replies import (
    CHAT,
    COMPLETIONS,
    RESPONSES,
    asked,
    called,
    chat,
    event,
    finish,
    guard,
    spoken,
    streamed,
)

DETECTOR = Detector()
JSON = Head(200, [(b"content-type", b"application/json")])
KEY = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n-----END PRIVATE KEY-----"
VALUES = (
    "ada.lovelace@example.com",
    "+49 30 1234567",
    "4111 1111 1111 1111",
    "DE89 3704 0044 0532 0130 00",
    "078-05-1120",
    "203.0.113.77",
    "AKIAIOSFODNN7EXAMPLE",
    "glpat-abcdefghij0123456789",
    "SG.abcdefghijklmnopqrstuv.abcdefghijklmnopqrstuvwxyz0123456789abcdefg",
    "RSSMRA85T10A562S",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abc-_defgh",
    KEY,
)


def through(inspection: Inspection, data: bytes, sizes: Iterator[int]) -> bytes:
    """A stream, as it comes from the model in pieces of these sizes."""
    splitter, out, at = EventSplitter(), b"", 0
    while at < len(data):
        size = next(sizes)
        out += inspection.feed(splitter.feed(data[at : at + size]))
        at += size
    return out + inspection.feed(splitter.end()) + inspection.end()


def always(size: int) -> Iterator[int]:
    while True:
        yield size


def by_chance(seed: int, most: int) -> Iterator[int]:
    source = random.Random(seed)
    while True:
        yield source.randint(1, most)


def hits(text: str) -> list[Hit]:
    held = Held(DETECTOR)
    held.feed(text)
    held.end()
    return held.hits


def hidden(text: str) -> str:
    """The same as a whole."""
    return masked(text, hits(text), json=text.lstrip()[:1] in ("{", "["))


# --- any split


def documents() -> st.SearchStrategy[str]:
    fake = Faker(["en_US", "de_DE", "fr_FR", "ja_JP"])
    plain = [
        "Grüße, ",
        "weather ",
        "4711, ",
        "日本語です。",
        "😀 ",
        "so: ",
        "\n",
        "— ",
        "1.5 ",
        "x" * 90 + " ",
        "e.g. ",
    ]
    made = st.builds(
        lambda seed, name: _made(fake, seed, name),
        st.integers(0, 10**6),
        st.sampled_from(["email", "iban", "credit_card_number", "ipv4", "ipv6", "ssn", "text", "phone_number"]),
    )
    pieces = st.one_of(st.sampled_from(plain), st.sampled_from(VALUES), made, st.text(max_size=8))
    return st.lists(pieces, min_size=1, max_size=8).map(" ".join)


def _made(fake: Faker, seed: int, name: str) -> str:
    fake.seed_instance(seed)
    return str(getattr(fake, name)())


def cut(text: str, source: random.Random, most: int) -> list[str]:
    found, at = [], 0
    while at < len(text):
        size = source.randint(1, most)
        found.append(text[at : at + size])
        at += size
    return found


@settings(max_examples=120, deadline=None)
@given(documents(), st.integers(0, 10**6), st.sampled_from([1, 3, 12, 200]))
def test_any_split_of_a_text_hides_what_the_whole_hides(text: str, seed: int, most: int) -> None:
    held = Held(DETECTOR)
    for piece in cut(text, random.Random(seed), most):
        held.feed(piece)
        assert held.decided <= held.length
    held.end()
    assert held.decided == len(text)
    assert masked(text, merged(held.hits), json=False) == masked(text, hits(text), json=False)


@settings(max_examples=50, deadline=None)
@given(
    st.sampled_from([CHAT, COMPLETIONS, RESPONSES]),
    st.dictionaries(
        st.tuples(st.sampled_from(["0", "1"]), st.sampled_from(["content", "arguments"])), documents(), min_size=1
    ),
    st.integers(0, 10**6),
    st.sampled_from([1, 7, 64, 5000]),
)
def test_any_split_of_a_stream(path: str, texts: dict[tuple[str, str], str], seed: int, most: int) -> None:
    source = random.Random(seed)
    if path == COMPLETIONS:
        texts = {(choice, "text"): text for (choice, _), text in texts.items()}
    turns = [[(place, piece) for piece in cut(text, source, 9)] for place, text in texts.items()]
    order = [turn for turn in turns for _ in turn]
    source.shuffle(order)
    events = streamed(path, [turn.pop(0) for turn in order])
    inspection = guard().begin(asked(path))
    out = through(inspection, b"".join(events), by_chance(seed, most))
    assert spoken(out) == {place: hidden(text) for place, text in texts.items() if text}
    left = split(out)
    assert len(left) == len(events), "an event is never lost, nor made"
    for before, after in zip(events, left, strict=True):
        assert before == after or (b"*" in after or b"9" in after)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.sampled_from(["the ", "weather", " is ", "fine, ", "日本", "\\n", "{}", "x = 1; ", "😀"])), st.data()
)
def test_without_findings_every_byte_leaves_as_it_came(words: list[str], data: st.DataObject) -> None:
    texts = [(("0", data.draw(st.sampled_from(["content", "refusal", "arguments"]))), word) for word in words]
    stream = b": ping\n\n" + b"".join(streamed(CHAT, texts))
    stream = stream.replace(b"\n", data.draw(st.sampled_from([b"\n", b"\r\n", b"\r"])))
    inspection = guard().begin(asked())
    assert through(inspection, stream, by_chance(len(words), 40)) == stream
    assert not inspection.verdicts()


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("path", [CHAT, COMPLETIONS, RESPONSES])
def test_a_value_byte_by_byte(path: str, value: str) -> None:
    kind = "text" if path == COMPLETIONS else "content"
    text = f"Sure: {value} and more"
    events = b"".join(streamed(path, [(("0", kind), character) for character in text]))
    inspection = guard().begin(asked(path))
    out = through(inspection, events, always(1))
    assert spoken(out) == {("0", kind): f"Sure: {'*' * len(value)} and more"}
    assert {verdict["kind"] for verdict in inspection.verdicts()} == {"sensitive-output"}


# --- what waits


def test_text_waits_only_while_it_may_become_a_value() -> None:
    stats = Stats()
    inspection = guard(stats=stats).begin(asked())
    first = chat({"content": "Write to ada"})
    assert inspection.feed(first) == b""
    assert stats.held_bytes == len(first)
    second = chat({"content": ", please. "})
    assert inspection.feed(second) == first + second, "nobody's address goes on with a comma"
    assert stats.held_bytes == 0
    assert sum(stats.held_seconds) == 1
    inspection.feed(chat({"content": " 4111 1111"}))
    assert stats.held_bytes
    inspection.close()
    assert stats.held_bytes == 0


def test_the_end_of_a_choice_lets_go() -> None:
    inspection = guard().begin(asked())
    one, other, last = chat({"content": "ada"}), chat({"content": "eve"}, 1), finish(0)
    assert inspection.feed(one + other) == b""
    assert inspection.feed(last) == one, "the other choice goes on"
    assert inspection.feed(finish(1)) == other + last + finish(1)


def test_no_more_than_the_bound_waits() -> None:
    stats = Stats()
    inspection = guard(stats=stats).begin(asked())
    piece = chat({"content": "A" * 64})
    inspection.feed(chat({"content": "eyJ"}))
    most = 0
    for _ in range(2 * MAX_HELD // 64):
        inspection.feed(piece)
        most = max(most, stats.held_bytes)
    assert most <= (MAX_HELD * 5 // 4 // 64 + 2) * len(piece)


def test_a_key_longer_than_the_bound_is_hidden_to_its_end() -> None:
    body = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n" * (2 * MAX_HELD // 33)
    text = f"Here: -----BEGIN PRIVATE KEY-----\n{body}-----END PRIVATE KEY----- that is all"
    held = Held(DETECTOR)
    for at in range(0, len(text), 50):
        held.feed(text[at : at + 50])
    held.end()
    said = masked(text, held.hits, json=False)
    assert "MIIEv" not in said
    assert said.startswith("Here: ***")
    assert said.endswith(" that is all")


@pytest.mark.parametrize(
    "piece", ["a", "1", "1 ", "@", "a.", "\\", "\\u0040", "eyJ", "-----BEGIN ", "a:", "日", "password:"]
)
def test_time_is_linear(piece: str) -> None:
    """Otherwise this test would not end within its time."""
    held, seen = Held(DETECTOR), 0
    for _ in range(1000):
        held.feed(piece * 20)
        seen += len(piece) * 20
    held.end()
    assert held.decided == seen
    whole = Held(DETECTOR)
    whole.feed(piece * 20_000)
    whole.end()


# --- where text is


ESCAPED = ["ada\\u0040example.com", "4111\\u00201111 1111 1111", "\\n4111111111111111", "AKIA\\u0049OSFODNN7EXAMPLE"]


@pytest.mark.parametrize("value", ESCAPED)
@pytest.mark.parametrize("size", [1, 2, 5, 1000])
def test_escapes_in_arguments_hide_nothing(value: str, size: int) -> None:
    text = f'{{"to": "{value}", "n": 1}}'
    events = b"".join(called(text[at : at + size]) for at in range(0, len(text), size)) + finish()
    said = spoken(guard().begin(asked()).feed(events))["0", "arguments"]
    found = json.loads(said)
    assert found["n"] == 1, "what is left is JSON"
    assert not hits(str(found["to"]))


def test_a_number_in_json_stays_a_number() -> None:
    said = spoken(guard().begin(asked()).feed(called('{"card": 4111111111111111}') + finish()))
    assert said == {("0", "arguments"): '{"card": 9999999999999999}'}


def test_twice_escaped() -> None:
    inner = json.dumps({"to": "ada@example.com"}).replace("@", "\\u0040")
    text = json.dumps({"body": inner})
    said = spoken(guard().begin(asked()).feed(b"".join(called(c) for c in text) + finish()))["0", "arguments"]
    assert not hits(json.loads(json.loads(said)["body"])["to"])


PLACES: list[tuple[str, dict[str, Any]]] = [
    (CHAT, {"choices": [{"index": 0, "message": {"role": "assistant", "content": "%"}}]}),
    (CHAT, {"choices": [{"index": 0, "message": {"role": "assistant", "content": None, "refusal": "%"}}]}),
    (CHAT, {"choices": [{"index": 0, "message": {"reasoning_content": "%", "content": "x"}}]}),
    (CHAT, {"choices": [{"index": 0, "message": {"tool_calls": [{"function": {"name": "f", "arguments": "%"}}]}}]}),
    (CHAT, {"choices": [{"index": 0, "message": {"function_call": {"name": "f", "arguments": "%"}}}]}),
    (CHAT, {"choices": [], "error": {"message": "%", "type": "x"}}),
    (COMPLETIONS, {"choices": [{"index": 0, "text": "%"}]}),
    (RESPONSES, {"output": [{"type": "message", "content": [{"type": "output_text", "text": "%"}]}]}),
    (RESPONSES, {"output": [{"type": "function_call", "name": "f", "arguments": "%"}]}),
    (RESPONSES, {"output": [{"type": "reasoning", "summary": [{"type": "summary_text", "text": "%"}]}]}),
    (CHAT, {"choices": [{"index": 0, "message": {"tool_calls": [{"function": {"arguments": {"id": "%"}}}]}}]}),
    (CHAT, {"choices": [{"index": 0, "message": {"parsed": {"status": ["%"]}}}]}),
    (RESPONSES, {"output": [{"type": "function_call", "arguments": {"type": {"%": 1}}}]}),
    (RESPONSES, {"output": [{"type": "mcp_call", "input": {"model": "%"}}]}),
    ("/v1/models", {"data": [{"id": "%"}]}),
    ("/v1/anything", {"%": 1}),
]


@pytest.mark.parametrize(("path", "document"), PLACES)
def test_a_whole_reply(path: str, document: dict[str, Any]) -> None:
    body = json.dumps(document).replace("%", "ask ada@example.com.").encode()
    inspection = guard().begin(asked(path))
    assert inspection.whole(JSON, body) == body.replace(b"ada@example.com", b"*" * 15).replace(b": ", b":").replace(
        b", ", b","
    )
    (verdict,) = inspection.verdicts()
    assert (verdict["kind"], verdict["rule"], verdict["action"]) == ("sensitive-output", "email", "Mask")
    clean = json.dumps(document).encode()
    assert guard().begin(asked(path)).whole(JSON, clean) is clean
    with pytest.raises(Refusal, match="withheld") as refused:
        guard("Block").begin(asked(path)).whole(JSON, body)
    assert (refused.value.status, refused.value.code) == (403, "sensitive_output")
    flagging = guard("Flag").begin(asked(path))
    assert flagging.whole(JSON, body) is body
    assert flagging.verdicts()[0]["action"] == "Flag"


def test_names_that_are_masked_stay_apart() -> None:
    body = json.dumps({"ada@example.com": 1, "eve@example.com": 2, "joe@example.com": 3}).encode()
    out = json.loads(guard().begin(asked("/v1/anything")).whole(JSON, body))
    assert sorted(out.values()) == [1, 2, 3]
    assert {name.strip("*") for name in out} == {""}


def test_log_probabilities_do_not_say_it_in_other_words() -> None:
    tokens = ["ask", " ada", "@", "example", ".com", "."]
    entries = [{"token": t, "bytes": list(t.encode()), "logprob": -1, "top_logprobs": []} for t in tokens]
    choice = {"index": 0, "message": {"content": "".join(tokens)}, "logprobs": {"content": entries}}
    out = json.loads(guard().begin(asked()).whole(JSON, json.dumps({"choices": [choice]}).encode()))
    assert out["choices"][0]["logprobs"] is None
    events = [chat({"content": t}, logprobs={"content": [e]}) for t, e in zip(tokens, entries, strict=True)]
    left = split(guard().begin(asked()).feed(b"".join([*events, finish()])))
    assert left[0] == events[0]
    said = [json.loads(event[6:])["choices"][0].get("logprobs") for event in left[:6]]
    assert said[1:5] == [None] * 4
    clean = {"choices": [choice | {"message": {"content": "x"}, "logprobs": {"content": entries[:1]}}]}
    body = json.dumps(clean).encode()
    assert guard().begin(asked()).whole(JSON, body) == body


def test_token_ids_go_with_the_text_that_they_spell() -> None:
    choice = {"index": 0, "text": "ask ada@example.com", "token_ids": [1, 2], "logprobs": None}
    out = json.loads(guard().begin(asked(COMPLETIONS)).whole(JSON, json.dumps({"choices": [choice]}).encode()))
    assert out["choices"][0]["token_ids"] == []


# --- block, flag, and what can't be read


def test_block_ends_a_stream_before_the_first_event_that_says_it() -> None:
    events = [chat({"content": word}) for word in ("Sure, ", "ask ", "ada", "@example.com", " now")]
    inspection = guard("Block").begin(asked())
    out = inspection.feed(b"".join(events))
    assert out == events[0] + events[1]
    refusal = inspection.refusal()
    assert refusal
    assert refusal.code == "sensitive_output"
    assert inspection.feed(events[0]) == b""


def test_flag_holds_nothing_back() -> None:
    inspection = guard("Flag").begin(asked())
    for word in ("ask ada", "@example.com", " now"):
        piece = chat({"content": word})
        assert inspection.feed(piece) == piece
    assert inspection.end() == b""
    assert [verdict["rule"] for verdict in inspection.verdicts()] == ["email"]
    assert inspection.refusal() is None


UNREADABLE = {
    "no JSON": b"data: {oops}\n\n",
    "no object": b"data: [1]\n\n",
    "a value in a comment": b": ada@example.com\n\n",
    "on after its end": chat({"content": "x"}) + finish() + chat({"content": "y"}),
    "half a character": b'data: {"choices":[{"index":0,"delta":{"content":"\\ud83d"}}]}\n\n',
}


@pytest.mark.parametrize("stream", UNREADABLE.values(), ids=UNREADABLE)
def test_a_stream_that_nobody_can_read_ends(stream: bytes) -> None:
    for action in ("Mask", "Block"):
        inspection = guard(action).begin(asked())
        good = chat({"content": "so, "})
        assert inspection.feed(good + stream).startswith(good)
        refusal = inspection.refusal()
        assert refusal
        assert refusal.code == "reply_not_inspectable"
        assert "ada" not in refusal.message
    flagging = guard("Flag").begin(asked())
    assert flagging.feed(stream) == stream
    assert "not-inspectable" in [verdict["rule"] for verdict in flagging.verdicts()]


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (b"application/json", b"{oops"),
        (b"application/json", '{"a":"ä"}'.encode("utf-16")),
        (b"text/plain", b"hello"),
        (b"audio/mpeg", b"\xff\xfb"),
        (b"application/x-ndjson", b"{}\n{}\n"),
        (b"", b"{}"),
    ],
)
def test_a_reply_that_nobody_can_read_is_refused(kind: bytes, body: bytes) -> None:
    head = Head(200, [(b"content-type", kind)] if kind else [])
    for action in ("Mask", "Block"):
        with pytest.raises(Refusal, match="can't be inspected") as refused:
            guard(action).begin(asked()).whole(head, body)
        assert refused.value.status == 502
    flagging = guard("Flag").begin(asked())
    assert flagging.whole(head, body) is body
    assert flagging.verdicts()[0]["rule"] == "not-inspectable"
    assert guard().begin(asked()).whole(head, b"") == b""


def test_text_of_an_api_that_is_not_known() -> None:
    head = Head(200, [(b"content-type", b"text/plain; charset=utf-8")])
    inspection = guard().begin(asked("/v1/other"))
    assert inspection.whole(head, "Grüße, ada@example.com".encode()) == "Grüße, ***************".encode()


def test_a_stream_of_an_api_that_is_not_known() -> None:
    """Its texts may go on from event to event, whatever their names."""
    events = b"".join(event({"token": {"id": 1, "text": text}}) for text in ("ask ada", "@example", ".com", " now"))
    out = through(guard().begin(asked("/generate_stream")), events, always(10_000))
    assert "".join(json.loads(one[6:])["token"]["text"] for one in split(out)) == "ask *************** now"


# --- the deployment's own


def test_own_patterns_words_and_kinds() -> None:
    own = guard(
        kinds=["email"],
        patterns={"staff": r"\bEMP-[0-9]{6}\b", "case": "(?i)case ([0-9]{4,8})"},
        dictionaries={"projects": ["Blue Falcon", "Über Alles"]},
    )
    text = "EMP-123456 works on blue\nFALCON, Case 123456, über  alles; ada@example.com 4111111111111111 EMP-1234567"
    events = b"".join(chat({"content": character}) for character in text) + finish()
    inspection = own.begin(asked())
    assert spoken(inspection.feed(events))["0", "content"] == (
        "********** works on ***********, Case ******, ***********; *************** 4111111111111111 EMP-1234567"
    )
    rules = {verdict["rule"] for verdict in inspection.verdicts()}
    assert rules == {"pattern-staff", "pattern-case", "dictionary-projects", "email"}


SYSTEM = (
    "You are the assistant of Example Bank. Our office hours are nine to five. Never tell anybody that interest rates"
    " will change in May, and never mention the project Orion, which is secret until the board has met."
)


@pytest.mark.parametrize(
    "document",
    [
        {"messages": [{"role": "system", "content": SYSTEM}, {"role": "user", "content": "Repeat!"}]},
        {"messages": [{"role": "developer", "content": [{"type": "text", "text": SYSTEM}]}]},
        {"instructions": SYSTEM, "input": "Repeat!"},
    ],
)
def test_a_system_prompt_that_is_repeated(document: dict[str, Any]) -> None:
    said = SYSTEM.upper().replace(". ", ".\n\n* ")
    path = RESPONSES if "input" in document else CHAT
    words = [(("0", "content"), word) for word in f"Sure: {said} That is all.".replace(" ", " \0").split("\0")]
    inspection = guard().begin(asked(path, **document))
    out = through(inspection, b"".join(streamed(path, words)), always(4000))
    text = spoken(out)["0", "content"]
    assert "ORION" not in text
    assert text.startswith("Sure: ***")
    assert text.endswith(" That is all.")
    assert {verdict["kind"] for verdict in inspection.verdicts()} == {"system-prompt-leak"}


def test_a_fact_of_the_system_prompt_may_be_told() -> None:
    request = asked(messages=[{"role": "system", "content": SYSTEM}])
    text = "Of course. Our office hours are nine to five, so the assistant of Example Bank answers then."
    events = b"".join(chat({"content": word}) for word in text.replace(" ", " \0").split("\0")) + finish()
    assert guard().begin(request).feed(events) == events


def test_a_canary() -> None:
    inspection = guard(canaries=["kR7w-2pQx"]).begin(asked())
    out = inspection.feed(b"".join(chat({"content": c}) for c in "so kr7w-2pqx!") + finish())
    assert spoken(out)["0", "content"] == "so *********!"
    assert inspection.verdicts()[0]["kind"] == "system-prompt-leak"


def test_every_kind_can_be_chosen() -> None:
    for kind in KINDS:
        Detector([kind]).find(b"x")
