"""Readers without the raw right, through real gates, auditors and rclone, with the clients that users have (ZT-14)."""

import io
import random
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from botocore.exceptions import ClientError

from cloister.masking import BLOCK, Format, Kind, Masker
from cloister.zones import Component
from tests.gate.specs import deployment, example
from tests.store.chain import Chain, running_chain, spiffe

DATA = Component.TRAINING_DATA
PREFIX = "corpora/support/"
INGEST, RAW, SHY, PARTLY = (spiffe("etl", name) for name in ("ingest", "raw", "shy", "partly"))
MAIL, CARD = "ada.lovelace@example.com", "4111 1111 1111 1111"
TEXT = f"Grüße an {MAIL}, card {CARD}, order 4711.\n".encode()


def spec() -> dict[str, Any]:
    """The example, with two readers of the data, and training that sees no e-mail addresses."""
    found = example("support-bot")
    one = {"namespace": "etl", "prefixes": ["corpora/"]}
    found["storage"]["trainingData"]["readers"] = [
        one | {"serviceAccount": "raw", "raw": True},
        one | {"serviceAccount": "shy"},
    ]
    found["training"]["mask"] = ["email"]
    return found


@pytest.fixture(scope="module")
def chain() -> Iterator[Chain]:
    with running_chain(deployment(spec())) as found:
        yield found


@pytest.fixture(scope="module")
def put(chain: Chain) -> Any:
    """Puts an object as the ingest job does."""
    client = chain.client(DATA, INGEST)

    def work(name: str, body: bytes, **more: Any) -> str:
        client.put_object(Bucket=str(DATA), Key=PREFIX + name, Body=body, **more)
        return PREFIX + name

    return work


@pytest.fixture(scope="module")
def shy(chain: Chain) -> Any:
    """boto3 of a reader without the raw right."""
    return chain.client(DATA, SHY)


def got(client: Any, key: str, **more: Any) -> Any:
    answer = client.get_object(Bucket=str(DATA), Key=key, **more)
    return answer | {"Body": answer["Body"].read()}


def masked(data: bytes, form: Format = Format.TEXT) -> bytes:
    masker = Masker(form, frozenset(Kind))
    return masker.feed(data) + masker.finish()


def code(call: Any, **arguments: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    return str(caught.value.response["Error"]["Code"])


def test_each_reader_sees_what_it_may(chain: Chain, put: Any, shy: Any) -> None:
    key = put("a.txt", TEXT)
    assert got(chain.client(DATA, RAW), key)["Body"] == TEXT
    assert (
        got(shy, key)["Body"]
        == masked(TEXT)
        == TEXT.replace(MAIL.encode(), b"*" * 24).replace(CARD.encode(), b"*" * 19)
    )
    assert got(chain.training(), key)["Body"] == TEXT.replace(MAIL.encode(), b"*" * 24)
    with chain.files().open(f"{DATA}/{key}") as file:
        assert MAIL.encode() not in file.read()


def test_the_record_tells_what_was_masked(chain: Chain, put: Any, shy: Any) -> None:
    answer = got(shy, put("record.txt", TEXT))
    outcome = chain.auditors[DATA].outcome(answer["ResponseMetadata"]["HTTPHeaders"]["x-amz-request-id"])
    assert outcome["masked"] == {"email": 1, "card": 1}
    assert outcome["bytes"] == len(TEXT)


def test_sizes_and_lists_are_true_and_digests_are_gone(chain: Chain, put: Any, shy: Any) -> None:
    key = put("size.txt", TEXT)
    raw = chain.client(DATA, RAW).head_object(Bucket=str(DATA), Key=key)
    head = shy.head_object(Bucket=str(DATA), Key=key)
    answer = got(shy, key)
    (listed,) = shy.list_objects_v2(Bucket=str(DATA), Prefix=key)["Contents"]
    assert head["ContentLength"] == answer["ContentLength"] == listed["Size"] == len(TEXT) == raw["ContentLength"]
    assert head["ETag"] == answer["ETag"] == listed["ETag"] != raw["ETag"]
    assert not [name for name in answer if name.startswith("Checksum")]


def test_conditions_are_about_the_masked_form(chain: Chain, put: Any, shy: Any) -> None:
    key = put("condition.txt", TEXT)
    etag, raw = (got(client, key)["ETag"] for client in (shy, chain.client(DATA, RAW)))
    assert got(shy, key, IfMatch=etag)["Body"] == masked(TEXT)
    assert code(shy.get_object, Bucket=str(DATA), Key=key, IfMatch=raw) == "PreconditionFailed"
    assert code(shy.get_object, Bucket=str(DATA), Key=key, IfNoneMatch=etag) == "304"
    assert got(shy, key, IfNoneMatch=raw)["Body"] == masked(TEXT)


def test_any_range_of_a_large_object(chain: Chain, put: Any, shy: Any) -> None:
    source = random.Random(4711)
    words = [MAIL, CARD, "weather", "4711", "Grüße", "\n", "203.0.113.77", "x" * 300]
    data = " ".join(source.choices(words, k=60_000)).encode()
    assert len(data) > 4 * BLOCK
    key, whole = put("large.txt", data), masked(data)
    assert got(shy, key)["Body"] == whole
    edges = [0, 1, BLOCK - 3, BLOCK, BLOCK + 3, 2 * BLOCK - 1, len(data) - 1]
    ranges = [(start, min(len(data), start + length)) for start in edges for length in (1, 10, 2 * BLOCK)]
    for _ in range(10):
        start, stop = sorted(source.sample(range(len(data)), 2))
        ranges.append((start, stop))
    for start, stop in ranges:
        answer = got(shy, key, Range=f"bytes={start}-{stop - 1}")
        assert answer["Body"] == whole[start:stop], (start, stop)
        assert answer["ContentRange"] == f"bytes {start}-{stop - 1}/{len(data)}"
    assert got(shy, key, Range="bytes=-20")["Body"] == whole[-20:]
    assert got(shy, key, Range=f"bytes={len(data) - 5}-")["Body"] == whole[-5:]
    assert code(shy.get_object, Bucket=str(DATA), Key=key, Range=f"bytes={len(data)}-") == "InvalidRange"


def test_an_empty_object(put: Any, shy: Any) -> None:
    assert got(shy, put("empty.txt", b""))["Body"] == b""


def test_json_lines_hide_nothing_behind_escapes(put: Any, shy: Any) -> None:
    body = rb'{"text": "write to ada\u0040example.com", "card": 4111111111111111}' + b"\n"
    found = got(shy, put("a.jsonl", body * 100))["Body"]
    assert found == masked(body * 100, Format.JSON)
    assert b"example" not in found
    assert b"4111" not in found


def test_parquet_is_read_as_usual(chain: Chain, put: Any, shy: Any) -> None:
    buffer = io.BytesIO()
    table = pa.table({"mail": [MAIL] * 1000, "n": list(range(1000)), "card": [4111111111111111] * 1000})
    pq.write_table(table, buffer, row_group_size=300)
    key = put("a.parquet", buffer.getvalue())
    assert pq.read_table(io.BytesIO(got(chain.client(DATA, RAW), key)["Body"])) == table
    answer = got(shy, key)
    found = pq.read_table(io.BytesIO(answer["Body"]))
    assert found["mail"].unique().to_pylist() == ["*" * len(MAIL)]
    assert found["card"].unique().to_pylist() == [9999999999999999]
    assert found["n"] == table["n"]
    outcome = chain.auditors[DATA].outcome(answer["ResponseMetadata"]["HTTPHeaders"]["x-amz-request-id"])
    assert outcome["masked"] == {"email": 1000, "card": 1000}
    head = shy.head_object(Bucket=str(DATA), Key=key)
    assert head["ContentLength"] == len(answer["Body"])
    assert got(shy, key, Range="bytes=-8")["Body"] == answer["Body"][-8:]
    assert got(shy, key, Range="bytes=10-99")["Body"] == answer["Body"][10:100]
    # By ranges, as data frames read it; training sees only addresses masked.
    with chain.files().open(f"{DATA}/{key}") as file:
        columns = pq.ParquetFile(file).read(["mail", "card"])
    assert columns["mail"].unique().to_pylist() == ["*" * len(MAIL)]
    assert columns["card"].unique().to_pylist() == [4111111111111111]


@pytest.mark.parametrize(
    ("name", "body", "more"),
    [
        ("model.gguf", b"GGUF\0", {}),
        ("a.txt.gz", b"\x1f\x8b\x08\0", {}),
        ("image.png", b"\x89PNG\r\n", {}),
        ("no-ending", TEXT, {}),
        ("binary.txt", b"\0\1\2", {}),
        ("utf16.txt", "hello".encode("utf-16"), {}),
        ("encoded.txt", TEXT, {"ContentEncoding": "gzip"}),
        ("no.parquet", b"PAR1 but no more", {}),
        ("late.txt", b"text " * 30_000 + b"\xff\xfe", {}),
    ],
)
def test_what_can_not_be_masked_is_for_readers_of_raw_data(
    chain: Chain, put: Any, shy: Any, name: str, body: bytes, more: dict[str, str]
) -> None:
    key = put(name, body, **more)
    assert got(chain.client(DATA, RAW), key)["Body"] == body
    assert code(shy.get_object, Bucket=str(DATA), Key=key) == "AccessDenied"
    assert code(chain.training().get_object, Bucket=str(DATA), Key=key) == "AccessDenied"


def test_a_binary_part_far_inside_ends_the_answer(put: Any, shy: Any) -> None:
    """What was sent by then was masked; nothing of the rest is."""
    body = b"text " * BLOCK + b"\0" + MAIL.encode()
    key = put("far.txt", body)
    with pytest.raises(Exception, match=r"(?i)connection|incomplete|bytes|read"):
        got(shy, key)


def test_an_object_that_is_not_there(put: Any, shy: Any) -> None:
    assert code(shy.get_object, Bucket=str(DATA), Key=PREFIX + "none.txt") == "NoSuchKey"
    assert code(shy.head_object, Bucket=str(DATA), Key=PREFIX + "none.txt") == "404"
