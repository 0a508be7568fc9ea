"""The real Envoy before a model: which machine may ask what (ZT-01 to ZT-03, ZT-19, ZT-22)."""

import json
import ssl
from contextlib import suppress
from typing import Any

import pytest

from cloister import sidecar
from tests.gate.model import (
    BODY_LIMIT,
    CHAT,
    FRONTEND,
    MODELS,
    NIGHTLY,
    OTHER_CA,
    OUR_CA,
    PROVIDER,
    bearer,
    connect,
    frontend,
    gate,
    model,
    nightly,
    refused_handshake,
    spiffe,
    start,
)
from tests.gate.running import Gate, until

__all__ = ["frontend", "gate", "nightly"]  # pytest finds fixtures by name

SPOOFED = {
    sidecar.PEER_HEADER: FRONTEND,
    sidecar.API_HEADER: "models",
    "x-cloister-anything": "x",
    "X-CLOISTER-CLAIMS": "e30",
    "X-Forwarded-For": "1.2.3.4",
    "X-Forwarded-Client-Cert": "URI=" + FRONTEND,
    "Forwarded": "for=1.2.3.4",
    "X-Envoy-Max-Retries": "9",
    "X-Envoy-Retry-On": "5xx",
    "X-Envoy-Upstream-Rq-Timeout-Ms": "1",
    "X-HTTP-Method-Override": "DELETE",
    "X-Original-URL": "/admin",
    "Cookie": "a=b",
}


def connections(gate: Gate) -> list[dict[str, Any]]:
    return [line for line in gate.logged(event="connection") if line.get("failure")]


class TestMachines:
    """Identity of machines."""

    def test_a_declared_machine_is_served(self, gate: Gate, nightly: ssl.SSLContext) -> None:
        reply = gate.ask(nightly)
        assert reply.status == 200, gate.log()[-2000:]
        assert gate.auditor.last().headers[sidecar.PEER_HEADER] == NIGHTLY
        assert gate.auditor.last().headers[sidecar.API_HEADER] == "chat"
        assert gate.auditor.last().headers["host"] == "inference.support-bot-inference.svc"

    def test_no_certificate(self, gate: Gate) -> None:
        refused_handshake(gate, gate.context(None, OUR_CA.pem))

    def test_another_authority(self, gate: Gate) -> None:
        refused_handshake(gate, gate.context(OTHER_CA.issue(NIGHTLY), OUR_CA.pem))

    @pytest.mark.parametrize(
        "uris",
        [
            [spiffe("batch", "somebody")],
            [spiffe("other", "nightly")],
            [NIGHTLY + "/x"],
            [NIGHTLY.replace("cluster.local", "example.com")],
            [],
        ],
    )
    def test_another_identity(self, gate: Gate, uris: list[str]) -> None:
        refused_handshake(gate, gate.context(OUR_CA.issue(*uris, hosts=("nightly",)), OUR_CA.pem))

    def test_two_identities_are_none(self, gate: Gate) -> None:
        """X509-SVID, section 2: exactly one URI."""
        reply = gate.ask(gate.context(OUR_CA.issue(NIGHTLY, spiffe("batch", "other")), OUR_CA.pem))
        assert reply.status == 403

    def test_an_expired_certificate(self, gate: Gate) -> None:
        refused_handshake(gate, gate.context(OUR_CA.issue(NIGHTLY, expired=True), OUR_CA.pem))

    def test_old_tls(self, gate: Gate) -> None:
        context = gate.context(OUR_CA.issue(NIGHTLY), OUR_CA.pem)
        context.set_ciphers("ALL:@SECLEVEL=0")
        with pytest.warns(DeprecationWarning, match="TLS"):
            context.minimum_version = ssl.TLSVersion.TLSv1_1
        with pytest.warns(DeprecationWarning, match="TLS"):
            context.maximum_version = ssl.TLSVersion.TLSv1_1
        refused_handshake(gate, context)

    @pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
    def test_current_tls(self, gate: Gate, version: ssl.TLSVersion) -> None:
        context = gate.context(OUR_CA.issue(NIGHTLY), OUR_CA.pem)
        context.minimum_version = context.maximum_version = version
        assert gate.ask(context).status == 200

    def test_weak_ciphers(self, gate: Gate) -> None:
        context = gate.context(OUR_CA.issue(NIGHTLY), OUR_CA.pem)
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers("ECDHE-ECDSA-AES128-SHA:ECDHE-RSA-AES128-SHA:AES128-SHA:@SECLEVEL=0")
        refused_handshake(gate, context)

    def test_refusals_are_seen(self, gate: Gate) -> None:
        refused_handshake(gate, gate.context(OTHER_CA.issue(NIGHTLY), OUR_CA.pem))
        until(
            lambda: any("CERTIFICATE_VERIFY_FAILED" in line["failure"] for line in connections(gate)),
            "the refused handshake in the log",
        )
        counters = gate.metrics().body.decode()
        assert "envoy_listener_ssl_fail_verify_error" in counters

    def test_a_session_is_not_resumed(self, gate: Gate) -> None:
        """Resumption would skip the verification of the certificate."""
        context = gate.context(OUR_CA.issue(NIGHTLY), OUR_CA.pem)
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        with connect(gate, context) as first:
            session = first.session
        with connect(gate, context, session) as second:
            assert not second.session_reused


class TestPaths:
    """Only approved APIs, read in one way only."""

    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("GET", CHAT),
            ("PUT", CHAT),
            ("OPTIONS", CHAT),
            ("TRACE", CHAT),
            ("CONNECT", CHAT),
            ("post", CHAT),
            ("POST", "/"),
            ("POST", "/v1/completions"),
            ("POST", CHAT + "/"),
            ("POST", CHAT + ";x"),
            ("POST", CHAT + "?x=1"),
            ("POST", CHAT + "%00"),
            ("POST", CHAT + "%0d%0ax:1"),
            ("POST", "/V1/chat/completions"),
            ("POST", "/v1/chat%2fcompletions"),
            ("POST", "/v1/chat%2Fcompletions"),
            ("POST", "/v1/chat%5ccompletions"),
            ("POST", "/v1/chat/completions/..%2fadmin"),
            ("POST", "/v1/chat/completions/../admin"),
            ("POST", "/v1/chat/completions/../../../admin"),
            ("POST", "/v1/chat/completions/%2e%2e/%2e%2e/admin"),
            ("POST", "/v1/chat/completions/%252e%252e/admin"),
            ("POST", CHAT + "#x"),
            ("POST", "http://evil.example.com/admin"),
            ("POST", "*"),
            ("GET", "/metrics"),
            ("GET", "/invocations"),
            ("GET", "/ready"),
            ("GET", MODELS),
        ],
    )
    def test_refused(self, gate: Gate, nightly: ssl.SSLContext, method: str, path: str) -> None:
        before = len(gate.auditor.seen)
        assert gate.ask(nightly, method, path).status in {400, 403, 404, 405}
        assert len(gate.auditor.seen) == before

    @pytest.mark.parametrize(
        "path",
        ["//v1/chat/completions", "/v1/./chat/completions", "/v1/x/../chat/completions", "/v1/%63hat/completions"],
    )
    def test_what_is_compared_is_what_is_forwarded(self, gate: Gate, nightly: ssl.SSLContext, path: str) -> None:
        before = len(gate.auditor.seen)
        assert gate.ask(nightly, path=path).status == 200
        assert [seen.path for seen in gate.auditor.seen[before:]] == [CHAT]

    def test_an_absolute_url_is_made_relative(self, gate: Gate, nightly: ssl.SSLContext) -> None:
        assert gate.ask(nightly, path=f"http://evil.example.com{CHAT}").status == 200
        assert gate.auditor.last().path == CHAT
        assert gate.auditor.last().headers["host"] == "inference.support-bot-inference.svc"

    def test_no_upgrade(self, gate: Gate, frontend: ssl.SSLContext) -> None:
        headers = bearer(PROVIDER.token(roles=["support-lead"])) | {"Connection": "Upgrade", "Upgrade": "websocket"}
        assert gate.ask(frontend, "GET", MODELS, headers, None).status == 403

    def test_a_machine_has_only_the_apis_it_declared(self, gate: Gate, nightly: ssl.SSLContext) -> None:
        """Also with a token of somebody who may: it does not speak for people."""
        token = PROVIDER.token(roles=["support-lead"])
        assert gate.ask(nightly, "GET", MODELS, bearer(token), None).status == 403

    def test_http_1_0(self, gate: Gate, nightly: ssl.SSLContext) -> None:
        with connect(gate, nightly) as connection:
            connection.sendall(b"POST " + CHAT.encode() + b" HTTP/1.0\r\nContent-Length: 0\r\n\r\n")
            assert b" 426 " in connection.recv(4096).split(b"\r\n")[0]

    @pytest.mark.parametrize(
        "headers",
        [
            b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n",
            b"Content-Length: 2\r\nContent-Length: 3\r\n",
            b"Transfer-Encoding: xchunked\r\n",
            b"x_cloister_peer: a\r\n",
            b"Bad Name: a\r\n",
            b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
            b"Transfer-Encoding: chunked, identity\r\n",
            b"Transfer-Encoding : chunked\r\n",
            b"Transfer-Encoding:\x0bchunked\r\n",
            b"Content-Length: +2\r\n",
            b"Content-Length: 2,2\r\n",
            b"Content-Length: 0x2\r\n",
            b"Content-Length : 2\r\n",
            b"Content-Length: 2\r\n folded: a\r\n",
            b"X-A: a\x00b\r\nContent-Length: 2\r\n",
        ],
    )
    def test_ambiguous_requests(self, gate: Gate, nightly: ssl.SSLContext, headers: bytes) -> None:
        before = len(gate.auditor.seen)
        with connect(gate, nightly) as connection:
            connection.sendall(b"POST " + CHAT.encode() + b" HTTP/1.1\r\nHost: a\r\n" + headers + b"\r\n{}")
            answer = connection.recv(4096)
        assert answer.split(b" ")[1] in {b"400", b"501"}
        assert len(gate.auditor.seen) == before

    @pytest.mark.parametrize(
        ("path", "headers"),
        [
            (CHAT, {"X-A": "a" * 62_000}),
            (CHAT, {f"X-{number}": "a" for number in range(101)}),
            (f"{CHAT}?{'a' * 62_000}", {}),
            (f"/{'a' * 62_000}", {}),
        ],
        ids=["a long header", "many headers", "a long query", "a long path"],
    )
    def test_more_head_than_there_may_be(
        self, gate: Gate, nightly: ssl.SSLContext, path: str, headers: dict[str, str]
    ) -> None:
        before = len(gate.auditor.seen)
        assert gate.ask(nightly, path=path, headers=headers).status == 431
        assert len(gate.auditor.seen) == before

    @pytest.mark.parametrize(
        "chunks",
        [
            b"2;a\nb\r\n{}\r\n0\r\n\r\n",
            b"2\n{}\r\n0\r\n\r\n",
            b"-2\r\n{}\r\n0\r\n\r\n",
            b"2 \r{}\r\n0\r\n\r\n",
            b"2\r\n{}X\r\n0\r\n\r\n",
        ],
        ids=["an extension with a line end", "a bare line end", "a sign", "a bare return", "more than the chunk"],
    )
    def test_ambiguous_chunks(self, gate: Gate, nightly: ssl.SSLContext, chunks: bytes) -> None:
        before = len(gate.auditor.seen)
        with connect(gate, nightly) as connection:
            head = b"POST " + CHAT.encode() + b" HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
            connection.sendall(head + chunks)
            assert connection.recv(4096).split(b" ")[1] == b"400"
        assert len(gate.auditor.seen) == before

    @pytest.mark.parametrize(
        ("headers", "body"),
        [
            (b"X-A: a\rX-B: b\r\nContent-Length: 2\r\n", b"{}"),
            (b"Host: b\r\nContent-Length: 2\r\n", b"{}"),
        ],
        ids=["a return in a header", "two hosts"],
    )
    def test_what_envoy_forgives_is_forwarded_in_one_meaning(
        self, gate: Gate, nightly: ssl.SSLContext, headers: bytes, body: bytes
    ) -> None:
        before = len(gate.auditor.seen)
        with connect(gate, nightly) as connection:
            connection.sendall(b"POST " + CHAT.encode() + b" HTTP/1.1\r\nHost: a\r\n" + headers + b"\r\n" + body)
            connection.recv(4096)
        (seen,) = gate.auditor.seen[before:]
        assert (seen.body, seen.headers["content-length"]) == (b"{}", "2")
        assert seen.headers["host"] == "inference.support-bot-inference.svc"
        assert not {"x-b", "transfer-encoding"} & seen.headers.keys()

    def test_what_follows_a_request_is_judged_by_itself(self, gate: Gate, nightly: ssl.SSLContext) -> None:
        """Two requests in one write: the one that is admitted opens no way for the other."""
        post = b"POST %b HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}"
        for first, second in ((b"/admin", CHAT.encode()), (CHAT.encode(), b"/admin")):
            before = len(gate.auditor.seen)
            with connect(gate, nightly) as connection:
                connection.sendall(post % first + post % second)
                answers = b""
                while answers.count(b"HTTP/1.1 ") < 2 and (data := connection.recv(4096)):
                    answers += data
            statuses = [part.split(b" ")[0] for part in answers.split(b"HTTP/1.1 ")[1:]]
            # After a refusal the gate may end the connection: the second is then nobody's.
            assert statuses == [b"403" if path == b"/admin" else b"200" for path in (first, second)][: len(statuses)]
            assert [seen.path for seen in gate.auditor.seen[before:]] == [CHAT] * statuses.count(b"200")

    def test_http_2_with_another_length(self, gate: Gate, nightly: ssl.SSLContext) -> None:
        """What is announced and what comes must agree in HTTP/2 as well (RFC 9113, section 8.1.1)."""
        before = len(gate.auditor.seen)
        context = gate.context(OUR_CA.issue(NIGHTLY), OUR_CA.pem)
        context.set_alpn_protocols(["h2"])
        with connect(gate, context) as connection:
            if connection.selected_alpn_protocol() != "h2":
                return  # not offered: nothing to disagree about
            fields = {":method": "POST", ":path": CHAT, ":scheme": "https", ":authority": "a", "content-length": "9"}
            block = b"".join(
                b"\x00" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()
                for name, value in fields.items()
            )
            frames = _frame(4, 0, 0, b"") + _frame(1, 4, 1, block) + _frame(0, 1, 1, b"{}")
            connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frames)
            connection.settimeout(5)
            with suppress(TimeoutError):
                while connection.recv(4096):
                    pass
        assert len(gate.auditor.seen) == before


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """RFC 9113, section 4.1."""
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


class TestHeaders:
    """Nobody says who they are but the gate."""

    def test_a_machines_own_are_replaced(self, gate: Gate, nightly: ssl.SSLContext) -> None:
        assert gate.ask(nightly, headers=SPOOFED | {"Authorization": "Bearer sk-1"}).status == 200
        seen = gate.auditor.last().headers
        ours = {name: value for name, value in seen.items() if name.startswith(sidecar.HEADER_PREFIX)}
        # The one thing that a caller says: from where the person behind it came. It decides nothing here.
        assert ours.pop(sidecar.ADDRESS_HEADER) == SPOOFED["X-Forwarded-For"]
        assert ours == {sidecar.PEER_HEADER: NIGHTLY, sidecar.API_HEADER: "chat"}
        del seen[sidecar.ADDRESS_HEADER]
        told = {"host", "content-length", "accept-encoding", "x-request-id", "x-forwarded-proto"}
        assert seen.keys() - ours.keys() == told
        assert "1.2.3.4" not in json.dumps(seen)

    def test_a_persons_own_are_replaced(self, gate: Gate, frontend: ssl.SSLContext) -> None:
        token = PROVIDER.token()
        assert gate.ask(frontend, headers=SPOOFED | bearer(token)).status == 200
        seen = gate.auditor.last().headers
        ours = {name: value for name, value in seen.items() if name.startswith(sidecar.HEADER_PREFIX)}
        payload = token.split(".")[1]
        assert ours.pop(sidecar.ADDRESS_HEADER) == SPOOFED["X-Forwarded-For"]
        assert ours == {sidecar.PEER_HEADER: FRONTEND, sidecar.API_HEADER: "chat", sidecar.CLAIMS_HEADER: payload}

    def test_whose_address_is_not_told_has_none(self, gate: Gate, nightly: ssl.SSLContext) -> None:
        assert gate.ask(nightly, headers={"X-Cloister-Address": "9.9.9.9"}).status == 200
        assert sidecar.ADDRESS_HEADER not in gate.auditor.last().headers

    def test_a_request_id_is_kept(self, gate: Gate, nightly: ssl.SSLContext) -> None:
        wanted = "0f0e0d0c-0000-4000-8000-000000000001"
        reply = gate.ask(nightly, headers={"X-Request-Id": wanted})
        assert gate.auditor.last().headers["x-request-id"] == wanted
        assert reply.headers["x-request-id"] == wanted

    def test_a_refusal_is_logged_without_token_query_or_body(self, gate: Gate, frontend: ssl.SSLContext) -> None:
        token = PROVIDER.token(sub="mallory-in-the-log", roles=["stranger"])
        for path in (CHAT, f"{CHAT}?secret=query-in-the-log"):
            assert gate.ask(frontend, path=path, headers=bearer(token), body=b"body-in-the-log").status == 403
        until(lambda: len(gate.logged(peer=FRONTEND, status=403, path=CHAT)) > 1, "the access log")
        for hidden in (token, "query-in-the-log", "body-in-the-log", "mallory-in-the-log"):
            assert hidden not in gate.log()


class TestLimits:
    """Size and rate."""

    def test_size(self, gate: Gate, nightly: ssl.SSLContext) -> None:
        assert gate.ask(nightly, body=b"x" * BODY_LIMIT).status == 200
        assert len(gate.auditor.last().body) == BODY_LIMIT
        before = len(gate.auditor.seen)
        assert gate.ask(nightly, body=b"x" * (BODY_LIMIT + 1)).status == 413
        assert len(gate.auditor.seen) == before

    def test_size_without_a_length(self, gate: Gate, nightly: ssl.SSLContext) -> None:
        before = len(gate.auditor.seen)
        with connect(gate, nightly) as connection:
            chunk = b"1000\r\n" + b"x" * 4096 + b"\r\n"
            head = b"POST " + CHAT.encode() + b" HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
            connection.sendall(head + chunk * 2 + b"0\r\n\r\n")
            assert b" 413 " in connection.recv(4096).split(b"\r\n")[0]
        assert len(gate.auditor.seen) == before

    def test_a_refusal_comes_before_the_body(self, gate: Gate, nightly: ssl.SSLContext) -> None:
        """Who is not admitted can't make the gate keep anything."""
        with connect(gate, nightly) as connection:
            connection.sendall(b"POST /admin HTTP/1.1\r\nHost: a\r\nContent-Length: 4000\r\n\r\n")
            assert b" 403 " in connection.recv(4096).split(b"\r\n")[0]

    def test_rate_per_caller(self) -> None:
        with start(model(requestsPerMinute=3)) as gate:
            machine = gate.context(OUR_CA.issue(NIGHTLY), OUR_CA.pem)
            site = gate.context(OUR_CA.issue(FRONTEND), OUR_CA.pem)
            # Refused requests cost the caller nothing, and above all nobody else.
            assert {gate.ask(machine, path="/admin").status for _ in range(5)} == {403}
            assert {gate.ask(site).status for _ in range(5)} == {401}
            assert [gate.ask(machine).status for _ in range(4)] == [200, 200, 200, 429]
            for person in ("alice", "bob"):
                asked = [gate.ask(site, headers=bearer(PROVIDER.token(sub=person))).status for _ in range(4)]
                assert asked == [200, 200, 200, 429], person
            again = bearer(PROVIDER.token(sub="bob", sid="another session"))
            assert gate.ask(site, headers=again).status == 429


class TestManagement:
    """What is offered without identity says nothing."""

    def test_health(self, gate: Gate) -> None:
        assert gate.health("/ready") == 200
        assert gate.health("/") == 404
        assert gate.health("/stats") == 404

    def test_metrics(self, gate: Gate) -> None:
        assert b"envoy_" in gate.metrics().body
        for path in ("/stats", "/metrics?usedonly", "/quitquitquit", "/config_dump", "/metrics/../config_dump"):
            assert gate.metrics(path).status == 403
        assert gate.metrics(method="POST").status == 403

    def test_admin_is_a_closed_socket(self, gate: Gate) -> None:
        assert gate.mounted.stat(sidecar.ADMIN_SOCKET).st_mode & 0o777 == 0o600
        assert gate.over(sidecar.ADMIN_SOCKET, target="/ready").status == 200
        for path in ("/quitquitquit", "/config_dump", "/logging", "/runtime_modify", "/"):
            assert gate.over(sidecar.ADMIN_SOCKET, "POST", path).status == 403
