"""Callers that never stop asking, on connections that they keep, and remember whatever went wrong."""

import http.client
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.gate.running import HOST


@dataclass(frozen=True)
class Question:
    """What one caller asks again and again, and the answer that it must get each time."""

    context: ssl.SSLContext
    body: bytes
    answer: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Load:
    """What has happened so far."""

    asked: int = 0
    connections: int = 0
    failures: list[str] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, *, connections: int = 0) -> None:
        """One more request."""
        with self._lock:
            self.asked += 1
            self.connections += connections


@contextmanager
def under_load(port: int, path: str, questions: list[Question]) -> Iterator[Load]:
    """One thread and one connection for each question. A caller opens another connection only where the gate said
    that it closes this one: no request is sent twice, so each that fails is seen."""
    load = Load()
    threads = [threading.Thread(target=_ask, args=(load, port, path, question)) for question in questions]
    for thread in threads:
        thread.start()
    try:
        yield load
    finally:
        load.stop.set()
        for thread in threads:
            thread.join(60)


def _ask(load: Load, port: int, path: str, question: Question) -> None:
    connection = http.client.HTTPSConnection(HOST, port, context=question.context, timeout=60)
    try:
        while not load.stop.is_set():
            new = connection.sock is None
            try:
                connection.request("POST", path, body=question.body, headers=dict(question.headers))
                answer = connection.getresponse()
                body = answer.read()
            except (OSError, http.client.HTTPException) as error:
                load.failures.append(f"{error!r} after {load.asked} requests, new connection: {new}")
                connection.close()
                continue
            if answer.status != 200 or body != question.answer:
                load.failures.append(f"{answer.status} after {load.asked} requests: {body[:300]!r}")
            load.count(connections=int(new))
    finally:
        connection.close()
