"""The auditor as a process: what passes, what is refused, and what is on record of both (ZT-20, 21, 27, 28)."""

import json
import re
import socket
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import openai
import pytest

from tests.auditor.model import WORDS, answer, events
from tests.auditor.running import CHAT, KEY, MACHINE, PEER, Auditor, person, posted, prompt, running, surroundings

LIMIT = 1 << 18


@pytest.fixture(scope="module")
def auditor() -> Iterator[Auditor]:
    """One for all tests that don't stop it."""
    with running() as found:
        yield found


def recorded(auditor: Auditor, text: str) -> list[dict[str, Any]]:
    """The records of the exchange whose prompt held this text."""
    everything = auditor.records()
    ids = {r["exchange"] for r in everything if text in r.get("content", "") and r["type"] in ("request", "refusal")}
    assert len(ids) == 1
    return [r for r in everything if r.get("exchange") in ids]


class TestPlain:
    """One request, one reply."""

    def test_a_prompt_and_its_reply_are_on_record(self, auditor: Auditor) -> None:
        body = prompt("tiny", "plain-1", max_tokens=7)
        reply = auditor.ask(body, person(roles=["agent"], country="DE") | {"x-request-id": "r-1"})
        assert (reply.status, reply.body) == (200, answer())
        assert auditor.model.seen[-1].body == body
        request, end = recorded(auditor, "plain-1")
        assert request["type"] == "request"
        expected = {
            "peer": PEER,
            "user.id": "ada",
            "session.id": "s-1",
            "roles": ["agent"],
            "country": "DE",
            "api": "chat",
            "method": "POST",
            "path": CHAT,
            "request_id": "r-1",
            "gen_ai.operation.name": "chat",
            "gen_ai.request.model": "tiny",
            "gen_ai.request.max_tokens": 7,
            "gen_ai.request.stream": False,
            "bytes": len(body),
            "content": body.decode(),
        }
        assert request == request | expected
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", request["time"])
        expected = {
            "type": "reply",
            "outcome": "complete",
            "status": 200,
            "bytes": len(answer()),
            "content": answer().decode(),
            "gen_ai.response.id": "c1",
            "gen_ai.response.model": "tiny",
            "gen_ai.response.finish_reasons": ["stop"],
            "gen_ai.usage.input_tokens": 3,
            "gen_ai.usage.output_tokens": 5,
        }
        assert end == end | expected

    def test_a_kept_connection_serves_again_and_again(self, auditor: Auditor) -> None:
        connection = auditor.connection()
        before = auditor.model.connections
        for _ in range(50):
            connection.request("POST", CHAT, prompt(), MACHINE)
            assert connection.getresponse().read() == answer()
        connection.close()
        assert auditor.model.connections - before <= 1, "the connection to the model server is kept too"

    def test_a_body_in_chunks(self, auditor: Auditor) -> None:
        connection = auditor.connection()
        body = prompt("tiny", "in chunks")
        connection.request("POST", CHAT, (bytes([b]) for b in body), MACHINE, encode_chunked=True)
        assert connection.getresponse().status == 200
        connection.close()
        assert auditor.model.seen[-1].body == body
        assert auditor.model.seen[-1].headers["content-length"] == str(len(body))

    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    def test_without_a_body(self, auditor: Auditor, method: str) -> None:
        headers = MACHINE | {"x-cloister-api": "models", "x-request-id": f"models-{method}"}
        reply = auditor.ask(b"", headers, method, "/v1/models")
        assert reply.status == 200
        assert reply.body == (answer() if method == "GET" else b"")
        (request,) = [r for r in auditor.records("request") if r.get("request_id") == f"models-{method}"]
        assert request["api"] == "models"

    def test_what_reaches_the_model_of_the_headers(self, auditor: Auditor) -> None:
        """Nothing that names anybody, and nothing that would make the reply unreadable."""
        sent = person() | {
            "accept": "application/json",
            "accept-encoding": "gzip, br",
            "authorization": "Bearer secret",
            "cookie": "a=b",
            "content-type": "application/json",
            "traceparent": "00-1-2-03",
            "x-api-key": "secret",
            "x-request-id": "r",
            "x-anything": "else",
        }
        assert auditor.ask(headers=sent).status == 200
        headers = auditor.model.seen[-1].headers
        assert set(headers) == {"host", "accept", "content-type", "content-length", "traceparent", "x-request-id"}
        assert "secret" not in str(headers)

    def test_what_comes_back_of_the_models_headers(self, auditor: Auditor) -> None:
        reply = auditor.ask(prompt("headers"))
        assert set(reply.headers) == {"content-type", "content-length", "retry-after", "openai-processing-ms"}

    @pytest.mark.parametrize("behaviour", ["interim", "until-close"])
    def test_other_ways_to_send_a_reply(self, auditor: Auditor, behaviour: str) -> None:
        reply = auditor.ask(prompt(behaviour))
        assert (reply.status, reply.body) == (200, answer())

    def test_a_reply_that_is_no_text(self, auditor: Auditor) -> None:
        reply = auditor.ask(prompt("binary", "binary-1"))
        assert reply.body == bytes(range(256))
        end = recorded(auditor, "binary-1")[-1]
        assert (end["bytes"], end["content_encoding"]) == (256, "base64")

    @pytest.mark.parametrize("status", [400, 404, 429, 500, 503])
    def test_the_models_own_errors_pass(self, auditor: Auditor, status: int) -> None:
        reply = auditor.ask(prompt(f"status:{status}", f"status-{status}"))
        assert (reply.status, reply.body) == (status, b'{"error":"x"}')
        assert recorded(auditor, f"status-{status}")[-1]["status"] == status


class TestStream:
    """Server-sent events."""

    @pytest.mark.parametrize("size", ["1", "2", "3", "7", "50", "5000"])
    def test_the_same_events_however_they_arrive(self, auditor: Auditor, size: str) -> None:
        marker = f"stream-{size}."
        reply = auditor.ask(prompt(f"sse:{size}", marker, stream=True))
        assert (reply.status, reply.body) == (200, events())
        assert reply.headers["content-type"] == "text/event-stream; charset=utf-8"
        request, *parts, end = recorded(auditor, marker)
        assert request["gen_ai.request.stream"] is True
        assert "".join(part["content"] for part in parts).encode() == events()
        assert [part["part"] for part in parts] == list(range(len(parts)))
        expected = {
            "outcome": "complete",
            "bytes": len(events()),
            "gen_ai.response.finish_reasons": ["stop"],
            "gen_ai.usage.output_tokens": 8,
        }
        assert end == end | expected

    def test_an_event_leaves_before_the_next_one_comes(self, auditor: Auditor) -> None:
        auditor.model.go_on.clear()
        connection = auditor.connection()
        connection.request("POST", CHAT, prompt("step", stream=True), MACHINE)
        reply = connection.getresponse()
        assert reply.read(len(b'data: {"step":"first "}\n\n')) == b'data: {"step":"first "}\n\n'
        auditor.model.release()
        assert reply.read() == b'data: {"step":"second"}\n\n'
        connection.close()

    def test_the_client_that_users_have(self, auditor: Auditor) -> None:
        """The openai package, on the unix socket."""
        import httpx2  # noqa: PLC0415 - the HTTP client of the openai package

        transport = httpx2.HTTPTransport(uds=auditor.address)
        with httpx2.Client(transport=transport, headers=MACHINE) as http:
            client = openai.OpenAI(base_url="http://auditor/v1", api_key="none", http_client=http, max_retries=0)
            stream = client.chat.completions.create(
                model="sse:3", messages=[{"role": "user", "content": "x"}], stream=True
            )
            text = "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)
            assert text == "".join(WORDS)
            whole = client.chat.completions.create(model="tiny", messages=[{"role": "user", "content": "x"}])
            assert whole.choices[0].message.content == "Grüße an ada@example.com"
            with pytest.raises(openai.BadRequestError) as caught:
                client.chat.completions.create(
                    model="tiny", messages=[{"role": "user", "content": "x"}], extra_body={"chat_template": "{{ x }}"}
                )
            assert caught.value.param == "chat_template"

    def test_a_caller_who_goes_away_ends_the_models_work(self, auditor: Auditor) -> None:
        for name in ("endless", "hang"):
            marker = f"goes-away-{name}"
            connection = auditor.connection()
            connection.request("POST", CHAT, prompt(name, marker, stream=True), MACHINE)
            if name == "endless":
                connection.getresponse().read(1000)
            else:
                auditor.until(partial(asked, auditor, marker), "the prompt")
            connection.close()
            auditor.until(partial(auditor.model.gone.__contains__, name), f"the end of {name}")
            auditor.until(partial(cancelled, auditor, marker), "the record of it")

    def test_what_waits_to_be_redacted_is_recorded_however_a_stream_ends(self) -> None:
        with running(journal={"content": "Redacted"}, limits={"max_output_bytes": 5000}) as auditor:
            auditor.model.go_on.clear()
            connection = auditor.connection()
            connection.request("POST", CHAT, prompt("step", "left-alone", stream=True), MACHINE)
            assert connection.getresponse().readline() == b'data: {"step":"first "}\n'
            connection.close()
            auditor.until(partial(cancelled, auditor, "left-alone"), "the record of it")
            assert "first" in text_of(auditor, "left-alone")
            with pytest.raises(Exception, match=r"(?i)incomplete|reset|closed"):
                auditor.ask(prompt("die:in-stream", "breaks-off", stream=True))
            assert WORDS[0] in text_of(auditor, "breaks-off")
            cut_short(auditor, "too-long")
            assert "first" in text_of(auditor, "too-long")
            assert "reply_too_large" in text_of(auditor, "too-long")

    def test_a_slow_caller_holds_the_model_back(self, auditor: Auditor) -> None:
        """An endless stream to a caller who does not read is not collected in memory."""
        connection = auditor.connection()
        connection.request("POST", CHAT, prompt("endless", "slow-caller", stream=True), MACHINE)
        connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.getresponse().read(100)

        def relayed() -> int:
            return sum(r["bytes"] for r in recorded(auditor, "slow-caller") if r["type"] == "reply.part")

        def standing_still() -> bool:
            before = relayed()
            time.sleep(0.5)
            return relayed() == before

        auditor.until(standing_still, "the stream to stop")
        assert relayed() < 8 << 20
        connection.close()


def cut_short(auditor: Auditor, text: str) -> bytes:
    """What a caller gets of a reply whose second event is too large."""
    auditor.model.go_on.clear()
    connection = auditor.connection()
    connection.request("POST", CHAT, prompt("step:6000", text, stream=True), MACHINE)
    stream = connection.getresponse()
    first = stream.readline()
    auditor.model.release()
    try:
        return first + stream.read()
    finally:
        connection.close()


def text_of(auditor: Auditor, text: str) -> str:
    """What is on record of the parts of the reply to this prompt."""
    return "".join(r.get("content", "") for r in recorded(auditor, text) if r["type"] == "reply.part")


def asked(auditor: Auditor, text: str) -> bool:
    """Whether a prompt reached the model."""
    return any(text in seen.body.decode() for seen in auditor.model.seen)


def cancelled(auditor: Auditor, text: str) -> bool:
    """Whether the record says that its caller went away."""
    return recorded(auditor, text)[-1].get("outcome") == "cancelled"


class TestRefusals:
    """What does not reach the model, and what does not come back from it."""

    def refused(self, auditor: Auditor, status: int, code: str, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Asserts a refusal of which the model saw nothing, and gives its record."""
        seen = len(auditor.model.seen)
        reply = auditor.ask(*args, **kwargs)
        assert (reply.status, reply.error()["code"]) == (status, code)
        assert reply.headers["content-type"] == "application/json"
        assert len(auditor.model.seen) == seen
        record = auditor.records()[-1]
        assert (record["type"], record["status"], record["code"]) == ("refusal", status, code)
        return record

    def test_json_of_two_meanings(self, auditor: Auditor) -> None:
        body = b'{"model":"a","model":"b","messages":[{"role":"user","content":"x"}]}'
        record = self.refused(auditor, 400, "invalid_json", body)
        assert record["content"] == body.decode()
        assert record["peer"] == PEER

    def test_not_utf8(self, auditor: Auditor) -> None:
        record = self.refused(auditor, 400, "invalid_json", b'{"a":"\xff"}')
        assert record["content_encoding"] == "base64"

    def test_outside_the_schema(self, auditor: Auditor) -> None:
        self.refused(auditor, 400, "unknown_parameter", prompt(chat_template="{{x}}"))
        self.refused(auditor, 400, "missing_required_parameter", b'{"model":"m"}')

    def test_no_body(self, auditor: Auditor) -> None:
        self.refused(auditor, 400, "invalid_json", b"")

    def test_another_path_method_or_api(self, auditor: Auditor) -> None:
        for path in ("/v1/admin", CHAT + "?x=1", CHAT + "/", CHAT.upper(), "/v1/chat//completions", CHAT + "/../admin"):
            self.refused(auditor, 403, "api_not_approved", prompt(), path=path)
        self.refused(auditor, 403, "api_not_approved", prompt(), method="PUT")
        self.refused(auditor, 403, "api_not_approved", prompt(), MACHINE | {"x-cloister-api": "models"})

    def test_nobody_in_particular(self, auditor: Auditor) -> None:
        self.refused(auditor, 403, "unknown_peer", prompt(), {"x-cloister-api": "chat"})
        self.refused(auditor, 401, "invalid_token", prompt(), MACHINE | {"x-cloister-claims": "e30"})

    def test_too_large(self, auditor: Auditor) -> None:
        record = self.refused(auditor, 413, "request_too_large", prompt(text="x" * LIMIT))
        assert record["peer"] == PEER

    def test_too_large_in_chunks(self, auditor: Auditor) -> None:
        connection = auditor.connection()
        seen = len(auditor.model.seen)
        connection.request("POST", CHAT, (b"x" * 65536 for _ in range(5)), MACHINE, encode_chunked=True)
        assert connection.getresponse().status == 413
        connection.close()
        assert len(auditor.model.seen) == seen

    def test_a_caller_that_writes_on_reads_its_refusal(self, auditor: Auditor) -> None:
        """It need not look before it has written everything, and the connection then ends in order, not by a reset."""
        with auditor.raw() as wire:
            head = "".join(f"{name}: {value}\r\n" for name, value in MACHINE.items())
            wire.sendall(f"POST {CHAT} HTTP/1.1\r\nhost: x\r\n{head}content-length: {8 << 20}\r\n\r\n".encode())
            for _ in range(8):
                wire.sendall(b"x" * (1 << 20))
            with wire.makefile("rb") as answer:
                assert answer.readline().startswith(b"HTTP/1.1 413 ")
                assert b"request_too_large" in answer.read()

    def test_a_caller_that_never_stops_writing_is_cut(self, auditor: Auditor) -> None:
        def write(wire: socket.socket) -> None:
            while True:
                wire.sendall(b"10000\r\n" + b"x" * 65536 + b"\r\n")

        with auditor.raw() as wire:
            head = "".join(f"{name}: {value}\r\n" for name, value in MACHINE.items())
            wire.sendall(f"POST {CHAT} HTTP/1.1\r\nhost: x\r\n{head}transfer-encoding: chunked\r\n\r\n".encode())
            with pytest.raises(ConnectionError):
                write(wire)

    def test_as_large_as_it_may_be(self, auditor: Auditor) -> None:
        body = prompt(text="")
        body = prompt(text="x" * (LIMIT - len(body)))
        assert len(body) == LIMIT
        assert auditor.ask(body).status == 200

    @pytest.mark.parametrize(
        ("name", "code"),
        [
            ("gzip", "upstream_failed"),
            ("encoding:br", "upstream_failed"),
            ("encoding:zstd", "upstream_failed"),
            ("encoding:deflate", "upstream_failed"),
            ("encoding:identity, gzip", "upstream_failed"),
            ("die:before", "upstream_failed"),
            ("die:in-head", "upstream_failed"),
            ("die:in-body", "upstream_failed"),
            ("raw:nonsense\\r\\n\\r\\n", "upstream_failed"),
            (
                "raw:HTTP/1.1 101 X\\r\\nupgrade: x\\r\\nconnection: upgrade\\r\\n\\r\\n",
                "upstream_failed",
            ),
            (
                "raw:HTTP/1.1 200 OK\\r\\ncontent-length: 2\\r\\ntransfer-encoding: chunked\\r\\n\\r\\n0\\r\\n\\r\\n",
                "upstream_failed",
            ),
            ("raw:HTTP/1.1 200 OK\\r\\nx: " + "y" * 70000 + "\\r\\n\\r\\n", "upstream_failed"),
            ("huge:17000000", "reply_too_large"),
            ("no-end:2000000", "upstream_failed"),
        ],
    )
    def test_a_reply_that_is_none(self, auditor: Auditor, name: str, code: str) -> None:
        paths = {"api": "/v1/other"}  # whose schema does not bound the length of a model's name
        marker = f"none-{hash(name)}"
        body = json.dumps({"model": name, "marker": marker}).encode()
        try:
            reply = auditor.ask(body, path=paths["api"])
        except OSError:
            raise AssertionError("the connection was cut although nothing had been sent") from None
        assert (reply.status, reply.error()["code"]) == (502, code)
        assert b"nonsense" not in reply.body
        end = recorded(auditor, marker)[-1]
        assert (end["type"], end["outcome"], end["status"], end["code"]) == ("reply", "failed", 502, code)

    def test_a_stream_that_breaks_off_is_cut(self, auditor: Auditor) -> None:
        with pytest.raises(Exception, match=r"(?i)incomplete|reset|closed"):
            auditor.ask(prompt("die:in-stream", "breaks-off", stream=True))
        _, part, end = recorded(auditor, "breaks-off")
        assert part["bytes"] > 0
        assert (end["outcome"], end["code"]) == ("failed", "upstream_failed")

    def test_two_requests_at_once_on_a_connection(self, auditor: Auditor) -> None:
        seen = len(auditor.model.seen)
        one = posted(prompt("hang"))
        with auditor.raw() as wire:
            wire.sendall(one + one)
            assert wire.recv(100) == b""
        assert len(auditor.model.seen) <= seen + 1

    @pytest.mark.parametrize(
        "head",
        [
            "content-length: 5\r\ntransfer-encoding: chunked\r\n",
            "content-length: 5\r\ncontent-length: 6\r\n",
            "content-length: -1\r\n",
            "content-length: 5, 5\r\n",
            "transfer-encoding: xchunked\r\n",
            "transfer-encoding: chunked, identity\r\n",
            "content-length : 5\r\n",
            " content-length: 5\r\n",
            "x-cloister-peer: spiffe://other\r\ncontent-length: 5\r\n",
            "bad\x00: x\r\n",
            "bad header\r\n",
            "connection: upgrade\r\nupgrade: websocket\r\n",
            "connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: x\r\n",
            "".join(f"x-{number}: y\r\n" for number in range(200)),
            "x: " + "y" * 200_000 + "\r\n",
        ],
        ids=lambda head: repr(head[:30]),
    )
    def test_what_is_no_clear_request(self, auditor: Auditor, head: str) -> None:
        seen = len(auditor.model.seen)
        lines = "".join(f"{name}: {value}\r\n" for name, value in MACHINE.items())
        with auditor.raw() as wire:
            wire.sendall(f"POST {CHAT} HTTP/1.1\r\nhost: x\r\n{lines}{head}\r\n".encode("latin-1") + prompt())
            assert wire.recv(12) == b"HTTP/1.1 400"
        assert len(auditor.model.seen) == seen


class TestSettings:
    """What the custom resource changes."""

    def test_a_schema_that_only_flags(self) -> None:
        with running(request_schema="Flag") as auditor:
            assert auditor.ask(prompt(unheard_of=1)).status == 200
            (request,) = auditor.records("request")
            assert request["problems"] == ["schema: unknown_parameter"]
            assert auditor.metric("flagged_requests_total") == 1
            assert auditor.ask(b'{"a":1,"a":2}').status == 400, "two meanings are never let through"

    def test_a_schema_that_is_off(self) -> None:
        with running(request_schema="Off") as auditor:
            assert auditor.ask(prompt(unheard_of=1)).status == 200
            assert "problems" not in auditor.records("request")[0]
            assert auditor.ask(b"[]").status == 400

    def test_limits(self) -> None:
        with running(limits={"max_output_bytes": 5000, "concurrent": 1, "max_body_bytes": 1000}) as auditor:
            assert auditor.ask(prompt("huge:5000")).status == 200
            assert auditor.ask(prompt("huge:5001")).error()["code"] == "reply_too_large"
            assert auditor.ask(prompt(text="x" * 1000)).status == 413
            assert auditor.ask(prompt("flood:1000000", "flood", stream=True)).status in (200, 502)
            assert recorded(auditor, "flood")[-1]["code"] == "reply_too_large"
            cut = cut_short(auditor, "cut-short")
            assert b"reply_too_large" in cut.rpartition(b"data: ")[2]
            _, *parts, end = recorded(auditor, "cut-short")
            assert "".join(part["content"] for part in parts).encode() == cut, "the event that cuts it as well"
            assert (end["outcome"], end["code"], end["parts"]) == ("cut", "reply_too_large", len(parts))
            assert end["bytes"] == len(cut)

            auditor.model.go_on.clear()
            held = auditor.connection()
            held.request("POST", CHAT, prompt("step", stream=True), person())
            first = held.getresponse()
            assert auditor.ask(headers=person()).status == 429
            assert auditor.ask(headers=person(sub="bob")).status == 200
            auditor.model.release()
            first.read()
            held.close()
            assert auditor.ask(headers=person()).status == 200

    def test_sessions(self) -> None:
        """An old sign-in and a revoked one end between two requests; without its list nobody is admitted."""
        with surroundings() as auditor:
            listed = auditor.root / "revocations.json"
            auditor.config["people"] = {
                "max_session_seconds": 3600,
                "acr_values": ["gold"],
                "revocations": str(listed),
            }
            auditor.start(ready=False)
            auditor.until(lambda: auditor.health("/readyz") == 503, "the auditor")
            assert auditor.ask(headers=person()).status == 401
            listed.write_text("{}")
            auditor.until(lambda: auditor.health("/readyz") == 200, "the list")
            assert auditor.ask(headers=person()).status == 200
            old = auditor.ask(headers=person(auth_time=int(time.time()) - 4000))
            assert old.status == 401
            assert 'error="insufficient_user_authentication"' in old.headers["www-authenticate"]
            assert 'acr_values="gold", max_age="3600"' in old.headers["www-authenticate"]
            listed.write_text('{"sessions": ["s-1"]}')
            auditor.until(lambda: auditor.ask(headers=person()).status == 401, "the end of the session")
            assert auditor.ask(headers=person(sid="s-2")).status == 200
            assert auditor.ask().status == 200, "a machine has no session"
            codes = {record["code"] for record in auditor.records("refusal")}
            assert codes == {"invalid_token", "insufficient_user_authentication"}

    @pytest.mark.parametrize("content", ["None", "Hash", "Redacted"])
    def test_how_much_is_kept(self, content: str) -> None:
        with running(journal={"content": content}) as auditor:
            assert auditor.ask(prompt("tiny", "mail ada@example.com")).body == answer()
            assert auditor.ask(prompt("sse:3", "stream", stream=True)).body == events()
            records = auditor.records()
            kept = "".join(r.get("content", "") for r in records)
            assert "ada@example.com" not in kept
            assert ("Grüße" in kept) == (content == "Redacted")
            assert any("content_hmac" in r for r in records) == (content == "Hash")
            if content == "Redacted":
                assert "[email]" in kept
                parts = [r["content"] for r in records if r["type"] == "reply.part" and "content" in r]
                streamed = [json.loads(part)["0"] for part in parts]
                assert "".join(streamed) == "".join(WORDS).replace("ada@example.com", "[email]")
            assert all(r["bytes"] > 0 for r in records if r["type"] in ("request", "reply.part", "reply"))


class TestLife:
    """Beginning and end."""

    def test_health_and_metrics(self, auditor: Auditor) -> None:
        assert auditor.health("/healthz") == 200
        assert auditor.health("/workload") == 200
        assert auditor.health("/anything") == 404
        assert auditor.ask().status == 200
        assert auditor.metric("requests_total") > 0
        assert auditor.metric("journal_records_total") >= auditor.metric("journal_commits_total") > 0
        assert auditor.metric("recording") == 1

    @pytest.mark.parametrize(
        ("request_line", "status"),
        [("POST /healthz", 405), ("GET /healthz?verbose", 200), ("PUT /healthz", 413), ("GET //healthz", 404)],
    )
    def test_nothing_but_reading_is_answered_there(self, auditor: Auditor, request_line: str, status: int) -> None:
        length = 4096 if status == 413 else 1
        with socket.create_connection(("127.0.0.1", auditor.config["health_port"]), timeout=30) as wire:
            wire.sendall(f"{request_line} HTTP/1.1\r\nhost: pod\r\ncontent-length: {length}\r\n\r\nx".encode())
            assert wire.recv(1000).startswith(f"HTTP/1.1 {status} ".encode())

    def test_a_model_server_that_is_down(self) -> None:
        with running(upstream={"kind": "http", "address": "127.0.0.1:9", "health_path": "/health"}) as auditor:
            assert auditor.health("/workload") == 503
            assert auditor.health("/readyz") == 200
            assert auditor.ask().error()["code"] == "upstream_failed"

    def test_an_orderly_end(self) -> None:
        """Requests under way finish, the journal is closed and shipped, and the next one goes on with it."""
        with running() as auditor:
            connection = auditor.connection()
            connection.request("POST", CHAT, prompt("step", "under way", stream=True), MACHINE)
            reply = connection.getresponse()
            assert auditor.process
            auditor.process.terminate()
            auditor.until(lambda: auditor.health("/readyz") != 200, "unreadiness")
            auditor.model.release()
            assert reply.read() == b'data: {"step":"first "}\n\ndata: {"step":"second"}\n\n'
            assert auditor.end() == 0
            kinds = ["start", "request", "reply.part", "reply.part", "reply", "stop"]
            assert [r["type"] for r in auditor.records()] == kinds
            (shipped,) = auditor.store.objects
            assert re.fullmatch(r"/interaction-logs/ns/sa/[^/]+/\d{10}\.[0-9a-f]{16}\.cja", shipped)
            assert b"under way" not in auditor.store.objects[shipped]
            auditor.start()
            assert auditor.ask().status == 200
            assert [r["type"] for r in auditor.records()][6:] == ["start", "request", "reply"]

    @pytest.mark.parametrize("fails", ["503", "lost", "cut"])
    def test_shipping_goes_on_until_it_succeeds(self, fails: str) -> None:
        with running() as auditor:
            auditor.store.fails = fails
            assert auditor.ask(prompt(text="to be shipped")).status == 200
            auditor.end()
            assert list(auditor.journal.rglob("*.sealed"))
            auditor.store.fails = ""
            auditor.start()
            auditor.until(lambda: not list(auditor.journal.rglob("*.sealed")), "shipping")
            assert len(auditor.store.objects) == 1
            assert auditor.ask().status == 200

    def test_a_configuration_that_is_none(self) -> None:
        with running() as auditor:
            auditor.end()
            auditor.config["journal"]["recipients"] = ["nonsense"]
            auditor.start(ready=False)
            assert auditor.process
            assert auditor.process.wait(60) != 0
            assert "recipient" in auditor.log() or "public key" in auditor.log()

    def test_only_the_key_opens_the_journal(self) -> None:
        with running() as auditor:
            auditor.ask(prompt(text="a secret prompt"))
            raw = b"".join(path.read_bytes() for path in auditor.journal.rglob("*") if path.is_file())
            assert b"a secret prompt" not in raw
            assert b"nightly" not in raw, "nor does it tell who asked"
            assert KEY.public.key_id.encode() in raw
            assert len(auditor.records("request")) == 1
