"""The gate's side for stores: a request is handed over at its head, and its body follows as fast as it is taken."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

import httptools
import structlog

from cloister.auditor.http.downstream import _NO_UPGRADE, Downstream
from cloister.auditor.http.messages import Request
from cloister.auditor.refusal import Refusal

MAX_BUFFERED = 256 << 10
"""Beyond it the gate waits until some of a body is taken."""
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

_log = structlog.get_logger()


class Body:
    """What comes after a request's head, piece by piece."""

    def __init__(self, pause: Callable[[bool], None], invite: Callable[[], None] | None) -> None:
        self._pause, self._invite = pause, invite
        self._chunks: list[bytes] = []
        self._buffered = 0
        self._paused = False
        self._error: Refusal | None = None
        self._wake: asyncio.Future[None] | None = None
        self.whole = False
        """Whether all of it has come."""

    @property
    def invited(self) -> bool:
        """False while the caller waits to be told that its body is wanted (RFC 9110, section 10.1.1)."""
        return self._invite is None

    async def read(self) -> bytes:
        """The next piece; empty at the end. A Refusal where the rest can't be read."""
        if self._invite:
            self._invite()
            self._invite = None
        while not self._chunks:
            if self._error:
                raise self._error
            if self.whole:
                return b""
            self._wake = asyncio.get_running_loop().create_future()
            try:
                await self._wake
            finally:
                self._wake = None
        data = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        self._chunks.clear()
        self._buffered = 0
        if self._paused:
            self._paused = False
            self._pause(False)
        return data

    async def read_all(self, limit: int) -> bytes:
        """All of it; a Refusal beyond this many bytes."""
        parts, size = [], 0
        while data := await self.read():
            size += len(data)
            if size > limit:
                raise Refusal(413, f"The request is larger than {limit} bytes.", code="request_too_large")
            parts.append(data)
        return b"".join(parts)

    def put(self, data: bytes) -> None:
        """More of it has come."""
        self._chunks.append(data)
        self._buffered += len(data)
        if self._buffered > MAX_BUFFERED and not self._paused:
            self._paused = True
            self._pause(True)
        self._notify()

    def end(self, error: Refusal | None = None) -> None:
        """That was all, or the rest can't be read."""
        self.whole, self._error = error is None, error
        self._notify()

    def _notify(self) -> None:
        if self._wake and not self._wake.done():
            self._wake.set_result(None)


class StreamHandler(Protocol):
    """What is done with a request."""

    def serve(self, request: Request, body: Body, reply: "StreamedDownstream") -> Coroutine[Any, Any, None]:
        """Answers by ``reply``'s methods. It is cancelled when the caller goes away."""

    def refuse(self, request: Request, refusal: Refusal, reply: Downstream) -> Coroutine[Any, Any, None]:
        """Answers a request that never became one."""


class _Whole:
    """Stands where :class:`Downstream` asks for the handler of whole requests; it is never asked here."""

    max_body_bytes = 0

    def __init__(self, handler: StreamHandler) -> None:
        self.refuse = handler.refuse

    async def serve(self, request: Request, reply: Downstream) -> None:
        """Requests are served from their heads."""
        raise NotImplementedError


class StreamedDownstream(Downstream):
    """A connection on which bodies are streamed; otherwise as :class:`Downstream`, and as strict."""

    _incoming: Body | None = None

    def __init__(self, handler: StreamHandler, connections: "set[Downstream]") -> None:
        super().__init__(_Whole(handler), connections)
        self._streams = handler

    def data_received(self, data: bytes) -> None:
        if self._refused or self._lingering:
            self._throw_away(data)
            return
        if self.task and self._incoming and self._incoming.whole:
            if self._replied:
                self._early += data
            else:
                self.abort()
            return
        if self._request is None:
            self.since = self._now()
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._fail(_NO_UPGRADE)
        except httptools.HttpParserError as error:
            cause = error.__context__ if isinstance(error.__context__, Refusal) else None
            self._fail(cause or Refusal.invalid("The request is not valid HTTP.", code="invalid_http"))
        if self._incoming and not self.task and not self._refused:
            assert self._request
            self._begin(self._streams.serve(self._request, self._incoming, self))

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._incoming:
            raise Refusal.invalid("Nothing follows a body.", code="invalid_headers")
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        assert self._request
        self._request.method = self._parser.get_method().decode("ascii")
        self._request.target = self._target.decode("latin-1")
        if self._parser.should_upgrade():
            raise _NO_UPGRADE
        expect = self._request.headers.get(b"expect")
        if expect is not None and expect.lower() != b"100-continue":
            raise Refusal.invalid("Nothing but 100-continue can be expected.", code="invalid_headers")
        self._incoming = Body(self._pause_reading, self._invite if expect else None)

    def on_body(self, body: bytes) -> None:
        assert self._incoming
        self._incoming.put(body)

    def on_message_complete(self) -> None:
        assert self._incoming
        self._keep_alive = self._parser.should_keep_alive()
        self._incoming.end()

    def _fail(self, refusal: Refusal) -> None:
        if self._incoming and self.task:
            self._keep_alive, self._refused = False, True
            self._incoming.end(refusal)
        else:
            self._incoming = None
            self._start(refusal)

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        self.since = self._now()
        self.task = asyncio.get_running_loop().create_task(work)
        self.task.add_done_callback(self._served)

    def _served(self, task: asyncio.Task[None]) -> None:
        if self._incoming and not self._incoming.whole:
            self._refused = True  # its rest, at least
        self._incoming = None
        super()._served(task)

    def _invite(self) -> None:
        if self._transport:
            self._transport.write(_CONTINUE)
