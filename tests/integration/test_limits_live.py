"""How much one caller may have, through the real gate and auditor: a limit stops nobody else (ZT-22)."""

import http.client
import json
import ssl
import time
from contextlib import ExitStack
from typing import Any

from tests.auditor.running import Auditor, prompt
from tests.gate.data_path import data_path
from tests.gate.model import CHAT, FRONTEND, NIGHTLY, OUR_CA, PROVIDER, bearer, model
from tests.gate.running import HOST, Gate, Reply


def callers(gate: Gate) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A machine, and one that speaks for people."""
    return gate.context(OUR_CA.issue(NIGHTLY), OUR_CA.pem), gate.context(OUR_CA.issue(FRONTEND), OUR_CA.pem)


def person(name: str) -> dict[str, str]:
    """Somebody's token."""
    return bearer(PROVIDER.token(sub=name, auth_time=int(time.time())))


def refused(reply: Reply, code: str) -> dict[str, Any]:
    """Asserts a refusal that the clients of this API understand."""
    assert reply.status == 429
    assert int(reply.headers["retry-after"]) > 0
    assert reply.headers["content-type"].startswith("application/json")
    error: dict[str, Any] = json.loads(reply.body)["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert (error["type"], error["code"], error["param"]) == ("rate_limit_error", code, None)
    return error


def test_requests_a_minute() -> None:
    with data_path(model(requestsPerMinute=1)) as (gate, auditor):
        machine, site = callers(gate)
        for context, headers in ((machine, {}), (site, person("ada")), (site, person("bob"))):
            before = len(auditor.model.seen)
            asked = [gate.ask(context, path=CHAT, headers=headers, body=prompt()) for _ in range(2)]
            assert [reply.status for reply in asked] == [200, 429]
            refused(asked[-1], "rate_limit_exceeded")
            assert asked[-1].headers["retry-after"] == "60"
            assert len(auditor.model.seen) == before + 1
        # What goes no further is in the gate's own log, with who it was.
        auditor.until(lambda: len(gate.logged(event="request", status=429)) == 3, "the gate's lines")
        assert [line["peer"] for line in gate.logged(event="request", status=429)] == [NIGHTLY, FRONTEND, FRONTEND]


def held(stack: ExitStack, gate: Gate, context: ssl.SSLContext, headers: dict[str, str]) -> http.client.HTTPResponse:
    """A reply that has begun and does not end yet."""
    connection = http.client.HTTPSConnection(HOST, gate.port, context=context, timeout=60)
    stack.callback(connection.close)
    connection.request("POST", CHAT, prompt("step", stream=True), headers)
    reply = connection.getresponse()
    assert reply.readline() == b'data: {"step":"first "}\n'
    return reply


def under_way(auditor: Auditor, gate: Gate, context: ssl.SSLContext, headers: dict[str, str]) -> None:
    """Two at once, and a third that is refused until one of them ends."""
    auditor.model.go_on.clear()
    with ExitStack() as stack:
        replies = [held(stack, gate, context, headers) for _ in range(2)]
        before = len(auditor.model.seen)
        refused(gate.ask(context, path=CHAT, headers=headers, body=prompt(text="a third")), "concurrency_exceeded")
        assert len(auditor.model.seen) == before
        record = auditor.records("refusal")[-1]
        assert (record["status"], record["code"]) == (429, "concurrency_exceeded")
        assert "a third" in record["content"]
        machine, site = callers(gate)
        others = [(machine, {}), (site, person("ada")), (site, person("bob"))]
        served = [gate.ask(other, path=CHAT, headers=whom, body=prompt()).status for other, whom in others]
        assert sorted(served) == [200, 200, 429], "this caller alone"
        auditor.model.release()
        assert [reply.read() for reply in replies] == [b'\ndata: {"step":"second"}\n\n'] * 2
    assert gate.ask(context, path=CHAT, headers=headers, body=prompt()).status == 200


def test_requests_at_once() -> None:
    with data_path(model(concurrent=2)) as (gate, auditor):
        machine, site = callers(gate)
        under_way(auditor, gate, machine, {})
        under_way(auditor, gate, site, person("ada"))
