"""Redaction: what is masked, what is not, and that pieces give the same as the whole (ZT-27)."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloister.auditor.redaction import HOLD, StreamRedactor
from cloister.journal.redact import redact

MASKED = [
    ("mail ada@example.com now", "mail [email] now"),
    ("<ada.lovelace+x@mail.example.co.uk>", "<[email]>"),
    ("grüße@münchen.de", "[email]"),
    ("call +49 30 1234567 ok", "call [phone] ok"),
    ("+1 (415) 555-2671", "[phone]"),
    ("(030) 1234567", "[phone]"),
    ("415-555-2671", "[phone]"),
    ("0711 1234567", "[phone]"),
    ("01 23 45 67 89", "[phone]"),
    ("001-415-555-2671x1234", "[phone]"),
    ("0049 30 1234567", "[phone]"),
    ("010-4876051", "[phone]"),
    ("(05684) 81450", "[phone]"),
    ("415-555-2671 ext. 12 or 13", "[phone] or 13"),
    ("+49 30 1234567 ext 12th", "[phone] ext 12th"),
    ("card 4111 1111 1111 1111.", "card [card]."),
    ("5500-0000-0000-0004", "[card]"),
    ("378282246310005", "[card]"),
    ("DE89 3704 0044 0532 0130 00 x", "[iban] x"),
    ("GB29NWBK60161331926819", "[iban]"),
    ("ssn 078-05-1120", "ssn [ssn]"),
    ("at 10.0.0.1, fe80::1 and 2001:db8:0:0:0:0:0:1", "at [ip], [ip] and [ip]"),
    ("AKIAIOSFODNN7EXAMPLE", "[token]"),
    ("ghp_" + "a" * 36, "[token]"),
    ("xoxb-123456789012-abcdef", "[token]"),
    ("sk-" + "Ab1" * 10, "[token]"),
    ("Authorization: Bearer abcdefghijklmnop1234", "Authorization: [token]"),
    ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abc-_", "[jwt]"),
    ("a\n-----BEGIN RSA PRIVATE KEY-----\nMII\n-----END RSA PRIVATE KEY-----\nb", "a\n[key]\nb"),
    ("-----BEGIN PRIVATE KEY-----\nMII without an end", "[key]"),
    (r'{"a":"x\n4111111111111111"}', r'{"a":"x\n[card]"}'),
]
KEPT = [
    "version 1.2.3 of 2024-01-02 at 12:34:56",
    "order 1234567890123",
    "card 4111-1111-1111-1112",
    "GB30 NWBK 6016 1331 9268 19",
    "000-12-3456, 666-12-3456, 900-12-3456",
    "version 1.2.3.4.5",
    "01/02/2024 10:00, 01-02-2024 10, 0123 456",
    "a@b, @ada, 7 + 8 = 15",
    "0.7, 12345678, 3.14159265358979",
    "ISBN 0-306-40615-2, ISSN 0317-8471, 08-15, 0123-4567, 00 12 34, 001-12-34",
    "std::vector<int> x{1, 2};",
    '{"model":"m","max_tokens":4096,"messages":[]}',
]


@pytest.mark.parametrize(("text", "redacted"), MASKED)
def test_values_become_marks(text: str, redacted: str) -> None:
    assert redact(text) == redacted
    assert redact(f"before {text} after") == f"before {redacted} after" or redacted.endswith("[key]")


@pytest.mark.parametrize("text", KEPT)
def test_what_only_looks_like_one_stays(text: str) -> None:
    assert redact(text) == text


@pytest.mark.parametrize(("text", "redacted"), MASKED[:-1])
def test_json_stays_json(text: str, redacted: str) -> None:
    assert json.loads(redact(json.dumps({"a": text}, ensure_ascii=False)))["a"].count("[") >= redacted.count("[")


@given(st.text())
def test_any_text_comes_back(text: str) -> None:
    assert isinstance(redact(text), str)


words = st.sampled_from(
    ["the ", "quick\n", "brown fox, ", "4711 ", "ada@example.com ", "4111 1111 1111 1111 ", "+49 30 1234567. "]
)


@given(st.lists(words, max_size=80), st.lists(st.integers(1, 60), min_size=1))
def test_pieces_give_what_the_whole_gives(found: list[str], sizes: list[int]) -> None:
    text, out, at = "".join(found), "", 0
    redactor = StreamRedactor()
    for number in range(len(text)):
        if at >= len(text):
            break
        size = sizes[number % len(sizes)]
        out += redactor.feed(text[at : at + size])
        at += size
    assert out + redactor.end() == redact(text)


def test_a_key_in_many_pieces() -> None:
    redactor = StreamRedactor()
    text = "here: -----BEGIN PRIVATE KEY-----\n" + "QUJD REVG\n" * 500 + "-----END PRIVATE KEY-----\nthat was it"
    out = "".join(redactor.feed(text[at : at + 7]) for at in range(0, len(text), 7)) + redactor.end()
    assert out == "here: [key]\nthat was it"


def test_what_is_held_back_is_bounded() -> None:
    redactor = StreamRedactor()
    given = out = 0
    for _ in range(1000):
        out += len(redactor.feed("some words, "))
        given += len("some words, ")
        assert given - out <= 3 * HOLD
