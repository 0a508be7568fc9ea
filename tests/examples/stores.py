"""Stores for the examples' programs: the rclone that serves them, on loopback, as a pod's own endpoint does it."""

import http.client
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.cluster import binaries
from tests.cluster.components import LOOPBACK
from tests.cluster.ports import answers, choosing, free
from tests.cluster.processes import ProcessTable


@dataclass(frozen=True)
class Store:
    """A running server: any bucket that is a folder, and no credentials."""

    port: int

    def ask(self, method: str, path: str, body: bytes | None = None) -> bytes:
        """The body of an answer that must be a good one."""
        connection = http.client.HTTPConnection(LOOPBACK, self.port, timeout=30)
        try:
            connection.request(method, path, body)
            answer = connection.getresponse()
            found = answer.read()
            assert answer.status in (200, 204), f"{method} {path}: {answer.status} {found[:300]!r}"
            return found
        finally:
            connection.close()

    def keys(self, bucket: str) -> list[str]:
        """Every key of a bucket."""
        return re.findall("<Key>([^<]+)</Key>", self.ask("GET", f"/{bucket}?list-type=2").decode())


@contextmanager
def serving(folder: Path, *buckets: str) -> Iterator[Store]:
    """The server, with empty buckets; ended always."""
    for bucket in buckets:
        (folder / "data" / bucket).mkdir(parents=True)
    table = ProcessTable(folder)
    try:
        with choosing():
            port = free(["rclone"])["rclone"]
            address = f"{LOOPBACK}:{port}"
            table.start("rclone", [binaries.path("rclone"), "serve", "s3", folder / "data", "--addr", address])
            table.wait_ready("rclone", lambda: answers(port))
        yield Store(port)
    finally:
        table.stop_all()
