"""Ways to one loopback port: over TLS for who shows a certificate, as a gate asks for it, and over a unix socket."""

import asyncio
import ssl
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

from tests.cluster.components import LOOPBACK

_PIECE = 1 << 16
_Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextmanager
def mutual_tls(port: int, certificate: Path, key: Path, authority: str) -> Iterator[int]:
    """The port where who shows a certificate of the authority is handed on to `port`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    context.load_verify_locations(cadata=authority)
    context.verify_mode = ssl.CERT_REQUIRED
    with _serving(lambda handler: asyncio.start_server(handler, LOOPBACK, 0, ssl=context), port) as server:
        yield server.sockets[0].getsockname()[1]


@contextmanager
def unix_socket(port: int, path: Path) -> Iterator[Path]:
    """A unix socket that leads to `port`."""
    with _serving(lambda handler: asyncio.start_unix_server(handler, path), port):
        yield path


@contextmanager
def _serving(start: Callable[[_Handler], Awaitable[asyncio.Server]], target: int) -> Iterator[asyncio.Server]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            async with _connected(target) as (upstream, to_upstream):
                await asyncio.wait(
                    [
                        asyncio.ensure_future(_hand_on(reader, to_upstream)),
                        asyncio.ensure_future(_hand_on(upstream, writer)),
                    ],
                    return_when=asyncio.FIRST_COMPLETED,
                )
        writer.close()

    async def begin() -> asyncio.Server:
        return await start(handler)

    async def end(server: asyncio.Server) -> None:
        server.close()
        under_way = asyncio.all_tasks() - {asyncio.current_task()}
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)

    try:
        server = asyncio.run_coroutine_threadsafe(begin(), loop).result(30)
        yield server
        asyncio.run_coroutine_threadsafe(end(server), loop).result(30)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(30)
        loop.close()


@asynccontextmanager
async def _connected(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection(LOOPBACK, port)
    try:
        yield reader, writer
    finally:
        writer.close()


async def _hand_on(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await source.read(_PIECE):
            target.write(data)
            await target.drain()
