"""The way to the interaction-logs store: takes each object once, and can be told to fail."""

import http.server
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Store:
    """What was put, and what it answers."""

    objects: dict[str, bytes] = field(default_factory=dict)
    tries: int = 0
    fails: str = ""
    """`503`, or another status: refuses; `lost`: keeps the object but its answer never arrives; `cut`: takes half and
    hangs up."""
    which: str = ""
    """It refuses what has this in its name."""


@contextmanager
def storing(path: Path) -> Iterator[Store]:
    """The store on a unix socket."""
    store = Store()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_PUT(self) -> None:
            store.tries += 1
            length = int(self.headers["Content-Length"])
            if store.fails == "cut":
                self.rfile.read(length // 2)
                self.close_connection = True
                return
            data = self.rfile.read(length)
            refuses = store.fails.isdecimal() and store.which in self.path
            status = int(store.fails) if refuses else 412 if self.path in store.objects else 200
            if status == 200:
                assert self.headers["If-None-Match"] == "*"
                store.objects[self.path] = data
            if store.fails == "lost":
                self.close_connection = True
                return
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

        def address_string(self) -> str:
            return "unix"

    class Server(socketserver.ThreadingUnixStreamServer):
        daemon_threads = True

    path.unlink(missing_ok=True)
    with Server(str(path), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield store
        finally:
            server.shutdown()
            thread.join()
