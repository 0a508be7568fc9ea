"""What is looked for in replies: forms and check digits, and what may still become a value (ZT-28)."""

import re
import time
from collections.abc import Callable
from timeit import repeat

import pytest
import re2
from hypothesis import given, settings
from hypothesis import strategies as st

from cloister.inspection import national, tokens
from cloister.inspection.held import Held
from cloister.inspection.own import MAX_MATCH, Own, complaint
from cloister.inspection.prefixes import prefixes
from cloister.inspection.rows import Hit, Row, Table
from cloister.inspection.sensitive import KINDS, WORTH_A_LOOK, Detector
from cloister.journal.redact import redact
from cloister.masking import Kind, expressions, find
from cloister.spec import MaskKind
from cloister.spec.replies import OutputKind

DETECTOR = Detector()
ROWS = (*national.ROWS, *tokens.ROWS)
FORMS = [*expressions(), *(row.pattern for row in ROWS)]


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("756.9217.0769.85", "ch"),
        ("2 95 10 99 126 111 93", "fr-nir"),
        ("RSSMRA85T10A562S", "it"),
        ("54362315K", "es-dni"),
        ("X-2482300-W", "es-nie"),
        ("QQ 12 34 56 C", None),
        ("AB 12 34 56 C", "gb-nino"),
        ("85.07.30-033.28", "be"),
        ("390.533.447-05", "br-cpf"),
        ("131052-308T", "fi"),
        ("880320-0016", "se"),
        ("912-90-3456", "us-itin"),
        ("BOXW310820HNERXN09", "mx-curp"),
        ("360426199101010071", "cn"),
        ("PESEL 44051401359", "pl-pesel"),
        ("pesel: 44051401358", None),
        ("BSN: 111222333", "nl-bsn"),
        ("111222333", None),
        ("Steuer-ID 36 574 261 809", "de-idnr"),
        ("NHS number 943 476 5870", "gb-nhs"),
        ("my social security number is 078 05 1120", "us-ssn"),
        ("social insurance number 123-456-782", "ca-sin"),
        ("ACUPA7085R", "in-pan"),
    ],
)
def test_national_numbers(text: str, rule: str | None) -> None:
    found = {hit.rule for hit in Table(national.ROWS).find(f"so {text}, ok".encode())}
    assert found == ({f"national-{rule}"} if rule else set())


def test_of_a_named_number_the_number_alone() -> None:
    (hit,) = DETECTOR.find(b"her BSN is 111222333.")
    assert (hit.start, hit.stop) == (11, 20)


@pytest.mark.parametrize(
    "text",
    [
        "The order 12345678 was placed on 2026-11-30 at 14:05.",
        "def token_of(self): return self.skip_list[-1]  # see task-runner-of-the-day",
        "https://example.com/articles/2026/11/a-very-long-title-of-an-article?page=2",
        "commit 3f9933e0c2f1d5a7b6e8f9a0b1c2d3e4f5a6b7c8",
        "550e8400-e29b-41d4-a716-446655440000",
        "Version 1.22.333, build 20261130, 4711 downloads, 99.95 EUR.",
    ],
)
def test_what_only_looks_like_one(text: str) -> None:
    assert DETECTOR.find(text.encode()) == []


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=12, deadline=None)
@given(st.data())
def test_every_beginning_of_a_value_waits(form: str, data: st.DataObject) -> None:
    value = data.draw(st.from_regex(re.compile(form.encode("latin-1")), fullmatch=True))
    assert WORTH_A_LOOK.search(value), "the quick look must not miss it"
    place = data.draw(st.integers(1, len(value)))
    assert DETECTOR.live(value[:place]) == 0


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_every_beginning_of_a_pattern_of_ones_own_waits(data: st.DataObject) -> None:
    pattern = data.draw(st.sampled_from(OWN))
    assert complaint(pattern) is None
    detector = Detector([], Own({"own": pattern}))
    # RE2's \d is of ASCII, as Python's is only when told so.
    value = data.draw(st.from_regex(re.compile(pattern, re.ASCII), fullmatch=True))
    place = data.draw(st.integers(1, len(value)))
    assert detector.live(value[:place].encode("utf-8", "surrogatepass")) == 0


OWN = [
    r"EMP-[0-9]{6}",
    r"(?i)case ([0-9]{4,8})",
    r"(?:ab|cd?e){1,3}\.x?",
    r"(a|b)?c{2,5}?d",
    r"Über[^0-9 ]{0,3}.\d",
    r"x(?:y(?:z){0,2}){1,2}",
]


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("EMP-[0-9]+", "no bound"),
        (f"x{{1,{MAX_MATCH + 1}}}", "no bound"),
        ("^abc", "leave out"),
        (r"abc\z", "can't be looked for"),
        ("abc$", "leave out"),
        ("(a", "RE2 can't read it"),
        ("a(?=b)", "RE2 can't read it"),
        (r"(a)\1", "RE2 can't read it"),
        ("[[:alpha:]]{2}", "named classes"),
        ("x{,4}y", "{0,n}"),
        ("a?", "empty text"),
        ("", "empty text"),
        ("a{1000}{1000}", "RE2 can't read it"),
    ],
)
def test_a_pattern_that_can_t_be_used_is_refused_with_a_reason(pattern: str, why: str) -> None:
    assert why in (complaint(pattern) or "")


def test_prefixes_are_all_beginnings() -> None:
    found = re2.compile(prefixes("ab{2,3}(?:c|de)", 9))
    assert {text for text in ("a", "ab", "abb", "abbb", "abbc", "abbd", "abbbde") if found.fullmatch(text)} == {
        "a",
        "ab",
        "abb",
        "abbb",
        "abbc",
        "abbd",
        "abbbde",
    }
    assert not found.fullmatch("abc")
    assert not found.fullmatch("b")


def test_where_two_rows_begin_the_first_that_holds_wins() -> None:
    table = Table([Row("even", "[0-9]{4}", lambda text: int(text) % 2 == 0), Row("any", "[0-9]{3}", lambda text: True)])
    assert [(hit.start, hit.stop, hit.rule) for hit in table.find(b"1234 1235")] == [(0, 4, "even"), (5, 8, "any")]


def test_the_resource_names_the_kinds_that_are_found() -> None:
    assert set(map(str, OutputKind)) == set(KINDS)
    assert set(map(str, MaskKind)) == {kind.value for kind in Kind}


HOSTILE = [
    f"{begun}012-12345-"
    for begun in ("eyJ", "eyJ-", "pk.eyJ", "t1.A", "a@b.", "password=", "-----BEGIN PRIVATE KEY-----", "ops_eyJ", "sl.")
]
"""The beginning of a long value, and a short one within it."""


def _held(text: str) -> list[Hit]:
    held = Held(DETECTOR)
    held.add(text)
    held.end()
    return held.hits


@pytest.mark.parametrize("look", [lambda text: find(text.encode()), redact, _held], ids=["find", "redact", "held"])
@pytest.mark.parametrize("piece", HOSTILE)
def test_no_text_takes_more_than_linear_time(piece: str, look: Callable[[str], object]) -> None:
    """Eight texts take about as long as one of their size together; in quadratic time it would be eight times as long.

    Nothing is said of how fast that is, and only this thread's own time counts: other work on the machine does not.
    """

    def taken(size: int, times: int) -> float:
        text = (piece * size)[:size]
        return min(repeat(lambda: look(text), timer=time.thread_time, repeat=2, number=times))

    assert taken(64 << 10, 1) <= 3 * taken(8 << 10, 8)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("pk.eyJ" + "a1" * 40 + "." + "b" * 22, "token-mapbox"),
        ("t1.9euelZq" + "a1-_" * 60 + "." + "Q" * 86, "token-yandex"),
        ("eyJhbGciOiJIUzI1NiJ9." + "eyJz" * 900 + ".abc-_defgh", "jwt"),
    ],
)
def test_tokens_with_parts_of_any_length(text: str, rule: str) -> None:
    assert [(hit.start, hit.stop, hit.rule) for hit in DETECTOR.find(f"= {text} and".encode())] == [
        (2, 2 + len(text), rule)
    ]


def test_a_token_is_hidden_to_its_end_whatever_begins_before_it() -> None:
    token = "eyJhbGciOiJIUzI1NiJ9." + "eyJz" * 100 + ".abc-_defgh"
    for before in ("password=", "Bearer "):
        (hit,) = DETECTOR.find(f"{before}{token}, and".encode())
        assert hit.stop == len(before) + len(token)
