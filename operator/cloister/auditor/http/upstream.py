"""The workload's side: connections that are kept, one exchange at a time on each, and no second try of anything."""

import asyncio
import time
from collections.abc import Callable
from typing import Any, cast

import httptools

from cloister.auditor.http.messages import Head, Headers

CONNECT_SECONDS = 5
REUSE_SECONDS = 3
"""A connection that was idle for longer is not used again: servers close theirs after 5 seconds and more, and a request
that meets the closing could not be sent twice."""
SILENCE_SECONDS = 900
"""How long a server may think before its first byte, or between two."""
MAX_IDLE = 128
MAX_BUFFERED = 256 << 10
"""Beyond it the server waits until the caller has taken some."""
MAX_HEADER_BYTES = 64 << 10
MAX_REST_BYTES = 64 << 10
"""Of a body that nobody wants; a connection with more is not used again."""


class UpstreamError(Exception):
    """The workload did not answer as it should. The text says how, without anything of what it sent."""


class Connection(asyncio.Protocol):
    """A connection to the workload (asyncio's Protocol; httptools calls the `on_...` methods)."""

    asking: bool
    """Whether a request is under way on it."""
    _headers: Headers
    _head: Head | None
    _chunks: list[bytes]
    _buffered: int
    _complete: bool

    def __init__(self, pool: "Pool") -> None:
        self._pool = pool
        self._transport: asyncio.Transport | None = None
        self._wake: asyncio.Future[None] | None = None
        self._error: UpstreamError | None = None
        self._paused = self._full = False
        self.since = pool.now()
        """When it last said something, or was put aside."""
        self._parser = httptools.HttpResponseParser(self)
        self._reset()

    async def send(self, head: bytes, body: bytes, *, head_only: bool = False) -> Head:
        """Sends a request; returns when the head of its reply is there. ``head_only`` says that no body follows it,
        whatever it declares (HEAD)."""
        self.begin(head + body if len(body) < MAX_BUFFERED else head, head_only=head_only)
        if len(body) >= MAX_BUFFERED and self._transport:
            self._transport.write(body)
        return await self.reply()

    def begin(self, head: bytes, *, head_only: bool = False) -> None:
        """Sends the beginning of a request whose body follows by :meth:`write`."""
        assert self._transport
        assert not self.asking
        self.asking, self._head_only = True, head_only
        self.since = self._pool.now()
        self._transport.write(head)

    async def write(self, data: bytes) -> None:
        """Sends more of it. Returns when the server is ready for the next piece."""
        if self._error:
            raise self._error
        self.since = self._pool.now()
        if self._transport:
            self._transport.write(data)
        while self._full and self._head is None:
            await self._wait()

    @property
    def answered(self) -> bool:
        """Whether a reply is there; before the end of a request, that is a refusal."""
        return self._head is not None

    async def reply(self) -> Head:
        """Returns when the head of the reply is there."""
        while self._head is None:
            await self._wait()
        return self._head

    async def read(self) -> tuple[bytes, bool]:
        """What has come of the body since the last call, at least a byte of it or its end; and whether that was all."""
        pieces, ended = await self.pieces(1)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces), ended

    async def pieces(self, least: int) -> tuple[list[bytes], bool]:
        """The same as it has come, at least so many bytes of it (up to :data:`MAX_BUFFERED`) or its end."""
        self._least = least
        while self._buffered < least and not self._complete:
            await self._wait()
        pieces, self._chunks = self._chunks, []
        self._buffered = 0
        if self._paused and self._transport:
            self._paused = False
            self._transport.resume_reading()
        return pieces, self._complete

    async def finish(self) -> None:
        """Reads what is left of a reply that nobody wants, so that the connection can be used again."""
        size, ended = 0, False
        while not ended and size <= MAX_REST_BYTES:
            data, ended = await self.read()
            size += len(data)

    def release(self) -> None:
        """Gives the connection back. One whose reply was not read to its end is closed, which ends the work on it."""
        keep = self._complete and self._reusable and self._transport and not self._error
        self._reset()
        self.since = self._pool.now()
        if keep:
            self._pool.put_back(self)
        else:
            self.abort("released")

    def abort(self, why: str) -> None:
        """Ends it at once."""
        self._fail(why)
        if self._transport:
            self._transport.abort()

    @property
    def alive(self) -> bool:
        """Whether it can be used."""
        return self._transport is not None and self._error is None

    # --- asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance
        self._pool.opened(self)

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        self._pool.closed(self)
        if self._head is not None and self._until_close and not error:
            self._complete = True
            self._notify()
        elif not self._complete:
            self._fail("it closed the connection before its reply was complete")

    def eof_received(self) -> bool:
        return False

    def data_received(self, data: bytes) -> None:
        self.since = self._pool.now()
        if not self.asking:
            self.abort("it spoke without being asked")
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self.abort("its reply is not valid HTTP")

    def pause_writing(self) -> None:
        self._full = True

    def resume_writing(self) -> None:
        self._full = False
        self._notify()

    # --- httptools

    def on_message_begin(self) -> None:
        if self._complete:
            raise UpstreamError

    def on_header(self, name: bytes, value: bytes) -> None:
        self._size += len(name) + len(value)
        if self._size > MAX_HEADER_BYTES:
            raise UpstreamError
        self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200:
            if status == 101:
                raise UpstreamError
            self._interim = True
            return
        head = Head(status, self._headers)
        self._until_close = (
            status not in (204, 304)
            and head.header(b"content-length") is None
            and head.header(b"transfer-encoding") is None
        )
        self._reusable = self._parser.should_keep_alive() and not self._until_close
        self._head = head
        if self._head_only:
            self._complete, self._reusable = True, False
        self._notify()

    def on_body(self, body: bytes) -> None:
        if self._complete:
            raise UpstreamError
        self._chunks.append(body)
        self._buffered += len(body)
        if self._buffered > MAX_BUFFERED and not self._paused and self._transport:
            self._paused = True
            self._transport.pause_reading()
        if self._buffered >= self._least:
            self._notify()

    def on_message_complete(self) -> None:
        if self._interim:
            self._interim, self._headers = False, []
            return
        self._complete = True
        self._notify()

    # --- within

    def _reset(self) -> None:
        self.asking = self._head_only = False
        self._headers = []
        self._head = None
        self._chunks = []
        self._size = self._buffered = 0
        self._least = 1
        self._complete = self._interim = self._until_close = self._reusable = False

    async def _wait(self) -> None:
        if self._error:
            raise self._error
        self._wake = self._pool.loop.create_future()
        try:
            await self._wake
        finally:
            self._wake = None
        if self._error and not self._chunks:
            raise self._error

    def _notify(self) -> None:
        if self._wake and not self._wake.done():
            self._wake.set_result(None)

    def _fail(self, why: str) -> None:
        self._error = self._error or UpstreamError(why)
        self._notify()


class Pool:
    """The connections to one workload."""

    def __init__(self, address: str, now: Callable[[], float] = time.monotonic) -> None:
        self._address = address
        self.loop = asyncio.get_running_loop()
        self.now = now
        self._idle: list[Connection] = []
        self._all: set[Connection] = set()

    async def acquire(self) -> Connection:
        """A connection that is free: the one used last, or a new one."""
        while self._idle:
            connection = self._idle.pop()
            if connection.alive and self.now() - connection.since < REUSE_SECONDS:
                return connection
            connection.abort("idle")
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                return await self._connect()
        except (OSError, TimeoutError):
            raise UpstreamError("it can't be reached") from None

    async def _connect(self) -> Connection:
        def protocol() -> Connection:
            return Connection(self)

        created: tuple[Any, Connection]
        if self._address.startswith("unix:"):
            created = await self.loop.create_unix_connection(protocol, self._address.removeprefix("unix:"))
        else:
            host, port = self._address.rsplit(":", 1)
            created = await self.loop.create_connection(protocol, host, int(port))
        return created[1]

    def put_back(self, connection: Connection) -> None:
        """Takes a connection that is free again."""
        if len(self._idle) < MAX_IDLE:
            self._idle.append(connection)
        else:
            connection.abort("one too many")

    def opened(self, connection: Connection) -> None:
        """Called by a connection that came up."""
        self._all.add(connection)

    def closed(self, connection: Connection) -> None:
        """Called by a connection that is gone."""
        self._all.discard(connection)

    def sweep(self) -> None:
        """To be called about once a second: ends what is silent for too long."""
        now = self.now()
        for connection in list(self._all):
            silent = now - connection.since
            if connection.asking and silent > SILENCE_SECONDS:
                connection.abort(f"it was silent for {SILENCE_SECONDS} seconds")
            elif not connection.asking and silent > REUSE_SECONDS:
                connection.abort("idle")

    def close(self) -> None:
        """Ends all of them."""
        for connection in list(self._all):
            connection.abort("closing")
