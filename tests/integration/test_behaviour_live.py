"""Behaviour in the running auditor: a fresh sign-in is asked for between two requests, and a restart forgets nothing
(ZT-07, ZT-09)."""

import time
from collections.abc import Iterator

import pytest

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
    assert auditor.ask(prompt("tiny"), person()).status == 200
    auditor.end()
    path = auditor.root / "journal" / "behaviour" / "behaviour.jsonl"
    assert b"ada" not in path.read_bytes()
    path.write_bytes(path.read_bytes()[:-3])
    auditor.start()
    assert auditor.ask(prompt("tiny"), person(), path=CHAT).status == 200
    assert [alert["code"] for alert in auditor.records("alert")] == ["behaviour.memory-lost"]
