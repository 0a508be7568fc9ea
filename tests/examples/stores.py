"""A store for the examples' programs: moto's S3 server on loopback, in an environment of its own."""

import http.client
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.components import LOOPBACK
from tests.cluster.ports import answers, choosing, free
from tests.cluster.processes import ProcessTable
from tests.examples.environments import environment

REQUIREMENTS = Path(__file__).with_name("s3.txt")
"""Every package, by version: `uv pip compile --universal` of `moto[s3]`, `flask` and `flask-cors`."""


@dataclass(frozen=True)
class Store:
    """A running server, asked without a signature, as stores are asked over their gates."""

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
    python = environment("examples-s3", REQUIREMENTS)
    table = ProcessTable(folder)
    try:
        with choosing():
            port = free(["s3"])["s3"]
            table.start("s3", [python.with_name("moto_server"), "-H", LOOPBACK, "-p", str(port)])
            table.wait_ready("s3", lambda: answers(port))
        store = Store(port)
        for bucket in buckets:
            store.ask("PUT", f"/{bucket}")
        yield store
    finally:
        table.stop_all()
