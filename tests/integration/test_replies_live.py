"""Replies through the real auditor, read by the client that users have: masked, refused and recorded (ZT-28)."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam
from openai.types.responses import ResponseTextDeltaEvent

from cloister.inspection.sensitive import KINDS
from tests.auditor.model import WORDS, answer
from tests.auditor.replies import CHAT, RESPONSES, called, chat, finish, streamed
from tests.auditor.running import MACHINE, Auditor, prompt, running

SECRET = "AKIAIOSFODNN7EXAMPLE"
MASKED = "".join(WORDS).replace("ada@example.com", "*" * 15)
USER: list[ChatCompletionMessageParam] = [{"role": "user", "content": "x"}]


def output(action: str, **more: Any) -> dict[str, Any]:
    return {"action": action, "kinds": KINDS} | more


@pytest.fixture(scope="module")
def masking() -> Iterator[Auditor]:
    with running(output=output("Mask")) as found:
        yield found


@pytest.fixture(scope="module")
def blocking() -> Iterator[Auditor]:
    with running(output=output("Block", canaries=["kR7w-2pQx"])) as found:
        yield found


@contextmanager
def client(auditor: Auditor) -> Iterator[openai.OpenAI]:
    import httpx2  # noqa: PLC0415 - the HTTP client of the openai package

    transport = httpx2.HTTPTransport(uds=auditor.address)
    with httpx2.Client(transport=transport, headers=MACHINE) as http:
        yield openai.OpenAI(base_url="http://auditor/v1", api_key="none", http_client=http, max_retries=0)


def verdicts(auditor: Auditor, since: int = 0) -> list[dict[str, Any]]:
    return [verdict for record in auditor.records()[since:] for verdict in record.get("verdicts", ())]


def text_of(auditor: Auditor, since: int) -> str:
    """What the journal says that callers received."""
    parts = [r for r in auditor.records()[since:] if r["type"] in ("reply.part", "reply")]
    return "".join(part.get("content", "") for part in parts)


@pytest.mark.parametrize("size", [1, 5, 4000])
def test_a_stream_and_a_whole_reply_are_masked(masking: Auditor, size: int) -> None:
    before = len(masking.records())
    with client(masking) as asking:
        stream = asking.chat.completions.create(model=f"sse:{size}", messages=USER, stream=True)
        assert "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices) == MASKED
        whole = asking.chat.completions.create(model="tiny", messages=USER)
        assert whole.choices[0].message.content == "Grüße an ***************"
        assert whole.usage
    found = verdicts(masking, before)
    assert [(one["rule"], one["action"], one["where"]) for one in found] == [
        ("email", "Mask", "choices[0].delta.content"),
        ("email", "Mask", "choices[0].message.content"),
    ]
    assert "ada" not in text_of(masking, before), "the journal holds what the caller received"
    assert masking.metric("verdicts_total", '{action="Mask",kind="sensitive-output"}') >= 2
    if size < 4000:
        assert masking.metric("held_seconds_count") > 0, "events waited for the rest of the address"
    assert masking.metric("held_bytes") == 0


def test_what_the_caller_received_is_on_record_to_the_byte(masking: Auditor) -> None:
    before = len(masking.records())
    reply = masking.ask(prompt("sse:3", "to the byte", stream=True))
    parts = [r for r in masking.records()[before:] if r["type"] == "reply.part"]
    assert "".join(part["content"] for part in parts).encode() == reply.body
    assert sum(part["bytes"] for part in parts) == len(reply.body)


def test_the_arguments_of_a_tool_call(masking: Auditor) -> None:
    arguments = '{"to": "ada\\u0040example.com", "n": 1}'
    masking.model.given = b"".join(called(character) for character in arguments) + finish() + b"data: [DONE]\n\n"
    with client(masking) as asking:
        stream = asking.chat.completions.create(model="given:7", messages=USER, stream=True)
        pieces = [chunk.choices[0].delta.tool_calls for chunk in stream]
    said = "".join(call.function.arguments or "" for calls in pieces if calls for call in calls if call.function)
    assert json.loads(said) == {"to": "*" * len("ada\\u0040example.com"), "n": 1}


def test_the_responses_api(masking: Auditor) -> None:
    texts = [(("0", "content"), word) for word in ("Ask ada", "@exam", "ple.com", " now")]
    masking.model.given = b"".join(streamed(RESPONSES, texts))
    with client(masking) as asking:
        stream = asking.responses.create(model="given:11", input="x", stream=True)
        events = list(stream)
    deltas = "".join(event.delta for event in events if isinstance(event, ResponseTextDeltaEvent))
    assert deltas == "Ask *************** now"
    (done,) = [event for event in events if event.type == "response.output_text.done"]
    assert done.text == deltas


def test_block_refuses_a_reply_in_the_apis_own_words(blocking: Auditor) -> None:
    with client(blocking) as asking:
        with pytest.raises(openai.PermissionDeniedError) as caught:
            asking.chat.completions.create(model="tiny", messages=USER)
        assert caught.value.code == "sensitive_output"
        assert "ada@" not in str(caught.value)
        blocking.model.given = answer("nothing to see")
        assert asking.chat.completions.create(model="given-whole", messages=USER).choices
    (failed,) = [r for r in blocking.records("reply") if r.get("code") == "sensitive_output"]
    assert (failed["outcome"], failed["verdicts"][0]["action"]) == ("failed", "Block")
    assert "content" not in failed


def test_block_cuts_a_stream(blocking: Auditor) -> None:
    heard: list[str] = []
    with client(blocking) as asking:
        stream = asking.chat.completions.create(model="sse:40", messages=USER, stream=True)
        with pytest.raises(openai.APIError, match="withheld"):
            heard.extend(chunk.choices[0].delta.content or "" for chunk in stream)
    (end,) = [r for r in blocking.records("reply") if r["outcome"] == "cut"]
    assert (end["code"], end["parts"] > 0) == ("sensitive_output", True)
    last = blocking.records("reply.part")[-1]
    assert "sensitive_output" in last["content"], "the event that says so is on record, too"
    assert "ada" not in "".join(part["content"] for part in blocking.records("reply.part"))


def test_a_stream_of_which_nothing_may_leave_is_refused_as_a_whole(blocking: Auditor) -> None:
    blocking.model.given = chat({"content": f"{SECRET} "}) + finish() + b"data: [DONE]\n\n"
    with client(blocking) as asking, pytest.raises(openai.PermissionDeniedError):
        asking.chat.completions.create(model="given", messages=USER, stream=True)


def test_a_canary_is_a_leak(blocking: Auditor) -> None:
    before = len(blocking.records())
    blocking.model.given = answer("My instructions begin with kR7w-2pQx.")
    assert blocking.ask(prompt("given-whole")).error()["code"] == "sensitive_output"
    assert [verdict["kind"] for verdict in verdicts(blocking, before)] == ["system-prompt-leak"]


@pytest.mark.parametrize("behaviour", ["binary", "huge:10"])
def test_what_nobody_can_read_does_not_leave(blocking: Auditor, masking: Auditor, behaviour: str) -> None:
    for auditor in (blocking, masking):
        reply = auditor.ask(prompt(behaviour))
        assert (reply.status, reply.error()["code"]) == (502, "reply_not_inspectable")


def test_a_stream_that_can_t_be_read_is_cut(masking: Auditor) -> None:
    masking.model.given = chat({"content": "so, "}) + b"data: oops\n\n"
    reply = masking.ask(prompt("given", stream=True))
    *good, last = reply.body.strip().split(b"\n\n")
    assert good == [chat({"content": "so, "}).strip()]
    assert json.loads(last[6:])["error"]["code"] == "reply_not_inspectable"


def test_flag_records_and_lets_go() -> None:
    with running(output=output("Flag")) as auditor:
        reply = auditor.ask(prompt("tiny", "flagged"))
        assert reply.body == answer()
        auditor.ask(prompt("sse:9", "flagged, too", stream=True))
        assert auditor.ask(prompt("binary")).body == bytes(range(256))
        assert [(v["rule"], v["action"]) for v in verdicts(auditor)] == [
            ("email", "Flag"),
            ("email", "Flag"),
            ("not-inspectable", "Flag"),
        ]


def test_a_caller_who_goes_away_leaves_nothing_waiting(masking: Auditor) -> None:
    masking.model.go_on.clear()
    connection = masking.connection()
    connection.request("POST", CHAT, prompt("endless", stream=True), MACHINE)
    connection.getresponse().read(1000)
    connection.close()
    masking.until(partial(masking.model.gone.__contains__, "endless"), "the end of it")
    masking.until(lambda: masking.metric("held_bytes") == 0, "nothing waiting")
