"""Both sides of the proxy's HTTP, fed with anything in any pieces: one answer at most, and no exception gets out."""

import asyncio
import sys
from typing import Any, cast

import atheris

with atheris.instrument_imports(include=["cloister.auditor"]):
    from cloister.auditor.http.downstream import Downstream
    from cloister.auditor.http.messages import Request
    from cloister.auditor.http.upstream import Connection, Pool
    from cloister.auditor.refusal import Refusal


class Wire:
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        self.written, self.closed = b"", False

    def write(self, data: bytes) -> None:
        """Keeps it."""
        self.written += data

    def close(self) -> None:
        """No more."""
        self.closed = True

    abort = close

    def pause_reading(self) -> None:
        """Nothing is read here."""

    resume_reading = pause_reading


class Handler:
    """Answers everything at once."""

    max_body_bytes = 4096

    def __init__(self) -> None:
        self.served: list[Request] = []

    async def serve(self, request: Request, reply: Downstream) -> None:
        """200."""
        self.served.append(request)
        reply.answer(200, [], request.body)

    async def refuse(self, request: Request, refusal: Refusal, reply: Downstream) -> None:
        """As told."""
        reply.answer(refusal.status, [], refusal.body())


def pieces(data: bytes) -> list[bytes]:
    """The first byte says how long the pieces are."""
    size = data[0] % 64 + 1 if data else 1
    return [data[start : start + size] for start in range(1, len(data), size)]


async def downstream(data: bytes) -> None:
    """The gate's side."""
    handler, wire = Handler(), Wire()
    side = Downstream(handler, set())
    side.connection_made(cast(Any, wire))
    for piece in pieces(data):
        if wire.closed:
            break
        side.data_received(piece)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    for request in handler.served:
        assert len(request.body) <= handler.max_body_bytes
        assert request.method.isascii()
        assert b"\n" not in b"".join(request.headers.values())
    assert wire.written.count(b"HTTP/1.1 ") >= len(handler.served) or wire.closed
    side.connection_lost(None)


async def upstream(data: bytes) -> None:
    """The model server's side."""
    wire = Wire()
    connection = Connection(Pool("127.0.0.1:1"))
    connection.connection_made(cast(Any, wire))
    asking = asyncio.ensure_future(_whole(connection))
    await asyncio.sleep(0)
    for piece in pieces(data):
        if wire.closed:
            break
        connection.data_received(piece)
    connection.connection_lost(None)
    await asking


async def _whole(connection: Connection) -> None:
    from cloister.auditor.http.upstream import UpstreamError  # noqa: PLC0415 - after the instrumentation

    try:
        head = await connection.send(b"GET / HTTP/1.1\r\n\r\n", b"")
        assert 200 <= head.status < 1000
        ended = False
        while not ended:
            _, ended = await connection.read()
    except UpstreamError:
        pass


_LOOP = asyncio.new_event_loop()


def target(data: bytes) -> None:
    """One input for both."""
    asyncio.set_event_loop(_LOOP)
    _LOOP.run_until_complete(downstream(data))
    _LOOP.run_until_complete(upstream(data))


def main() -> None:
    """Arguments are libFuzzer's."""
    atheris.Setup(sys.argv, target)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
