"""A model server that does what the prompt's `model` says, and remembers every prompt that it saw."""

import asyncio
import gzip
import json
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

Writer = asyncio.StreamWriter

CHUNK = (
    '{"id":"c1","object":"chat.completion.chunk","model":"tiny",'
    '"choices":[{"index":0,"delta":{"content":"%s"},"finish_reason":%s}]}'
)
WORDS = ("Grüße", " aus", " 東京", " 😀", " an", " ada@example.com", " und", " tschüß")


def events(words: tuple[str, ...] = WORDS) -> bytes:
    """A whole stream of events, as a model server sends it."""
    lines = [f"data: {CHUNK % (word, 'null')}\n\n" for word in words]
    usage = '{"id":"c1","model":"tiny","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":8}}'
    lines += [f"data: {CHUNK % ('', chr(34) + 'stop' + chr(34))}\n\n", f"data: {usage}\n\n", "data: [DONE]\n\n"]
    return "".join(lines).encode()


def answer(text: str = "Grüße an ada@example.com") -> bytes:
    """A whole reply."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8}
    reply = {"id": "c1", "object": "chat.completion", "model": "tiny", "choices": [choice], "usage": usage}
    return json.dumps(reply).encode()


@dataclass
class Seen:
    """A request as the model server got it."""

    line: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Model:
    """What it saw, and where it is."""

    port: int = 0
    seen: list[Seen] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    """Behaviours whose client went away before the end."""
    connections: int = 0
    given: bytes = b""
    """What `given` answers with (a stream, in pieces of so many bytes), and `given-whole`."""
    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    loop: asyncio.AbstractEventLoop | None = None

    def release(self) -> None:
        """Lets replies that wait go on."""
        assert self.loop
        self.loop.call_soon_threadsafe(self.go_on.set)


def plain(status: str, body: bytes, *headers: str) -> bytes:
    """A reply with its length."""
    lines = [f"HTTP/1.1 {status}", "content-type: application/json", f"content-length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def chunked(data: bytes) -> bytes:
    """One chunk."""
    return b"%x\r\n%b\r\n" % (len(data), data)


SSE = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n"


async def _pieces(writer: Writer, data: bytes, size: int) -> None:
    writer.write(SSE)
    for start in range(0, len(data), size):
        writer.write(chunked(data[start : start + size]))
        await writer.drain()
        await asyncio.sleep(0)
    writer.write(b"0\r\n\r\n")


async def _endless(model: Model, writer: Writer, name: str, pause: float) -> None:
    """Events until the client goes away."""
    writer.write(SSE)
    try:
        while True:
            writer.write(chunked(f"data: {CHUNK % ('x' * 2000, 'null')}\n\n".encode()))
            await writer.drain()
            await asyncio.sleep(pause)
    except ConnectionError:
        model.gone.append(name)


async def _step_by_step(model: Model, writer: Writer, text: str) -> None:
    """One event, then the rest when the test says so."""
    writer.write(SSE + chunked(b'data: {"step":"first "}\n\n'))
    await writer.drain()
    await model.go_on.wait()
    writer.write(chunked(f'data: {{"step":"{text}"}}\n\n'.encode()) + b"0\r\n\r\n")


async def _hang(model: Model, reader: asyncio.StreamReader, name: str) -> None:
    """Thinks until its client goes away."""
    if not await reader.read(1):
        model.gone.append(name)


async def behave(  # noqa: PLR0912, PLR0915 - a list
    model: Model, name: str, reader: asyncio.StreamReader, writer: Writer, body: dict[str, Any]
) -> bool:
    """Sends the reply; whether the connection stays."""
    whole = events()
    match name.partition(":"):
        case ("echo", _, _):
            writer.write(plain("200 OK", answer(json.dumps(body, ensure_ascii=False))))
        case ("sse", _, size):
            await _pieces(writer, whole, int(size or 10_000))
        case ("given", _, size):
            await _pieces(writer, model.given, int(size or 10_000))
        case ("given-whole", _, _):
            writer.write(plain("200 OK", model.given))
        case ("one-write", _, _):
            writer.write(SSE + chunked(whole) + b"0\r\n\r\n")
        case ("step", _, size):
            await _step_by_step(model, writer, "x" * int(size) if size else "second")
        case ("endless", _, milliseconds):
            await _endless(model, writer, name, int(milliseconds or 1) / 1000)
        case ("hang", _, _):
            await _hang(model, reader, name)
            return False
        case ("status", _, status):
            writer.write(plain(f"{status} Whatever", b'{"error":"x"}'))
        case ("gzip", _, _):
            writer.write(plain("200 OK", gzip.compress(answer()), "content-encoding: gzip"))
        case ("encoding", _, coding):
            writer.write(plain("200 OK", b"xxxx", f"content-encoding: {coding}"))
        case ("huge", _, size):
            writer.write(plain("200 OK", b"x" * int(size)))
        case ("flood", _, size):
            await _pieces(writer, f"data: {'x' * 1000}\n\n".encode() * (int(size) // 1000), 65536)
        case ("no-end", _, size):
            await _pieces(writer, b"data: " + b"x" * int(size), 65536)
        case ("die", _, "before"):
            return False
        case ("die", _, "in-head"):
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-le")
            return False
        case ("die", _, "in-body"):
            writer.write(plain("200 OK", answer())[:-5])
            return False
        case ("die", _, "in-stream"):
            writer.write(SSE + chunked(whole[: whole.index(b"\n\n") + 2]))
            await writer.drain()
            return False
        case ("raw", _, text):
            writer.write(text.encode("latin-1").decode("unicode_escape").encode("latin-1"))
            await writer.drain()
            return False
        case ("headers", _, _):
            forged = [
                "x-cloister-peer: spiffe://evil",
                "X-Envoy-Upstream-Service-Time: 1",
                "set-cookie: a=b",
                "server: forged",
                "strict-transport-security: max-age=1",
                "www-authenticate: Basic",
                "connection: keep-alive, content-type",
                "openai-processing-ms: 12",
                "retry-after: 3",
            ]
            writer.write(plain("200 OK", answer(), *forged))
        case ("interim", _, _):
            writer.write(b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n" + plain("200 OK", answer()))
        case ("until-close", _, _):
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n" + answer())
            return False
        case ("binary", _, _):
            body_bytes = bytes(range(256))
            writer.write(plain("200 OK", body_bytes).replace(b"application/json", b"audio/mpeg"))
        case _:
            writer.write(plain("200 OK", answer()))
    return True


async def _requests(reader: asyncio.StreamReader) -> AsyncIterator[Seen]:
    while True:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        line, *rest = head.split("\r\n")[:-2]
        headers = {name.lower(): value.strip() for name, _, value in (h.partition(":") for h in rest)}
        try:
            body = await reader.readexactly(int(headers.get("content-length", 0)))
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        yield Seen(line, headers, body)


def _handler(model: Model) -> Callable[[asyncio.StreamReader, Writer], Awaitable[None]]:
    async def handle(reader: asyncio.StreamReader, writer: Writer) -> None:
        model.connections += 1
        with suppress(ConnectionError):
            async for seen in _requests(reader):
                if not seen.line.startswith("GET /health"):
                    model.seen.append(seen)
                body = json.loads(seen.body) if seen.body else {}
                if seen.line.startswith("HEAD"):
                    writer.write(plain("200 OK", answer()).removesuffix(answer()))
                    continue
                if not await behave(model, str(body.get("model", "")), reader, writer, body):
                    break
                await writer.drain()
        writer.close()

    return handle


@contextmanager
def serving() -> Iterator[Model]:
    """The server, on a loopback port of its own."""
    model = Model()
    ready, stop = threading.Event(), asyncio.Event()

    async def main() -> None:
        server = await asyncio.start_server(_handler(model), "127.0.0.1", 0)
        model.port = server.sockets[0].getsockname()[1]
        model.loop = asyncio.get_running_loop()
        ready.set()
        await stop.wait()
        server.close()

    thread = threading.Thread(target=asyncio.run, args=(main(),), daemon=True)
    thread.start()
    assert ready.wait(30)
    try:
        yield model
    finally:
        assert model.loop
        model.loop.call_soon_threadsafe(stop.set)
        thread.join(30)
