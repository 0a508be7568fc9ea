"""A request to the model and its reply: checked, recorded, forwarded; inspected, recorded, answered.

One rule holds throughout: nothing moves on before its record is durable. The request goes to the model after its
record, each part of the reply to the caller after its own.
"""

import asyncio
import re
import time
from dataclasses import dataclass
from typing import Any

import orjson
import structlog

from cloister import sidecar
from cloister.auditor.behaviour import Watch
from cloister.auditor.callers import Caller, Callers
from cloister.auditor.content import Content
from cloister.auditor.extraction import ExtractionGuard
from cloister.auditor.http.downstream import Downstream
from cloister.auditor.http.events import EventSplitter, EventTooLargeError
from cloister.auditor.http.messages import Head, Headers, Request
from cloister.auditor.http.upstream import Connection, Pool, UpstreamError
from cloister.auditor.judges import Asked, Judge, judged
from cloister.auditor.limits import Concurrency
from cloister.auditor.openai.dialect import complaint, dialect_of, json_object
from cloister.auditor.openai.replies import Summary
from cloister.auditor.output.guard import OutputGuard
from cloister.auditor.recorder import Recorder
from cloister.auditor.refusal import Refusal
from cloister.auditor.sessions import Sessions, Visit
from cloister.auditor.stats import Stats
from cloister.auditor.trail import Exchange, Told, Trail, durable

_PEER, _API, _CLAIMS, _ADDRESS = (
    name.encode() for name in (sidecar.PEER_HEADER, sidecar.API_HEADER, sidecar.CLAIMS_HEADER, sidecar.ADDRESS_HEADER)
)
_PASSED_ON = (b"accept", b"x-request-id", b"traceparent", b"tracestate")
"""What the model server gets of the caller's headers. Not `accept-encoding`: a compressed reply can't be inspected; nor
`content-type`: it is told what the body was read as."""
_MEDIA = re.compile(rb"application/json(?:[ \t]*;[ \t]*charset=\"?utf-8\"?)?[ \t]*", re.IGNORECASE)
"""What a body is read as (RFC 8259, sections 8.1 and 11). In another encoding it would say something else."""
_PASSED_BACK = frozenset(
    {b"content-type", b"cache-control", b"retry-after", b"openai-processing-ms", b"openai-version"}
)
"""What the caller gets of the model server's: nothing by which it could speak for the gate."""
_JSON: Headers = [(b"content-type", b"application/json")]

_FAULT = Refusal(500, "The request failed by a fault of this service.", kind="server_error", code="internal_error")
_log = structlog.get_logger()


@dataclass(frozen=True)
class Means:
    """What exchanges share."""

    config: sidecar.Auditor
    recorder: Recorder
    pool: Pool
    callers: Callers
    sessions: Sessions
    concurrency: Concurrency
    content: Content
    stats: Stats
    judges: tuple[Judge, ...] = ()
    output: OutputGuard | None = None
    watch: Watch | None = None
    """None: nobody looks at how callers behave."""
    extraction: ExtractionGuard | None = None


class Inspector:
    """Serves what the gate hands over (:class:`cloister.auditor.http.downstream.Handler`)."""

    def __init__(self, means: Means) -> None:
        self._means = means
        self._limits = means.config.limits
        self._trail = Trail(means.recorder, means.content, means.stats, means.concurrency, means.watch)
        self.max_body_bytes = self._limits.max_body_bytes
        self._allowed = {
            (api.name, method, path): dialect_of(path)
            for api in means.config.apis
            for method in api.methods
            for path in api.paths
        }

    async def serve(self, request: Request, reply: Downstream) -> None:
        """Answers a request."""
        exchange = Exchange(request)
        try:
            asked = self._check(exchange)
            with self._means.concurrency.slot(asked.caller):
                # Not before: what is not let in must not use up anything.
                self._judge(exchange, asked)
                exchange.asked = True
                await self._trail.recorded(self._trail.request(exchange, asked))
                exchange.inspection = self._means.output.begin(asked) if self._means.output else None
                exchange.counted = self._means.extraction.reply(asked) if self._means.extraction else None
                await self._forward(exchange, reply)
        except Refusal as refusal:
            await self._refuse(exchange, refusal, reply)
        except asyncio.CancelledError:
            if not exchange.over:
                self._means.stats.cancelled += 1
                self._trail.note(self._trail.over(exchange, self._trail.outcome(exchange, "cancelled")))
            raise
        except Exception as fault:  # noqa: BLE001 - whatever was wrong, what is on record must have an end there
            _log.error("a request failed by a fault of this program", exc_info=fault)
            if exchange.over:
                reply.abort()
            else:
                await self._refuse(exchange, _FAULT, reply)

    async def refuse(self, request: Request, refusal: Refusal, reply: Downstream) -> None:
        """Answers what never became a whole request."""
        exchange = Exchange(request)
        try:
            self._identify(exchange)
        except Refusal as unknown:
            refusal = unknown
        await self._refuse(exchange, refusal, reply)

    # --- before the model

    def _identify(self, exchange: Exchange) -> Caller:
        request = exchange.request
        exchange.api = request.header(_API) or ""
        exchange.visit = Visit(exchange.id, exchange.api, request.header(_ADDRESS))
        exchange.caller = self._means.callers.identify(request.header(_PEER), request.header(_CLAIMS))
        return exchange.caller

    def _check(self, exchange: Exchange) -> Asked:
        """The checks in their order: who, since when, what, and whether it has one meaning."""
        request = exchange.request
        caller = self._identify(exchange)
        self._means.sessions.check(caller, time.time(), exchange.visit)
        key = (exchange.api, request.method, request.target)
        if key not in self._allowed:
            # The gate has said so before; this is the second lock.
            raise Refusal(403, "This API is not approved.", kind="permission_error", code="api_not_approved")
        dialect = self._allowed[key]
        asked = Asked(caller, exchange.api, dialect, {})
        if request.body:
            _readable_as_json(request)
            asked.document = document = json_object(request.body)
            if dialect and self._means.config.request_schema != "Off":
                asked.flagged = complaint(dialect, document)
        elif dialect:
            asked.flagged = Refusal.invalid("The request has no body.", code="invalid_json")
        if asked.flagged and (self._means.config.request_schema == "Block" or not request.body):
            raise asked.flagged
        return asked

    def _judge(self, exchange: Exchange, asked: Asked) -> None:
        """What the request says, judged: a Refusal where a judge that blocks has found something."""
        exchange.verdicts, refusal = judged(asked, self._means.judges, self._means.stats)
        if refusal:
            raise refusal

    # --- the model

    async def _forward(self, exchange: Exchange, reply: Downstream) -> None:
        connection: Connection | None = None
        try:
            connection = await self._means.pool.acquire()
            request = exchange.request
            head = await connection.send(_head(request), request.body, head_only=request.method == "HEAD")
            _readable(head)
            if _is_stream(head):
                await self._stream(exchange, head, connection, reply)
            else:
                await self._whole(exchange, head, connection, reply)
        except UpstreamError as error:
            raise Refusal.upstream(f"The model server failed: {error}.", code="upstream_failed") from None
        finally:
            if connection is not None:
                connection.release()

    async def _whole(self, exchange: Exchange, head: Head, connection: Connection, reply: Downstream) -> None:
        """A reply that is one document: it leaves when it is known as a whole."""
        parts, size, ended = [], 0, False
        while not ended:
            data, ended = await connection.read()
            parts.append(data)
            size += len(data)
            if size > self._limits.max_output_bytes:
                raise _too_long(self._limits.max_output_bytes)
        body = parts[0] if len(parts) == 1 else b"".join(parts)
        if exchange.inspection:
            body = exchange.inspection.whole(head, body)
            size = len(body)
        document = _document(body)
        if exchange.counted:
            exchange.counted.heard_whole(document)
            if refusal := exchange.counted.refusal():
                raise refusal
        record = self._trail.outcome(exchange, "complete") | {"status": head.status, "bytes": size}
        summary = _summary(document)
        record |= summary.fields() | self._means.content.whole(body)
        await self._trail.recorded(self._trail.over(exchange, record, summary.heard))
        self._trail.count(exchange, head.status, size, record)
        if exchange.counted:
            exchange.counted.end(record)
        reply.answer(head.status, _back(head), body)
        # Until it has left it fills memory, and the caller's place.
        await reply.ready()

    async def _stream(self, exchange: Exchange, head: Head, connection: Connection, reply: Downstream) -> None:
        """A stream of events: whole events leave as soon as they are recorded."""
        splitter, told = EventSplitter(), Told(self._means.content.stream())
        exchange.told = told
        reply.begin(head.status, _back(head))
        ended = False
        try:
            while not ended:
                data, ended = await connection.read()
                try:
                    events = splitter.feed(data) + (splitter.end() if ended else b"")
                except EventTooLargeError:
                    raise UpstreamError("an event of its stream is too large to be inspected") from None
                events, refusal = _inspected(exchange, events, ended=ended)
                waiting = exchange.inspection.waiting if exchange.inspection else 0
                if told.bytes + len(events) + waiting > self._limits.max_output_bytes:
                    events, refusal = b"", _too_long(self._limits.max_output_bytes)
                if refusal:
                    await self._cut(exchange, head, told, reply, events, refusal)
                    return
                if not events and not ended:
                    continue
                part = self._trail.part(exchange, told, events, last=ended) if events else None
                recorded = [self._trail.submit(part, more=ended)] if part else []
                if ended:
                    record = self._trail.outcome(exchange, "complete") | {"status": head.status}
                    self._trail.over(exchange, record, told.summary.heard)
                    recorded.append(self._trail.submit(record))
                    self._trail.count(exchange, head.status, told.bytes, record)
                await durable(*recorded)
                if ended:
                    reply.end(events)
                else:
                    await reply.send(events)
        except BaseException:
            self._trail.note_rest(exchange, told)
            raise
        finally:
            if exchange.inspection:
                exchange.inspection.close()
            if exchange.counted:
                exchange.counted.end(told.summary.fields())
        self._means.stats.events += told.parts

    async def _cut(
        self, exchange: Exchange, head: Head, told: Told, reply: Downstream, events: bytes, refusal: Refusal
    ) -> None:
        """Ends a stream that may not go on, after these events, by one that says so; it is on record like the others.
        Where nothing has left yet the answer is the refusal itself."""
        if not events and not reply.begun:
            raise refusal
        last = events + b"data: " + refusal.body() + b"\n\n"
        part = self._trail.part(exchange, told, last, last=True)
        end = self._trail.outcome(exchange, "cut") | {"status": head.status, "code": refusal.code}
        self._trail.over(exchange, end, told.summary.heard)
        await durable(self._trail.submit(part, more=True), self._trail.submit(end))
        self._means.stats.refusals[refusal.code] += 1
        self._trail.count(exchange, head.status, told.bytes, end)
        reply.end(last)

    # --- answers of its own

    async def _refuse(self, exchange: Exchange, refusal: Refusal, reply: Downstream) -> None:
        record = self._trail.outcome(exchange, "failed") if exchange.asked else self._trail.refusal(exchange)
        record |= {"status": refusal.status, "code": refusal.code, "reason": refusal.message}
        try:
            await self._trail.recorded(self._trail.over(exchange, record))
        except Refusal as unrecorded:
            refusal = unrecorded
        self._means.stats.refusals[refusal.code] += 1
        self._means.stats.requests[exchange.api, refusal.status] += 1
        if reply.begun:
            # What was sent can't be taken back; the connection is cut so that nobody takes it for the whole.
            reply.abort()
            return
        headers = [(name.encode(), value.encode("latin-1", "replace")) for name, value in refusal.headers]
        reply.answer(refusal.status, _JSON + headers, refusal.body())


def _head(request: Request) -> bytes:
    lines = [f"{request.method} {request.target} HTTP/1.1\r\nhost: localhost\r\n".encode("latin-1")]
    lines += [b"%s: %s\r\n" % (name, request.headers[name]) for name in _PASSED_ON if name in request.headers]
    if request.body:
        lines.append(b"content-type: application/json\r\n")
    if request.body or request.method in ("POST", "PUT", "PATCH"):
        lines.append(b"content-length: %d\r\n" % len(request.body))
    lines.append(b"\r\n")
    return b"".join(lines)


def _readable_as_json(request: Request) -> None:
    declared = request.headers.get(b"content-type")
    if declared is not None and not _MEDIA.fullmatch(declared):
        message = "The content type of the body must be application/json, in UTF-8."
        raise Refusal(415, message, code="unsupported_media_type")


def _back(head: Head) -> Headers:
    return [(name, value) for name, value in head.headers if name in _PASSED_BACK]


def _readable(head: Head) -> None:
    if head.header(b"content-encoding") not in (None, b"identity"):
        raise UpstreamError("its reply is compressed, which can't be inspected")


def _is_stream(head: Head) -> bool:
    return (head.header(b"content-type") or b"").partition(b";")[0].strip().lower() == b"text/event-stream"


def _document(body: bytes) -> Any:
    """What it says as JSON; None where it is none."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None


def _summary(document: Any) -> Summary:
    summary = Summary()
    summary.add(document)
    summary.hear_whole(document)
    return summary


def _inspected(exchange: Exchange, events: bytes, *, ended: bool) -> tuple[bytes, Refusal | None]:
    """Of some events, what may leave; and why the stream may not go on after it."""
    inspection, refusal = exchange.inspection, None
    if inspection:
        events = inspection.feed(events) if events else b""
        if ended and not inspection.refusal():
            events += inspection.end()
        refusal = inspection.refusal()
    if exchange.counted and not refusal:
        return exchange.counted.passing(events)
    return events, refusal


def _too_long(limit: int) -> Refusal:
    return Refusal.upstream(f"The reply is larger than {limit} bytes.", code="reply_too_large")
