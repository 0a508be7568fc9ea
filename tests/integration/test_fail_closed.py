"""No record, no answer: whatever breaks, and at whatever stage (ZT-21, ZT-27, ZT-30).

Many callers ask while the auditor is killed, stopped, or finds its disk full or broken. Afterwards every prompt that
the model saw is on record, and so is every byte that a caller received.
"""

import json
import random
import signal
import socket
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import httptools
import pytest

from tests.auditor.faulty import STAGES
from tests.auditor.model import events
from tests.auditor.running import Auditor, posted, prompt, running, surroundings
from tests.volumes import small

REQUESTS = 1008
CALLERS = 8


def question(number: int) -> bytes:
    """Alternately for a whole reply and for a stream; now and then the stream is long enough to fill a socket."""
    if number % 2 == 0:
        return prompt("tiny", f"prompt {number}.")
    return prompt("sse:60" if number % 32 == 1 else "sse:5", f"prompt {number}.", stream=True)


class Received:
    """What one caller got, as far as it came."""

    def __init__(self) -> None:
        self.body = b""
        self.status = 0
        self.complete = False
        self.parser = httptools.HttpResponseParser(self)

    def on_headers_complete(self) -> None:
        """httptools' callback."""
        self.status = self.parser.get_status_code()

    def on_body(self, data: bytes) -> None:
        """httptools' callback."""
        self.body += data

    def on_message_complete(self) -> None:
        """httptools' callback."""
        self.complete = True


def ask(auditor: Auditor, number: int, chooser: random.Random) -> Received:
    """One request, alternately whole and streamed. Some callers leave early, some read slowly."""
    body = question(number)
    received = Received()
    patience = chooser.choice([None, None, None, None, 0, 1, 2])
    with suppress(OSError), socket.socket(socket.AF_UNIX) as wire:
        wire.settimeout(20)
        if chooser.random() < 0.05:
            wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        wire.connect(auditor.address)
        wire.sendall(posted(body))
        while not received.complete and patience != 0:
            if not (data := wire.recv(chooser.choice([40, 400, 65536]))):
                break
            received.parser.feed_data(data)
            patience = None if patience is None else patience - 1
    return received


def ask_until_reached(auditor: Auditor, number: int) -> Received:
    """Asks, again where the auditor was not there to hear it."""
    chooser, received = random.Random(number), Received()
    for _ in range(400):
        before = time.monotonic()
        received = ask(auditor, number, chooser)
        if received.status or time.monotonic() - before > 0.05 or chooser.random() < 0.2:
            return received
        time.sleep(0.02)
    return received


def check(auditor: Auditor, answers: dict[int, Received]) -> None:
    """Compares what the model saw and what callers received with what is on record."""
    prompts: set[str] = set()
    replies: dict[str, dict[str, bytes]] = defaultdict(lambda: defaultdict(bytes))
    asked: dict[str, str] = {}
    for record in auditor.records():
        if record["type"] in ("request", "refusal"):
            asked[record["exchange"]] = record["content"]
            if record["type"] == "request":
                prompts.add(record["content"])
        elif record["type"] in ("reply", "reply.part") and "content" in record:
            replies[asked[record["exchange"]]][record["exchange"]] += record["content"].encode()
    for seen in auditor.model.seen:
        assert seen.body.decode() in prompts, "the model saw a prompt without a record"
    for number, answer in answers.items():
        if answer.status == 200 and answer.body:
            known = replies[question(number).decode()].values()
            assert any(reply.startswith(answer.body) for reply in known), "a caller received what is not on record"


def sweep(auditor: Auditor, fault: str, stage: str, chance: float) -> tuple[dict[str, int], dict[int, Received]]:
    """All requests, while faults happen: how many processes were killed and stopped, and what callers received."""
    auditor.environment = {"FAULT": fault, "STAGE": stage, "CHANCE": str(chance)}
    auditor.module = "tests.auditor.faulty"
    auditor.start(ready=False)
    with ThreadPoolExecutor(CALLERS) as pool:
        auditor.until(lambda: auditor.health("/readyz") == 200, "readiness")
        answers = dict(enumerate(pool.map(lambda number: ask_until_reached(auditor, number), range(REQUESTS))))
    auditor.end()
    counts: dict[str, int] = json.loads(auditor.log().splitlines()[-1])
    return counts, answers


def healthy(auditor: Auditor) -> None:
    """In the end the auditor as it is takes over the journal, and answers."""
    auditor.environment = {}
    auditor.module = "cloister.auditor"
    auditor.start()
    assert auditor.ask().status == 200


@pytest.mark.timeout(600)
@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("fault", ["kill", "stop"])
def test_the_process_is_struck(fault: str, stage: str) -> None:
    often = {"appended": 0.002, "synced": 0.002}.get(stage, 0.003)
    with surroundings() as auditor:
        counts, answers = sweep(auditor, fault, stage, often)
        assert counts[fault] > 0, "no fault happened, so nothing was tested"
        check(auditor, answers)
        healthy(auditor)
        complete = sum(received.complete for received in answers.values())
        assert complete > REQUESTS / 10, "many callers were answered all the same"


@pytest.mark.timeout(600)
@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("fault", ["ENOSPC", "EIO"])
def test_the_disk_fails(fault: str, stage: str) -> None:
    with surroundings() as auditor:
        _, answers = sweep(auditor, fault, stage, 0.02)
        check(auditor, answers)
        statuses = {received.status for received in answers.values()}
        assert {200, 503} <= statuses
        healthy(auditor)


def test_a_disk_that_is_really_full(tmp_path: Path) -> None:
    """Serving stops with a clear error and readiness goes; with room again, both come back by themselves."""
    mount = tmp_path / "small"
    mount.mkdir()
    with small(mount, "256k"):
        (mount / "ballast").write_bytes(b"x" * (64 << 10))
        with running(journal={"directory": str(mount / "journal")}) as auditor:
            answers: list[Any] = []
            seen = 0
            while not answers or answers[-1].status == 200:
                seen = len(auditor.model.seen)
                answers.append(auditor.ask(prompt(text="x" * 8000)))
                assert len(answers) < 100
            assert (answers[-1].status, answers[-1].error()["code"]) == (503, "not_recorded")
            assert len(auditor.model.seen) - seen <= 1
            auditor.until(lambda: auditor.health("/readyz") == 503, "unreadiness")
            assert auditor.health("/healthz") == 200
            assert auditor.metric("recording") == 0
            (mount / "ballast").unlink()
            auditor.until(lambda: auditor.health("/readyz") == 200, "readiness")
            assert auditor.ask().status == 200
            prompts = {record["content"] for record in auditor.records("request")}
            assert {seen.body.decode() for seen in auditor.model.seen} <= prompts


def test_a_stopped_auditor_lets_nothing_through() -> None:
    with running() as auditor:
        assert auditor.process
        auditor.process.send_signal(signal.SIGSTOP)
        seen = len(auditor.model.seen)
        with auditor.raw() as wire:
            wire.settimeout(0.5)
            body = prompt()
            wire.sendall(posted(body))
            with pytest.raises(TimeoutError):
                wire.recv(1)
            assert len(auditor.model.seen) == seen
            auditor.process.send_signal(signal.SIGCONT)
            wire.settimeout(30)
            assert wire.recv(15) == b"HTTP/1.1 200 OK"
        assert json.loads(auditor.records("request")[-1]["content"]) == json.loads(body)


def test_the_stub_sends_what_is_compared() -> None:
    """The sweep compares streams byte by byte, so there must be bytes in them."""
    assert len(events()) > 500
