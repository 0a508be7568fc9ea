"""The eye on callers: turns requests into what :mod:`cloister.inspection.behaviour` judges, and its judgement into
records, alerts and figures."""

import asyncio
import ipaddress
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import structlog

from cloister import sidecar
from cloister.auditor.callers import Caller
from cloister.auditor.drift import Replies, told
from cloister.auditor.memory import Memory
from cloister.auditor.sessions import Standing, Visit
from cloister.auditor.stats import Stats
from cloister.inspection.behaviour import Behaviour, Done, Judgement, Kind, Level, Reason, Thresholds, Who
from cloister.journal import JournalError, timestamp

SAVE_SECONDS = 300.0
"""How often what is known of callers is written to disk; sooner when something was asked of one."""
ENCODED_AT_ONCE = 64
"""Profiles a tick: well below a millisecond."""
TOLD_FROM = 10.0
"""Points from which a score is on record."""
CHARACTERS_PER_TOKEN, STREAM_BYTES_PER_TOKEN = 4, 200
"""For replies whose tokens the model server does not count."""
_STANDINGS = {Level.STEP_UP: Standing.STEP_UP, Level.END: Standing.ENDED}
_SEVERITIES = {Level.FLAG: "warning", Level.STEP_UP: "warning", Level.END: "critical"}
_NAMES = {Level.FLAG: "flag", Level.STEP_UP: "step-up", Level.END: "end"}

Note = Callable[[dict[str, Any]], None]
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Ended:
    """A request that is over."""

    record: dict[str, Any]
    """Its last one."""
    asked: list[dict[str, Any]]
    """Verdicts on the request itself."""
    said: list[dict[str, Any]]
    """Verdicts on its reply, in whatever record they are."""
    size: int
    heard: str = ""
    """The beginning of the answer."""


@dataclass(slots=True)
class Watch:
    """Sees every request come and go (:class:`cloister.auditor.sessions.Risk`)."""

    behaviour: Behaviour
    memory: Memory
    replies: Replies
    stats: Stats
    note: Note
    """Takes a record that nothing waits for."""
    urgent: bool = False
    """Whether something was asked of a caller that is not saved yet."""
    saved: float = 0.0

    @classmethod
    def over(cls, config: sidecar.Behaviour, stats: Stats, note: Note) -> "Watch":
        """With what was known before the restart."""
        thresholds = Thresholds(
            config.flag, config.step_up, config.end, config.half_life_seconds, config.travel_seconds
        )
        memory = Memory(Path(config.directory))
        behaviour = Behaviour(thresholds, enforced=config.enforced)
        lost = memory.recall(behaviour)
        watch = cls(behaviour, memory, Replies(Path(config.directory)), stats, note, saved=time.monotonic())
        if lost:
            message = f"What was known of callers can't be read, and is learned anew: {lost}"
            watch._tell("behaviour.memory-lost", "warning", message, {})
        return watch

    def standing(self, caller: Caller, now: float, visit: Visit) -> Standing:
        """How a caller stands as it comes."""
        judgement = self.behaviour.arrives(self._who(caller, visit.address), now)
        self._alert(judgement, caller.record, visit)
        if caller.person:
            self._alert(self.behaviour.arrives(self._front(caller), now), {"peer": caller.peer}, visit)
        return _STANDINGS.get(judgement.standing, Standing.ADMITTED)

    def finished(self, caller: Caller, visit: Visit, ended: Ended) -> None:
        """What a request means for the caller, and for what replies are like."""
        now, record = time.time(), ended.record
        units = _units(record)
        done = Done(
            visit.api,
            record.get("gen_ai.response.model"),
            ended.size,
            units,
            record.get("code") if record["type"] == "refusal" else None,
            tuple(verdict["kind"] for verdict in (*ended.asked, *ended.said)),
        )
        for change in self.replies.finished(visit.api, record, ended.said, units, ended.heard, now):
            self.stats.alerts["drift", "warning"] += 1
            self.stats.drifted[change.api, change.feature] += 1
            self._tell(f"drift.{change.feature}", "warning", told(change), {"api": change.api})
        self._alert(self.behaviour.done(self._who(caller, None), done, now), caller.record, visit)
        if caller.person:
            self._alert(self.behaviour.done(self._front(caller), done, now), {"peer": caller.peer}, visit)

    def risk(self, caller: Caller, now: float) -> dict[str, Any] | None:
        """The score and its reasons, for a record; None while there is nothing to say."""
        score, reasons = self.behaviour.explained(self._subject(caller), now)
        if score < TOLD_FROM:
            return None
        return {"score": round(score), "reasons": [_reason(reason) for reason in reasons]}

    def levels(self) -> dict[str, int]:
        """How many callers stand at each level but the lowest."""
        return {_NAMES[level]: count for level, count in self.behaviour.flagged(time.time()).items()}

    # --- what is kept

    def tick(self) -> None:
        """To be called about once a second."""
        self.memory.encode(self.behaviour, len(self.behaviour.changed) if self.urgent else ENCODED_AT_ONCE)
        if self.urgent or time.monotonic() - self.saved > SAVE_SECONDS:
            self.saved, self.urgent = time.monotonic(), False
            lines, past = self.memory.lines(self.behaviour), self.replies.lines()
            asyncio.get_running_loop().run_in_executor(None, self._save, lines, past)

    def close(self) -> None:
        """Saves everything."""
        self.memory.encode(self.behaviour, len(self.behaviour.changed))
        self._save(self.memory.lines(self.behaviour), self.replies.lines())

    def _save(self, lines: list[bytes], past: bytes) -> None:
        try:
            self.memory.save(lines)
            self.replies.save(past)
        except OSError as error:
            _log.error("what is known of callers could not be saved", error=str(error))

    # --- words

    def _subject(self, caller: Caller) -> str:
        if caller.person:
            return str(self.memory.pseudonym("person", caller.person.subject))
        return str(self.memory.pseudonym("machine", caller.peer))

    def _front(self, caller: Caller) -> Who:
        """The machine that speaks for a person."""
        return Who(self.memory.pseudonym("machine", caller.peer), Kind.FRONT)

    def _who(self, caller: Caller, address: str | None) -> Who:
        person, pseudonym = caller.person, self.memory.pseudonym
        if not person:
            return Who(self._subject(caller), Kind.MACHINE)
        network = _network(address) if address else None
        device = person.device or {True: "managed", False: "unmanaged"}.get(person.managed_device)  # type: ignore[arg-type]
        return Who(
            self._subject(caller),
            Kind.PERSON,
            person.signed_in,
            person.token or f"{person.subject} {person.issued}",
            person.country,
            device and pseudonym("device", device),
            network and pseudonym("network", network),
        )

    def _alert(self, judgement: Judgement, said: Mapping[str, Any], visit: Visit) -> None:
        """`said`: what records say of whom it is about."""
        level = judgement.alert
        if not level:
            return
        self.urgent = self.urgent or level > Level.FLAG
        self.stats.alerts["behaviour", _SEVERITIES[level]] += 1
        for reason in judgement.reasons:
            self.stats.signals[reason.signal] += 1
        reasons = "; ".join(f"{reason.why} (+{reason.points:.0f})" for reason in judgement.reasons)
        message = f"Unusual behaviour, {judgement.score:.0f} points: {reasons}"
        who = {name: said[name] for name in ("peer", "user.id", "session.id") if name in said}
        who |= {"exchange": visit.exchange, "api": visit.api}
        self._tell(f"behaviour.{_NAMES[level]}", _SEVERITIES[level], message, who)

    def _tell(self, code: str, severity: str, message: str, who: dict[str, Any]) -> None:
        record = {"type": "alert", "time": timestamp(time.time()), "code": code, "severity": severity}
        try:
            self.note(record | {"message": message} | {name: value for name, value in who.items() if value})
        except JournalError as error:
            # The request that follows can't be recorded either, and so is not answered.
            _log.error("not recorded", error=str(error), record="alert")
        # Of whom is in the sealed journal; the pod's log lies about.
        _log.warning("alert", code=code, severity=severity)


def _reason(reason: Reason) -> dict[str, Any]:
    return {"signal": reason.signal, "points": round(reason.points), "why": reason.why}


def _units(record: dict[str, Any]) -> int:
    counted = record.get("gen_ai.usage.output_tokens")
    if isinstance(counted, int):
        return counted
    return int(record.get("bytes", 0)) // (STREAM_BYTES_PER_TOKEN if record.get("parts") else CHARACTERS_PER_TOKEN)


@lru_cache(4096)
def _network(text: str) -> str | None:
    """The network of an address: people move within one. None for what is no single address."""
    with suppress(ValueError):
        address = ipaddress.ip_address(text.strip())
        return str(ipaddress.ip_network((address, 24 if address.version == 4 else 48), strict=False))
    return None
