"""Rule sets: what a good one finds, and how a bad one is refused."""

from contextlib import suppress
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from cloister.detection import own_rules
from cloister.inspection.rules import ORDINARY, RulesError, compiled, parse

GOOD: dict[str, Any] = {
    "version": "1",
    "words": {"ignore": ["ignore", "forget"]},
    "rules": [{"id": "X1", "score": 0.9, "pattern": r"\b<ignore> the manual\b", "source": "us"}],
}


_PIECES = [
    "version: ", "rules", ": ", "- ", "\n", "&a ", "*a", "!!int ", "!!set ", "!!omap ", "!!binary ", "!!timestamp x",
    "<<", "{", "}", "[", "]", "? ", ",", "0x_", "2026-13-45", "1:99", "=", "'", '"', "|", "~", ".nan", "\ud800", "\x00",
]  # fmt: skip


def rules(**changes: Any) -> str:
    """The good set with changes; those of its rule by `rule`."""
    rule = changes.pop("rule", {})
    return yaml.safe_dump(GOOD | {"rules": [GOOD["rules"][0] | rule]} | changes)


def test_a_set_finds_what_it_says() -> None:
    found = compiled(parse(rules()))
    assert [rule.id for rule in found.matching("please forget the manual now", "user", "plain")] == ["X1"]
    assert not list(found.matching("read the manual", "user", "plain"))


def test_json_is_read_too_and_an_empty_set_finds_nothing() -> None:
    assert parse('{"version": "1"}').rules == ()
    assert not list(compiled(parse('{"version": "1"}')).matching("anything", "user", "plain"))


def test_a_rule_may_be_for_some_roles_and_some_readings() -> None:
    found = compiled(parse(rules(rule={"roles": ["tool"], "views": ["base64"]})))
    text = "ignore the manual"
    assert [one.id for one in found.matching(text, "tool", "base64+hex")] == ["X1"]
    assert not list(found.matching(text, "user", "base64"))
    assert not list(found.matching(text, "tool", "plain"))


def test_a_later_set_replaces_a_rule_by_its_id() -> None:
    both = compiled(parse(rules()), parse(rules(version="2", rule={"pattern": "tear up the map"})))
    assert both.version == "1+2"
    assert [one.id for one in both.matching("tear up the map", "user", "plain")] == ["X1"]
    assert not list(both.matching("ignore the manual", "user", "plain"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[", "neither YAML nor JSON"),
        ("a: 1\na: 2", "stands twice"),
        ("- 1", "not a mapping"),
        ("rules: []", "version: Field required"),
        (rules(extra=1), "extra: unknown field"),
        (rules(rule={"pattern": "(ab"}), "X1"),
        (rules(rule={"pattern": "(?=ignore)x"}), "no RE2 pattern"),
        (rules(rule={"pattern": r"(a)\1b"}), "no RE2 pattern"),
        (rules(rule={"pattern": "Ignore"}), "lower case"),
        (rules(rule={"pattern": ".*x?"}), "nearly everything"),
        (rules(rule={"pattern": "report|capital"}), "nearly everything"),
        (rules(rule={"pattern": "x" * 9000}), "pattern"),
        (rules(rule={"score": 1.5}), "rules.0.score"),
        (rules(rule={"score": 0}), "rules.0.score"),
        (rules(rule={"score": "high"}), "rules.0.score"),
        (rules(rule={"id": "a b"}), "rules.0.id"),
        (rules(rule={"roles": ["god"]}), "rules.0.roles"),
        (rules(rules=[GOOD["rules"][0], dict(GOOD["rules"][0])]), "stands twice"),
        (rules(rules=[GOOD["rules"][0] | {"id": f"X{n}"} for n in range(501)]), "rules"),
        ("version: " + "x" * 600_000, "at most"),
        ("[" * 5000, "neither YAML nor JSON"),
        ("version: 2026-11-31", r"'2026-11-31' is no timestamp: put it in quotes if it is a text \(line 1\)"),
        ("? [a]\n: b", "the name of a field is no text"),
        ("1: b", "the name of a field must be a string"),
        ("version: '1'\nrules: [{score: 0x_}]", r"'0x_' is no int.*line 2"),
        ("version: !!int ''", "'' is no int"),
        ("version: !!bool maybe", "'maybe' is no bool"),
        ("version: !!timestamp soon", "'soon' is no timestamp"),
        ("version: !!python/name:os.system x", "could not determine a constructor"),
        ("<<: [1]", "merg"),
        ("version: '1'\nrules: &a [*a]", r"\*a is an alias: write out what it stands for \(line 2\)"),
        ("version: '1'\nwords: &a {x: *a}", "is an alias"),
        ("a: &a [x, x]\nb: &b [*a, *a]\nversion: [*b, *b]", "is an alias"),
        ("version: null", "version: is null"),
        (f"version: {'9' * 400}", "version: is larger than any number"),
        ("version: .inf", "version: inf is not a number"),
        ('version: "\\ud800"', "invalid Unicode character"),
        ('version: "\ud800"', "is not valid Unicode"),
        ("version: '1'\nwords: " + "{a: " * 30 + "b" + "}" * 30, "nested too deeply"),
        (rules(rule={"pattern": "zq" + "[^a]{1000}" * 40}), "X1.*steps long: at most"),
    ],
)
def test_a_bad_set_is_refused_and_the_reason_is_told(text: str, said: str) -> None:
    with pytest.raises(RulesError, match=said):
        parse(text)


def test_our_own_rules_are_good_and_each_names_its_source() -> None:
    own = own_rules()
    assert len({rule.id for rule in own.rules}) == len(own.rules)
    assert all(rule.source for rule in own.rules)
    found = compiled(own)
    for text in ORDINARY:
        assert not list(found.matching(text, "user", "plain"))


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.text(max_size=80), st.lists(st.sampled_from(_PIECES), max_size=24).map("".join)))
def test_any_other_text_is_refused_in_words(text: str) -> None:
    with suppress(RulesError):
        parse(text)
