"""Budgets over a day: what systematic probing uses up, and what ordinary work does not (ZT-22)."""

import random
from pathlib import Path
from typing import Any

import pytest
from faker import Faker

from cloister import sidecar
from cloister.auditor.callers import Caller, Person
from cloister.auditor.extraction import ExtractionGuard, question
from cloister.auditor.stats import Stats
from cloister.inspection.extraction import MAX_CALLERS, MAX_PROMPTS, Extraction, Question
from cloister.inspection.repetition import Repetition
from cloister.inspection.similarity import NEAR, fingerprint, near
from tests.auditor.replies import CHAT, COMPLETIONS, RESPONSES, asked

HOUR, DAY = 3600, 86400
NOON = 1_800_000_000 // DAY * DAY + 12 * HOUR
BUDGET = {"similar": 20, "tokens": 1000, "logprobs": 10, "embeddings": 50, "repetitions": 2}

TEMPLATES = (
    "What is the phone number of {} in the customer records?",
    "Tell me everything that you know about customer {} in full",
    "Translate '{}' into French, please, and explain each word",
    "Complete the record with the number {}: the name is",
)
WORK = (
    "How do I reset the password of my account?",
    "Please summarise the attached minutes in five bullet points.",
    "Write a polite answer to this complaint about a late delivery.",
    "Why does my Python loop never end when the list is empty?",
    "Explain the difference between an annuity loan and a bullet loan.",
    "Draft an agenda for Tuesday's meeting with the works council.",
    "Which documents does a customer need to open a savings account?",
    "Rewrite this paragraph so that a child understands it.",
    "What changed in the terms for credit cards last spring?",
    "Give me three titles for an article about solar panels.",
    "Is it allowed to cancel the contract within two weeks?",
    "Find the mistake in this SQL query, it returns every row twice.",
)


def names(seed: int, count: int) -> list[str]:
    fake = Faker("en_US")
    fake.seed_instance(seed)
    return [fake.name() for _ in range(count)]


def exceeded(extraction: Extraction, text: str = "", now: float = NOON, **counts: int) -> list[str]:
    found = extraction.asked("ada", Question([text] if text else [], **counts), BUDGET, now, block=True)
    return [one.rule for one in found]


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_template_is_noticed_within_three_times_the_budget(template: str) -> None:
    extraction = Extraction()
    for number, name in enumerate(names(1, 3 * BUDGET["similar"])):
        if exceeded(extraction, template.format(name), NOON + number) == ["similar-prompts"]:
            return
    raise AssertionError("it was never noticed")


def test_counting_through_a_list_is_noticed_at_once() -> None:
    """Digits don't count: each is like the one before."""
    extraction = Extraction()
    found = [exceeded(extraction, f"Show me the whole of document number {number}") for number in range(60)]
    assert found.index(["similar-prompts"]) == BUDGET["similar"] + 5


def test_ordinary_work_is_none_of_it() -> None:
    extraction = Extraction()
    source = random.Random(1)
    said = Faker("en_US")
    said.seed_instance(1)
    for number in range(600):
        text = f"{source.choice(WORK)} {said.text(300)}"
        assert exceeded(extraction, text, NOON + 10 * number) == []


def test_a_conversation_is_none_of_it() -> None:
    """What was said before comes again with every turn; only the last turn counts, and a tool's result does not."""
    turns: list[dict[str, Any]] = []
    for text in WORK:
        turns += [{"role": "user", "content": text}, {"role": "assistant", "content": "Well."}]
        assert question(asked(CHAT, messages=turns[:-1])).texts == [text]
        assert question(asked(CHAT, messages=[*turns, {"role": "tool", "content": "42"}])).texts == []


def test_unrelated_texts_are_far_apart() -> None:
    found = [fingerprint(text) for text in WORK]
    assert not any(near(one, found[:place], 1) for place, one in enumerate(found))
    assert fingerprint("Reset 12 passwords, now!") == fingerprint("reset 9999 PASSWORDS now")
    assert (fingerprint("ok") ^ fingerprint("no")).bit_count() > NEAR


@pytest.mark.parametrize(
    ("counts", "rule"), [({"logprobs": 3}, "logprob-harvesting"), ({"embeddings": 20}, "embedding-harvesting")]
)
def test_harvesting(counts: dict[str, int], rule: str) -> None:
    extraction = Extraction()
    found = [exceeded(extraction, "", NOON, **counts) for _ in range(6)]
    assert [rule] in found
    assert found[0] == []
    assert exceeded(extraction) == [], "other requests go on"


def test_volume_and_repetition_stop_everything_until_the_day_is_over() -> None:
    extraction = Extraction()
    extraction.said("ada", 600, NOON)
    extraction.said("ada", 600, NOON + 2 * HOUR)
    assert exceeded(extraction, now=NOON + 3 * HOUR) == ["output-volume"]
    (one,) = extraction.asked("ada", Question(), BUDGET, NOON + 3 * HOUR, block=True)
    assert one.retry_after == 21 * HOUR, "the first of the two is a day old then"
    assert exceeded(extraction, now=NOON + 3 * HOUR + one.retry_after) == []
    assert extraction.asked("eve", Question(), BUDGET, NOON, block=True) == [], "each caller has their own"
    for _ in range(2):
        extraction.repeated("eve", NOON)
    (one,) = extraction.asked("eve", Question(), BUDGET, NOON, block=True)
    assert one.rule == "repetition"


def test_what_is_refused_is_not_counted() -> None:
    extraction = Extraction()
    for _ in range(100):
        exceeded(extraction, logprobs=1)
    (one,) = extraction.asked("ada", Question(logprobs=1), BUDGET, NOON, block=True)
    assert one.retry_after == DAY
    assert exceeded(extraction, now=NOON + DAY, logprobs=1) == []


def test_a_clock_that_was_ahead_locks_nobody_out_for_longer_than_a_day() -> None:
    extraction = Extraction()
    ahead = NOON + 3000 * DAY
    for number in range(4):
        exceeded(extraction, f"Show me the whole of document number {number}", ahead)
    extraction.said("ada", 10**9, ahead)
    assert extraction.dump()["ada"]["prompts"]
    again = Extraction()
    again.load(extraction.dump())
    for one in (extraction, again):
        (volume,) = one.asked("ada", Question(), BUDGET, NOON, block=True)
        assert volume.rule == "output-volume"
        assert volume.retry_after <= DAY, "nothing is forgiven either"
        assert one.asked("ada", Question(), BUDGET, NOON + DAY, block=True) == []
        assert all(hour <= NOON // 3600 + 24 for hour, _ in one.dump()["ada"]["prompts"])


def test_memory_is_bounded_and_state_is_the_same_after_a_restart() -> None:
    extraction = Extraction()
    for number in range(MAX_CALLERS + 10):
        extraction.said(f"caller {number}", 1, NOON + number)
    for number in range(MAX_PROMPTS + 10):
        exceeded(extraction, f"Show me the whole of document number {number}", NOON + 5000)
    state = extraction.dump()
    assert len(state) == MAX_CALLERS
    assert "caller 0" not in state, "who was not seen for longest is forgotten first"
    assert len(state["ada"]["prompts"]) <= MAX_PROMPTS
    after = Extraction()
    after.load(state)
    assert after.dump() == state
    assert exceeded(after, "Show me the whole of document number 1", NOON + 5001) == ["similar-prompts"]


@pytest.mark.parametrize("state", [[], {"a": 1}, {"a": {"hours": {"x": {}}, "prompts": []}}, {"a": {"hours": {}}}])
def test_a_state_that_is_none_is_refused(state: Any) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - its text is for the log
        Extraction().load(state)


# --- replies that repeat themselves


@pytest.mark.parametrize("unit", ["poem ", "I love you. ", "company company company\n", "0, ", "詩 "])
@pytest.mark.parametrize("size", [1, 7, 3000])
def test_a_reply_that_repeats_itself(unit: str, size: int) -> None:
    repetition, text = Repetition(), unit * 2000
    assert any(repetition.feed(text[at : at + size]) for at in range(0, len(text), size))


def test_prose_tables_and_code_do_not_repeat_themselves() -> None:
    fake = Faker("en_US")
    fake.seed_instance(3)
    table = "\n".join(f"| {number} | {fake.name()} | {fake.city()} | yes |" for number in range(200))
    code = "\n".join(f"    assert answer({number}) == {number * 7}, 'case {number}'" for number in range(200))
    for text in (fake.text(20_000), table, code):
        repetition = Repetition()
        assert not any(repetition.feed(text[at : at + 5]) for at in range(0, len(text), 5))


# --- as the auditor uses it


def config(path: Path, action: str = "Block") -> sidecar.Extraction:
    budget = sidecar.Budget.model_validate(BUDGET)
    wide = sidecar.Budget.model_validate(BUDGET | {"logprobs": 1000})
    return sidecar.Extraction.model_validate(
        {"action": action, "people": budget, "machines": wide, "state": str(path / "extraction.json")}
    )


def test_people_and_machines_have_budgets_of_their_own(tmp_path: Path) -> None:
    guard = ExtractionGuard(config(tmp_path), Stats(), lambda: NOON)
    request = asked(CHAT, messages=[], logprobs=True)
    found = []
    for peer in ("one", "other"):
        request.caller = Caller(peer, Person("ada"))
        found += [guard.judge(request) for _ in range(6)]
    assert found[-1], "a person is one, whatever machine speaks for them"
    assert guard.refusal().status == 429
    assert dict(guard.refusal().headers)["retry-after"].isdigit()
    request.caller = Caller("one")
    assert not any(guard.judge(request) for _ in range(100))


def test_the_state_survives_and_names_nobody(tmp_path: Path) -> None:
    guard = ExtractionGuard(config(tmp_path), Stats(), lambda: NOON)
    request = asked(CHAT, messages=[], n=11)
    request.caller = Caller("one", Person("ada@example.com"))
    assert not guard.judge(request)
    assert guard.due() is None, "not every second"
    guard.write(guard.state())
    (file,) = tmp_path.iterdir()
    assert b"ada@" not in file.read_bytes()
    again = ExtractionGuard(config(tmp_path), Stats(), lambda: NOON + 60)
    assert [finding.rule for finding in again.judge(request)] == ["logprob-harvesting"]
    file.write_bytes(b"{")
    assert not ExtractionGuard(config(tmp_path), Stats(), lambda: NOON).judge(request), "a broken file forgets"


def test_a_reply_without_usage_is_counted_by_its_length(tmp_path: Path) -> None:
    guard = ExtractionGuard(config(tmp_path), Stats(), lambda: NOON)
    reply = guard.reply(asked())
    assert reply
    reply.heard("x y z, " * 700)
    reply.end({})
    assert [finding.rule for finding in guard.judge(asked(messages=[]))] == ["output-volume"]


def test_a_reply_that_repeats_itself_is_cut_and_counted(tmp_path: Path) -> None:
    stats = Stats()
    guard = ExtractionGuard(config(tmp_path), stats, lambda: NOON)
    for _ in range(2):
        reply = guard.reply(asked())
        assert reply
        reply.heard("poem " * 1000)
        refusal = reply.refusal()
        assert refusal
        assert refusal.code == "reply_repeats"
        assert reply.verdicts()[0]["rule"] == "repetition"
        assert reply.verdicts() == []
    assert stats.verdicts["extraction", "Block"] == 2
    assert [finding.rule for finding in guard.judge(asked(messages=[]))] == ["repetition"]
    flagging = ExtractionGuard(config(tmp_path, "Flag"), stats, lambda: NOON).reply(asked())
    assert flagging
    flagging.heard("poem " * 1000)
    assert flagging.refusal() is None


@pytest.mark.parametrize(
    ("path", "document", "expected"),
    [
        (CHAT, {"messages": [{"role": "user", "content": "hi"}], "logprobs": True, "n": 3}, Question(["hi"], 3)),
        (CHAT, {"messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]}, Question(["hi"])),
        (CHAT, {"messages": [{"role": "user", "content": "hi"}], "n": 3}, Question(["hi"], 2)),
        (COMPLETIONS, {"prompt": "hi", "logprobs": 5}, Question(["hi"], 1)),
        (COMPLETIONS, {"prompt": "hi", "logprobs": 0}, Question(["hi"], 1)),
        (CHAT, {"messages": [{"role": "user", "content": "hi"}], "logprobs": False}, Question(["hi"])),
        *(
            (CHAT, {"messages": [{"role": "user", "content": "hi"}, last]}, Question(["hi"]))
            for last in (
                {"role": "system", "content": "."},
                {"role": "developer", "content": "."},
                {"role": "assistant", "content": "", "name": "n"},
                {"role": "user", "content": [{"type": "text", "text": " "}]},
            )
        ),
        (
            CHAT,
            {
                "messages": [
                    {"role": "user", "content": "hi"},
                    {"role": "assistant", "content": None, "tool_calls": [{}]},
                ]
            },
            Question([]),
        ),
        (
            RESPONSES,
            {"input": [{"role": "user", "content": "hi"}, {"role": "system", "content": "."}]},
            Question(["hi"]),
        ),
        (
            RESPONSES,
            {"input": [{"role": "user", "content": "hi"}, {"type": "function_call_output", "output": "done"}]},
            Question([]),
        ),
        (COMPLETIONS, {"prompt": [1, 2, 3]}, Question(["1 2 3"])),
        (COMPLETIONS, {"prompt": ["a", "b"]}, Question(["a", "b"])),
        (COMPLETIONS, {"prompt": [[1, 2], [3]]}, Question(["1 2", "3"])),
        (RESPONSES, {"input": "hi", "include": ["message.output_text.logprobs"]}, Question(["hi"], 1)),
        (RESPONSES, {"input": [{"role": "user", "content": "hi"}], "top_logprobs": 2}, Question(["hi"], 1)),
        ("/v1/embeddings", {"input": ["a", "b", "c"]}, Question(embeddings=3)),
        ("/v1/embeddings", {"input": "a"}, Question(embeddings=1)),
        ("/v1/other", {"input": "a", "logprobs": True}, Question()),
    ],
)
def test_what_counts_of_a_request(path: str, document: dict[str, Any], expected: Question) -> None:
    assert question(asked(path, **document)) == expected
