"""Extraction through the real auditor: budgets that are used up, over a restart, and replies that end (ZT-22)."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam

from tests.auditor.model import answer
from tests.auditor.replies import chat, finish
from tests.auditor.running import CHAT, MACHINE, Auditor, person, prompt, running, surroundings

USER: list[ChatCompletionMessageParam] = [{"role": "user", "content": "x"}]
BUDGET = {"similar": 4, "tokens": 10_000, "logprobs": 3, "embeddings": 10, "repetitions": 1}


def extraction(root: Path, action: str = "Block") -> dict[str, Any]:
    return {"action": action, "people": BUDGET, "machines": BUDGET, "state": str(root / "extraction.json")}


@pytest.fixture
def blocking(tmp_path: Path) -> Iterator[Auditor]:
    with running(extraction=extraction(tmp_path)) as found:
        yield found


@contextmanager
def client(auditor: Auditor) -> Iterator[openai.OpenAI]:
    import httpx2  # noqa: PLC0415 - the HTTP client of the openai package

    transport = httpx2.HTTPTransport(uds=auditor.address)
    with httpx2.Client(transport=transport, headers=MACHINE) as http:
        yield openai.OpenAI(base_url="http://auditor/v1", api_key="none", http_client=http, max_retries=0)


def test_harvesting_is_refused_and_on_record(blocking: Auditor) -> None:
    with client(blocking) as asking:
        for _ in range(3):
            asking.chat.completions.create(model="tiny", messages=USER, logprobs=True)
        with pytest.raises(openai.RateLimitError) as caught:
            asking.chat.completions.create(model="tiny", messages=USER, logprobs=True)
        assert caught.value.code == "budget_exceeded"
        assert 82_000 < int(caught.value.response.headers["retry-after"]) <= 86_400
        assert "logprob" not in str(caught.value), "what was noticed is no business of the caller's"
        asking.chat.completions.create(model="tiny", messages=USER)
    (refusal,) = blocking.records("refusal")
    (verdict,) = refusal["verdicts"]
    assert (verdict["kind"], verdict["rule"], verdict["action"]) == ("extraction", "logprob-harvesting", "Block")
    assert len(blocking.model.seen) == 4, "the model never saw it"
    assert blocking.metric("verdicts_total", '{action="Block",kind="extraction"}') == 1


def test_a_series_of_prompts_is_refused_and_others_are_not(blocking: Auditor) -> None:
    series = [blocking.ask(prompt(text=f"Show me all of customer record number {n}")) for n in range(12)]
    assert [reply.status for reply in series] == [200] * 9 + [429] * 3
    assert blocking.ask(prompt(text="How do I reset my own password, please?")).status == 200
    assert blocking.ask(prompt(text="Show me all of customer record number 1"), person()).status == 200, "a person"


def test_the_budget_survives_a_restart(tmp_path: Path) -> None:
    with surroundings(extraction=extraction(tmp_path)) as auditor:
        auditor.start()
        assert [auditor.ask(prompt(n=4)).status for _ in range(2)] == [200, 429]
        auditor.end()
        auditor.start()
        assert auditor.ask(prompt(n=2)).status == 429
        assert auditor.ask(prompt()).status == 200
        assert "nightly" not in (tmp_path / "extraction.json").read_text()


@pytest.mark.parametrize("size", [500, 1_000_000])
def test_a_reply_that_repeats_itself_ends(blocking: Auditor, size: int) -> None:
    blocking.model.given = b"".join(chat({"content": "poem "}) for _ in range(2000)) + finish() + b"data: [DONE]\n\n"
    reply = blocking.ask(prompt(f"given:{size}", stream=True))
    events = reply.body.strip().split(b"\n\n")
    assert json.loads(events[-1][6:])["error"]["code"] == "reply_repeats"
    assert len(events) < 1000
    end = blocking.records("reply")[-1]
    assert (end["outcome"], end["code"]) == ("cut", "reply_repeats")
    parts = blocking.records("reply.part")
    assert "repetition" in [verdict["rule"] for part in [*parts, end] for verdict in part.get("verdicts", ())]
    assert "".join(part["content"] for part in parts).encode() == reply.body, "every byte that left is on record"
    assert blocking.ask(prompt()).status == 429, "one was all that there is for"
    assert blocking.ask(prompt("given-whole"), person()).status == 200


def test_a_whole_reply_that_repeats_itself(blocking: Auditor) -> None:
    blocking.model.given = answer("poem " * 1000)
    reply = blocking.ask(prompt("given-whole"))
    assert (reply.status, reply.error()["code"]) == (502, "reply_repeats")


def test_flag_lets_everything_go_on(tmp_path: Path) -> None:
    with running(extraction=extraction(tmp_path, "Flag")) as auditor:
        assert [auditor.ask(prompt(n=4)).status for _ in range(3)] == [200] * 3
        auditor.model.given = answer("poem " * 1000)
        assert auditor.ask(prompt("given-whole")).body == auditor.model.given
        rules = [verdict["rule"] for record in auditor.records() for verdict in record.get("verdicts", ())]
        assert rules == ["logprob-harvesting"] * 2 + ["repetition"]


def test_a_caller_who_goes_away_is_counted(blocking: Auditor) -> None:
    """Who reads a reply and hangs up before its end has read it."""
    blocking.model.given = b"".join(chat({"content": f"word {n} of many, "}) for n in range(5000))
    connection = blocking.connection()
    connection.request("POST", CHAT, prompt("given:4000", stream=True), MACHINE)
    connection.getresponse().read(400_000)
    connection.close()
    blocking.until(lambda: blocking.ask(prompt()).status == 429, "the count of it")
