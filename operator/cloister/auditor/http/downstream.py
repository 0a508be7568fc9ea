"""The gate's side: one request at a time on a connection, read whole, and its reply."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any, Protocol, cast

import httptools
import structlog

from cloister.auditor.http.messages import Headers, Request, head_bytes
from cloister.auditor.refusal import Refusal

REQUEST_SECONDS = 60
"""How long a request may take to arrive."""
IDLE_SECONDS = 90
"""How long an unused connection stays: longer than the gate keeps one, so that no request meets its end."""
LINGER_SECONDS, LINGER_BYTES = 2, 16 << 20
"""How long, and how much, of what still comes of a refused request is thrown away, so that the refusal is read."""
MAX_EARLY_BYTES = 1 << 20
"""What may come of the next request while the last answer is leaving."""
MAX_HEADERS, MAX_HEADER_BYTES = 128, 128 << 10
"""More than the gate lets through, since it adds the token's claims."""

_log = structlog.get_logger()

_NO_UPGRADE = Refusal.invalid("Protocol upgrades are not possible.", code="upgrade_refused")
_CHUNK_END = b"0\r\n\r\n"


class Handler(Protocol):
    """What is done with a request."""

    max_body_bytes: int

    def serve(self, request: Request, reply: "Downstream") -> Coroutine[Any, Any, None]:
        """Answers by ``reply``'s methods. It is cancelled when the caller goes away."""

    def refuse(self, request: Request, refusal: Refusal, reply: "Downstream") -> Coroutine[Any, Any, None]:
        """Answers a request that never became a whole one."""


class Downstream(asyncio.Protocol):
    """A connection from the gate (asyncio's Protocol; httptools calls the `on_...` methods)."""

    _request: Request | None
    _body: list[bytes]

    def __init__(self, handler: Handler, connections: "set[Downstream]", now: Callable[[], float] = time.monotonic):
        self._handler, self._connections, self._now = handler, connections, now
        self._transport: asyncio.Transport | None = None
        self._loop = asyncio.get_running_loop()
        self.task: asyncio.Task[None] | None = None
        """Serves the request that is under way."""
        self._writable: asyncio.Future[None] | None = None
        self._parser = httptools.HttpRequestParser(self)
        self._paused = self._lingering = False
        self._thrown_away = 0
        self._reset()
        self.since = now()
        """When the present state (reading, serving, idle) began."""

    # --- asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance
        self._connections.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        self._connections.discard(self)
        if self.task:
            self.task.cancel()
        if self._writable and not self._writable.done():
            self._writable.set_result(None)

    def eof_received(self) -> bool:
        return False

    def data_received(self, data: bytes) -> None:
        if self._refused or self._lingering:
            self._throw_away(data)
            return
        if self.task:
            self._early += data  # after its answer, which has left by then or is about to
            if not self._replied or len(self._early) > MAX_EARLY_BYTES:
                # A second request before the first is answered: the gate never does that.
                self.abort()
            return
        if self._request is None:
            self.since = self._now()
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._start(_NO_UPGRADE)
        except httptools.HttpParserError as error:
            cause = error.__context__ if isinstance(error.__context__, Refusal) else None
            self._start(cause or Refusal.invalid("The request is not valid HTTP.", code="invalid_http"))

    def pause_writing(self) -> None:
        self._writable = self._loop.create_future()

    def resume_writing(self) -> None:
        if self._writable and not self._writable.done():
            self._writable.set_result(None)
        self._writable = None

    # --- httptools

    def on_message_begin(self) -> None:
        if self._request is not None:
            raise Refusal.invalid("One request at a time.", code="pipelining_refused")
        self._request = Request()

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        assert self._request
        name = name.lower()
        headers = self._request.headers
        self._size += len(name) + len(value)
        if name in headers or len(headers) >= MAX_HEADERS or self._size > MAX_HEADER_BYTES:
            raise Refusal.invalid("A header came twice, or the headers are too large.", code="invalid_headers")
        headers[name] = value

    def on_headers_complete(self) -> None:
        assert self._request
        self._request.method = self._parser.get_method().decode("ascii")
        self._request.target = self._target.decode("latin-1")
        self._size = 0
        if self._parser.should_upgrade():
            raise _NO_UPGRADE
        declared = self._request.headers.get(b"content-length", b"0")
        if int(declared) > self._handler.max_body_bytes:
            raise _too_large(self._handler.max_body_bytes)

    def on_body(self, body: bytes) -> None:
        self._size += len(body)
        if self._size > self._handler.max_body_bytes:
            raise _too_large(self._handler.max_body_bytes)
        self._body.append(body)

    def on_message_complete(self) -> None:
        assert self._request
        body = self._body
        self._request.body = body[0] if len(body) == 1 else b"".join(body)
        self._keep_alive = self._parser.should_keep_alive()
        self._start(None)

    # --- replies

    @property
    def busy(self) -> bool:
        """Whether a request is being served."""
        return self.task is not None

    @property
    def reading(self) -> bool:
        """Whether a request has begun to arrive."""
        return self._request is not None and self.task is None

    def answer(self, status: int, headers: Headers, body: bytes) -> None:
        """A whole reply. With some statuses it has no body (RFC 9112, section 6.3): one that was written would be read
        as the next reply."""
        if status in (204, 304):
            head, body = head_bytes(status, headers), b""
        else:
            head = head_bytes(status, [*headers, (b"content-length", b"%d" % len(body))])
        self._head, self._replied = b"", True
        self._write(head + body)

    def begin(self, status: int, headers: Headers, length: int | None = None) -> None:
        """The head of a reply that comes in pieces; it leaves together with the first. ``length`` is announced where it
        is known."""
        self._chunked = length is None
        framing = (b"transfer-encoding", b"chunked") if length is None else (b"content-length", b"%d" % length)
        self._head = head_bytes(status, [*headers, framing])

    async def send(self, data: bytes) -> None:
        """A piece of it. Returns when the gate is ready for more."""
        self.hand_over(data)
        await self.ready()

    async def ready(self) -> None:
        """Returns when the gate is ready for more."""
        if self._writable:
            await self._writable

    def hand_over(self, data: bytes) -> None:
        """A piece of it, for who awaits :meth:`ready` before: it leaves while the next one is made."""
        self._write(b"%b%x\r\n%b\r\n" % (self._head, len(data), data) if self._chunked else self._head + data)
        self._head = b""

    def end(self, data: bytes = b"") -> None:
        """The last piece of it, and its end."""
        self._replied = True
        if self._chunked:
            last = b"%x\r\n%b\r\n" % (len(data), data) if data else b""
            self._write(b"%b%b%b" % (self._head, last, _CHUNK_END))
        else:
            self._write(self._head + data)
        self._head = b""

    def abort(self) -> None:
        """Ends the connection in the middle, so that nobody takes what was sent for the whole."""
        if self._transport:
            self._transport.abort()

    # --- within

    def _reset(self) -> None:
        self._request = None
        self._target, self._size, self._head = b"", 0, b""
        self._body = []
        self._early = b""
        self._keep_alive = self._refused = self._replied = False
        self._chunked = True
        self.begun = False
        """Whether any of the reply has left."""

    def _start(self, refusal: Refusal | None) -> None:
        if self.task:
            self.abort()
            return
        request = self._request or Request()
        if refusal:
            request.target = request.target or self._target.decode("latin-1")
            self._keep_alive, self._refused = False, True
            work = self._handler.refuse(request, refusal, self)
        else:
            work = self._handler.serve(request, self)
        self.since = self._now()
        self.task = self._loop.create_task(work)
        self.task.add_done_callback(self._served)

    def _served(self, task: asyncio.Task[None]) -> None:
        self.task = None
        failed = None if task.cancelled() else task.exception()
        if failed:
            _log.error("a request failed by a fault of this program", exc_info=failed)
        keep = self._keep_alive and not failed and not task.cancelled()
        early, unread = self._early, self._refused
        self._reset()
        self.since = self._now()
        if keep:
            if early:
                self.data_received(early)
        elif unread and not task.cancelled():
            self._linger()
        elif self._transport:
            self._transport.close()

    def _linger(self) -> None:
        """Ends a connection on which the other side still writes. Closed at once, it would be reset, and the answer
        lost with what was not read (RFC 9112, section 9.6)."""
        if self._transport and not self._transport.is_closing():
            self._lingering = True
            self._pause_reading(False)
            if self._transport.can_write_eof():
                self._transport.write_eof()
            self._loop.call_later(LINGER_SECONDS, self.abort)

    def _throw_away(self, data: bytes) -> None:
        self._thrown_away += len(data)
        if self._thrown_away > LINGER_BYTES:
            self._pause_reading(True)

    def _pause_reading(self, pause: bool) -> None:
        if self._transport and not self._transport.is_closing() and pause != self._paused:
            self._paused = pause
            if pause:
                self._transport.pause_reading()
            else:
                self._transport.resume_reading()

    def _write(self, data: bytes) -> None:
        self.begun = True
        if self._transport:
            self._transport.write(data)


def _too_large(limit: int) -> Refusal:
    return Refusal(413, f"The request is larger than {limit} bytes.", code="request_too_large")
