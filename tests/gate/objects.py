"""Objects as any S3 server keeps them (moto), behind a gate or mutual TLS alone, and the faults of a bad line."""

import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from moto.backends import get_backend
from moto.moto_server.werkzeug_app import create_backend_app
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server
from werkzeug.test import Client

from cloister.zones import STORES
from tests.gate.identities import Leaf

Environ = dict[str, Any]
PIECE = 1 << 16
_FOR_MOTO = {
    "HTTP_HOST": "localhost",  # another would be the name of a bucket
    "HTTP_AUTHORIZATION": "AWS4-HMAC-SHA256 Credential=x/20260101/us-east-1/s3/aws4_request, Signature=x",
}
"""Callers are known by their certificates here, which moto has no idea of."""


@dataclass(frozen=True)
class Query:
    """What was asked."""

    method: str
    target: str
    range: str | None = None
    if_match: str | None = None
    authorization: str | None = None


@dataclass
class Objects:
    """The objects of every store, who asked for them, and what the next answers suffer."""

    seen: list[Query] = field(default_factory=list)
    cuts: list[int] = field(default_factory=list)
    """So many bytes of each of the next objects arrive, and then the connection ends."""
    stall: threading.Event | None = None
    """Where an object would be cut, the connection stays open until this is set."""
    wrong_sums: int = 0
    """So many of the next objects come with a checksum that is not theirs."""
    unversioned: int = 0
    """So many of the next objects come without an ETag."""
    busy: int = 0
    """So many answers are 503 SlowDown."""

    def __post_init__(self) -> None:
        self._app = create_backend_app("s3")
        self._direct = Client(self._app)
        get_backend("s3").reset()  # its objects live as long as the process
        for store in STORES:
            self._own("PUT", f"/{store}")

    def put(self, path: str, data: bytes) -> None:
        """Keeps an object; the path is `/store/key`, escaped."""
        self._own("PUT", path, data)

    def get(self, path: str) -> bytes | None:
        """What is kept there."""
        found = self._own("GET", path)
        return None if found is None else bytes(found)

    def _own(self, method: str, path: str, data: bytes = b"") -> bytes | None:
        reply = self._direct.open(path, method=method, data=data, environ_overrides=_FOR_MOTO)
        assert reply.status_code in {200, 404}, reply.data
        return reply.data if reply.status_code == 200 else None

    def __call__(self, environ: Environ, start: Callable[..., Any]) -> Any:
        """The WSGI application."""
        header = {name: environ.get(f"HTTP_{name}") for name in ("RANGE", "IF_MATCH", "AUTHORIZATION")}
        query = Query(environ["REQUEST_METHOD"], environ["RAW_URI"], *header.values())
        self.seen.append(query)
        if self.busy:
            self.busy -= 1
            environ["wsgi.input"].read()
            start("503 Slow Down", [("Content-Type", "application/xml")])
            return [b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"]
        answer = self._app(environ | _FOR_MOTO, self._spoilt(start) if query.method == "GET" else start)
        return self._cut(b"".join(answer)) if query.method == "GET" and self.cuts else answer

    def _spoilt(self, start: Callable[..., Any]) -> Callable[..., Any]:
        added = [("x-amz-checksum-crc32", "AAAAAA==")] if self.wrong_sums else []
        dropped = {"etag"} if self.unversioned else set()
        self.wrong_sums, self.unversioned = max(self.wrong_sums - 1, 0), max(self.unversioned - 1, 0)

        def begun(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
            return start(status, [header for header in headers if header[0].lower() not in dropped] + added, *more)

        return begun

    def _cut(self, data: bytes) -> Iterator[bytes]:
        kept = data[: self.cuts.pop(0)]
        for start in range(0, len(kept), PIECE):
            yield kept[start : start + PIECE]
        if self.stall:
            self.stall.wait(60)
        raise ConnectionAbortedError("a fault, as asked for")


class _Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, type: str, message: str, *args: Any) -> None:
        pass

    def address_string(self) -> str:
        return "peer"

    def connection_dropped(self, error: BaseException, environ: Environ | None = None) -> None:
        self.close_connection = True


@contextmanager
def on_socket(path: str) -> Iterator[Objects]:
    """In an auditor's place, behind its gate."""
    with suppress(FileNotFoundError):
        Path(path).unlink()
    objects = Objects()
    with _serving(make_server(f"unix://{path}", 0, objects, threaded=True, request_handler=_Quiet)):
        yield objects


@contextmanager
def on_port(leaf: Leaf, authority: str, folder: Path) -> Iterator[tuple[Objects, int]]:
    """Behind mutual TLS, on a loopback port that is told."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*leaf.write(folder, "server"))
    context.load_verify_locations(cadata=authority)
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.verify_mode = ssl.CERT_REQUIRED
    objects = Objects()
    server = make_server("127.0.0.1", 0, objects, threaded=True, request_handler=_Quiet, ssl_context=context)
    with _serving(server):
        yield objects, server.server_port


@contextmanager
def _serving(server: BaseWSGIServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
