"""A user's list of revocations: what is read from it, and everything that is refused rather than half read."""

import json
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from cloister import sidecar
from cloister.controller.revocations import MAX_BYTES, NoListError, read

LISTS = {"subjects": ["bob", "alice"], "sessions": ["s-1"], "tokens": ["t-1"], "issuedBefore": {"carol": 5, "*": 1}}


def entries(text: str) -> sidecar.Revocations:
    return sidecar.Revocations.model_validate_json(read(text))


def refusal(text: str) -> str:
    with pytest.raises(NoListError) as refused:
        read(text)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_every_field_is_read() -> None:
    found = entries(json.dumps(LISTS))
    assert found.subjects == ("alice", "bob")
    assert found.sessions == ("s-1",)
    assert found.tokens == ("t-1",)
    assert found.issued_before == {"*": 1, "carol": 5}


def test_json_and_yaml_say_the_same_and_order_says_nothing() -> None:
    spoken = json.dumps(LISTS)
    assert read(yaml.safe_dump(LISTS)) == read(spoken)
    assert read(json.dumps(LISTS | {"subjects": ["alice", "bob", "alice"]})) == read(spoken)
    assert read(
        '# since March\nsubjects:\n- alice # left\n- "bob"\nsessions: [s-1]\n'
        "tokens: ['t-1']\nissuedBefore: {carol: 5, '*': 1}\n"
    ) == read(spoken)


@pytest.mark.parametrize("text", ["{}", "{ }\n", "subjects: []", '{"issuedBefore": {}}'])
def test_a_list_may_be_empty(text: str) -> None:
    assert entries(text) == sidecar.Revocations()


def test_emoji_survive_both_ways_of_writing_them() -> None:
    for text in (json.dumps({"subjects": ["\U0001f600"]}), 'subjects: ["\U0001f600"]'):
        assert entries(text).subjects == ("\U0001f600",)


def test_a_number_may_be_a_name() -> None:
    assert entries("issuedBefore: {1001: 5}").issued_before == {"1001": 5}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is not a mapping"),
        ("null", "is not a mapping"),
        ("- alice", "is not a mapping"),
        ("alice", "is not a mapping"),
        ("{", "neither JSON nor YAML"),
        ("subjects: [alice", "neither JSON nor YAML"),
        ("subjects: [\x00]", "neither JSON nor YAML"),
        ("subject: [alice]", "subject: is no field"),
        ("issued_before: {a: 1}", "issued_before: is no field"),
        ('{"subjects": ["a"], "subjects": ["b"]}', '"subjects" stands there twice'),
        ("subjects: [a]\nsubjects: [b]\n", '"subjects" stands there twice'),
        ('{"issuedBefore": {"a": 1, "a": 2}}', '"a" stands there twice'),
        ("issuedBefore: {a: 2, a: 1}", '"a" stands there twice'),
        ("subjects: alice", "subjects: "),
        ("subjects: null", "subjects: "),
        ("subjects: [1001]", "put it in quotes"),
        ("subjects: [yes]", "put it in quotes"),
        ("subjects: [2026-01-01]", "put it in quotes"),
        ("subjects: [1.5]", "put it in quotes"),
        ("subjects: [!!binary AA==]", "put it in quotes"),
        ("subjects: [!!python/object:os.system {}]", "subjects[0]"),
        ('subjects: [""]', "subjects[0]"),
        ("subjects: [null]", "subjects[0]"),
        ("subjects: [[a]]", "nested too deeply"),
        ("subjects: [[[[a]]]]", "nested too deeply"),
        ("[" * 100_000, "nested too deeply"),
        ("subjects: [" + "x" * 1025 + "]", "subjects[0]"),
        ("subjects: &a [b]\nsessions: *a\n", "alias (*a)"),
        ("subjects: [*]", "neither JSON nor YAML"),
        ("issuedBefore: [a]", "issuedBefore"),
        ("issuedBefore: {a: -1}", "issuedBefore.a"),
        ("issuedBefore: {a: '5'}", "issuedBefore.a"),
        ("issuedBefore: {a: 1.5}", "put it in quotes"),
        ("issuedBefore: {a: true}", "put it in quotes"),
        ("issuedBefore: {a: 9007199254740992}", "issuedBefore.a"),
        ("issuedBefore: {[a]: 1}", "whose name is no text"),
        ("{}\n---\n{}", "more than one document"),
        ('{"subjects": [NaN]}', "subjects[0]"),
        ('{"subjects": ["\\ud800"]}', ""),
    ],
)
def test_refused(text: str, said: str) -> None:
    assert said in refusal(text)


def test_a_list_that_no_config_map_holds_is_refused() -> None:
    fits = read(json.dumps({"subjects": [f"{n:020}" for n in range(MAX_BYTES // 24)]}))
    assert len(fits.encode()) <= MAX_BYTES
    assert "issuedBefore" in refusal(json.dumps({"subjects": [f"{n:020}" for n in range(MAX_BYTES // 23 + 1)]}))
    # An escape may be shorter than what it stands for.
    assert len(read(json.dumps({"subjects": ["é" * 1000]})).encode()) > 2000


names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)


@given(st.sets(names), st.sets(names), st.sets(names), st.dictionaries(names, st.integers(0, 2**53 - 1)))
def test_nothing_is_lost_on_the_way(s: set[str], sessions: set[str], tokens: set[str], before: dict[str, int]) -> None:
    document = {"subjects": [*s], "sessions": [*sessions], "tokens": [*tokens], "issuedBefore": before}
    found = entries(json.dumps(document))
    assert (set(found.subjects), set(found.sessions), set(found.tokens)) == (s, sessions, tokens)
    assert found.issued_before == before


@given(st.text())
def test_any_text_is_a_list_or_an_error(text: str) -> None:
    try:
        found = read(text)
    except NoListError:
        return
    assert sidecar.Revocations.model_validate_json(found).model_dump_json() == found


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(), lambda c: st.lists(c) | st.dictionaries(st.text(), c)
    )
)
def test_any_yaml_is_a_list_or_an_error(document: Any) -> None:
    try:
        found = read(yaml.safe_dump(document))
    except NoListError:
        return
    assert found == sidecar.Revocations().model_dump_json()
