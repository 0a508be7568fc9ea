"""Certificates, clients and keys change a hundred times each under load, and no request notices (ZT-01, ZT-05, ZT-25).

Gate and auditor as rendered. Connections stay open, as those of real clients do: a change must neither cut them nor
leave them with rights that are gone.
"""

import http.client
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from cryptography import x509

from tests.auditor.model import answer, events
from tests.auditor.running import prompt
from tests.gate.datapath import data_path
from tests.gate.model import (
    CHAT,
    FRONTEND,
    MODELS,
    NIGHTLY,
    OTHER_PROVIDER,
    OUR_CA,
    OWN,
    PROVIDER,
    bearer,
    connect,
    inference_files,
    model,
    spiffe,
    status,
)
from tests.gate.running import HOST, Gate, Reply, until

CHANGES = 100
WITHDRAWN_SECONDS = 10
"""Within which a withdrawn key must be refused."""
PLAIN, STREAM = prompt(), prompt("sse:7", stream=True)


@dataclass
class Load:
    """What some clients saw that never stopped asking."""

    answered: int = 0
    failures: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def saw(self, right: bool, what: str) -> None:
        with self.lock:
            self.answered += 1
            if not right:
                self.failures.append(what)


class Client:
    """One connection that is kept, as an HTTP library keeps it: opened anew only when the gate has said so."""

    def __init__(self, gate: Gate, context: ssl.SSLContext) -> None:
        self._connection = http.client.HTTPSConnection(HOST, gate.port, context=context, timeout=30)

    def ask(self, body: bytes | None = PLAIN, path: str = CHAT, token: str = "") -> Reply:
        self._connection.request("POST" if body else "GET", path, body, bearer(token) if token else {})
        found = self._connection.getresponse()
        return Reply(found.status, {k.lower(): v for k, v in found.getheaders()}, found.read())

    def close(self) -> None:
        self._connection.close()


@contextmanager
def load(gate: Gate, context: ssl.SSLContext, clients: int = 4) -> Iterator[Load]:
    """Machines that ask without a pause, half of them for streams."""
    found, stop = Load(), threading.Event()

    def work(body: bytes, wanted: bytes) -> None:
        client = Client(gate, context)
        while not stop.is_set():
            try:
                reply = client.ask(body)
            except (OSError, http.client.HTTPException) as error:
                found.saw(False, repr(error))
                client.close()
            else:
                found.saw((reply.status, reply.body) == (200, wanted), f"{reply.status} {reply.body[:200]!r}")
        client.close()

    kinds = [(PLAIN, answer()), (STREAM, events())]
    threads = [threading.Thread(target=work, args=kinds[number % 2]) for number in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield found
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def serial(gate: Gate, context: ssl.SSLContext) -> int:
    """Of the certificate that a new connection is shown."""
    with connect(gate, context) as found:
        return x509.load_der_x509_certificate(found.getpeercert(binary_form=True) or b"").serial_number


def each_in_turn(changes: int, change: Callable[[int], None], found: Load) -> None:
    """Changes that each come after the one before has taken effect, and after somebody has used it."""
    for number in range(changes):
        before = found.answered
        change(number)
        until(lambda: found.answered > before, "an answer after the change")  # noqa: B023 (used at once)


def draining(gate: Gate) -> float:
    """Listeners, and parts of them, that still have connections from before."""
    return sum(gate.counter(f"envoy_listener_manager_total_{what}_draining") for what in ("listeners", "filter_chains"))


def test_certificates_rotate_a_hundred_times() -> None:
    with data_path(model()) as (gate, _):
        context = gate.context(OUR_CA.issue(NIGHTLY), OUR_CA.pem)

        def rotate(number: int) -> None:
            leaf = OUR_CA.issue(OWN)
            gate.mounted.identify(leaf.chain, leaf.key)
            wanted = x509.load_pem_x509_certificate(leaf.chain.encode()).serial_number
            until(lambda: serial(gate, context) == wanted, f"certificate {number}")

        with load(gate, context) as found:
            each_in_turn(CHANGES, rotate, found)
        assert not found.failures
        assert found.answered >= CHANGES


def test_listeners_are_replaced_a_hundred_times() -> None:
    """By a client that comes and goes: who may shake hands is part of the listener."""
    spec = model()
    client = {"namespace": "new", "serviceAccount": "one", "users": "NotRequired", "apis": ["models"]}
    more = {**spec, "inference": {**spec["inference"], "clients": [*spec["inference"]["clients"], client]}}
    with data_path(spec) as (gate, _):
        context = gate.context(OUR_CA.issue(NIGHTLY), OUR_CA.pem)
        comes_and_goes = gate.context(OUR_CA.issue(spiffe("new", "one")), OUR_CA.pem)

        def replace(number: int) -> None:
            present = number % 2 == 0
            gate.mounted.configure(inference_files(more if present else spec))
            until(
                lambda: (status(gate, comes_and_goes, "GET", MODELS) is not None) is present,
                f"listener {number}",
            )

        with load(gate, context) as found:
            each_in_turn(CHANGES, replace, found)
            until(lambda: draining(gate) == 0, "the end of the last listener that was replaced")
        assert not found.failures
        assert found.answered >= CHANGES


def test_keys_are_withdrawn_a_hundred_times_also_from_open_connections() -> None:
    providers = (PROVIDER, OTHER_PROVIDER)
    with data_path(model()) as (gate, _):
        machine = gate.context(OUR_CA.issue(NIGHTLY), OUR_CA.pem)
        speaker = gate.context(OUR_CA.issue(FRONTEND), OUR_CA.pem)
        tokens = [provider.token(auth_time=int(time.time())) for provider in providers]
        kept = Client(gate, speaker)
        assert kept.ask(token=tokens[0]).status == 200
        slowest = 0.0

        def withdraw(number: int) -> None:
            nonlocal slowest
            new = (number + 1) % 2
            gate.mounted.configure(inference_files(model(), providers[new].jwks()))
            began = time.monotonic()
            until(lambda: kept.ask(token=tokens[1 - new]).status == 401, f"end of key {number}", WITHDRAWN_SECONDS)
            slowest = max(slowest, time.monotonic() - began)
            assert kept.ask(token=tokens[new]).status == 200

        with load(gate, machine) as found:
            each_in_turn(CHANGES, withdraw, found)
        kept.close()
        assert not found.failures
        assert slowest < WITHDRAWN_SECONDS
