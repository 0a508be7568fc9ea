"""A sink: a real HTTPS server with a certificate of a name, which keeps what it is sent."""

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.gate.identities import Authority


@dataclass
class Sink:
    """What it was sent, and what it answers."""

    host: str
    port: int
    received: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    """(path, headers by names in lower case, body) of each request that was answered with success."""
    refused: list[int] = field(default_factory=list)
    """Statuses that were answered instead."""
    answers: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    """(status, headers) of the next answers; empty: 200."""
    body: bytes = b"{}"

    @property
    def url(self) -> str:
        """Where it takes batches."""
        return f"https://{self.host}:{self.port}/take"


@contextmanager
def serving(authority: Authority, host: str, folder: Path) -> Iterator[Sink]:
    """A sink that proves that it is ``host``; it listens on 127.0.0.1."""
    folder.mkdir(parents=True, exist_ok=True)
    certificate, key = authority.issue(hosts=(host,)).write(folder, host)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    sink = Sink(host, 0)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            status, headers = sink.answers.pop(0) if sink.answers else (200, {})
            if 200 <= status < 300:
                sink.received.append((self.path, {name.lower(): value for name, value in self.headers.items()}, body))
            else:
                sink.refused.append(status)
            self.send_response(status)
            for name, value in (headers | {"Content-Length": str(len(sink.body))}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(sink.body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, request: object, client_address: object) -> None:
            """Of clients that don't like its certificate."""

    server = Server(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    sink.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield sink
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
