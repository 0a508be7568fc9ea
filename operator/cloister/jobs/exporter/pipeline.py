"""Follows every stream for one sink: what comes is verified, opened, chosen, handed on, and then remembered as done."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog
from pydantic import BaseModel, ConfigDict, ValidationError

from cloister.jobs.exporter.figures import Figures
from cloister.jobs.exporter.keys import Keys, KeysError
from cloister.jobs.exporter.store import Listed, Store, StoreError, Stream, TooLargeError
from cloister.jobs.exporter.told import Told, alert, told
from cloister.journal import timestamp
from cloister.journal.continued import Standing, follow
from cloister.journal.errors import SegmentGoneError
from cloister.journal.records import Line
from cloister.journal.verify import Finding
from cloister.kept import KeptFile

RETRY_SECONDS = (1.0, 60.0)
MOST_OF_A_SEGMENT = 30_000
"""Records that are told of one segment, whatever minutes they say that they are of."""
_STATE_LOST = "How far this sink was told could not be read. It goes on with what comes now; some may be missing"
_CROWDED = "It has more streams than are followed: what is recorded in the others is told to nobody"

log = structlog.get_logger(__name__)


class Memory(BaseModel):
    """What outlives a restart."""

    model_config = ConfigDict(extra="forbid")

    version: int = 1
    standings: dict[str, Standing] = {}
    """Prefix of a stream -> how far it was told."""
    totals: dict[str, dict[str, int]] = {}
    """Component -> code of a serious alert -> how many there were."""


@dataclass(frozen=True)
class Source:
    """What all pipelines read."""

    store: Store
    keys: Keys


class Taker(Protocol):
    """What stands at the end of a pipeline."""

    async def take(self, batch: Sequence[Told], memory: Memory) -> None:
        """Returns when the batch is done with. What it changes in the memory is kept with it."""

    def kept(self, memory: Memory) -> None:
        """The memory is durable as it is."""


@dataclass(frozen=True)
class Wanted:
    """What a sink is told."""

    types: frozenset[str]
    """Of records."""
    per_minute: int | None
    """Of each kind, stream and minute; None: all."""


class Limit:
    """So many records of each kind in each minute of a stream, by the records' own time: a sink that was away for long
    is told as much as one that was not."""

    def __init__(self, per_minute: int) -> None:
        self._per_minute = per_minute
        self._minute = ""
        self._counts: Counter[str] = Counter()

    def admits(self, one: Told) -> bool:
        """Whether a record is told."""
        minute = one.time[:16]
        if minute != self._minute:
            self._minute, self._counts = minute, Counter()
        self._counts[one.kind] += 1
        return self._counts[one.kind] <= self._per_minute


class Chosen:
    """What of one segment is told. Lines are taken one by one, so that what was said is in memory for as short as it
    can be."""

    def __init__(self, stream: Stream, types: frozenset[str], limit: Limit | None) -> None:
        self._stream, self._types, self._limit = stream, types, limit
        self.records: list[Told] = []
        self.left_out: Counter[str] = Counter()

    def take(self, line: Line) -> None:
        """One line of the segment."""
        if line.record.type not in self._types:
            return
        one = told(self._stream.id, self._stream.component, line)
        if len(self.records) < MOST_OF_A_SEGMENT and (self._limit is None or self._limit.admits(one)):
            self.records.append(one)
        else:
            self.left_out[one.type] += 1


class Pipeline:
    """One sink's."""

    def __init__(
        self, name: str, taker: Taker, wanted: Wanted, source: Source, file: KeptFile, figures: Figures
    ) -> None:
        self._name, self._taker, self._wanted, self._source = name, taker, wanted, source
        self._file, self._figures = file, figures
        self._memory, self._durable = Memory(), b""
        self._limits: dict[str, Limit] = {}
        self._crowded: set[str] = set()

    async def run(self, look_seconds: float) -> None:
        """Goes on until it is cancelled. OSError where its memory can't be kept."""
        begins, lost = self._recall()
        self._figures.begin(self._name)
        if lost:
            await self._taker.take(
                [_own("exporter", "export.state-lost", f"{self._name}/state-lost/{time.time():.0f}", _STATE_LOST)],
                self._memory,
            )
        pause = RETRY_SECONDS[0]
        while True:
            try:
                more = await self.round(adopt=begins)
            except (StoreError, KeysError) as error:
                if self._figures.store_error is None:
                    log.warning("the journal can't be read; it is tried again", why=str(error))
                self._figures.store_error = str(error)
                await asyncio.sleep(pause)
                pause = min(2 * pause, RETRY_SECONDS[1])
                continue
            self._figures.store_error, pause, begins = None, RETRY_SECONDS[0], False
            if not more:
                self._figures.begin(self._name)
                await asyncio.sleep(look_seconds)

    async def round(self, *, adopt: bool) -> bool:
        """One look at every stream; whether there is more to be read at once. With ``adopt`` what is there by now is
        left out: a sink that is new is not told of the past."""
        more, store = False, self._source.store
        streams = await store.streams()
        begin = {
            stream.prefix: Standing(next=await store.last(stream) + 1, adopted=True) if adopt else Standing()
            for stream in streams
            if stream.prefix not in self._memory.standings
        }
        if begin:
            self._memory.standings |= begin
            self._keep()
        for stream in streams:
            listing = await store.since(stream, self._memory.standings[stream.prefix].next)
            more = more or listing.more
            for listed in listing.segments:
                await self._segment(stream, listed)
        for component in store.crowded - self._crowded:
            self._crowded.add(component)
            id_ = f"{self._name}/{component}/too-many-streams"
            await self._taker.take([_own(component, "journal.too-many-streams", id_, _CROWDED)], self._memory)
        self._keep()
        return more

    async def _segment(self, stream: Stream, listed: Listed) -> None:
        number = listed.number
        before = self._memory.standings[stream.prefix]
        chosen = Chosen(stream, self._wanted.types, self._limit(stream))
        try:
            path = await self._source.store.segment(stream, listed)
        except TooLargeError as error:
            after, findings = before.beyond(number), [Finding("too-large", "", str(error))]
        else:
            keys = self._source.keys.journal()
            place = stream.place(number)
            try:
                after, findings = await asyncio.to_thread(follow, path, place, before, keys, chosen.take)
            except SegmentGoneError:  # room was made for another sink's
                raise StoreError("a segment is read again") from None
        if listed.others:
            findings = [Finding("order", "", f"it comes twice: {', '.join(listed.others)} is not told"), *findings]
        batch = [*chosen.records, *self._found(stream, listed, before, findings)]
        batch += self._left_out(stream, number, chosen.left_out)
        if batch:
            await self._taker.take(batch, self._memory)
        self._memory.standings[stream.prefix] = after
        self._keep()

    def _left_out(self, stream: Stream, number: int, left_out: Counter[str]) -> Iterator[Told]:
        if left_out:
            self._figures.left_out[self._name] += left_out.total()
            counts = ", ".join(f"{count} of type {kind}" for kind, count in sorted(left_out.items()))
            message = f"Records beyond the limit a minute were left out: {counts}. They are in the journal"
            yield _own(stream.component, "export.left-out", f"{stream.id}/{number:010d}/left-out", message, "warning")

    def _limit(self, stream: Stream) -> Limit | None:
        if self._wanted.per_minute is None:
            return None
        return self._limits.setdefault(stream.prefix, Limit(self._wanted.per_minute))

    def _found(self, stream: Stream, listed: Listed, before: Standing, findings: Sequence[Finding]) -> Iterator[Told]:
        """What verification has found, as alerts: nobody in the zones could have raised them."""
        for finding in findings:
            self._figures.findings[self._name, finding.code] += 1
            # That what was sealed before this key was one of the journal's does not open, is no wonder.
            severity = "warning" if finding.code == "unreadable" and not before.opened else "critical"
            message = f"Segment {listed.key}: {finding.message}"
            yield _own(
                stream.component,
                f"journal.{finding.code}",
                f"{stream.id}/{listed.number:010d}/{finding.code}",
                message,
                severity,
            )

    def _recall(self) -> tuple[bool, bool]:
        """Whether it begins, and whether that is because what it knew is lost."""
        lost = False
        try:
            self._memory = Memory.model_validate_json(self._file.read())
        except FileNotFoundError:
            begins = True
        except ValidationError:
            begins = lost = True
        else:
            begins = False
        self._taker.kept(self._memory)
        return begins, lost

    def _keep(self) -> None:
        """Most looks change nothing."""
        content = self._memory.model_dump_json().encode()
        if content != self._durable:
            self._file.replace(content)
            self._durable = content
            self._taker.kept(self._memory)


def _own(component: str, code: str, id_: str, message: str, severity: str = "critical") -> Told:
    return alert(id_, component, timestamp(time.time()), code, severity, message)
