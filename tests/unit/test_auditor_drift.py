"""From finished replies to alerts about their drift (ZT-29)."""

from pathlib import Path
from typing import Any

from cloister.auditor.drift import Replies, told
from cloister.auditor.openai.replies import Pieces, Summary
from cloister.inspection.drift import Change

MINUTE = 60.0


def reply(number: int, **more: Any) -> dict[str, Any]:
    """The last record of a reply, somewhat different each time."""
    record = {"type": "reply", "outcome": "complete", "status": 200, "duration_us": 900_000 + 7919 * number % 200_000}
    return record | {"gen_ai.response.model": "small", "gen_ai.response.finish_reasons": ["stop"]} | more


def feed(
    replies: Replies, first: int, count: int, heard: str, verdicts: list[dict[str, Any]] | None = None, **more: Any
) -> list[str]:
    """What is told of so many replies, two minutes apart."""
    found: list[Change] = []
    for number in range(first, first + count):
        record, at = reply(number, **more), number * 2 * MINUTE
        found += replies.finished("chat", record, verdicts or [], 100 + number % 50, heard, at)
    return list(map(told, found))


def test_replies_that_begin_to_decline_are_told_once_also_over_a_restart(tmp_path: Path) -> None:
    replies = Replies(tmp_path)
    english = "The answer to this is that you can do it with the tools that are in the box."
    assert feed(replies, 0, 1500, english) == []
    replies.save(replies.lines())
    again = Replies(tmp_path)
    found = feed(again, 1500, 400, "I'm sorry, but I can't help with the thing that you ask for, and that is it.")
    assert found == ["Replies of small have changed: declined was in 0 of 100, and is now in 100 of 100"]


def test_words_of_the_deployments_own_and_errors(tmp_path: Path) -> None:
    replies = Replies(tmp_path)
    feed(replies, 0, 1500, "")
    words = [{"kind": "sensitive-output", "rule": "dictionary-slurs", "score": 1000, "where": "", "action": "Mask"}]
    found = feed(replies, 1500, 400, "", verdicts=words)
    assert [text.split(": ")[1].split(" was")[0] for text in found] == ["sensitive", "words"]


def test_what_is_damaged_is_learned_anew(tmp_path: Path) -> None:
    (tmp_path / "drift.json").write_bytes(b"[[1]]")
    assert Replies(tmp_path).lines() == b"[]"


def test_who_leaves_says_nothing_about_replies(tmp_path: Path) -> None:
    replies = Replies(tmp_path)
    assert feed(replies, 0, 30, "", outcome="cancelled") == []
    assert replies.lines() == b"[]"


def test_the_beginning_of_an_answer_is_heard_whole_or_streamed() -> None:
    whole = Summary()
    whole.hear_whole({"choices": [{"message": {"content": "Hello " * 300}}, {"message": {"content": "no"}}]})
    assert whole.heard == ("Hello " * 300)[:600]
    streamed = Summary()
    events = [
        b'{"choices":[{"index":0,"delta":{"content":"Hel"}}]}',
        b'{"choices":[{"index":1,"delta":{"content":"x"}}]}',
        b'{"choices":[{"index":0,"delta":{"content":"lo"}}]}',
        b"[DONE]",
    ]
    list(Pieces(streamed).of(b"".join(b"data: " + event + b"\n\n" for event in events)))
    assert streamed.heard == "Hello"
