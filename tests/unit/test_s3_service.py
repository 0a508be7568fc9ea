"""Queries to stores: faults and short answers, each on record and told to the caller (ZT-30)."""

import asyncio
import errno
import http.client
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest

from cloister import sidecar
from cloister.auditor.http.streamed import StreamedDownstream
from cloister.auditor.http.upstream import Pool
from cloister.auditor.s3.masked import MaskedReads
from cloister.auditor.s3.rights import Rights
from cloister.auditor.s3.service import Means, Service
from cloister.auditor.stats import Stats

ME = "spiffe://cluster.local/ns/a/sa/b"
BODY = b"write to ada@example.com"
STORED = (
    b'HTTP/1.1 200 OK\r\netag: "%b"\r\nlast-modified: %b\r\ncontent-type: %b\r\n'
    b"x-amz-meta-author: ada@example.com\r\ncontent-disposition: attachment; filename=ada@example.com\r\n"
    b"content-length: %d\r\n\r\n"
)
MONDAY, TUESDAY = b"Mon, 01 Jun 2026 12:00:00 GMT", b"Tue, 02 Jun 2026 12:00:00 GMT"
READS = (sidecar.Read(prefixes=("masked/",), masked=("email",)), sidecar.Read(prefixes=("raw/",)))
RIGHTS = Rights([sidecar.Bucket(name="b", access=(sidecar.Access(identity=ME, reads=READS, writes=()),))])


class Journal:
    """Stands for the recorder; keeps what is recorded."""

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []

    async def record(self, fields: dict[str, Any]) -> None:
        self.records.append(fields)

    def note(self, fields: dict[str, Any]) -> None:
        self.records.append(fields)

    def results(self) -> list[tuple[str, int]]:
        return [(one["outcome"], one["status"]) for one in self.records if one["type"] == "result"]


@dataclass
class Store:
    """Has every object, and what it says of all of them."""

    etag: bytes = b"own"
    modified: bytes = MONDAY
    kind: bytes = b"text/plain"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        with suppress(asyncio.IncompleteReadError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                told = STORED % (self.etag, self.modified, self.kind, len(BODY))
                writer.write(told if head.startswith(b"HEAD") else told + BODY)
        writer.close()


@dataclass
class Running:
    """A service that listens, and its store."""

    client: http.client.HTTPConnection
    journal: Journal
    stats: Stats
    masked: MaskedReads
    store: Store

    async def get(self, key: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
        """The answer, on the one connection that there is."""

        def work() -> tuple[int, dict[str, str], bytes]:
            self.client.request("GET", f"/b/{key}", headers=headers)
            answer = self.client.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()

        return await asyncio.to_thread(work)


@pytest.fixture
async def running() -> AsyncIterator[Running]:
    loop = asyncio.get_running_loop()
    store = Store()
    upstream = await asyncio.start_server(store.serve, "127.0.0.1", 0)
    pool = Pool(f"127.0.0.1:{upstream.sockets[0].getsockname()[1]}")
    journal, stats, masked = Journal(), Stats(), MaskedReads(b"key", pool, None)
    service = Service(Means(journal, pool, RIGHTS, stats, masked, caller=ME))  # type: ignore[arg-type]
    server = await loop.create_server(lambda: StreamedDownstream(service, set()), "127.0.0.1", 0)
    client = http.client.HTTPConnection("127.0.0.1", server.sockets[0].getsockname()[1], timeout=30)
    client.connect()
    client.auto_open = 0
    try:
        yield Running(client, journal, stats, masked, store)
    finally:
        client.close()
        pool.close()
        server.close()
        upstream.close()


async def test_a_masked_object_that_has_not_changed(running: Running) -> None:
    """Without a body, so that the next answer on the connection is not read in its place."""
    status, headers, body = await running.get("masked/a.txt")
    assert (status, body) == (200, b"write to ***************")
    etag = headers["etag"]
    status, headers, body = await running.get("masked/a.txt", **{"If-None-Match": etag})
    assert (status, headers["etag"], body) == (304, etag, b"")
    assert (await running.get("raw/a.txt"))[2] == BODY
    assert running.journal.results() == [("complete", 200), ("complete", 304), ("complete", 200)]
    assert not running.stats.refusals


async def test_a_fault_is_answered_and_on_record(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    async def serve(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(running.masked, "serve", serve)
    status, headers, body = await running.get("masked/a.txt")
    assert status == 500
    assert b"<Code>InternalError</Code>" in body
    assert b"space" not in body
    asked, ended = running.journal.records
    assert asked["exchange"] == ended["exchange"] == headers["x-amz-request-id"]
    assert (ended["outcome"], ended["status"], ended["code"]) == ("failed", 500, "InternalError")
    assert (await running.get("raw/a.txt"))[2] == BODY, "the connection stays"


async def test_a_fault_in_the_middle_cuts_the_answer(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    async def serve(_trail: Any, _query: Any, _kinds: Any, reply: StreamedDownstream) -> None:
        reply.begin(200, [], 100)
        await reply.send(b"some")
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(running.masked, "serve", serve)
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        await running.get("masked/a.txt")
    assert running.journal.results() == [("cut", 500)]


async def test_what_a_writer_says_of_an_object_is_not_for_readers_of_masked_ones(running: Running) -> None:
    running.store.kind = b"text/plain; name=ada@example.com"
    _, headers, _ = await running.get("masked/a.txt")
    assert "ada@" not in str(headers)
    assert headers["content-type"] == "application/octet-stream"
    _, headers, _ = await running.get("raw/a.txt")
    assert headers["x-amz-meta-author"] == "ada@example.com"


async def test_a_store_that_was_started_anew_names_no_version(running: Running) -> None:
    """It answers every ETag empty. Taken for a version, one would stand for all objects, and for what they were."""
    running.store.etag = b""
    _, first, _ = await running.get("masked/a.txt")
    _, other, _ = await running.get("masked/b.txt")
    assert first["etag"] != other["etag"]
    running.store.modified = TUESDAY
    status, changed, body = await running.get("masked/a.txt", **{"If-None-Match": first["etag"]})
    assert (status, body != b"", changed["etag"] != first["etag"]) == (200, True, True)
    assert (await running.get("masked/a.txt", **{"If-Match": first["etag"]}))[0] == 412
    _, raw, _ = await running.get("raw/a.txt")
    assert "etag" not in raw
    listed = b'<ETag>""</ETag><ETag>"own"</ETag>'
    assert running.masked.listing(listed, ("email",)).startswith(b'<ETag>""</ETag><ETag>"m-')


@pytest.mark.parametrize(
    ("header", "day", "status"),
    [
        ("If-Unmodified-Since", TUESDAY, 200),
        ("If-Unmodified-Since", b"Sun, 31 May 2026 12:00:00 GMT", 412),
        ("If-Modified-Since", MONDAY, 304),
        ("If-Modified-Since", b"Sun, 31 May 2026 12:00:00 GMT", 200),
        ("If-Modified-Since", b"never", 200),
        ("If-Modified-Since", b"Mon Jun  1 12:00:00 2026", 304),
        ("If-Unmodified-Since", b"Mon, 01 Jun 2026 11:00:00 -0000", 412),
    ],
)
async def test_conditions_on_the_time(running: Running, header: str, day: bytes, status: int) -> None:
    assert (await running.get("masked/a.txt", **{header: day.decode()}))[0] == status
