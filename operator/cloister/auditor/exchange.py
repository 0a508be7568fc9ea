"""A request to the model and its reply: checked, recorded, forwarded; inspected, recorded, answered.

One rule holds throughout: nothing moves on before its record is durable. The request goes to the model after its
record, each part of the reply to the caller after its own.
"""

import asyncio
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
import structlog

from cloister import sidecar
from cloister.auditor.callers import Caller, Callers
from cloister.auditor.content import Content
from cloister.auditor.http.downstream import Downstream
from cloister.auditor.http.events import EventSplitter, EventTooLargeError, payloads
from cloister.auditor.http.messages import Head, Headers, Request
from cloister.auditor.http.upstream import Connection, Pool, UpstreamError
from cloister.auditor.limits import Concurrency
from cloister.auditor.openai.dialect import Dialect, complaint, dialect_of, json_object
from cloister.auditor.openai.replies import Summary, pieces
from cloister.auditor.recorder import Recorder
from cloister.auditor.refusal import Refusal
from cloister.auditor.sessions import Sessions
from cloister.auditor.stats import Stats
from cloister.journal import JournalError, timestamp

_PEER, _API, _CLAIMS = (name.encode() for name in (sidecar.PEER_HEADER, sidecar.API_HEADER, sidecar.CLAIMS_HEADER))
_PASSED_ON = (b"accept", b"content-type", b"x-request-id", b"traceparent", b"tracestate")
"""What the model server gets of the caller's headers. Not `accept-encoding`: a compressed reply can't be inspected."""
_PASSED_BACK = frozenset(
    {b"content-type", b"cache-control", b"retry-after", b"openai-processing-ms", b"openai-version"}
)
"""What the caller gets of the model server's: nothing by which it could speak for the gate."""
_JSON: Headers = [(b"content-type", b"application/json")]


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


@dataclass(slots=True)
class Asked:
    """A request that has passed every check."""

    caller: Caller
    api: str
    dialect: Dialect | None
    document: Mapping[str, Any]
    flagged: Refusal | None = None


@dataclass(slots=True)
class Exchange:
    """One request under way."""

    request: Request
    id: str = field(default_factory=lambda: f"{random.getrandbits(128):032x}")
    began: float = field(default_factory=time.monotonic)
    caller: Caller | None = None
    api: str = ""
    asked: bool = False
    """Whether its request is on record."""


class Inspector:
    """Serves what the gate hands over (:class:`cloister.auditor.http.downstream.Handler`)."""

    def __init__(self, means: Means) -> None:
        self._means = means
        self._limits = means.config.limits
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
                exchange.asked = True
                await self._recorded(self._request_record(exchange, asked))
                await self._forward(exchange, reply)
        except Refusal as refusal:
            await self._refuse(exchange, refusal, reply)
        except asyncio.CancelledError:
            self._means.stats.cancelled += 1
            self._note(self._outcome(exchange, "cancelled"))
            raise

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
        exchange.caller = self._means.callers.identify(request.header(_PEER), request.header(_CLAIMS))
        return exchange.caller

    def _check(self, exchange: Exchange) -> Asked:
        """The checks in their order: who, since when, what, and whether it has one meaning."""
        request = exchange.request
        caller = self._identify(exchange)
        self._means.sessions.check(caller, time.time())
        key = (exchange.api, request.method, request.target)
        if key not in self._allowed:
            # The gate has said so before; this is the second lock.
            raise Refusal(403, "This API is not approved.", kind="permission_error", code="api_not_approved")
        dialect = self._allowed[key]
        asked = Asked(caller, exchange.api, dialect, {})
        if request.body:
            asked.document = document = json_object(request.body)
            if dialect and self._means.config.request_schema != "Off":
                asked.flagged = complaint(dialect, document)
        elif dialect:
            asked.flagged = Refusal.invalid("The request has no body.", code="invalid_json")
        if asked.flagged and (self._means.config.request_schema == "Block" or not request.body):
            raise asked.flagged
        return asked

    def _request_record(self, exchange: Exchange, asked: Asked) -> dict[str, Any]:
        request, document = exchange.request, asked.document
        record = self._base("request", exchange) | self._means.content.whole(request.body)
        if asked.dialect:
            record["gen_ai.operation.name"] = asked.dialect.operation
            record["gen_ai.request.stream"] = document.get("stream") is True
            model = document.get("model")
            if isinstance(model, str):
                record["gen_ai.request.model"] = model
            bounds = (document.get(name) for name in asked.dialect.max_tokens)
            for bound in bounds:
                if isinstance(bound, int):
                    record["gen_ai.request.max_tokens"] = bound
                    break
        if asked.flagged:
            self._means.stats.flagged += 1
            record["problems"] = [f"schema: {asked.flagged.code}"]
        return record

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
                limit = self._limits.max_output_bytes
                raise Refusal.upstream(f"The reply is larger than {limit} bytes.", code="reply_too_large")
        body = parts[0] if len(parts) == 1 else b"".join(parts)
        record = self._outcome(exchange, "complete") | {"status": head.status, "bytes": size}
        record |= _summary(body) | self._means.content.whole(body)
        await self._recorded(record)
        self._count(exchange, head.status, size, record)
        reply.answer(head.status, _back(head), body)

    async def _stream(self, exchange: Exchange, head: Head, connection: Connection, reply: Downstream) -> None:
        """A stream of events: whole events leave as soon as they are recorded."""
        splitter, content, summary = EventSplitter(), self._means.content.stream(), Summary()
        reply.begin(head.status, _back(head))
        sent, number, ended = 0, 0, False
        while not ended:
            data, ended = await connection.read()
            try:
                events = splitter.feed(data) + (splitter.end() if ended else b"")
            except EventTooLargeError:
                raise UpstreamError("an event of its stream is too large to be inspected") from None
            if not events and not ended:
                continue
            if sent + len(events) > self._limits.max_output_bytes:
                await self._recorded(self._end_of(exchange, "cut", head, sent, number, summary))
                reply.end(_error_event(self._limits.max_output_bytes))
                return
            recorded = []
            if events:
                record = self._base("reply.part", exchange) | {"part": number, "bytes": len(events)}
                found = list(pieces(payloads(events), summary))
                recorded.append(self._submit(record | content.part(events, found, last=ended)))
                number += 1
                sent += len(events)
            if ended:
                record = self._end_of(exchange, "complete", head, sent, number, summary)
                recorded.append(self._submit(record))
                self._count(exchange, head.status, sent, record)
            await _durable(*recorded)
            if ended:
                reply.end(events)
            else:
                await reply.send(events)
        self._means.stats.events += number

    # --- answers of its own

    async def _refuse(self, exchange: Exchange, refusal: Refusal, reply: Downstream) -> None:
        if exchange.asked:
            record = self._outcome(exchange, "failed")
        else:
            body = exchange.request.body
            record = self._base("refusal", exchange) | self._means.content.whole(body)
        record |= {"status": refusal.status, "code": refusal.code, "reason": refusal.message}
        try:
            await self._recorded(record)
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

    # --- records

    def _base(self, kind: str, exchange: Exchange) -> dict[str, Any]:
        """What every record says of its exchange; the request's says who and what, the others refer to it."""
        record: dict[str, Any] = {"type": kind, "exchange": exchange.id, "time": timestamp(time.time())}
        if kind in ("request", "refusal"):
            request = exchange.request
            if exchange.caller:
                record |= exchange.caller.record
            record |= {"api": exchange.api, "method": request.method, "path": request.target[:1024]}
            record["bytes"] = len(request.body)
            if request_id := request.header(b"x-request-id"):
                record["request_id"] = request_id[:128]
        return record

    def _outcome(self, exchange: Exchange, outcome: str) -> dict[str, Any]:
        duration = int((time.monotonic() - exchange.began) * 1_000_000)
        return self._base("reply", exchange) | {"outcome": outcome, "duration_us": duration}

    def _end_of(
        self, exchange: Exchange, outcome: str, head: Head, sent: int, parts: int, summary: Summary
    ) -> dict[str, Any]:
        record = self._outcome(exchange, outcome) | {"status": head.status, "bytes": sent, "parts": parts}
        return record | summary.fields()

    def _submit(self, record: dict[str, Any]) -> asyncio.Future[None]:
        try:
            return self._means.recorder.record(record)
        except JournalError as error:
            raise _unrecorded() from error

    async def _recorded(self, record: dict[str, Any]) -> None:
        """Returns when a record is durable; a Refusal where it can't be: no record, no answer."""
        await _durable(self._submit(record))

    def _note(self, record: dict[str, Any]) -> None:
        """A record that nothing waits for, since nothing comes after it."""
        try:
            self._means.recorder.note(record)
        except JournalError as error:
            _log.error("not recorded", error=str(error), record=record["type"], exchange=record["exchange"])

    def _count(self, exchange: Exchange, status: int, sent: int, record: dict[str, Any]) -> None:
        stats = self._means.stats
        stats.requests[exchange.api, status] += 1
        stats.bytes_in += len(exchange.request.body)
        stats.bytes_out += sent
        model = record.get("gen_ai.response.model", "")
        stats.tokens_in[model] += record.get("gen_ai.usage.input_tokens", 0)
        stats.tokens_out[model] += record.get("gen_ai.usage.output_tokens", 0)


_log = structlog.get_logger()


async def _durable(*recorded: asyncio.Future[None]) -> None:
    try:
        for record in recorded:
            await record
    except JournalError as error:
        raise _unrecorded() from error


def _unrecorded() -> Refusal:
    return Refusal.unavailable("Nothing can be recorded at the moment, so nothing is answered.", code="not_recorded")


def _head(request: Request) -> bytes:
    lines = [f"{request.method} {request.target} HTTP/1.1\r\nhost: localhost\r\n".encode("latin-1")]
    lines += [b"%s: %s\r\n" % (name, request.headers[name]) for name in _PASSED_ON if name in request.headers]
    if request.body or request.method in ("POST", "PUT", "PATCH"):
        lines.append(b"content-length: %d\r\n" % len(request.body))
    lines.append(b"\r\n")
    return b"".join(lines)


def _back(head: Head) -> Headers:
    return [(name, value) for name, value in head.headers if name in _PASSED_BACK]


def _readable(head: Head) -> None:
    if head.header(b"content-encoding") not in (None, b"identity"):
        raise UpstreamError("its reply is compressed, which can't be inspected")


def _is_stream(head: Head) -> bool:
    return (head.header(b"content-type") or b"").partition(b";")[0].strip().lower() == b"text/event-stream"


def _summary(body: bytes) -> dict[str, Any]:
    summary = Summary()
    try:
        summary.add(orjson.loads(body))
    except orjson.JSONDecodeError:
        return {}
    return summary.fields()


def _error_event(limit: int) -> bytes:
    error = Refusal.upstream(f"The reply is larger than {limit} bytes.", code="reply_too_large")
    return b"data: " + error.body() + b"\n\n"
