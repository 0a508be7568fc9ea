"""Behaviour in the running auditor: a fresh sign-in is asked for between two requests, and a restart forgets nothing
(ZT-07, ZT-09); replies that drift are told (ZT-29)."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cloister.auditor.drift import Replies
from cloister.auditor.memory import Memory
from cloister.inspection.behaviour import Behaviour, Done, Kind, Thresholds, Who
from cloister.inspection.drift.watch import BATCH, LEARN
from tests.auditor.model import answer
from tests.auditor.running import CHAT, MACHINE, Auditor, person, prompt, running

BEHAVIOUR = {
    "enforced": True,
    "flag": 20,
    "step_up": 40,
    "end": 60,
    "half_life_seconds": 7200,
    "travel_seconds": 10800,
}
FORBIDDEN = "/v1/not-approved"


@pytest.fixture
def auditor() -> Iterator[Auditor]:
    """One that watches."""
    with running() as plain:
        directory = plain.root / "journal" / "behaviour"
        plain.end()
        plain.config["behaviour"] = BEHAVIOUR | {"directory": str(directory)}
        plain.start()
        yield plain


def test_a_session_is_stepped_up_between_two_requests_and_a_fresh_sign_in_goes_on(auditor: Auditor) -> None:
    signed_in = int(time.time()) - 600
    ada = person(auth_time=signed_in)
    assert auditor.ask(prompt("tiny", "before"), ada).status == 200
    for _ in range(6):
        assert auditor.ask(prompt(), ada, path=FORBIDDEN).error()["code"] == "api_not_approved"
    refused = auditor.ask(prompt("tiny", "not again"), ada)
    assert refused.error()["code"] == "insufficient_user_authentication"
    challenge = refused.headers["www-authenticate"]
    assert 'error="insufficient_user_authentication"' in challenge
    assert 'max_age="0"' in challenge

    # Who else comes from the same machine is not concerned, and nor is the machine.
    assert auditor.ask(prompt("tiny"), person(sub="bob", sid="s-2")).status == 200
    assert auditor.ask(prompt("tiny"), MACHINE).status == 200

    auditor.end()
    auditor.start()
    assert auditor.ask(prompt("tiny"), ada).status == 401
    assert auditor.ask(prompt("tiny"), person(auth_time=signed_in, jti="renewed")).status == 401
    fresh = person(auth_time=int(time.time()) + 1)
    assert auditor.ask(prompt("tiny", "after"), fresh).status == 200

    alerts = auditor.records("alert")
    assert [alert["code"] for alert in alerts] == ["behaviour.flag", "behaviour.step-up"]
    assert {alert["user.id"] for alert in alerts} == {"ada"}
    assert "refused: api_not_approved" in alerts[0]["message"]
    refusal = next(record for record in auditor.records("refusal") if "risk" in record)
    assert refusal["risk"]["reasons"][0]["signal"] == "refusals"
    assert "not again" not in {record.get("content") for record in auditor.records("request")}
    after = next(record for record in auditor.records("request") if "after" in record["content"])
    assert 10 <= after["risk"]["score"] < 40


def test_a_session_is_ended_and_figures_name_nobody(auditor: Auditor) -> None:
    auditor.end()
    auditor.config["behaviour"] |= {"step_up": 30, "end": 40}
    auditor.start()
    ada = person(auth_time=int(time.time()) - 600)
    bodies = [b"{", b"[]", prompt("tiny", surprise=1)]
    for number in range(40):
        if auditor.ask(bodies[number % 3], ada).status == 401:
            break
    fresh = person(auth_time=int(time.time()) + 1)
    statuses = [auditor.ask(prompt(), fresh, path=FORBIDDEN).status for _ in range(12)]
    assert statuses[-1] == 401
    assert auditor.metric("alerts_total", '{severity="warning",source="behaviour"}') >= 2
    assert auditor.metric("behaviour_signals_total", '{signal="refusals"}') >= 2
    assert auditor.metric("callers_flagged") >= 1
    text = auditor._get("/metrics", "metrics_port").body.decode()
    assert "ada" not in text
    assert "s-1" not in text


def test_a_machine_is_refused_for_some_time_with_its_own_words(auditor: Auditor) -> None:
    for _ in range(12):
        assert auditor.ask(prompt(), MACHINE, path=FORBIDDEN).status == 403
    assert auditor.ask(prompt("tiny"), MACHINE).error()["code"] == "behaviour"
    assert auditor.ask(prompt("tiny"), MACHINE | {"x-cloister-peer": "spiffe://cluster.local/ns/a/sa/b"}).status == 200


def test_memory_that_is_damaged_is_learned_anew_and_told(auditor: Auditor) -> None:
    zoe = person(sub="zoe")  # digests are hexadecimal, and one may happen to say "ada"
    assert auditor.ask(prompt("tiny"), zoe).status == 200
    auditor.end()
    path = auditor.root / "journal" / "behaviour" / "behaviour.jsonl"
    assert b"zoe" not in path.read_bytes()
    path.write_bytes(path.read_bytes()[:-3])
    auditor.start()
    assert auditor.ask(prompt("tiny"), zoe, path=CHAT).status == 200
    assert [alert["code"] for alert in auditor.records("alert")] == ["behaviour.memory-lost"]


def weeks_of(name: str, directory: Path) -> None:
    """Writes down three weeks of small replies by one model, as an auditor that saw them would have."""
    memory, behaviour = Memory(directory), Behaviour(Thresholds(20, 40, 60, 7200, 10800))
    who, begin = Who(memory.pseudonym("person", name), Kind.PERSON), time.time() - 22 * 86400
    for number in range(21 * 24):
        at = begin + number * 3600
        behaviour.arrives(who, at)
        behaviour.done(who, Done("chat", "tiny", 100 + number * 37 % 400, 200), at)
    memory.encode(behaviour, 1)
    memory.save(memory.lines(behaviour))


def test_a_sudden_export_is_told_of_whom_it_is_unusual_for(auditor: Auditor) -> None:
    auditor.end()
    weeks_of("ada", auditor.root / "journal" / "behaviour")
    auditor.start()
    auditor.model.given = answer().replace(b'"tiny"', b'"other"').replace(b": 5,", b": 30000,")
    ada = person()  # once: a second later it would be a fresh sign-in
    assert auditor.ask(prompt("given-whole"), person(sub="bob", sid="s-2")).status == 200
    assert auditor.ask(prompt("given-whole"), ada).status == 200
    auditor.until(lambda: bool(auditor.records("alert")), "an alert")
    (alert,) = auditor.records("alert")
    assert alert["user.id"] == "ada"
    assert alert["code"] == "behaviour.step-up"
    assert "30000 tokens this hour, where 15000 would be much (+40)" in alert["message"]
    assert "model not used before: other (+12)" in alert["message"]
    assert auditor.ask(prompt(), ada).status == 401


def test_a_model_that_begins_to_decline_is_told(auditor: Auditor) -> None:
    auditor.end()
    replies = Replies(auditor.root / "journal" / "behaviour")
    record = {"type": "reply", "outcome": "complete", "status": 200, "duration_us": 5000}
    record |= {"gen_ai.response.model": "tiny", "gen_ai.response.finish_reasons": ["stop"]}
    begin, count = time.time() - 3 * 86400, BATCH * (LEARN + 1)
    for number in range(count):
        at = begin + number * 2 * 86400 / count
        said = "The answer to this is in the box, and you have it."
        assert not list(replies.finished("chat", record, [], 5, said, at))
    replies.save(replies.lines())
    auditor.start()
    auditor.model.given = answer("I'm sorry, but I can't help with the thing that you ask for, and that is it.")

    def told() -> list[str]:
        return [alert["message"] for alert in auditor.records("alert") if alert["code"] == "drift.declined"]

    for _ in range(10 * BATCH):
        assert json.loads(auditor.ask(prompt("given-whole")).body)["model"] == "tiny"
        if auditor.metric("alerts_total", '{severity="warning",source="drift"}'):
            break
    auditor.until(lambda: bool(told()), "the alert in the journal")
    assert told() == ["Replies of tiny have changed: declined was in 0 of 100, and is now in 100 of 100"]
