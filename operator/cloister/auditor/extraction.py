"""`guard.extraction`: budgets of callers over a day, kept over restarts (ZT-22).

Each replica counts for itself, as the gate's limits do. A person is counted whatever machine speaks for them.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from typing import Any

import orjson
import structlog

from cloister import sidecar
from cloister.auditor.callers import Caller
from cloister.auditor.http.events import split
from cloister.auditor.judges import Asked
from cloister.auditor.openai.replies import Piece, Pieces, Summary
from cloister.auditor.output.places import Uninspectable, texts
from cloister.auditor.refusal import Refusal
from cloister.auditor.stats import Stats
from cloister.inspection.extraction import REPETITIONS as REPEATS
from cloister.inspection.extraction import RULES, Budget, Exceeded, Extraction, Question
from cloister.inspection.repetition import Repetition
from cloister.inspection.verdict import Action, Finding
from cloister.kept import KeptFile

SAVE_SECONDS = 60
"""Of what was counted in between a process that is killed forgets."""
_FEW = 8192
"""Bytes of events that come at once."""
_CHARACTERS_A_TOKEN = 4
"""Where a server does not tell how many tokens it has made."""

_log = structlog.get_logger()


class ExtractionGuard:
    """A judge of requests (:class:`cloister.auditor.judges.Judge`) that hears of replies as well."""

    def __init__(self, config: sidecar.Extraction, stats: Stats, now: Callable[[], float] = time.time) -> None:
        self.action, self._stats, self._now = Action(config.action), stats, now
        self._people, self._machines = config.people.model_dump(), config.machines.model_dump()
        self._file = KeptFile(Path(config.state))
        self._counts = Extraction()
        self._saved, self._changed = now(), False
        self._retry_after = 1
        self._load()

    # --- requests

    def judge(self, asked: Asked) -> Sequence[Finding]:
        """Which budgets of its caller are used up."""
        block = self.action is Action.BLOCK
        key, budget = self._whose(asked.caller)
        exceeded = self._counts.asked(key, question(asked), budget, self._now(), block=block)
        self._changed = True
        self._retry_after = max((one.retry_after for one in exceeded), default=1)
        return [_finding(one) for one in exceeded]

    def refusal(self) -> Refusal:
        """429: some of it is there again after `retry-after`."""
        return Refusal(
            429,
            "You have asked for more than you may in a day. Try again later.",
            kind="rate_limit_error",
            code="budget_exceeded",
            headers=(("retry-after", str(self._retry_after)),),
        )

    # --- replies

    def reply(self, asked: Asked) -> "Reply | None":
        """Follows the reply to a request of an API whose replies are text."""
        spoken = asked.dialect is not None and asked.dialect.operation != "embeddings"
        return Reply(self, asked.caller) if spoken else None

    def said(self, caller: Caller, tokens: int) -> None:
        """Counts what a caller has been told."""
        self._counts.said(self._whose(caller)[0], tokens, self._now())
        self._changed = True

    def repeated(self, caller: Caller) -> Finding:
        """Counts a reply that repeats itself."""
        self._counts.repeated(self._whose(caller)[0], self._now())
        finding = Finding("extraction", RULES[REPEATS], 1.0, "reply")
        self._stats.found([finding], self.action)
        return finding

    # --- over restarts

    def tick(self) -> None:
        """To be called about once a second."""
        if state := self.due():
            asyncio.get_running_loop().run_in_executor(None, self.write, state)

    def close(self) -> None:
        """Writes everything."""
        self.write(self.state())

    def due(self) -> bytes | None:
        """What is to be written now, if it is time to."""
        now = self._now()
        if not self._changed or now - self._saved < SAVE_SECONDS:
            return None
        self._saved, self._changed = now, False
        return self.state()

    def state(self) -> bytes:
        """What callers have had."""
        return orjson.dumps(self._counts.dump())

    def write(self, state: bytes) -> None:
        """Writes it; in a thread, because it takes a while."""
        try:
            self._file.replace(state)
        except OSError as error:
            _log.warning("what callers have had is not saved", error=str(error))

    def _load(self) -> None:
        try:
            self._counts.load(orjson.loads(self._file.read()))
        except FileNotFoundError:
            pass
        except (OSError, ValueError) as error:
            _log.warning("what callers had before is not known", error=str(error))

    def _whose(self, caller: Caller) -> tuple[str, Budget]:
        # Hashed, because the file is not sealed as the journal is.
        who = f"person {caller.person.subject}" if caller.person else f"machine {caller.peer}"
        return blake2b(who.encode(), digest_size=12).hexdigest(), self._people if caller.person else self._machines


class Reply:
    """What a caller is told in one reply."""

    def __init__(self, guard: ExtractionGuard, caller: Caller) -> None:
        self._guard, self._caller = guard, caller
        self._repetition = Repetition()
        self._pieces = Pieces(Summary())
        """Reads events ahead of their record."""
        self._characters = 0
        self._told = self._ahead = False
        self.repeats: Finding | None = None
        """Set when it does nothing but repeat itself."""

    def passing(self, events: bytes) -> tuple[bytes, Refusal | None]:
        """Of some whole events, those that may leave; and why the stream may not go on after them. Few of them leave
        before their text is heard, which is when they are recorded; of many, only those up to where it repeats."""
        if refusal := self.refusal():
            return b"", refusal
        if len(events) <= _FEW:
            return events, None
        self._ahead = True
        ahead, text = self._repetition.copy(), _said(self._pieces.of(events))
        if not ahead.feed(text):
            self._repetition = ahead
            self._characters += len(text)
            return events, None
        left: list[bytes] = []
        for event in split(events):
            left.append(event)
            self.heard(_said(self._pieces.of(event)))
            if refusal := self.refusal():
                break
        return b"".join(left), self.refusal()

    def recorded(self, pieces: Iterable[Piece]) -> None:
        """The texts of events that are being recorded."""
        if not self._ahead:
            self.heard(_said(pieces))
        self._ahead = False

    def heard(self, text: str) -> None:
        """More of its text."""
        self._characters += len(text)
        if self._repetition.feed(text) and self.repeats is None:
            self.repeats = self._guard.repeated(self._caller)

    def heard_whole(self, document: Any) -> None:
        """All of it, as one document."""
        if isinstance(document, dict | list):
            with suppress(Uninspectable):  # whether it may leave, others have told
                self.heard("".join(text.value for text in texts(document, known=True)))

    def end(self, record: Mapping[str, Any]) -> None:
        """That was all; the record of the reply says how many tokens the server has counted, if it has."""
        tokens = record.get("gen_ai.usage.output_tokens", self._characters // _CHARACTERS_A_TOKEN)
        self._guard.said(self._caller, tokens)

    def refusal(self) -> Refusal | None:
        """Why it may not go on, if it may not."""
        if self.repeats is None or self._guard.action is not Action.BLOCK:
            return None
        return Refusal.upstream("The reply repeats itself without end.", code="reply_repeats")

    def verdicts(self) -> list[dict[str, Any]]:
        """What was found since the last call, for the record."""
        if self.repeats is None or self._told:
            return []
        self._told = True
        return [self.repeats.record(self._guard.action)]


def _said(pieces: Iterable[Piece]) -> str:
    return "".join([text for place, text in pieces if place != "other"])


def question(asked: Asked) -> Question:
    """What counts of a request of the known APIs; of any other, nothing but its output."""
    if asked.dialect is None:
        return Question()
    document = asked.document
    if asked.dialect.operation == "embeddings":
        given = document.get("input")
        return Question(embeddings=len(given) if isinstance(given, list) and given else 1)
    several = document.get("n")
    # Completions have a number, of which 0 asks for those of the tokens that were chosen.
    asked_for = document.get("logprobs")
    logprobs = (asked_for is not None and asked_for is not False) or bool(document.get("top_logprobs"))
    include = document.get("include")
    logprobs |= isinstance(include, list) and any("logprobs" in str(one) for one in include)
    answers = several if isinstance(several, int) and several > 0 else 1
    return Question(_written(document), logprobs=answers if logprobs else answers - 1)


def _written(document: Mapping[str, Any]) -> list[str]:
    """Each prompt of a list; of a conversation the last turn, if it is a person's: it repeats what was said before, and
    a tool's result is nobody's question. What says nothing, and what whoever runs the service says, is no turn."""
    turns = document.get("messages", document.get("input", document.get("prompt")))
    if isinstance(turns, str):
        return [turns] if turns else []
    if not isinstance(turns, list) or not turns:
        return []
    last = turns[-1]
    if isinstance(last, int):
        return [" ".join(map(str, turns))]
    if not isinstance(last, dict):
        return list(filter(None, map(_plain, turns)))
    for turn in reversed(turns):
        if isinstance(turn, dict) and turn.get("role") not in ("system", "developer") and (said := _turn(turn)):
            return [said] if turn.get("role") == "user" else []
    return []


def _turn(turn: Mapping[str, Any]) -> str:
    """What a turn says, or calls for."""
    content = turn.get("content", turn.get("output"))
    if isinstance(content, list):
        texts = [part.get("text") for part in content if isinstance(part, dict)]
        content = "\n".join(text for text in texts if isinstance(text, str))
    if isinstance(content, str) and content.strip():
        return content
    return "".join(
        str(turn[name]) for name in ("tool_calls", "function_call", "arguments", "refusal", "summary") if turn.get(name)
    )


def _plain(prompt: Any) -> str:
    return prompt if isinstance(prompt, str) else " ".join(map(str, prompt if isinstance(prompt, list) else [prompt]))


def _finding(exceeded: Exceeded) -> Finding:
    return Finding("extraction", exceeded.rule, 1.0, "caller")
