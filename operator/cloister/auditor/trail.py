"""What is on record of an exchange with the model, from its request to its end."""

import asyncio
import random
import time
from dataclasses import dataclass, field
from typing import Any

import structlog

from cloister.auditor.behaviour import Ended, Watch
from cloister.auditor.callers import Caller
from cloister.auditor.content import Content, StreamContent
from cloister.auditor.extraction import Reply
from cloister.auditor.http.messages import Request
from cloister.auditor.judges import Asked
from cloister.auditor.limits import Concurrency
from cloister.auditor.openai.replies import Pieces, Summary
from cloister.auditor.output.guard import Inspection
from cloister.auditor.recorder import Recorder
from cloister.auditor.refusal import Refusal
from cloister.auditor.sessions import NO_VISIT, Visit
from cloister.auditor.stats import Stats
from cloister.journal import JournalError, is_integer, timestamp

_log = structlog.get_logger()


@dataclass(slots=True)
class Exchange:
    """One request under way."""

    request: Request
    id: str = field(default_factory=lambda: f"{random.getrandbits(128):032x}")
    visit: Visit = NO_VISIT
    began: float = field(default_factory=time.monotonic)
    caller: Caller | None = None
    api: str = ""
    asked: bool = False
    """Whether its request is on record."""
    verdicts: list[dict[str, Any]] = field(default_factory=list)
    """What was found in it, for its next record."""
    inspection: Inspection | None = None
    """Of its reply; None where nobody looks."""
    counted: Reply | None = None
    """What its caller is told; None where nobody counts."""
    found: list[dict[str, Any]] = field(default_factory=list)
    """Verdicts on its reply, those of earlier records too."""
    told: "Told | None" = None
    """How far its reply is on record, where that is a stream."""
    over: bool = False
    """Whether its end is on record."""


@dataclass(slots=True)
class Told:
    """How far a streamed reply is on record."""

    content: StreamContent
    summary: Summary = field(default_factory=Summary)
    parts: int = 0
    bytes: int = 0
    pieces: Pieces = field(init=False)
    """What its events say."""

    def __post_init__(self) -> None:
        self.pieces = Pieces(self.summary)


class Trail:
    """The records of exchanges: what they say, and when they are durable."""

    def __init__(
        self, recorder: Recorder, content: Content, stats: Stats, concurrency: Concurrency, watch: Watch | None
    ) -> None:
        self._recorder = recorder
        self._content = content
        self._stats = stats
        self._concurrency = concurrency
        self._watch = watch

    # --- what they say

    def request(self, exchange: Exchange, asked: Asked) -> dict[str, Any]:
        """Of what the model is to be asked."""
        request, document = exchange.request, asked.document
        record = self._base("request", exchange) | self._content.whole(request.body)
        if asked.dialect:
            record["gen_ai.operation.name"] = asked.dialect.operation
            record["gen_ai.request.stream"] = document.get("stream") is True
            model = document.get("model")
            if isinstance(model, str):
                record["gen_ai.request.model"] = model
            bounds = (document.get(name) for name in asked.dialect.max_tokens)
            if (bound := next(filter(is_integer, bounds), None)) is not None:
                record["gen_ai.request.max_tokens"] = bound
        if asked.flagged:
            self._stats.flagged += 1
            record["problems"] = [f"schema: {asked.flagged.code}"]
        return record

    def refusal(self, exchange: Exchange) -> dict[str, Any]:
        """Of what the model never sees."""
        return self._base("refusal", exchange) | self._content.whole(exchange.request.body)

    def outcome(self, exchange: Exchange, outcome: str) -> dict[str, Any]:
        """Of how a request has ended that is on record, and of what was told of a stream until then."""
        duration = int((time.monotonic() - exchange.began) * 1_000_000)
        record = self._base("reply", exchange) | {"outcome": outcome, "duration_us": duration}
        if told := exchange.told:
            record |= {"bytes": told.bytes, "parts": told.parts} | told.summary.fields()
        return record

    def part(self, exchange: Exchange, told: Told, events: bytes, *, last: bool) -> dict[str, Any]:
        """The record of some whole events, which are then told."""
        record = self._base("reply.part", exchange) | {"part": told.parts, "bytes": len(events)}
        found = list(told.pieces.of(events))
        if exchange.counted:
            exchange.counted.recorded(found)
        told.parts += 1
        told.bytes += len(events)
        return record | told.content.part(events, found, last=last)

    def over(self, exchange: Exchange, record: dict[str, Any], heard: str = "") -> dict[str, Any]:
        """The last record of an exchange, with what it means for the caller's next request."""
        exchange.over = True
        if self._watch and exchange.caller:
            ended = Ended(record, exchange.verdicts, exchange.found, len(exchange.request.body), heard)
            self._watch.finished(exchange.caller, exchange.visit, ended)
            self._tell_risk(exchange, record)
        return record

    def _base(self, kind: str, exchange: Exchange) -> dict[str, Any]:
        """What every record says of its exchange; the request's says who and what, the others refer to it."""
        record: dict[str, Any] = {"type": kind, "exchange": exchange.id, "time": timestamp(time.time())}
        if kind in ("request", "refusal"):
            request = exchange.request
            if exchange.caller:
                record |= exchange.caller.record
            record |= {"api": exchange.api, "method": request.method, "path": request.target[:1024]}
            record["bytes"] = len(request.body)
            if request_id := request.header(b"x-request-id"):
                record["request_id"] = request_id[:128]
            if exchange.verdicts:
                record["verdicts"] = exchange.verdicts
            self._tell_risk(exchange, record)
        elif found := _found(exchange):
            record["verdicts"] = found
            exchange.found += found
        return record

    def _tell_risk(self, exchange: Exchange, record: dict[str, Any]) -> None:
        watch = self._watch
        if watch and exchange.caller and (risk := watch.risk(exchange.caller, time.time())):
            record["risk"] = risk

    # --- when they are durable

    def submit(self, record: dict[str, Any], *, more: bool = False) -> asyncio.Future[None]:
        """``more``: another record follows at once and shares its write."""
        try:
            return self._recorder.record(record, alone=not more and self._concurrency.total == 1)
        except JournalError as error:
            raise _unrecorded() from error

    async def recorded(self, record: dict[str, Any]) -> None:
        """Returns when a record is durable; a Refusal where it can't be: no record, no answer."""
        await durable(self.submit(record))

    def note(self, record: dict[str, Any]) -> None:
        """A record that nothing waits for, since nothing comes after it."""
        try:
            self._recorder.note(record)
        except JournalError as error:
            _log.error("not recorded", error=str(error), record=record["type"], exchange=record["exchange"])

    def note_rest(self, exchange: Exchange, told: Told) -> None:
        """Text that the caller has, and that waited for what would follow it: nothing will."""
        if rest := told.content.part(b"", (), last=True):
            self.note(self._base("reply.part", exchange) | {"part": told.parts, "bytes": 0} | rest)
            told.parts += 1

    def count(self, exchange: Exchange, status: int, sent: int, record: dict[str, Any]) -> None:
        """What the metrics tell of an answer."""
        stats = self._stats
        stats.requests[exchange.api, status] += 1
        stats.bytes_in += len(exchange.request.body)
        stats.bytes_out += sent
        stats.answered(exchange.api, record["duration_us"] / 1e6)
        stats.used(
            record.get("gen_ai.response.model", ""),
            record.get("gen_ai.usage.input_tokens", 0),
            record.get("gen_ai.usage.output_tokens", 0),
        )


async def durable(*recorded: asyncio.Future[None]) -> None:
    """Returns when these records are; a Refusal where they can't be."""
    try:
        for record in recorded:
            await record
    except JournalError as error:
        raise _unrecorded() from error


def _unrecorded() -> Refusal:
    return Refusal.unavailable("Nothing can be recorded at the moment, so nothing is answered.", code="not_recorded")


def _found(exchange: Exchange) -> list[dict[str, Any]]:
    """Verdicts on a reply that are in no record yet."""
    found = exchange.inspection.verdicts() if exchange.inspection else []
    return [*found, *exchange.counted.verdicts()] if exchange.counted else found
