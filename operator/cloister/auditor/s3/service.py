"""Queries to a store: checked, recorded, forwarded; their outcome recorded before the last byte of the answer."""

import asyncio
from dataclasses import dataclass

import structlog

from cloister import sidecar
from cloister.auditor.http.downstream import Downstream
from cloister.auditor.http.messages import Request
from cloister.auditor.http.streamed import Body, StreamedDownstream
from cloister.auditor.http.upstream import Pool, UpstreamError
from cloister.auditor.recorder import Recorder
from cloister.auditor.refusal import Refusal
from cloister.auditor.s3 import documents, wire
from cloister.auditor.s3.errors import XML, denied, document, refusal
from cloister.auditor.s3.masked import MaskedReads
from cloister.auditor.s3.queries import Query, parse
from cloister.auditor.s3.rights import Permission, Rights
from cloister.auditor.s3.trail import Trail
from cloister.auditor.s3.uploads import Uploads
from cloister.auditor.stats import Stats

DRAINED_BYTES = 16 << 20
"""What is read of a refused body before the answer: clients that send first and listen then would miss it."""
DRAIN_SECONDS = 10
_PEER = sidecar.PEER_HEADER.encode()
_UNCLEAR = b"<Message>Internal Error</Message>"
"""All that rclone says when a write has failed."""
_UNKNOWN_UPLOAD = b"<Code>NoSuchUpload</Code>"
_REGION = (b"x-amz-bucket-region", b"us-east-1")

_log = structlog.get_logger()


@dataclass(frozen=True)
class Means:
    """What queries share."""

    recorder: Recorder
    pool: Pool
    rights: Rights
    stats: Stats
    masked: MaskedReads
    caller: str | None = None
    """Whose queries all of them are; None where the gate says whose."""


class Service:
    """Serves queries (:class:`cloister.auditor.http.streamed.StreamHandler`)."""

    def __init__(self, means: Means) -> None:
        self._means = means
        self._uploads = Uploads()

    async def serve(self, request: Request, body: Body, reply: StreamedDownstream) -> None:
        """Answers a request."""
        trail = Trail(self._means.recorder, request)
        try:
            trail.peer = peer = self._peer(request)
            trail.query = query = parse(request)
            permission = self._means.rights.permission(peer, query)
            await self._answer(_Exchange(trail, request, query, permission, body, reply))
        except UpstreamError as error:
            failed = refusal(502, "InternalError", f"The store failed: {error}.")
            await self._refuse(trail, request, failed, body, reply)
        except Refusal as found:
            await self._refuse(trail, request, found, body, reply)
        except Exception:  # noqa: BLE001 - by whatever fault, what was let through gets an end on record
            _log.exception("a query failed by a fault of this program", exchange=trail.id)
            failed = refusal(500, "InternalError", "The store's auditor failed. Its log says why.")
            await self._refuse(trail, request, failed, body, reply)
        except asyncio.CancelledError:
            self._means.stats.cancelled += 1
            trail.leave()
            raise

    async def refuse(self, request: Request, refusal: Refusal, reply: Downstream) -> None:
        """Answers what never became a request."""
        trail = Trail(self._means.recorder, request)
        trail.peer = self._means.caller or request.header(_PEER)
        await self._refuse(trail, request, refusal, None, reply)

    def _peer(self, request: Request) -> str:
        peer = self._means.caller or request.header(_PEER)
        if not peer:
            raise denied("The gate named no machine.")
        return peer

    async def _answer(self, exchange: "_Exchange") -> None:
        query, permission = exchange.query, exchange.permission
        if query.name in ("PutObject", "UploadPart"):
            await self._upload(exchange)
            return
        if query.name in ("DeleteObjects", "CompleteMultipartUpload"):
            await self._document(exchange)
            return
        wire.no_body(exchange.request)
        if query.name == "CreateMultipartUpload":
            await self._begin_upload(exchange)
            return
        await exchange.trail.ask(query, masked=permission.masked)
        match query.name:
            case "ListBuckets":
                await self._own(exchange, documents.buckets(self._means.rights.buckets(exchange.peer)))
            case "HeadBucket":
                await self._own(exchange, b"")
            case "ListObjects" | "ListObjectsV2" if permission.folders is not None:
                await self._own(exchange, _folders(query, permission.folders))
            case "GetObject" | "HeadObject" if permission.masked:
                await self._means.masked.serve(exchange.trail, query, permission.masked, exchange.reply)
                self._count(query, exchange.trail.status, exchange.trail.moved)
            case "GetObject":
                await self._download(exchange)
            case "AbortMultipartUpload":
                self._end_upload(exchange, await self._forward(exchange, b""))
            case _:
                await self._forward(exchange, b"")

    # --- each kind of query

    async def _own(self, exchange: "_Exchange", body: bytes) -> None:
        """What the auditor knows itself."""
        await exchange.trail.end(200)
        self._count(exchange.query, 200, 0)
        exchange.reply.answer(200, [*XML, _REGION], body)

    async def _document(self, exchange: "_Exchange") -> None:
        """What its body says is read here, and told to the store in the auditor's own words."""
        query, peer = exchange.query, exchange.peer
        body = await wire.Incoming(exchange.request, exchange.body).document(documents.MAX_BYTES)
        keys: tuple[str, ...] = ()
        if query.name == "DeleteObjects":
            asked = documents.deletion(body)
            keys, body = asked.keys, asked.document()
            for key in keys:
                self._means.rights.check_write(peer, query.bucket, key)
        else:
            body = documents.completion(body)
        await exchange.trail.ask(query, keys=keys)
        answer = await self._forward(exchange, body)
        if query.name == "CompleteMultipartUpload":
            self._end_upload(exchange, answer)

    async def _begin_upload(self, exchange: "_Exchange") -> None:
        """Its place is kept from here on, so that no number of them at once passes the limit."""
        place, answer = self._uploads.begin(exchange.peer), b""
        try:
            await exchange.trail.ask(exchange.query)
            answer = await self._forward(exchange, b"")
        finally:
            self._uploads.begun(exchange.peer, place, answer)

    def _end_upload(self, exchange: "_Exchange", answer: bytes) -> None:
        if exchange.trail.status < 300 or _UNKNOWN_UPLOAD in answer:
            self._uploads.ended(exchange.peer, exchange.query.parameters["uploadId"])

    async def _forward(self, exchange: "_Exchange", body: bytes) -> bytes:
        """A query and an answer that are small; that answer."""
        query, trail = exchange.query, exchange.trail
        length = len(body) if query.operation.method in ("POST", "PUT") else None
        connection = await self._means.pool.acquire()
        try:
            head_only = query.operation.method == "HEAD"
            found = await connection.send(wire.head(query, length), body, head_only=head_only)
            answer = await wire.whole(connection)
        finally:
            connection.release()
        if head_only:
            await trail.end(found.status)
            self._count(query, found.status, 0)
            exchange.reply.begin(found.status, wire.back(found, trail.id), wire.length_of(found) or 0)
            exchange.reply.end()
            return b""
        if query.name.startswith("ListObjects") and found.status == 200:
            answer = self._listing(exchange, answer)
            trail.moved = len(answer)
        if query.name == "CompleteMultipartUpload":
            answer = _clear(answer, trail)
        await trail.end(found.status)
        self._count(query, found.status, trail.moved)
        exchange.reply.answer(found.status, wire.back(found, trail.id), answer)
        return answer

    def _listing(self, exchange: "_Exchange", answer: bytes) -> bytes:
        query, masked = exchange.query, exchange.permission.masked
        if any(not key.startswith(query.prefix) for key in documents.listed(answer, encoded=_encoded(query))):
            raise UpstreamError("it listed what was not asked for")
        return self._means.masked.listing(answer, masked) if masked else answer

    async def _upload(self, exchange: "_Exchange") -> None:
        """An object or a part of one. Its last piece goes to the store only when all of it is verified."""
        query, trail, permission = exchange.query, exchange.trail, exchange.permission
        incoming = wire.Incoming(exchange.request, exchange.body)
        self._uploads.goes_on(exchange.peer, query.parameters.get("uploadId", ""))
        await trail.ask(query, size=incoming.length)
        connection = await self._means.pool.acquire()
        try:
            unsent = wire.head(query, incoming.length, new_only=permission.new_only)
            asking = sent = False
            async for data, last in incoming.pieces():
                if asking:
                    await connection.write(data)
                else:
                    connection.begin(unsent + data)
                    asking = True
                trail.moved += len(data)
                sent = last
                if connection.answered:
                    break
            found = await connection.reply()
            answer = await wire.whole(connection)
            if not sent:
                connection.abort("its answer came before the end of the request")
        finally:
            connection.release()
        if not sent:
            await _drained(exchange.body)
        await trail.end(found.status)
        self._means.stats.bytes_in += trail.moved
        self._count(query, found.status, 0)
        exchange.reply.answer(found.status, wire.back(found, trail.id), _clear(answer, trail))

    async def _download(self, exchange: "_Exchange") -> None:
        """An object as it is. Its last piece leaves when the outcome is on record."""
        query, trail, reply = exchange.query, exchange.trail, exchange.reply
        connection = await self._means.pool.acquire()
        try:
            found = await connection.send(wire.head(query, None), b"")
            if found.status not in (200, 206):
                answer = await wire.whole(connection)
                await trail.end(found.status)
                self._count(query, found.status, 0)
                reply.answer(found.status, wire.back(found, trail.id), answer)
                return
            reply.begin(found.status, wire.back(found, trail.id), wire.length_of(found))
            held, ended = b"", False
            while not ended:
                data, ended = await connection.read()
                if data and held:
                    await reply.send(held)
                    trail.moved += len(held)
                held = data or held
            trail.moved += len(held)
        finally:
            connection.release()
        await trail.end(found.status)
        self._count(query, found.status, trail.moved)
        reply.end(held)

    # --- answers that are no

    async def _refuse(
        self, trail: Trail, request: Request, found: Refusal, body: Body | None, reply: Downstream
    ) -> None:
        if reply.begun:
            try:
                await trail.fail(found, begun=True)
            except Refusal:
                _log.error("not recorded", exchange=trail.id)
            reply.abort()
            return
        if body and not await _drained(body):
            _log.debug("the rest of a refused body is not read", exchange=trail.id)
        try:
            await trail.fail(found, begun=False)
        except Refusal as unrecorded:
            found = unrecorded
        self._means.stats.refusals[found.code] += 1
        self._means.stats.requests[trail.query.name if trail.query else "", found.status] += 1
        more = [(name.encode(), value.encode()) for name, value in found.headers]
        headers = [*XML, (b"x-amz-request-id", trail.id.encode()), *more]
        reply.answer(found.status, headers, b"" if request.method == "HEAD" else document(found, trail.id))

    def _count(self, query: Query, status: int, sent: int) -> None:
        self._means.stats.requests[query.name, status] += 1
        self._means.stats.bytes_out += sent


@dataclass(frozen=True, slots=True)
class _Exchange:
    """A query that is allowed, and both its ends."""

    trail: Trail
    request: Request
    query: Query
    permission: Permission
    body: Body
    reply: StreamedDownstream

    @property
    def peer(self) -> str:
        assert self.trail.peer
        return self.trail.peer


def _folders(query: Query, folders: tuple[str, ...]) -> bytes:
    version = 2 if query.name == "ListObjectsV2" else 1
    return documents.folders(query.bucket, query.prefix, folders, version=version, encoded=_encoded(query))


def _encoded(query: Query) -> bool:
    return query.parameters.get("encoding-type") == "url"


def _clear(answer: bytes, trail: Trail) -> bytes:
    """The store's answer to an upload; where it only says that something went wrong, what that is as a rule."""
    if _UNCLEAR not in answer:
        return answer
    message = "The store could not keep it: its volume may be full. The log of the store's own container says why."
    return document(refusal(500, "InternalError", message), trail.id)


async def _drained(body: Body) -> bool:
    """Whether what comes of a body could be thrown away before the answer."""
    if not body.invited:
        return False
    size = 0
    try:
        async with asyncio.timeout(DRAIN_SECONDS):
            while data := await body.read():
                size += len(data)
                if size > DRAINED_BYTES:
                    return False
    except (Refusal, TimeoutError):
        return False
    return True
