"""What judges find reaches the record and the figures, and the first that blocks refuses."""

from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import cast

import pytest

from cloister.auditor.callers import Caller
from cloister.auditor.exchange import Inspector, Means
from cloister.auditor.http.downstream import Downstream
from cloister.auditor.http.messages import Request
from cloister.auditor.judges import Asked, judged
from cloister.auditor.limits import Concurrency
from cloister.auditor.refusal import Refusal
from cloister.auditor.stats import Stats
from cloister.auditor.trail import Exchange
from cloister.inspection.verdict import MAX_VERDICTS, Action, Finding
from cloister.journal.records import encode, parse

ASKED = Asked(Caller("spiffe://cluster.local/ns/a/sa/b", None), "chat", None, {})
SURE = Finding("prompt-injection", "PI001", 0.9, "messages[0].content")
UNSURE = Finding("prompt-injection", "classifier", 0.51234, "messages[1].content")


@dataclass
class Stub:
    """Finds what it is told to find."""

    action: Action
    found: Sequence[Finding]
    code: str = "content_filter"

    def judge(self, asked: Asked) -> Sequence[Finding]:
        """The same, whatever is asked."""
        assert asked is ASKED
        return self.found

    def refusal(self) -> Refusal:
        """By its code."""
        return Refusal.invalid("No.", code=self.code)


def test_nothing_found_says_nothing() -> None:
    stats = Stats()
    assert judged(ASKED, (Stub(Action.BLOCK, ()),), stats) == ([], None)
    assert not stats.verdicts.total()


def test_a_flag_is_recorded_and_lets_through() -> None:
    stats = Stats()
    verdicts, refusal = judged(ASKED, (Stub(Action.FLAG, (UNSURE, SURE)),), stats)
    assert refusal is None
    assert [(one["rule"], one["score"], one["action"]) for one in verdicts] == [
        ("PI001", 900, "Flag"),
        ("classifier", 512, "Flag"),
    ]
    assert +stats.verdicts == {("prompt-injection", "Flag"): 2}


def test_the_first_that_blocks_refuses_and_nobody_after_it_is_asked() -> None:
    judges = (Stub(Action.FLAG, (SURE,)), Stub(Action.BLOCK, (SURE,), "one"), Stub(Action.BLOCK, (UNSURE,), "two"))
    verdicts, refusal = judged(ASKED, judges, Stats())
    assert refusal
    assert refusal.code == "one"
    assert [one["action"] for one in verdicts] == ["Flag", "Block"]


def test_verdicts_are_bounded_and_have_a_place_in_the_journal() -> None:
    verdicts, _ = judged(ASKED, (Stub(Action.FLAG, (SURE,) * 1000), Stub(Action.FLAG, (UNSURE,))), Stats())
    assert len(verdicts) == MAX_VERDICTS
    record = {"type": "request", "exchange": "e", "time": "2026-01-02T03:04:05.000006Z", "verdicts": verdicts[:1]}
    parsed = parse(encode(record))
    assert parsed.model_dump(mode="json", exclude_none=True)["verdicts"] == verdicts[:1]


async def test_what_is_not_let_in_is_not_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    """A judge counts: whoever has no place must not use up a budget."""
    means = SimpleNamespace(
        config=SimpleNamespace(limits=SimpleNamespace(max_body_bytes=1), apis=()),
        recorder=None,
        content=None,
        stats=Stats(),
        concurrency=Concurrency(0),
        watch=None,
        judges=(Stub(Action.BLOCK, (SURE,), "judged"),),
    )
    inspector = Inspector(cast(Means, means))
    told: list[str | None] = []

    async def refuse(_: Exchange, refusal: Refusal, __: object) -> None:
        told.append(refusal.code)

    monkeypatch.setattr(inspector, "_check", lambda _: ASKED)
    monkeypatch.setattr(inspector, "_refuse", refuse)
    await inspector.serve(cast(Request, SimpleNamespace()), cast(Downstream, None))
    means.concurrency.limit = 1
    await inspector.serve(cast(Request, SimpleNamespace()), cast(Downstream, None))
    assert told == ["concurrency_exceeded", "judged"]
    assert means.stats.verdicts.total() == 1
    assert not means.concurrency.under_way
