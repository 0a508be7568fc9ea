"""Keyrings: what is accepted, what follows for rclone, and that no message ever has a part of a key."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloister import keyring
from cloister.controller.rotation import due, emptied, requested, state
from cloister.keyring import Keyring, KeyringError
from cloister.sidecar import KeeperReport
from cloister.zones import Component
from tests.edits import deployment as example
from tests.store.running import key

STORE = Component.CHECKPOINTS
ONE = Keyring(current=1, keys=(key(1),))
TWO = ONE.with_new(key(2))
NOW = datetime(2026, 1, 10, tzinfo=UTC)


def test_a_keyring_is_read_as_it_is_written() -> None:
    assert keyring.parse(TWO.model_dump_json()) == TWO


@pytest.mark.parametrize(
    "spoilt",
    [
        {"current": 1},
        {"keys": []},
        {"version": 2},
        {"keys": [json.loads(key(2).model_dump_json()), json.loads(key(1).model_dump_json())]},
        {"keys": [json.loads(key(2).model_dump_json()) | {"password": "too-short-sesame"}]},
        {"keys": [json.loads(key(2).model_dump_json()) | {"salt": 7}]},
        {"sesame": "sesame"},
    ],
)
def test_a_bad_keyring_is_refused_without_a_word_of_it(spoilt: dict[str, Any]) -> None:
    text = json.dumps(json.loads(TWO.model_dump_json()) | spoilt)
    with pytest.raises(KeyringError) as refused:
        keyring.parse(text)
    said = f"{refused.value}{refused.value!r}"
    assert "password 2" not in said
    assert "too-short" not in said


@given(st.text(max_size=50))
def test_whatever_is_no_keyring_is_refused(text: str) -> None:
    with pytest.raises(KeyringError):
        keyring.parse(text)


def test_keys_are_in_no_representation() -> None:
    assert "password 1" not in repr(TWO)
    assert "salt 1" not in str(TWO)


def test_new_objects_lie_under_the_current_key_alone() -> None:
    conf = keyring.rclone_conf(TWO, "/data")
    assert "upstreams = sealed-2: sealed-1::nc\n" in conf
    assert "remote = /data/1\n" in conf
    assert "remote = sealed-2-over-1:\n" in conf
    assert "password 1" not in conf
    assert "union" not in keyring.rclone_conf(ONE, "/data")


def test_the_current_key_is_never_destroyed() -> None:
    assert TWO.without(frozenset({1, 2})).keys == (key(2),)


# When a key is due, and when one goes


def test_a_key_is_due_by_age_or_on_request() -> None:
    declared = example({"spec.storage.checkpoints.encryption": {"rotateEvery": "240h"}})
    known = state(STORE, ONE)  # made on the first of January
    assert due(declared, {}, known, NOW) == timedelta(days=1).total_seconds()
    assert due(declared, {}, known, NOW + timedelta(days=2)) == 0
    assert due(example(), {}, known, NOW) is None
    asked = {"cloister.dev/rotate-checkpoints": "2026-01-09T00:00:00+00:00"}
    assert due(example(), asked, known, NOW) == 0
    assert due(example(), {"cloister.dev/rotate-training-data": NOW.isoformat()}, known, NOW) is None


@pytest.mark.parametrize("said", ["", "now", "2026-01-09", "2025-12-31T00:00:00Z", "2026-02-01T00:00:00Z"])
def test_a_request_that_is_no_time_or_not_of_now_turns_nothing(said: str) -> None:
    assert due(example(), {"cloister.dev/rotate-checkpoints": said}, state(STORE, ONE), NOW) is None
    assert requested({}, STORE) is None


def pod(message: str, **ended: Any) -> dict[str, Any]:
    terminated = {"exitCode": 0, "message": message} | ended
    return {"status": {"initContainerStatuses": [{"name": "keeper", "lastState": {"terminated": terminated}}]}}


def report(**fields: Any) -> str:
    said: dict[str, Any] = {"store": "checkpoints", "current": 2, "emptied": (1,)}
    return KeeperReport(**said | fields).model_dump_json()


def test_an_old_key_goes_when_its_keeper_says_so() -> None:
    assert emptied(pod(report()), state(STORE, TWO)) == {1}


@pytest.mark.parametrize(
    "seen",
    [
        {},
        {"status": {}},
        pod(""),
        pod("killed"),
        pod(report(current=3)),  # of another keyring
        pod(report(store="training-data")),
        pod(report(emptied=(2, 7))),  # never the current one, nor one that it does not have
        pod(report(), exitCode=137),
    ],
)
def test_nothing_else_destroys_a_key(seen: dict[str, Any]) -> None:
    assert emptied(seen, state(STORE, TWO)) == frozenset()
