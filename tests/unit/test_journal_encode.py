"""Records as they are written: RFC 8785 to the letter, or not at all (ZT-30)."""

from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from cloister.journal import JournalError, encode

names = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=12)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
scalars = st.one_of(texts, st.booleans(), st.integers(-(2**53) + 1, 2**53 - 1))
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4), max_leaves=10
)


@given(st.dictionaries(names, values, max_size=8))
def test_it_is_what_the_reference_writes(record: dict[str, Any]) -> None:
    assert encode(record) == rfc8785.dumps(record)


@pytest.mark.parametrize("text", ["\x00\x1f\x7f\u2028\u2029", '"\\/\b\f\n\r\t', "é\ufb01\U0001f600", "\ufeff"])
def test_text_with_something_special(text: str) -> None:
    assert encode({"a": text}) == rfc8785.dumps({"a": text})


def test_what_is_none_is_left_out() -> None:
    assert encode({"b": None, "a": 1}) == b'{"a":1}'


@pytest.mark.parametrize(
    "record",
    [
        {"a": 1.0},
        {"a": float("nan")},
        {"a": "\ud800"},
        {"a": 2**53},
        {"a": -(2**53)},
        {"ä": 1},
        {1: "a"},
        {"a": b"bytes"},
        {"a": [1.5]},
        {"a": {"b": {"c": None}}},
        {"a": {"ö": 1}},
        {"a": {1, 2}},
    ],
    ids=repr,
)
def test_what_has_no_one_form_is_not_written(record: dict[str, Any]) -> None:
    with pytest.raises(JournalError):
        encode(record)
