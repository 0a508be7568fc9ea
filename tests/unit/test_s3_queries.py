"""Queries to stores are read in one way or not at all."""

import base64
import zlib
from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cloister import objectkeys, sidecar
from cloister.auditor.http.messages import Request
from cloister.auditor.refusal import Refusal
from cloister.auditor.s3 import documents, keys, wire
from cloister.auditor.s3.checksums import Verifier
from cloister.auditor.s3.chunks import Dechunker
from cloister.auditor.s3.queries import Query, parse
from cloister.auditor.s3.rights import Rights
from cloister.auditor.s3.uploads import IDLE_SECONDS, MOST, Uploads
from cloister.cli.data import places
from cloister.cli.errors import UserError
from cloister.s3 import OPERATIONS, Level, Operation

ME = "spiffe://cluster.local/ns/a/sa/b"
RIGHTS = Rights(
    [
        sidecar.Bucket(
            name="b",
            access=(
                sidecar.Access(
                    identity=ME,
                    reads=(
                        sidecar.Read(prefixes=("raw/", "both/")),
                        sidecar.Read(prefixes=("hidden/deep/", "both/"), masked=("email", "card")),
                        sidecar.Read(objects=("one.bin",), masked=("ip",)),
                    ),
                    writes=("raw/in/",),
                ),
            ),
        )
    ]
)


def code(target: str, method: str = "GET", headers: dict[bytes, bytes] | None = None) -> str:
    """S3's code of the refusal, or the operation."""
    try:
        query = parse(Request(method, target, headers or {}))
        RIGHTS.permission(ME, query)
    except Refusal as refusal:
        return refusal.code
    return query.name


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_every_operation_has_one_form(operation: Operation) -> None:
    path = {Level.SERVICE: "/", Level.BUCKET: "/b", Level.OBJECT: "/b/k"}[operation.level]
    values = {"list-type": "2", "partNumber": "1", "uploadId": "7", "uploads": "", "delete": ""}
    asked = "&".join(f"{name}={values[name]}" for name in operation.required)
    query = parse(Request(operation.method, f"{path}?{asked}" if asked else path))
    assert query.operation is operation


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
@example("a/../b")
@example("a//b")
@example("‛．")  # noqa: RUF001 - what rclone writes in place of other characters
def test_a_key_that_is_accepted_is_itself_again(key: str) -> None:
    target = "/b/" + keys.escaped(key)
    try:
        bucket, found, query = keys.split(target)
    except Refusal:
        return
    assert (bucket, found, query) == ("b", key, "")
    assert not {"", ".", ".."} & set(found.split("/")) or not key
    assert parse(Request("GET", target)).target == target or not key


@given(st.lists(st.sampled_from(["a", "ä", "/", ".", "..", "\\", "%", "\n", *"‛．␀"]), max_size=6).map("".join))  # noqa: RUF001
@example("a" * 1025)
@example("ä" * 513)
def test_commands_and_stores_refuse_the_same_keys(key: str) -> None:
    def refused(check: Callable[[], object]) -> bool:
        try:
            check()
        except (Refusal, UserError):
            return True
        return False

    assert refused(lambda: keys.checked(key)) == refused(lambda: places.whole(places.place(f"checkpoints/{key}")))
    assert refused(lambda: keys.checked_prefix(key)) == refused(lambda: places.place(f"checkpoints/{key}"))


@given(st.binary(max_size=60).map(lambda tail: "/b/" + tail.decode("latin-1")))
def test_no_target_makes_it_fail_otherwise(target: str) -> None:
    with suppress(Refusal):
        query = parse(Request("GET", target))
        assert parse(Request("GET", query.target)).key == query.key


def test_rights_go_by_prefix_and_the_strictest_mask() -> None:
    def permission(target: str) -> tuple[str, ...]:
        return RIGHTS.permission(ME, parse(Request("GET", target))).masked

    assert permission("/b/raw/x") == ()
    assert permission("/b/hidden/deep/x") == ("card", "email")
    assert permission("/b/both/x") == ("card", "email")
    assert permission("/b/one.bin") == ("ip",)
    assert code("/b/rawx") == code("/b/other") == code("/c/raw/x") == "AccessDenied"
    assert code("/b/raw") == code("/b/hidden") == "NoSuchKey"
    assert code("/b/raw/in/x", "PUT") == "PutObject"
    assert code("/b/raw/x", "PUT") == code("/b/raw/in", "DELETE") == "AccessDenied"


def test_listings_show_only_the_way_down() -> None:
    def folders(prefix: str) -> tuple[str, ...] | None:
        query = parse(Request("GET", f"/b?list-type=2&delimiter=%2F&prefix={prefix}"))
        return RIGHTS.permission(ME, query).folders

    assert folders("") == ("both/", "hidden/", "raw/")
    assert folders("hidden/") == ("hidden/deep/",)
    assert folders("hidden/deep/") is None
    assert code("/b?list-type=2&prefix=hidden/") == "AccessDenied"
    assert code("/b?list-type=2&prefix=other/&delimiter=%2F") == "AccessDenied"
    assert code("/b?list-type=2&prefix=raw/x") == "ListObjectsV2"


@given(st.lists(st.binary(min_size=1, max_size=20), max_size=5), st.integers(1, 7))
def test_chunks_come_out_however_they_arrive(parts: list[bytes], step: int) -> None:
    sent = b"".join(b"%x;chunk-signature=%b\r\n%b\r\n" % (len(part), b"0" * 64, part) for part in parts)
    sent += b"0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n"
    chunks = Dechunker()
    found = b"".join(chunks.feed(sent[at : at + step]) for at in range(0, len(sent), step))
    assert (found, chunks.ended) == (b"".join(parts), True)
    assert chunks.trailers == {b"x-amz-checksum-crc32": b"AAAAAA=="}
    with pytest.raises(Refusal):
        chunks.feed(b"more")


@pytest.mark.parametrize("body", [b"x\r\n", b"5\nhello", b"5\r\nhelloX\r\n", b"0\r\n:\r\n", b"1" * 600, b"-1\r\n"])
def test_chunks_of_another_form(body: bytes) -> None:
    with pytest.raises(Refusal):
        Dechunker().feed(body)


def test_digests_are_compared() -> None:
    value = base64.b64encode(zlib.crc32(b"data").to_bytes(4, "big"))
    good = Verifier({b"x-amz-checksum-crc32": value})
    good.update(b"da")
    good.update(b"ta")
    good.finish({})
    for headers, trailers in (
        ({b"x-amz-checksum-crc32": value}, {}),
        ({b"x-amz-trailer": b"x-amz-checksum-crc32"}, {b"x-amz-checksum-crc32": value}),
        ({b"x-amz-trailer": b"x-amz-checksum-crc32"}, {}),
        ({b"content-md5": b"AAAAAAAAAAAAAAAAAAAAAA=="}, {}),
    ):
        verifier = Verifier(headers)
        verifier.update(b"date")
        with pytest.raises(Refusal):
            verifier.finish(trailers)


def test_documents_are_written_anew() -> None:
    body = b'<Delete xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Object><Key>a&amp;b</Key></Object></Delete>'
    assert documents.deletion(body).keys == ("a&b",)
    assert documents.deletion(documents.deletion(body).document()).keys == ("a&b",)
    part = '<Part><ChecksumCRC32>x</ChecksumCRC32><PartNumber>1</PartNumber><ETag>"e"</ETag></Part>'
    again = documents.completion(f"<CompleteMultipartUpload>{part}</CompleteMultipartUpload>".encode())
    assert b"Checksum" not in again
    assert documents.completion(again) == again


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<Delete/>",
        b"<Delete><Object><Key>a</Key></Object><Object><Key>a</Key></Object></Delete>",
        b"<Delete><Object><Key>a</Key><Key>b</Key></Object></Delete>",
        b"<Delete><Object><Key>a</Key><VersionId>1</VersionId></Object></Delete>",
        b"<Delete><Object><Key>a/../b</Key></Object></Delete>",
        b"<Delete><Object><Key><Key>a</Key></Key></Object></Delete>",
        b"<Delete><Object><Key>a<!-- --></Key></Object></Delete>",
        b"<Delete><Object><Key><![CDATA[a]]></Key></Object></Delete>",
        b'<!DOCTYPE d [<!ENTITY e "a">]><Delete><Object><Key>&e;</Key></Object></Delete>',
        b'<Delete a="b"><Object><Key>a</Key></Object></Delete>',
        b"<Delete>text<Object><Key>a</Key></Object></Delete>",
        b"<Other><Object><Key>a</Key></Object></Other>",
        b'<x:Delete xmlns:x="urn:x"><Object><Key>a</Key></Object></x:Delete>',
    ],
)
def test_documents_of_another_form(body: bytes) -> None:
    with pytest.raises(Refusal):
        documents.deletion(body)


def test_a_document_has_only_so_many_elements() -> None:
    def document(quiets: int) -> bytes:
        return b"<Delete><Object><Key>a</Key></Object>" + b"<Quiet>true</Quiet>" * quiets + b"</Delete>"

    assert documents.deletion(document(documents.MAX_NODES - 3)).quiet
    with pytest.raises(Refusal, match="not what"):
        documents.deletion(document(documents.MAX_NODES - 2))


def test_a_writer_of_new_objects_says_neither_conditions_nor_a_time() -> None:
    """Retention counts from the time that the store gave an object."""
    headers = [(b"if-match", b"x"), (b"x-amz-meta-mtime", b"1000000000"), (b"x-amz-meta-colour", b"red")]
    put = next(operation for operation in OPERATIONS if operation.name == "PutObject")
    query = Query(put, "interaction-logs", "a", {}, headers)
    assert wire.head(query, 0, new_only=True).split(b"\r\n")[2:-2] == [
        b"x-amz-meta-colour: red",
        b"if-none-match: *",
        b"content-length: 0",
    ]
    assert b"x-amz-meta-mtime: 1000000000" in wire.head(query, 0)


@pytest.mark.parametrize(
    ("target", "method", "header"),
    [
        ("/b/raw/in/x", "DELETE", b"if-match"),
        ("/b/raw/in/x", "PUT", b"if-unmodified-since"),
        ("/b/raw/x", "GET", b"if-range"),
        ("/b?delete", "POST", b"if-match"),
    ],
)
def test_a_condition_that_can_not_be_kept_is_refused(target: str, method: str, header: bytes) -> None:
    """Left out, it would delete or overwrite what the caller wanted left alone."""
    assert code(target, method, {header: b'"0"'}) == "NotImplemented"
    assert code("/b/raw/x", "GET", {b"if-match": b'"0"'}) == "GetObject"


@pytest.mark.parametrize(
    ("key", "bad"),
    [
        ("e\u0301/a.txt", "\u0301"),  # two spellings of one letter: a disk may take them for one name
        ("\xe9/a.txt", None),
        ("a/b", None),
    ],
)
def test_a_key_has_one_spelling(key: str, bad: str | None) -> None:
    assert objectkeys.misread(key) == bad


@pytest.mark.parametrize("key", [".rclone_temp_notes.txt", "a/.rclone_temp_x/b", ".rclone_multipart_upload_1"])
def test_names_of_the_stores_own_are_refused(key: str) -> None:
    """The store lists no such object, and deletes it as a leftover."""
    assert objectkeys.ambiguous(key)
    assert not objectkeys.ambiguous("a/x.rclone_temp_notes")
    assert code(f"/b/raw/in/{key}", "PUT") == "InvalidArgument"


def test_keys_in_a_listing_are_read_with_all_escapes_of_go() -> None:
    body = b"<Key>it&#39;s/a</Key><CommonPrefixes><Prefix>&#34;b&#34;/&amp;copy;</Prefix></CommonPrefixes>"
    assert documents.listed(body, encoded=False) == ["it's/a", '"b"/&copy;']


def test_a_caller_has_a_share_of_the_open_uploads() -> None:
    now = 0.0
    uploads = Uploads(lambda: now)
    places = [uploads.begin("a") for _ in range(MOST)]
    with pytest.raises(Refusal) as refused:
        uploads.begin("a")
    assert (refused.value.status, refused.value.code) == (503, "SlowDown"), "also before any of them is answered"
    uploads.begin("b")
    for number, place in enumerate(places):
        uploads.begun("a", place, b"<UploadId>%d</UploadId>" % number)
    with pytest.raises(Refusal):
        uploads.begin("a")
    uploads.ended("b", "1")  # another's
    uploads.ended("a", "1")
    uploads.begun("a", uploads.begin("a"), b"<Code>InternalError</Code>")
    uploads.begun("a", uploads.begin("a"), b"<UploadId>x</UploadId>")
    now = IDLE_SECONDS / 2
    uploads.goes_on("a", "x")
    now = IDLE_SECONDS + 1.0
    place = uploads.begin("a")
    assert set(uploads._open["a"]) == {"x", place}, "what nobody goes on with is given up"
