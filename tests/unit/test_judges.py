"""What judges find reaches the record and the figures, and the first that blocks refuses."""

from collections.abc import Sequence
from dataclasses import dataclass

from cloister.auditor.callers import Caller
from cloister.auditor.judges import Asked, judged
from cloister.auditor.refusal import Refusal
from cloister.auditor.stats import Stats
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
