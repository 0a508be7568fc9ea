"""Stands where the auditor would, and reads strictly: what the gate sends on is whole requests and nothing else."""

import re
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

_LINE = re.compile(rb"([A-Z]+) (/[^\s#?]*) HTTP/1\.1")
_HEADER = re.compile(rb"([!#$%&'*+.^`|~0-9A-Za-z-]+): ?([\x20-\x7e\x80-\xff]*)")


@dataclass(frozen=True)
class Request:
    """A request that could be read in one way only."""

    method: str
    path: str
    headers: list[tuple[str, str]]
    body: bytes

    def values(self, name: str) -> list[str]:
        """Every value of one header."""
        return [value for key, value in self.headers if key.lower() == name]


@dataclass
class Recorder:
    """What reached it."""

    requests: list[Request] = field(default_factory=list)
    ambiguous: list[bytes] = field(default_factory=list)
    """Heads that a second reader could understand differently. There must be none."""


@contextmanager
def recording(path: str, reply: bytes = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}") -> Iterator[Recorder]:
    """A recorder on a unix socket, in place of what was there; it gives everybody the same reply."""
    found = Recorder()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            while head := _head(self.rfile.readline):
                request = _parsed(head, self.rfile.read)
                if request is None:
                    found.ambiguous.append(head)
                    return
                found.requests.append(request)
                self.wfile.write(reply)

    class Server(socketserver.ThreadingUnixStreamServer):
        daemon_threads = True

    Path(path).unlink(missing_ok=True)
    with Server(path, Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield found
        finally:
            server.shutdown()
            thread.join()


def _head(read_line: Callable[[], bytes]) -> bytes:
    lines: list[bytes] = []
    while (line := read_line()) not in (b"", b"\r\n"):
        lines.append(line)
    return b"".join(lines)


def _parsed(head: bytes, read: Callable[[int], bytes]) -> Request | None:
    """None unless every line is exactly as RFC 9112 writes it, and the body's length is said once."""
    first, *rest = head.removesuffix(b"\r\n").split(b"\r\n")
    line = _LINE.fullmatch(first)
    headers = [_HEADER.fullmatch(one) for one in rest]
    if not line or not all(headers):
        return None
    named = [(one[1].decode().lower(), one[2].decode("latin-1")) for one in headers if one]
    lengths = [value for name, value in named if name == "content-length"]
    if (
        any(name == "transfer-encoding" for name, _ in named)
        or len(lengths) > 1
        or not all(map(str.isdecimal, lengths))
    ):
        return None
    return Request(line[1].decode(), line[2].decode(), named, read(int(lengths[0])) if lengths else b"")
