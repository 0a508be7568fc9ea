"""Everything that changes while Envoy runs, a hundred times each, under callers that never pause: none of them may
notice (ZT-01, ZT-25)."""

import http.client
import itertools
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from cryptography import x509

from cloister.render.gate.bootstrap import arguments
from cloister.render.gate.routes import LONGEST_REPLY_SECONDS
from tests.auditor.model import answer, events
from tests.auditor.replies import received
from tests.auditor.running import Auditor, prompt
from tests.gate.data_path import data_path
from tests.gate.load import Load, Question, under_load
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
from tests.gate.running import HOST, Gate, until

CHANGES = 100
ADDED = {"namespace": "new", "serviceAccount": "one", "users": "NotRequired", "apis": ["models"]}
BOTH_PROVIDERS = PROVIDER.jwks(OTHER_PROVIDER.jwk() | {"kid": "other"})


def spec(*clients: dict[str, Any], countries: tuple[str, ...] = ("DE", "FR")) -> dict[str, Any]:
    """The example with more clients, and a rule for other countries."""
    found = model(requestsPerMinute=1_000_000)
    found["inference"]["clients"] += clients
    found["identity"]["users"]["rules"][0]["countries"] = list(countries)
    return found


def person(gate: Gate) -> tuple[ssl.SSLContext, dict[str, str]]:
    """A client that speaks for people, and somebody's token."""
    return gate.context(OUR_CA.issue(FRONTEND), OUR_CA.pem), bearer(PROVIDER.token(auth_time=int(time.time())))


@pytest.fixture(scope="module")
def path() -> Iterator[tuple[Gate, Auditor]]:
    with data_path(spec()) as found:
        yield found


@contextmanager
def callers(gate: Gate) -> Iterator[Load]:
    """Machines and people, whole answers and streams; at the end, none of them has seen anything."""
    machine = gate.context(OUR_CA.issue(NIGHTLY), OUR_CA.pem)
    site, token = person(gate)
    streamed, whole = prompt("sse:200", stream=True), prompt()
    questions = [
        *[Question(machine, whole, received(answer())) for _ in range(2)],
        *[Question(machine, streamed, received(events())) for _ in range(2)],
        *[Question(site, whole, received(answer()), token) for _ in range(2)],
        Question(site, streamed, received(events()), token),
    ]
    with under_load(gate.port, CHAT, questions) as load:
        until(lambda: load.asked > 2 * len(questions), "the first answers")
        yield load
        before = load.asked
        until(lambda: load.asked > before + 2 * len(questions), "answers after the last change")
    assert load.failures == []


def go_on(load: Load) -> None:
    """Until each caller has asked again, on average twice."""
    before = load.asked
    until(lambda: load.asked > before + 14, "further answers")


def serial(gate: Gate, context: ssl.SSLContext) -> int:
    """The certificate that a new connection is shown."""
    with connect(gate, context) as connection:
        shown = connection.getpeercert(binary_form=True)
    assert shown
    return x509.load_der_x509_certificate(shown).serial_number


def test_certificates_rotate(path: tuple[Gate, Auditor]) -> None:
    gate, _ = path
    context = gate.context(OUR_CA.issue(NIGHTLY), OUR_CA.pem)
    with callers(gate) as load:
        for _ in range(CHANGES):
            leaf = OUR_CA.issue(OWN)
            wanted = x509.load_pem_x509_certificate(leaf.chain.encode()).serial_number
            gate.mounted.identify(leaf.chain, leaf.key)
            until(lambda wanted=wanted: serial(gate, context) == wanted, "the new leaf")  # type: ignore[misc]
            go_on(load)


def test_clients_come_and_go(path: tuple[Gate, Auditor]) -> None:
    """Each is a change of the listener: only whom it names may complete a handshake."""
    gate, _ = path
    context = gate.context(OUR_CA.issue(spiffe("new", "one")), OUR_CA.pem)
    with callers(gate) as load:
        before = load.connections
        for _ in range(CHANGES // 2):
            gate.mounted.configure(inference_files(spec(ADDED)))
            until(lambda: status(gate, context, "GET", MODELS) == 200, "the new client")
            go_on(load)
            gate.mounted.configure(inference_files(spec()))
            until(lambda: status(gate, context, "GET", MODELS) is None, "the end of the client")
            go_on(load)
        # They were told to move on to the new listener, and did.
        assert load.connections > before
    assert gate.health() == 200


def test_rules_change(path: tuple[Gate, Auditor]) -> None:
    gate, _ = path
    site, _ = person(gate)
    now = int(time.time())
    other_key = bearer(OTHER_PROVIDER.token(kid="other", auth_time=now))
    other_country = bearer(PROVIDER.token(country="US", auth_time=now))

    def ask(headers: dict[str, str]) -> int:
        return gate.ask(site, headers=headers, body=prompt()).status

    def seen(headers: dict[str, str], wanted: int) -> Callable[[], bool]:
        return lambda: ask(headers) == wanted

    with callers(gate) as load:
        for _ in range(CHANGES // 4):
            gate.mounted.configure(inference_files(spec(), BOTH_PROVIDERS))
            until(seen(other_key, 200), "another key")
            go_on(load)
            gate.mounted.configure(inference_files(spec(), PROVIDER.jwks()))
            until(seen(other_key, 401), "the end of another key")
            go_on(load)
            gate.mounted.configure(inference_files(spec(countries=("DE", "FR", "US"))))
            until(seen(other_country, 200), "another country")
            go_on(load)
            gate.mounted.configure(inference_files(spec()))
            until(seen(other_country, 403), "the end of another country")
            go_on(load)


def test_a_withdrawn_key_is_refused_on_a_connection_that_stays(path: tuple[Gate, Auditor]) -> None:
    """Within ten seconds of the change of the file."""
    gate, _ = path
    site, _ = person(gate)
    token = bearer(OTHER_PROVIDER.token(kid="other", auth_time=int(time.time())))
    gate.mounted.configure(inference_files(spec(), BOTH_PROVIDERS))
    until(lambda: gate.ask(site, headers=token, body=prompt()).status == 200, "the key")
    connection = http.client.HTTPSConnection(HOST, gate.port, context=site, timeout=30)
    try:
        connection.connect()
        used = connection.sock

        def ask() -> int:
            assert connection.sock is used, "it would say nothing about a connection that stays"
            connection.request("POST", CHAT, prompt(), token)
            reply = connection.getresponse()
            reply.read()
            return reply.status

        assert ask() == 200
        with callers(gate):
            gate.mounted.configure(inference_files(spec(), PROVIDER.jwks()))
            until(lambda: ask() == 401, "the end of the key", seconds=10)
    finally:
        connection.close()


def test_a_withdrawn_client_is_refused_on_a_connection_that_stays(path: tuple[Gate, Auditor]) -> None:
    """Its listener is a new one, which its connection is not on."""
    gate, _ = path
    gate.mounted.configure(inference_files(spec(ADDED)))
    context = gate.context(OUR_CA.issue(spiffe("new", "one")), OUR_CA.pem)
    until(lambda: status(gate, context, "GET", MODELS) == 200, "the new client")
    with connect(gate, context) as connection:
        asked = itertools.count()

        def ask() -> bytes:
            connection.sendall(f"GET {MODELS} HTTP/1.1\r\nHost: a\r\nx-request-id: {next(asked)}\r\n\r\n".encode())
            return connection.recv(65536)

        assert ask().startswith(b"HTTP/1.1 200")
        gate.mounted.configure(inference_files(spec()))
        until(lambda: status(gate, context, "GET", MODELS) is None, "the end of the client")
        # Its exemption from the token ends with the routes, its rule with the filters: whichever comes first refuses.
        assert ask()[9:12] in {b"401", b"403"}


def test_a_reply_under_way_outlives_a_change_of_the_listener(path: tuple[Gate, Auditor]) -> None:
    gate, auditor = path
    context = gate.context(OUR_CA.issue(NIGHTLY), OUR_CA.pem)
    added = gate.context(OUR_CA.issue(spiffe("new", "one")), OUR_CA.pem)
    auditor.model.go_on.clear()
    connection = http.client.HTTPSConnection(HOST, gate.port, context=context, timeout=60)
    try:
        connection.request("POST", CHAT, prompt("step", stream=True))
        reply = connection.getresponse()
        assert reply.readline() == b'data: {"step":"first "}\n'
        gate.mounted.configure(inference_files(spec(ADDED)))
        until(lambda: status(gate, added, "GET", MODELS) == 200, "the new listener")
        auditor.model.release()
        assert reply.read() == b'\ndata: {"step":"second"}\n\n'
    finally:
        connection.close()
        gate.mounted.configure(inference_files(spec()))
        until(lambda: status(gate, added, "GET", MODELS) is None, "the old clients")


def test_no_reply_is_cut_by_the_end_of_an_old_listener() -> None:
    """Too long to wait for: the old listener's end must not come before that of the longest reply."""
    said = arguments()
    assert int(said[said.index("--drain-time-s") + 1]) >= LONGEST_REPLY_SECONDS
    assert said[said.index("--drain-strategy") + 1] == "immediate"
