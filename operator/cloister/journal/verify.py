"""Whether a journal is what its writer wrote: every byte, every record, their order, and nothing cut off.

Without keys the form, the links between segments, the Merkle tree and the signatures are checked; with a recipient's
key also every frame and every record. Checkpoints that were kept outside (anchors) show what no look at the files can:
that the end was cut off, or that everything was made anew by somebody who holds the pod's present keys.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, NamedTuple

import orjson

from cloister.journal.checkpoint import Checkpoint, Verifier, read_note
from cloister.journal.errors import JournalError
from cloister.journal.files import OPEN
from cloister.journal.header import ZERO_HASH, Header, Previous
from cloister.journal.merkle import CompactRange
from cloister.journal.place import contradiction
from cloister.journal.reader import Entry, checked, first_state, opened, segment_paths
from cloister.journal.records import Line
from cloister.journal.segment import Frame, FrameKind, open_frame, ratchet
from cloister.sealing import SecretKey

Code = Literal[
    "anchor", "cut", "damaged", "link", "malformed", "misplaced", "missing", "order", "rewritten", "signer",
    "too-large", "unreadable",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that an honest writer does not leave behind."""

    code: Code
    where: str
    """File, or origin of a stream."""
    message: str


class Beginning(NamedTuple):
    """The oldest segment of a stream that is here, where it is not the stream's first."""

    segment: int
    record: int
    """Its first."""
    created: str
    """RFC 3339."""


@dataclass
class Extent:
    """What is here of a stream."""

    segments: int = 0
    records: int = 0
    begins: Beginning | None = None
    """None: with the stream itself."""
    anchors: int = 0
    """How many tell of it."""
    older: int = 0
    """How many of them are of a time before what is here, and were compared with nothing."""


@dataclass
class Report:
    """What was looked at, and what was found."""

    segments: int = 0
    records: int = 0
    opened: int = 0
    """Records that were decrypted and checked one by one."""
    findings: list[Finding] = field(default_factory=list)
    unfinished: list[str] = field(default_factory=list)
    """Segments that are still being written: their end is not known yet."""
    heads: dict[str, Checkpoint] = field(default_factory=dict)
    """Origin -> what its stream has come to."""
    streams: dict[str, Extent] = field(default_factory=dict)
    """Origin -> what is here of it."""

    def add(self, code: Code, where: object, message: str) -> None:
        """Note a finding."""
        self.findings.append(Finding(code, str(where), message))


@dataclass
class Course:
    """What the segments of a stream so far lead to."""

    origin: str
    wanted: frozenset[int] = frozenset()
    """Sizes of the tree at which anchors give a root."""
    verifier: Verifier | None = None
    seq: int = 0
    head: str = ZERO_HASH
    tree: CompactRange = field(default_factory=CompactRange)
    previous: Previous | None = None
    adopted: int = 0
    """Leaves of the tree that were taken at their word."""
    roots: dict[int, bytes] = field(default_factory=dict)

    def adopt(self, header: Header) -> None:
        """Begin with a segment in the middle: it is taken at its word for what came before."""
        self.previous, self.seq, self.head, self.tree = header.previous, header.seq, header.prev, header.range()
        self.adopted = self.tree.size
        self._remember()

    def grow(self, leaf: bytes) -> None:
        """Take a leaf into the tree."""
        self.tree.append(leaf)
        self._remember()

    def _remember(self) -> None:
        if self.tree.size in self.wanted:
            self.roots[self.tree.size] = self.tree.root()

    def checkpoint(self) -> Checkpoint:
        """As a writer would sign it now."""
        return Checkpoint(self.origin, self.tree.size, self.tree.root(), self.seq, self.head)


def verify(
    paths: Iterable[Path],
    keys: Sequence[SecretKey] = (),
    anchors: Sequence[str] = (),
    *,
    from_oldest: bool = False,
) -> Report:
    """Check every segment in these files and folders. ``anchors``: signed notes, see :func:`anchors_in`.

    ``from_oldest``: that a stream's first segments are not here is no finding.
    """
    report = Report()
    by_origin: dict[str, list[tuple[int, Path]]] = defaultdict(list)
    for path, place in _located(paths):
        try:
            with opened(path) as reader:
                origin, number = reader.header.origin, reader.header.number
        except (JournalError, OSError) as error:
            report.add("malformed", path, str(error))
        else:
            by_origin[origin].append((number, path))
            if elsewhere := contradiction(place, origin, number):
                report.add("misplaced", path, elsewhere)
    kept = _kept(anchors, report)
    for origin in sorted(by_origin):
        stream = Course(origin, frozenset(checkpoint.size for checkpoint, _ in kept.get(origin, ())))
        extent = report.streams[origin] = Extent(anchors=len(kept.get(origin, ())))
        before = report.records
        for _, path in sorted(by_origin[origin]):
            try:
                if not extent.segments:
                    extent.begins = _begin(path, stream, report, from_oldest=from_oldest)
                check_segment(path, stream, keys, report)
            except (JournalError, OSError) as error:
                report.add("damaged", path, str(error))
            extent.segments += 1
        extent.records = report.records - before
        report.segments += extent.segments
        report.heads[origin] = stream.checkpoint()
        _compare(stream, kept.get(origin, ()), report, extent)
    for origin in sorted(kept.keys() - by_origin.keys()):
        report.add("missing", origin, "an anchor tells of this stream, and nothing of it is here")
    return report


def _located(paths: Iterable[Path]) -> Iterator[tuple[Path, tuple[str, ...]]]:
    """Every segment with the parts of its path that are a place: what lies above the folder that was named is not."""
    found: dict[Path, tuple[str, ...]] = {}
    for given in sorted(paths, key=lambda path: len(path.parts), reverse=True):
        top = given if given.is_dir() else given.parent.parent
        found |= {path: path.relative_to(top).parts for path in segment_paths([given])}
    yield from sorted(found.items())


def _begin(path: Path, stream: Course, report: Report, *, from_oldest: bool) -> Beginning | None:
    """Adopt the oldest segment of a stream, where what came before it is not here."""
    with opened(path) as reader:
        header = reader.header
    if not header.number:
        return None
    if not from_oldest:
        report.add(
            "order",
            path,
            f"segment {header.number} follows a gap: 0 was expected. Where it is known that older ones are gone, by"
            " retention or because a volume keeps shipped ones for an hour, --from-oldest takes it at its word",
        )
    stream.adopt(header)
    return Beginning(header.number, header.seq, header.created)


def anchors_in(text: str) -> list[str]:
    """The signed notes in a text: notes one after the other, or log lines that end in JSON with a `checkpoint`, as a
    program prints them, and with what a node (`<time> stdout F {...}`) or `kubectl logs --timestamps` puts before."""
    logged, notes = [], []
    current: list[str] = []
    for line in text.splitlines(keepends=True):
        if (begin := line.find("{")) >= 0:  # no line of a note has one
            try:
                note = orjson.loads(line[begin:]).get("checkpoint")
            except orjson.JSONDecodeError:
                continue
            if isinstance(note, str):
                logged.append(note)
            continue
        current.append(line)
        if line.startswith("— "):
            notes.append("".join(current).lstrip("\n"))
            current = []
    return logged or notes


def check_segment(
    path: Path,
    stream: Course,
    keys: Sequence[SecretKey],
    report: Report,
    take: Callable[[Line], None] | None = None,
) -> None:
    """Check one segment as what follows in its stream. ``take`` gets each line that was opened, when it and all before
    it in the segment are known to be good; JournalError where the rest is not."""
    with opened(path) as reader:
        header = reader.header
        _links(path, header, stream, report)
        state = first_state(header, keys) if keys else None
        if keys and state is None:
            report.add("unreadable", path, "none of the given keys opens it")
        # What follows is checked against this segment's own beginning, so that one gap is one finding.
        stream.seq, stream.head, stream.tree = header.seq, header.prev, header.range()
        stream.grow(reader.header_raw)
        closed, foreign = False, list[Entry]()
        for number, frame in enumerate(reader.frames()):
            if closed or frame.index != number or frame.seq != stream.seq:
                raise JournalError(f"frame {number} does not continue the one before")
            if frame.kind is not FrameKind.RECORDS:
                _closing(frame, stream)
                closed = True
            if state is not None and frame.kind is not FrameKind.CUT:
                key, state = ratchet(state)
                for entry in list(checked(open_frame(key, reader.header_hash, frame), frame, stream.head)):
                    if entry.line is None:
                        foreign.append(entry)
                    elif take:
                        take(entry.line)
                report.opened += frame.count
            stream.seq, stream.head = frame.seq + frame.count, frame.head
            stream.grow(frame.raw)
            report.records += frame.count
        if foreign:
            which = f"record {foreign[0].seq}" + (f", and {len(foreign) - 1} more" if foreign[1:] else "")
            report.add("malformed", path, f"of a form that this version does not know: {which}; a newer one may")
        if reader.torn:
            raise JournalError(reader.torn)
        if not closed and path.suffix != OPEN:
            raise JournalError("it is not closed: its end was cut off")
        if not closed:
            report.unfinished.append(str(path))
        stream.previous = Previous(number=header.number, size=reader.offset, sha256=reader.digest.hexdigest())


def _links(path: Path, header: Header, stream: Course, report: Report) -> None:
    """Whether a segment goes on where the one before it ended."""
    number = stream.previous.number + 1 if stream.previous else 0
    verifier = header.verify_key()
    if header.number != number:
        what = "comes twice" if header.number < number else "follows a gap"
        report.add("order", path, f"segment {header.number} {what}: {number} was expected")
    elif header.previous != stream.previous:
        report.add("link", path, "the segment before it is not the one that it names")
    elif (header.seq, header.prev) != (stream.seq, stream.head) or header.range().root() != stream.tree.root():
        report.add("link", path, "it does not go on where the segment before it ended")
    if stream.verifier and verifier.public != stream.verifier.public:
        report.add("signer", path, "it is signed by another key than the segment before it")
    stream.verifier = verifier


def _closing(frame: Frame, stream: Course) -> None:
    assert stream.verifier
    checkpoint = replace(stream.checkpoint(), cut=frame.kind is FrameKind.CUT)
    if frame.count or frame.head != stream.head or stream.verifier.verify_own(frame.note) != checkpoint:
        raise JournalError("its closing checkpoint is of something else")


def _kept(anchors: Sequence[str], report: Report) -> dict[str, list[tuple[Checkpoint, str]]]:
    kept: dict[str, list[tuple[Checkpoint, str]]] = defaultdict(list)
    for note in anchors:
        try:
            checkpoint, _ = read_note(note)
        except JournalError as error:
            report.add("anchor", "anchors", str(error))
        else:
            kept[checkpoint.origin].append((checkpoint, note))
    return kept


def _compare(stream: Course, kept: Sequence[tuple[Checkpoint, str]], report: Report, extent: Extent) -> None:
    """Every anchor must be a state through which this journal went."""
    for checkpoint, note in kept:
        at = f"at {checkpoint.size} leaves, {checkpoint.seq} records"
        try:
            assert stream.verifier
            stream.verifier.verify(note)
        except JournalError:
            report.add("anchor", stream.origin, f"the anchor {at} is signed by another key: the journal was made anew")
            continue
        if checkpoint.size < stream.adopted:
            extent.older += 1
        elif checkpoint.size > stream.tree.size:
            report.add(
                "cut", stream.origin, f"the journal once was longer: the anchor {at}; here are {stream.tree.size}"
            )
        elif stream.roots.get(checkpoint.size) != checkpoint.root:
            report.add("rewritten", stream.origin, f"the journal once was another: the anchor {at}")
