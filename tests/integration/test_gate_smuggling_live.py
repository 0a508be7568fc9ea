"""Requests that two programs could read differently, at the real Envoy: the auditor gets one request that can be read
in one way, or nothing (ZT-19, ZT-20)."""

import re
import ssl
from collections.abc import Iterator
from contextlib import suppress

import pytest

from cloister import sidecar
from tests.gate import http2
from tests.gate.model import CHAT, FRONTEND, NIGHTLY, OUR_CA, connect, model, start
from tests.gate.recorder import Recorder, Request, recording
from tests.gate.running import Gate
from tests.gate.smuggling import BODY, HIDDEN, ONE, REFUSED, SIZED

LAST = f"POST {CHAT} HTTP/1.1\r\nHost: a\r\nX-Request-Id: last\r\nConnection: close\r\n".encode() + SIZED
"""Follows each: had the gate lost its place, this would be swallowed or broken. And it ends the connection."""


@pytest.fixture(scope="module")
def recorded() -> Iterator[tuple[Gate, Recorder]]:
    with start(model()) as gate, recording(gate.mounted.path(sidecar.AUDITOR_SOCKET)) as recorder:
        yield gate, recorder


@pytest.fixture(scope="module")
def http1(recorded: tuple[Gate, Recorder]) -> ssl.SSLContext:
    return recorded[0].context(OUR_CA.issue(NIGHTLY), OUR_CA.pem)


@pytest.fixture(scope="module")
def http2_only(recorded: tuple[Gate, Recorder]) -> ssl.SSLContext:
    gate, _ = recorded
    return http2.context_for(gate.context(OUR_CA.issue(NIGHTLY), OUR_CA.pem))


def say(gate: Gate, context: ssl.SSLContext, data: bytes) -> list[int]:
    """The statuses that come back until the gate says that it ends the connection."""
    answer = b""
    with connect(gate, context) as connection, suppress(ssl.SSLError, ConnectionError):
        connection.sendall(data)
        # After that header it reads nothing any more, but would wait a second for its peer to go first.
        while b"\r\nconnection: close\r\n" not in answer and (received := connection.recv(65536)):
            answer += received
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", answer)]


def is_the_prompt(request: Request) -> bool:
    """Whether it is what the gate admits, by whom it admits it, and nothing that a caller added to that."""
    identity = [request.values(name) for name in (sidecar.PEER_HEADER, sidecar.API_HEADER, sidecar.CLAIMS_HEADER)]
    return (
        (request.method, request.path, request.body) == ("POST", CHAT, BODY)
        and identity == [[NIGHTLY], ["chat"], []]
        and request.values("host") == ["inference.support-bot-inference.svc"]
        and list(map(int, request.values("content-length"))) == [2]
        and not any(
            map(request.values, ("connection", "upgrade", "te", "trailer", "http2-settings", "x_cloister_peer"))
        )
    )


@pytest.mark.parametrize("name", REFUSED)
def test_refused(recorded: tuple[Gate, Recorder], http1: ssl.SSLContext, name: str) -> None:
    gate, recorder = recorded
    before = len(recorder.requests)
    statuses = say(gate, http1, REFUSED[name] + LAST)
    assert len(statuses) <= 1
    assert set(statuses) <= {400, 403, 426, 501}
    assert recorder.requests[before:] == []
    assert recorder.ambiguous == []


@pytest.mark.parametrize("name", ONE)
def test_one_request_or_none(recorded: tuple[Gate, Recorder], http1: ssl.SSLContext, name: str) -> None:
    gate, recorder = recorded
    before = len(recorder.requests)
    statuses = [status for status in say(gate, http1, ONE[name] + LAST) if status != 100]
    seen = recorder.requests[before:]
    assert statuses in ([200, 200], [400], [501])
    assert [request.values("x-request-id") == ["last"] for request in seen] == [False, True][: 2 * statuses.count(200)]
    assert all(map(is_the_prompt, seen))
    assert recorder.ambiguous == []


def test_each_pipelined_request_is_judged_by_itself(recorded: tuple[Gate, Recorder], http1: ssl.SSLContext) -> None:
    gate, recorder = recorded
    before = len(recorder.requests)
    prompt = ONE["a plain request"]
    statuses = say(gate, http1, HIDDEN + prompt + HIDDEN + LAST)
    # After a refusal the gate may end the connection, as it likes.
    assert statuses == [403, 200, 403, 200][: len(statuses)]
    seen = recorder.requests[before:]
    assert len(seen) == statuses.count(200)
    assert all(map(is_the_prompt, seen))


PLAIN: http2.Headers = [(":method", "POST"), (":scheme", "https"), (":path", CHAT), (":authority", "a")]


def plain(*added: tuple[str, str], **changed: str) -> http2.Headers:
    """The headers of a request that would be admitted, but for this."""
    return [(name, changed.get(name[1:], value)) for name, value in PLAIN] + list(added)


HTTP2_REFUSED: dict[str, tuple[http2.Headers, bytes]] = {
    **{
        f"a length of {value}": (plain(("content-length", value)), body)
        for value, body in (("1", BODY), ("9", BODY), ("0", BODY), ("2", b""), ("+2", BODY), ("2, 2", BODY))
    },
    "two lengths": (plain(("content-length", "2"), ("content-length", "3")), BODY),
    "chunked": (plain(("transfer-encoding", "chunked")), BODY),
    "a second header in a value": (plain(("x", "a\r\ntransfer-encoding: chunked")), BODY),
    "a second header in a name": (plain(("x: a\r\ny", "b")), BODY),
    "LF in a value": (plain(("x", "a\nb")), BODY),
    "NUL in a value": (plain(("x", "a\0b")), BODY),
    "a colon in a name": (plain(("x:", "b")), BODY),
    "capitals": (plain(("X-Cloister-Peer", "a")), BODY),
    "an underscore": (plain(("x_cloister_peer", "a")), BODY),
    "connection": (plain(("connection", "close")), BODY),
    "upgrade": (plain(("upgrade", "h2c")), BODY),
    "te": (plain(("te", "trailers, chunked")), BODY),
    "two paths": (plain((":path", "/admin")), BODY),
    "a path after a header": ([*PLAIN[:2], ("x", "y"), *PLAIN[2:]], BODY),
    "no path": ([PLAIN[0], PLAIN[1], PLAIN[3]], BODY),
    "an unknown pseudo-header": (plain((":x", "y")), BODY),
    **{
        f"a path of {path!r}": (plain(path=path), BODY)
        for path in (
            "",
            "/admin",
            f"{CHAT} HTTP/1.1\r\nHost: x\r\n\r\n",
            f"{CHAT} x",
            f"{CHAT}#x",
            f"{CHAT}\0",
            CHAT[1:],
            f"http://a{CHAT}",
        )
    },
    "a method with a second request": (plain(method=HIDDEN.decode() + "POST"), BODY),
    "CONNECT to a path": (plain(method="CONNECT"), BODY),
    "CONNECT to a server": ([(":method", "CONNECT"), (":authority", "127.0.0.1:8000")], b""),
    "CONNECT to a websocket": (plain((":protocol", "websocket"), method="CONNECT"), b""),
    "an authority that is none": (plain(authority="a/b@c d"), BODY),
    "headers without end": (plain(*((f"x-{index}", "y") for index in range(101))), BODY),
    "a header of 61 KB": (plain(("x", "y" * 61 * 1024)), BODY),
}
HTTP2_ONE: dict[str, tuple[http2.Headers, bytes]] = {
    "a plain request": (plain(), BODY),
    "another scheme": (plain(scheme="file"), BODY),
    "a host besides": (plain(("host", "evil")), BODY),
    "forged identities": (
        plain(
            (sidecar.PEER_HEADER, FRONTEND),
            (sidecar.PEER_HEADER, NIGHTLY),
            (sidecar.API_HEADER, "models"),
            (sidecar.CLAIMS_HEADER, "e30"),
        ),
        BODY,
    ),
}


@pytest.mark.parametrize("name", HTTP2_REFUSED)
def test_refused_in_http2(recorded: tuple[Gate, Recorder], http2_only: ssl.SSLContext, name: str) -> None:
    gate, recorder = recorded
    before = len(recorder.requests)
    with connect(gate, http2_only) as connection:
        answer = http2.ask(connection, *HTTP2_REFUSED[name])
    assert answer.ended
    assert answer.status in {None, 400, 403, 431}
    assert recorder.requests[before:] == []
    assert recorder.ambiguous == []


@pytest.mark.parametrize("name", HTTP2_ONE)
def test_one_request_in_http2(recorded: tuple[Gate, Recorder], http2_only: ssl.SSLContext, name: str) -> None:
    gate, recorder = recorded
    before = len(recorder.requests)
    with connect(gate, http2_only) as connection:
        answer = http2.ask(connection, *HTTP2_ONE[name])
    assert (answer.status, answer.body) == (200, b"{}")
    (seen,) = recorder.requests[before:]
    assert is_the_prompt(seen)
    assert recorder.ambiguous == []


def test_trailers_in_http2(recorded: tuple[Gate, Recorder], http2_only: ssl.SSLContext) -> None:
    gate, recorder = recorded
    before = len(recorder.requests)
    with connect(gate, http2_only) as connection:
        http2.ask(connection, plain(), BODY, trailers=[(sidecar.PEER_HEADER, FRONTEND)])
    assert len(recorder.requests) <= before + 1
    assert all(map(is_the_prompt, recorder.requests[before:]))
    assert recorder.ambiguous == []
