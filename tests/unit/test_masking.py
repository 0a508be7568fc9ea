"""Masked reads: nothing that is found remains, nothing else changes, and any range is that of the whole (ZT-14)."""

import csv
import io
import json
import math
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from faker import Faker
from hypothesis import given, settings
from hypothesis import strategies as st

from cloister.masking import BLOCK, CONTEXT, Format, Kind, Masker, Unmaskable, around, find, format_of, mask_block
from cloister.masking.parquet import mask_parquet

ALL = frozenset(Kind)
SECRETS = ["AKIAIOSFODNN7EXAMPLE", "ghp_" + "a1" * 18, "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abc-_defgh"]
VALUES = {
    Kind.EMAIL: "ada.lovelace@example.com",
    Kind.PHONE: "+49 30 1234567",
    Kind.CARD: "4111 1111 1111 1111",
    Kind.IBAN: "DE89 3704 0044 0532 0130 00",
    Kind.SSN: "078-05-1120",
    Kind.IP: "203.0.113.77",
    Kind.SECRET: SECRETS[0],
}


def masked(data: bytes, form: Format = Format.TEXT, kinds: frozenset[Kind] = ALL) -> bytes:
    masker = Masker(form, kinds)
    return masker.feed(data) + masker.finish()


def ranged(data: bytes, start: int, stop: int, form: Format = Format.TEXT) -> bytes:
    """As a store's auditor reads a range: only what :func:`around` asks for."""
    first, last = around(start, stop)
    window, out = data[first:last], []
    at = start - start % BLOCK
    while at < stop:
        low, high = max(0, at - CONTEXT), at + BLOCK + CONTEXT
        view = window[low - first : high - first]
        begin = at - low
        out.append(mask_block(view, begin, begin + BLOCK, form, ALL))
        at += BLOCK
    whole = b"".join(out)
    offset = start - start % BLOCK
    return whole[start - offset : stop - offset]


@pytest.mark.parametrize("kind", Kind)
def test_only_the_kinds_that_are_asked_for(kind: Kind) -> None:
    text = " and ".join(VALUES.values()).encode()
    out = masked(text, kinds=frozenset({kind}))
    for other, value in VALUES.items():
        assert (value.encode() in out) is (other is not kind), other


@pytest.mark.parametrize("value", [*VALUES.values(), *SECRETS[1:]])
def test_a_value_is_gone_and_the_rest_is_not(value: str) -> None:
    text = f"Grüße: {value}, und mehr".encode()
    out = masked(text)
    assert out == text.replace(value.encode(), b"*" * len(value.encode()))


@pytest.mark.parametrize(
    "text",
    [
        'password = "hunter2hunter2"',
        "API_KEY: sk1234567890",
        '{"client_secret": "abcdefgh12345678"}',
        "export AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG",
    ],
)
def test_of_an_assignment_the_value_alone(text: str) -> None:
    out = masked(text.encode()).decode()
    name, mask = out[: out.index("*")], out[out.index("*") :]
    assert text.startswith(name)
    assert len(mask.strip('"}')) >= 8
    assert set(mask.strip('"}')) == {"*"}


WIDE = [
    "4111\u00a01111\u00a01111\u00a01111",
    "4111\u202f1111\u20091111\u20071111",
    "4111\u20111111\u20101111\u20131111",
    "078\u201105\u20111120",
    "DE89\u00a03704\u00a00044\u00a00532\u00a00130\u00a000",
    "+49\u202f30\u202f1234567",
    "(415)\u00a0555\u20112671",
    "415\u2012555\u20132671",
    "01\u00a023\u00a045\u00a067\u00a089",
    "0113\u2011833252",
]
"""Printed so that no line breaks in them."""


@pytest.mark.parametrize("value", WIDE)
def test_gaps_that_do_not_break_hide_nothing(value: str) -> None:
    for before, after in (("", ""), ("No\u00a0", "\u00a0is it"), ("(", ")"), ("x\u202f", "\u202f")):
        text = f"{before}{value}{after}".encode()
        assert masked(text) == text.replace(value.encode(), b"*" * len(value.encode()))
        escaped = json.dumps({"a": f"{before}{value}{after}", "b": "c"}).encode()
        out = masked(escaped, Format.JSON)
        assert len(out) == len(escaped)
        said = json.loads(out)["a"]
        assert said == before + "*" * (len(said) - len(before + after)) + after
        assert json.loads(out)["b"] == "c"


@pytest.mark.parametrize(
    "text",
    [
        "password:\u00a0Hunter2Hunter2",
        "Password:\tHunter2Hunter2",
        "**password**: Hunter2Hunter2",
        "**Password:** Hunter2Hunter2",
        "`password`: `Hunter2Hunter2`",
        "| password | Hunter2Hunter2 |",
        "| api_key      | Hunter2Hunter2 |",
        "password = os_Hunter2Hunter2",
        "password == 'Hunter2Hunter2'",
        "password=Hunter2Hunter2[1]",
    ],
)
def test_a_secret_is_found_however_it_is_written_down(text: str) -> None:
    assert "Hunter2" not in masked(text.encode()).decode()


@pytest.mark.parametrize(
    "text",
    [
        'api_key=os.environ["OPENAI_API_KEY"]',
        'OpenAI(api_key=os.getenv("OPENAI_API_KEY"))',
        "apiKey: process.env.OPENAI_API_KEY,",
        "if password == confirm_password:",
        "password: Optional[str] = None",
        "password = getpass.getpass()",
        "let secret = self.secret.clone();",
        "secret = kubernetes.client.V1Secret(metadata=m)",
        "| password | required |",
        "std::vector<a::b>",
        "A::B::new()",
        "use crate::fade::add;",
        "+2024-05-01 Released",
        "+20240501",
        "+2024-05-01 12:30",
        "0644 1000 1000",
    ],
)
def test_code_is_left_as_it_is(text: str) -> None:
    assert masked(text.encode()).decode() == text


@pytest.mark.parametrize("text", ["fe80::1", "addr:fe80::1", "2001:db8::ff00:42", "::ffff:1", "+20 2 24050112"])
def test_what_is_like_code_is_found(text: str) -> None:
    # An address that begins with two colons is the rest of one, as before.
    assert ("*" in masked(text.encode()).decode()) is (not text.startswith("::"))


def test_a_number_that_is_followed_by_another() -> None:
    assert masked(b"4111 1111 1111 1111 12 pieces") == b"*" * 19 + b" 12 pieces"
    assert masked(b"no 12 4111 1111 1111 1111") == b"no 12 " + b"*" * 19
    assert masked(b"XX11 4111 1111 1111 1111") == b"XX11 " + b"*" * 19


def test_a_run_of_digits_takes_no_longer_than_its_length() -> None:
    """Otherwise this test would not end within its time."""
    assert masked(b"1" * 300_000) == b"1" * 300_000
    assert masked(b"1 " * 300_000) == b"1 " * 300_000


# --- any split, any range


def words() -> st.SearchStrategy[bytes]:
    """Documents with values in them, here and there long enough for several blocks."""
    values = [*VALUES.values(), *SECRETS, "über ", "weather ", "4711, ", "x" * 500 + " ", "日本語 " * 40]
    piece = st.sampled_from(values).map(lambda text: f"{text}\n".encode())
    return st.tuples(st.lists(piece, min_size=1, max_size=40), st.integers(1, 40)).map(
        lambda found: b"".join(found[0]) * (1 + found[1] * (BLOCK // 4) // (40 * len(b"".join(found[0]))))
    )


@settings(max_examples=40, deadline=None)
@given(words(), st.lists(st.integers(1, 3 * BLOCK // 2), min_size=1, max_size=6))
def test_any_split_gives_the_whole(data: bytes, sizes: list[int]) -> None:
    masker, out, at, turn = Masker(Format.TEXT, ALL), b"", 0, 0
    while at < len(data):
        size = sizes[turn % len(sizes)]
        out += masker.feed(data[at : at + size])
        at, turn = at + size, turn + 1
    out += masker.finish()
    assert out == masked(data)
    assert len(out) == len(data)
    assert not find(out)


@settings(max_examples=60, deadline=None)
@given(words(), st.data())
def test_any_range_is_that_of_the_whole(data: bytes, draw: st.DataObject) -> None:
    start = draw.draw(st.integers(0, len(data) - 1))
    stop = draw.draw(st.integers(start + 1, len(data)))
    assert ranged(data, start, stop) == masked(data)[start:stop]


@pytest.mark.parametrize("value", [*VALUES.values(), *SECRETS[1:]])
def test_across_the_border_of_two_blocks(value: str) -> None:
    text = value.encode()
    for before in (1, len(text) // 2, len(text) - 1):
        data = b"a " * ((BLOCK - before) // 2) + b"b" * ((BLOCK - before) % 2) + b" " + text + b" z" * 100
        assert text not in masked(data)
        assert not find(masked(data))


def test_a_key_across_blocks_is_hidden_line_by_line() -> None:
    body = ("MIIEpAIBAAKCAQEA" * 4 + "\n") * 150
    key = f"-----BEGIN RSA PRIVATE KEY-----\n{body}-----END RSA PRIVATE KEY-----\n".encode()
    for before in (10, len(key) // 2, len(key) - 10):
        out = masked(b"word " * ((BLOCK - before) // 5) + key + b"more text\n")
        assert b"MIIE" not in out
        assert out.endswith(b"more text\n")


# --- JSON and CSV


texts = st.sampled_from([*VALUES.values(), *SECRETS, "plain", 'with "quotes" and \\ more', "zwei\nZeilen", "日本"])
documents = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.just(4111111111111111), st.just(5500000000000004.0), texts),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["a", "text", "password"]), inner),
    max_leaves=12,
)


def shape(value: Any) -> Any:
    match value:
        case dict():
            return {key: shape(item) for key, item in value.items()}
        case list():
            return [shape(item) for item in value]
    return type(value).__name__


@settings(max_examples=150, deadline=None)
@given(documents, st.booleans())
def test_json_stays_json_of_the_same_shape(document: Any, ascii_only: bool) -> None:
    data = json.dumps(document, ensure_ascii=ascii_only).encode()
    out = masked(data, Format.JSON)
    assert len(out) == len(data)
    assert shape(json.loads(out)) == shape(document)
    found = json.dumps(json.loads(out), ensure_ascii=False)
    assert not [value for value in [*VALUES.values(), *SECRETS] if value in found]


def test_an_escape_hides_nothing() -> None:
    for text in (r"ada\u0040example.com", r"\u0061da@example\u002ecom", r"4111\u00201111\u00201111\u00201111"):
        data = b'{"a": "' + text.encode() + b'", "b": "c"}'
        out = masked(data, Format.JSON)
        assert json.loads(out)["a"].strip("*") == ""
        assert json.loads(out)["b"] == "c"


def test_a_number_in_json_stays_one() -> None:
    assert json.loads(masked(b'{"card": 4111111111111111, "n": 7}', Format.JSON)) == {"card": 9999999999999999, "n": 7}


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(texts, min_size=3, max_size=3), min_size=1, max_size=8))
def test_csv_keeps_its_columns(rows: list[list[str]]) -> None:
    buffer = io.StringIO()
    csv.writer(buffer).writerows(rows)
    out = masked(buffer.getvalue().encode(), Format.CSV)
    again = list(csv.reader(io.StringIO(out.decode(), newline="")))
    assert [len(row) for row in again] == [3] * len(rows)
    assert not find(out)


# --- documents as people write them


@pytest.mark.parametrize("locale", ["en_US", "de_DE", "fr_FR", "en_GB", "ja_JP"])
def test_generated_people(locale: str) -> None:
    fake = Faker(locale)
    Faker.seed(4711)
    for _ in range(150):
        values = [fake.ascii_safe_email(), fake.ipv4(), fake.credit_card_number("visa16"), fake.iban()]
        text = f"{fake.name()}, {values[0]} ({values[1]}); card {values[2]}. {fake.sentence()} {values[3]}!".encode()
        out = masked(text)
        assert len(out) == len(text)
        for value in values:
            assert value.encode() not in out, value


# --- what can't be masked


@pytest.mark.parametrize(
    ("key", "first", "wanted"),
    [
        ("a/b.txt", b"hello", Format.TEXT),
        ("a/B.JSONL", b"{}", Format.JSON),
        ("a/b.csv", b"a,b", Format.CSV),
        ("a/b.parquet", b"PAR1", Format.PARQUET),
        ("a/b.txt", b"", Format.TEXT),
        ("a/b.txt", b"PK\x03\x04\0\0", None),
        ("a/b.txt", "ä".encode("utf-16"), None),
        ("a/b.parquet", b"hello", None),
        ("a/b.txt", b"PAR1\x15", None),
        ("a/b.txt.gz", b"hello", None),
        ("a/b.png", b"hello", None),
        ("a.txt/b", b"hello", None),
        ("a/b", b"hello", None),
    ],
)
def test_a_format_is_what_name_and_bytes_agree_on(key: str, first: bytes, wanted: Format | None) -> None:
    assert format_of(key, first) is wanted


@pytest.mark.parametrize("bad", [b"\0", b"\x01", b"\xff", b"\xc3(", "ä".encode("latin-1") + b"b"])
def test_a_binary_part_is_never_passed_however_late(bad: bytes) -> None:
    masker = Masker(Format.TEXT, ALL)
    assert masker.feed(b"text " * BLOCK)
    with pytest.raises(Unmaskable):
        masker.feed(b"text" + bad + b"x" * 2 * BLOCK)


# --- Parquet


def table() -> pa.Table:
    mail = VALUES[Kind.EMAIL]
    return pa.table(
        {
            "text": [f"write to {mail}", None, "nothing"],
            "card": pa.array([4111111111111111, 4711, None], pa.int64()),
            "score": [0.5, 1.5, 2.5],
            "list": [[mail, "x"], [], None],
            "struct": [{"mail": mail, "n": 1}, {"mail": None, "n": 2}, None],
            "kind": pa.array([mail, "b", mail]).dictionary_encode(),
            "map": pa.array([[("a", mail)], [], None], pa.map_(pa.string(), pa.string())),
        }
    )


def through(found: pa.Table, *, kinds: frozenset[Kind] = ALL, **options: Any) -> bytes:
    source, target = io.BytesIO(), io.BytesIO()
    pq.write_table(found, source, **options)
    source.seek(0)
    mask_parquet(source, target, kinds)
    assert len(target.getvalue()) >= len(source.getvalue())
    return target.getvalue()


def test_parquet_keeps_its_columns_and_loses_its_values() -> None:
    before = table()
    data = through(before.replace_schema_metadata({"pandas": VALUES[Kind.EMAIL]}), row_group_size=2)
    after = pq.read_table(io.BytesIO(data))
    assert after.schema.equals(before.schema)
    assert VALUES[Kind.EMAIL].encode() not in data
    assert VALUES[Kind.EMAIL] not in str(after.to_pylist())
    assert after["card"].to_pylist() == [9999999999999999, 4711, None]
    assert after["score"] == before["score"]
    assert after["text"].to_pylist() == ["write to " + "*" * 24, None, "nothing"]
    assert [value and [len(item) for item in value] for value in after["list"].to_pylist()] == [[24, 1], [], None]


def test_parquet_loses_what_is_said_of_its_columns() -> None:
    """Comments on columns, and on what lies in them: whoever wrote them may have quoted a value."""
    said = {"comment": "x" * 200 + VALUES[Kind.EMAIL]}
    inner = pa.field("inner", pa.string(), metadata=said)
    kinds = [
        pa.string(),
        pa.struct([inner]),
        pa.list_(inner),
        pa.large_list(inner),
        pa.map_(pa.field("key", pa.string(), nullable=False, metadata=said), inner),
    ]
    values = ["a", {"inner": "a"}, ["a"], ["a"], [("k", "a")]]
    schema = pa.schema([pa.field(f"c{n}", kind, metadata=said) for n, kind in enumerate(kinds)])
    columns = [pa.array([value], kind) for value, kind in zip(values, kinds, strict=True)]
    data = through(pa.Table.from_arrays(columns, schema=schema))
    after = pq.read_table(io.BytesIO(data))
    assert list(after.to_pylist()[0].values()) == values
    assert VALUES[Kind.EMAIL] not in after.schema.to_string(truncate_metadata=False)
    assert VALUES[Kind.EMAIL].encode() not in data


WHOLE = [4111111111111111, 4111111111111112, 4711, None]
"""A card, none because of its check digit, none because it is too short, nothing."""


@pytest.mark.parametrize(
    "kind",
    [
        pa.int64(),
        pa.uint64(),
        pa.decimal64(16),
        pa.decimal128(16),
        pa.decimal128(20, 0),
        pa.decimal128(20, 2),
        pa.decimal256(40, 4),
    ],
    ids=str,
)
def test_a_card_kept_as_a_whole_number(kind: pa.DataType) -> None:
    column = pa.array(WHOLE, pa.int64()).cast(kind, safe=False) if pa.types.is_integer(kind) else decimals(kind)
    after = pq.read_table(
        io.BytesIO(through(pa.table({"a": column, "b": pa.array([[one] for one in column], pa.list_(kind))})))
    )
    assert after["a"].type == kind
    assert after["a"].to_pylist() == [9999999999999999, *WHOLE[1:]]
    assert after["b"].to_pylist() == [[value] for value in after["a"].to_pylist()]


def decimals(kind: pa.DataType) -> pa.Array:
    return pa.array([value if value is None else Decimal(value) for value in WHOLE], kind)


def test_a_card_kept_as_a_fraction() -> None:
    """As pandas keeps whole numbers of which some are missing."""
    plain = [4111111111111112.0, 0.5, -0.0, float("inf"), 1e300, None]
    after = pq.read_table(
        io.BytesIO(
            through(
                pa.table(
                    {
                        "a": pa.array([4111111111111111.0, 378282246310005.0, *plain], pa.float64()),
                        "b": pa.array(
                            [[4111111111111111.0, one] for one in [0.5, *plain, 2.0]], pa.list_(pa.float64())
                        ),
                        "c": pa.array([{"card": 4111111111111111.0}] * 8),
                        "d": pa.array([float("nan")] * 8),
                    }
                )
            )
        )
    )
    nines = float("9" * 16)
    assert after["a"].type == pa.float64()
    assert after["a"].to_pylist() == [nines, 999999999999999.0, *plain]
    assert after["b"].to_pylist() == [[nines, one] for one in [0.5, *plain, 2.0]]
    assert after["c"].to_pylist() == [{"card": nines}] * 8
    assert all(map(math.isnan, after["d"].to_pylist()))


def test_cards_stay_where_they_are_not_among_the_kinds() -> None:
    found = pa.table({"a": [4111111111111111.0], "b": [[4111111111111111.0]], "c": [Decimal(4111111111111111)]})
    assert pq.read_table(io.BytesIO(through(found, kinds=ALL - {Kind.CARD}))) == found


def test_each_value_counts_as_often_as_it_is_there() -> None:
    source = io.BytesIO()
    pq.write_table(table(), source)
    found = mask_parquet(source, io.BytesIO(), ALL)
    assert found == {"email": 1 + 1 + 1 + 2 + 1, "card": 1}


def test_a_disk_that_is_full_is_no_fault_of_the_file() -> None:
    source = io.BytesIO()
    pq.write_table(table(), source)
    with Path("/dev/full").open("r+b", buffering=0) as full, pytest.raises(OSError, match="space"):
        mask_parquet(source, full, ALL)


def test_a_copy_that_would_be_smaller_is_not() -> None:
    found = pa.table({"text": [f"{VALUES[Kind.EMAIL]} {number}" for number in range(5000)]})
    source = io.BytesIO()
    pq.write_table(found, source, compression="none", use_dictionary=False)
    assert len(through(found, compression="none", use_dictionary=False)) == len(source.getvalue())


def test_the_same_object_gives_the_same_bytes() -> None:
    assert through(table()) == through(table())


@pytest.mark.parametrize(
    "column",
    [pa.array([b"bytes"]), pa.array([[b"x"]]), pa.array([b"ab"], pa.binary(2))],
    ids=["bytes", "lists of bytes", "bytes of one length"],
)
def test_columns_that_cannot_be_masked(column: Any) -> None:
    with pytest.raises(Unmaskable, match="can't be masked"):
        through(pa.table({"a": column}))


def test_what_is_no_parquet() -> None:
    with pytest.raises(Unmaskable):
        mask_parquet(io.BytesIO(b"PAR1 and no more"), io.BytesIO(), ALL)


def test_a_name_of_a_column_that_is_a_value() -> None:
    with pytest.raises(Unmaskable, match="name"):
        through(pa.table({VALUES[Kind.EMAIL]: ["a"]}))
