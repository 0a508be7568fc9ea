"""Looking where hints are finds exactly what looking everywhere finds."""

import random
from concurrent.futures import ThreadPoolExecutor

import pytest
from faker import Faker
from hypothesis import given, settings
from hypothesis import strategies as st

from cloister.masking import Kind, Masker, Unmaskable, find
from cloister.masking.detect import find_closely
from cloister.masking.formats import Format
from cloister.masking.hints import LEAD, MOST, hints
from tests.bench.masking.documents import documents

PADDING = b"The quick brown fox jumps over the lazy dog, and waits until noon. " * 64
"""Longer than what is worth asking hints about, and without any."""
PIECES = [
    "ada.lovelace@example.com", "a@b", "@", "x" * 80 + "@example.org", "1" * 70 + "@example.org", "grüße@münchen.de",
    "a@b@c.example", "+49 30 1234567", "(030) 1234567", "415-555-2671", "0711 1234567", "01 23 45 67 89",
    "1-415.555.2671", "001-415-555-2671x1234", "415-555-2671 ext. 12", "(415)555-2671x1", "+1 415 555 2671x99",
    "0049 30 1234567", "0049 30/123-4567", "(05684) 81450", "010-4876051", "0113-833252",
    "4111 1111 1111 1111", "4111111111111111", "378282246310005", "3782 822463 10005", "99994111111111111111", "1" * 40,
    "DE89 3704 0044 0532 0130 00", "GB29NWBK60161331926819", "078-05-1120", "203.0.113.77", "1.2.3.4.5", "fe80::1",
    "2001:db8:0:0:0:0:0:1", "12:34:56", "AKIAIOSFODNN7EXAMPLE", "ghp_" + "a1" * 18, "sk-" + "Ab1" * 10,
    "github_pat_" + "a" * 30, "pypi-" + "b" * 60, "xoxb-123456789012-abcdef", "AIza" + "c" * 35, "glpat-" + "d" * 22,
    "rk_live_" + "e" * 24, "hf_" + "f" * 34, "npm_" + "g" * 36, "Bearer abcdefghijklmnop1234",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abc-_", 'password = "hunter2hunter2"', "API_KEY: sk1234567890",
    "passphrase:=correcthorse", "auth-token=ada@example.com", r"secret\": \"abcdefgh12345678",
    "-----BEGIN PRIVATE KEY-----\nMII\n-----END PRIVATE KEY-----", "-----BEGIN CERTIFICATE-----",
    "4111\u00a01111\u202f1111\u20091111", "3782\u2011822463\u201010005",
    "LC55HEMM\u00a0AAAA\u00a00001 0001",
    "DE89\u00a03704\u00a00044\u00a00532\u00a00130\u00a000", "078\u201105\u20131120",
    "+49\u202f30\u2007\u00a01234567", "(030)\u00a01234567", "415\u2011555\u20122671",
    "01\u00a023\u00a045\u00a067\u00a089", "0049\u00a030\u00a01234567", "0113\u2011833252", "Password:\thunter2hunter2",
    "**password**:\u00a0hunter2hunter2", "| password |  hunter2hunter2 |",
    "secret" + " " * 20 + "|" + " " * 18 + "abcdefg1",
    "api_key=os.environ[x]", "password == confirm_password", "a::b::c", "::", "+2024-05-01", "0644 1000 1000",
    "\t", "|", "\u00a0", "\u2011", "\u2028", "*", "`",
    " ", ",", ";", "\n", "\\n", "<", ">", "[", "]", ".", "-", "/", "0", "7", "x", "\"", "日本",
]  # fmt: skip
KINDS = st.sampled_from([None, *(frozenset({kind}) for kind in Kind), frozenset(Kind) - {Kind.EMAIL}])


def same(data: bytes, kinds: frozenset[Kind] | None) -> None:
    assert find(data, kinds) == find_closely(data, kinds)
    assert find(data, kinds, 7) == find_closely(data, kinds, 7)


@settings(max_examples=400, deadline=None)
@given(st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=12)), max_size=30), KINDS, st.booleans())
def test_in_text_that_is_full_of_them(pieces: list[str], kinds: frozenset[Kind] | None, first: bool) -> None:
    text = "".join(pieces).encode("utf-8", "surrogatepass")
    same(text + PADDING if first else PADDING + text, kinds)


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="0123456789+-. :/()@aAfF\n,\u00a0\u2011\t", max_size=400), KINDS)
def test_in_numbers(text: str, kinds: frozenset[Kind] | None) -> None:
    same(text.encode() + PADDING, kinds)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=600), st.lists(st.sampled_from(PIECES), max_size=6))
def test_in_any_bytes(noise: bytes, pieces: list[str]) -> None:
    half = len(noise) // 2
    same(noise[:half] + "".join(pieces).encode() + noise[half:] + PADDING, None)


def test_in_documents_as_people_write_them() -> None:
    chance = random.Random(4711)
    texts = [document.text for document in documents(800, 4711)]
    for separator in ("\n", " ", ", "):
        data = separator.join(texts).encode()
        same(data, None)
        for _ in range(20):
            start = chance.randrange(len(data))
            same(data[start : start + 10_000], None)


@pytest.mark.parametrize("locale", ["en_US", "de_DE", "ja_JP", "ar_AA"])
def test_in_prose(locale: str) -> None:
    fake = Faker(locale)
    fake.seed_instance(4711)
    data = "\n".join(f"{fake.paragraph()} {fake.phone_number()} {fake.email()}" for _ in range(200)).encode()
    same(data, None)


@pytest.mark.parametrize("piece", PIECES)
def test_each_form_has_its_hint(piece: str) -> None:
    for before in (b"", b"x", b"1", b",", b" ", b"\\n", b"1 ", b"@", b"."):
        data = PADDING + before + piece.encode()
        same(data, None)
        same(data[LEAD // 2 :] + b",", None)


def test_more_hints_than_are_worth_it() -> None:
    data = b"10.0.0.1 x@y.example 4111111111111111 " * MOST
    assert hints(data, None).ends is None
    same(data, None)


def test_two_threads_do_not_share_their_room() -> None:
    data = (PADDING + b"4111 1111 1111 1111, ada@example.com 203.0.113.77\n") * 200
    wanted = find_closely(data)
    with ThreadPoolExecutor(4) as threads:
        assert all(found == wanted for found in threads.map(lambda _: find(data), range(16)))


@pytest.mark.parametrize("control", [*range(8), *range(14, 27), *range(28, 32), 127])
def test_every_control_character_is_seen(control: int) -> None:
    masker = Masker(Format.TEXT, frozenset(Kind))
    masker.feed(PADDING + bytes([control]) + PADDING)
    with pytest.raises(Unmaskable, match="control"):
        masker.finish()


def test_those_that_text_has_are_none() -> None:
    text = bytes([*range(8, 14), 27]) + PADDING
    masker = Masker(Format.TEXT, frozenset(Kind))
    assert masker.feed(text) + masker.finish() == text
