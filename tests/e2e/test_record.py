"""The record of all that was said before, as the auditor reads it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from tests.cluster.kubectl import KubectlError
from tests.cluster.processes import wait_until
from tests.e2e.conftest import NOTES, PROMPT
from tests.e2e.life import NAME, Life
from tests.e2e.load import LOADS

pytestmark = pytest.mark.timeout(3000)

_RECORDS = "/tmp/records"
_KINDS = ("reply", "reply.part")
_VERIFY = ("cloister", "audit", "verify", _RECORDS, "--key", "/tmp/audit.key")


class Records:
    """What is on record, by what it says and by exchange."""

    def __init__(self, text: str) -> None:
        self.all: list[dict[str, Any]] = [json.loads(line) for line in text.splitlines()]
        self._requests = {_said(r): r for r in self.all if r["type"] == "request" and "content" in r}
        self._replies: dict[str, list[dict[str, Any]]] = {}
        for record in self.all:
            if record["type"] in _KINDS:
                self._replies.setdefault(record["exchange"], []).append(record)

    def request(self, prompt: str) -> dict[str, Any] | None:
        """The record of a request that said this."""
        return self._requests.get(prompt)

    def replies(self, request: Mapping[str, Any]) -> list[dict[str, Any]]:
        """What is recorded of its answer: the whole, or parts and the end."""
        return self._replies.get(request["exchange"], [])

    def bytes_of_answer(self, request: Mapping[str, Any]) -> int:
        """How much of an answer is on record."""
        found = self.replies(request)
        sizes = {kind: sum(int(record["bytes"]) for record in found if record["type"] == kind) for kind in _KINDS}
        return max(sizes.values())


def _said(request: Mapping[str, Any]) -> str:
    try:
        said: str = json.loads(request["content"])["messages"][-1]["content"]
    except (ValueError, LookupError, TypeError):
        return ""
    return said


def fetched(life: Life) -> str:
    """Every record that the store has, read in the auditor's pod."""
    fetch = (
        f"rm -rf {_RECORDS} && cloister data get -q -r interaction-logs/ -o {_RECORDS}"
        f" --deployment {NAME} --identity /identity > /dev/null"
        f" && cloister audit search {_RECORDS} --key /tmp/audit.key -o json"
    )
    return life.run("security", "auditor", "sh", "-c", fetch)


@pytest.fixture(scope="module")
def records(life: Life) -> Records:
    """Everything, once what was said last is among it."""
    life.run("security", "auditor", "sh", "-c", "umask 077; cat > /tmp/audit.key",
             stdin=(life.folder / "audit.key").read_text())  # fmt: skip
    if life.ask(PROMPT)["status"] != 200:
        raise RuntimeError("nobody is answered")
    last = "Was all of that written down?"
    life.ask(last)
    text = ""

    def recorded() -> bool:
        nonlocal text
        text = fetched(life)
        return last in text

    assert wait_until(recorded, 180, every=10), text[-3000:]
    return Records(text)


def test_it_says_who_asked_what_and_when(records: Records) -> None:
    request = records.request(PROMPT)
    assert request
    assert request["user.id"] == "alice"
    assert request["peer"] == "spiffe://cluster.local/ns/web/sa/frontend"
    (reply,) = records.replies(request)
    assert reply["status"] == 200


def test_no_answer_reached_anybody_unrecorded(records: Records) -> None:
    """Whatever was killed: each byte that a person received, also of an answer that broke off, is on record."""
    asked = [question for load in LOADS for question in load.asked if question.status == 200]
    unrecorded = []
    for question in asked:
        request = records.request(question.name)
        if request is None or records.bytes_of_answer(request) < question.bytes:
            unrecorded.append((question, request and records.replies(request)))
    assert unrecorded == []
    cut = sum(question.error is not None for question in asked)
    NOTES.append(f"{len(asked)} answers compared with the records, {cut} of them broken off: every byte is there")


def test_no_record_of_an_answer_is_lost(records: Records) -> None:
    """Who was answered to the end has a record that says so."""
    for question in (question for load in LOADS for question in load.asked if question.answered):
        request = records.request(question.name)
        assert request
        ends = [reply for reply in records.replies(request) if reply["type"] == "reply"]
        assert [(end["outcome"], end["bytes"]) for end in ends] == [("complete", question.bytes)], question


def test_usage_is_counted(life: Life, records: Records) -> None:
    """ZT-31: by machine and person, from the records alone."""
    stats = ("cloister", "audit", "stats", _RECORDS, "--key", "/tmp/audit.key", "--by", "caller,user", "-o", "json")
    rows = json.loads(life.run("security", "auditor", *stats))
    (alice,) = [row for row in rows if row["user"] == "alice"]
    asked = [one for one in records.all if one["type"] == "request" and one.get("user.id") == "alice"]
    assert alice["requests"] == len(asked) > 0


def test_nothing_is_missing_or_changed(life: Life, records: Records) -> None:
    assert ", 0 findings" in life.run("security", "auditor", *_VERIFY)


def test_a_flipped_byte_is_found(life: Life, records: Records) -> None:
    flip = (
        "import pathlib, sys\n"
        f"path = max(pathlib.Path('{_RECORDS}').rglob('*.cja'), key=lambda path: path.stat().st_size)\n"
        "data = bytearray(path.read_bytes()); data[len(data) // 2] ^= 1; path.write_bytes(data)"
    )
    life.run("security", "auditor", "python", "-c", flip)
    with pytest.raises(KubectlError, match="exit code 1"):
        life.run("security", "auditor", *_VERIFY)
