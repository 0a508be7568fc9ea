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
STORED = b'HTTP/1.1 200 OK\r\netag: "own"\r\ncontent-type: text/plain\r\ncontent-length: %d\r\n\r\n' % len(BODY)
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
class Running:
    """A service that listens, and its store."""

    client: http.client.HTTPConnection
    journal: Journal
    stats: Stats
    masked: MaskedReads

    async def get(self, key: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
        """The answer, on the one connection that there is."""

        def work() -> tuple[int, dict[str, str], bytes]:
            self.client.request("GET", f"/b/{key}", headers=headers)
            answer = self.client.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()

        return await asyncio.to_thread(work)


async def store(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Has every object."""
    with suppress(asyncio.IncompleteReadError):
        while head := await reader.readuntil(b"\r\n\r\n"):
            writer.write(STORED if head.startswith(b"HEAD") else STORED + BODY)
    writer.close()


@pytest.fixture
async def running() -> AsyncIterator[Running]:
    loop = asyncio.get_running_loop()
    upstream = await asyncio.start_server(store, "127.0.0.1", 0)
    pool = Pool(f"127.0.0.1:{upstream.sockets[0].getsockname()[1]}")
    journal, stats, masked = Journal(), Stats(), MaskedReads(b"key", pool, None)
    service = Service(Means(journal, pool, RIGHTS, stats, masked, caller=ME))  # type: ignore[arg-type]
    server = await loop.create_server(lambda: StreamedDownstream(service, set()), "127.0.0.1", 0)
    client = http.client.HTTPConnection("127.0.0.1", server.sockets[0].getsockname()[1], timeout=30)
    client.connect()
    client.auto_open = 0
    try:
        yield Running(client, journal, stats, masked)
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
