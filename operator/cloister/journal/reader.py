"""Reading journals: which files are segments, and their lines, opened with the keys of those who may."""

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import BinaryIO, NamedTuple

from cloister.journal.errors import JournalError, SegmentGoneError, UnopenedError
from cloister.journal.files import OBJECT, OPEN, SEALED, SHIPPED, explained
from cloister.journal.header import Header, wrap_info
from cloister.journal.records import Line, parse_envelope, typed
from cloister.journal.segment import Frame, FrameKind, SegmentReader, open_frame, ratchet
from cloister.sealing import SealingError, SecretKey

SUFFIXES = (OBJECT, OPEN, SEALED, SHIPPED)
_LIFE = (OPEN, SEALED, SHIPPED)
"""The names of one segment, one after another."""

Amiss = Callable[[JournalError], None]
"""Takes what is wrong with one segment, by name; reading goes on behind it, unless it is raised."""


class Segment(NamedTuple):
    """Which segment a file is. Of its header, which is some kilobytes, nothing else is kept."""

    origin: str
    number: int
    path: Path


class Entry(NamedTuple):
    """One record that is authentic and in its place."""

    raw: bytes
    """The line, canonical JSON."""
    seq: int
    line: Line | None
    """None where this version does not know its form."""


def refuse(error: JournalError) -> None:
    """Reads on behind nothing."""
    raise error


def segment_paths(paths: Iterable[Path]) -> list[Path]:
    """The segments among some files and below some folders; JournalError where a folder can't be read."""
    found: set[Path] = set()
    for path in paths:
        if path.is_dir():
            for folder, _, files in os.walk(path, onerror=_unreadable):
                children = (Path(folder, name) for name in files)
                found |= {child for child in children if child.suffix in SUFFIXES and child.is_file()}
        else:
            found.add(path)
    return sorted(found)


def _unreadable(error: OSError) -> None:
    """What lies in a folder that can't be read would be missing without a word."""
    raise JournalError(f"{error.filename}: {error.strerror}") from error


@contextmanager
def opened(path: Path) -> Iterator[SegmentReader]:
    """A segment's reader. Its writer may have renamed it since it was listed, as it closes and ships what it wrote.

    SegmentGoneError where it is there under no later name, JournalError where it is no segment.
    """
    with _file(path) as file:
        yield SegmentReader(file, os.fstat(file.fileno()).st_size)


def _file(path: Path) -> BinaryIO:
    later = _LIFE[_LIFE.index(path.suffix) :] if path.suffix in _LIFE else (path.suffix,)
    for suffix in later:
        try:
            return path.with_suffix(suffix).open("rb")
        except FileNotFoundError:
            continue
        except OSError as error:
            raise JournalError(f"can't be read: {error.strerror}") from error
    raise SegmentGoneError("was removed while it was to be read: read again")


def first_state(header: Header, keys: Sequence[SecretKey]) -> bytes | None:
    """The ratchet's first state; None where none of the keys is a recipient's. JournalError where one does not open."""
    for recipient in header.recipients:
        if key := next((key for key in keys if recipient.is_for(key)), None):
            try:
                return recipient.open(key, wrap_info(header.origin, header.number))
            except SealingError as error:
                raise JournalError(f"the segment's secret does not open: {error}") from None
    return None


def read_entries(path: Path, keys: Sequence[SecretKey], since: int = 0) -> Iterator[Entry]:
    """The records of one segment from number `since` on, in their order; frames before it are not opened.

    Each is given when it is known to be in its place. After those that are, UnopenedError where no key opens the
    segment, SegmentGoneError, and JournalError where it is damaged, or was cut off: one that is still being written is
    read as far as it goes.
    """
    with opened(path) as reader, explained("can't be read"):
        header = reader.header
        state = first_state(header, keys)
        if state is None:
            ids = ", ".join(recipient.key_id for recipient in header.recipients)
            raise UnopenedError(f"none of the given keys opens it; it is sealed for {ids}")
        seq, head, closed = header.seq, header.prev, False
        for number, frame in enumerate(reader.frames()):
            if closed or (frame.index, frame.seq) != (number, seq):
                raise JournalError(f"frame {number} does not continue the one before")
            closed = frame.kind is not FrameKind.RECORDS
            if frame.kind is not FrameKind.CUT:
                key, state = ratchet(state)
                if closed or frame.seq + frame.count > since:
                    entries = checked(open_frame(key, reader.header_hash, frame), frame, head)
                    yield from (entry for entry in entries if entry.seq >= since)
            seq, head = frame.seq + frame.count, frame.head
        if path.suffix != OPEN:
            if reader.torn:
                raise JournalError(reader.torn)
            if not closed:
                raise JournalError("it is not closed: its end was cut off")


def checked(lines: Sequence[bytes], frame: Frame, head: str) -> Iterator[Entry]:
    """The records of a frame, each of which continues the one before; JournalError where one does not.

    ``head``: SHA-256 of the line before.
    """
    for seq, raw in enumerate(lines, frame.seq):
        if parse_envelope(raw) != (head, seq):
            raise JournalError(f"record {seq} does not continue the one before")
        head = hashlib.sha256(raw).hexdigest()
        try:
            line = typed(raw)
        except JournalError:
            line = None
        yield Entry(raw, seq, line)
    if head != frame.head:
        raise JournalError("a frame's records are not those that it names")


def read_journal(paths: Iterable[Path], keys: Sequence[SecretKey], amiss: Amiss = refuse) -> Iterator[Line]:
    """The lines of every segment, stream by stream, each in its order; what of it can't be read, ``amiss`` is told.

    UnopenedError at the end, where there are segments and not one of them opens.
    """
    return (entry.line for entry in read_raw(paths, keys, amiss) if entry.line)


def read_raw(paths: Iterable[Path], keys: Sequence[SecretKey], amiss: Amiss = refuse) -> Iterator[Entry]:
    """The same, with every line as it was written, and those of a form that this version does not know."""
    some_open, closed = False, 0
    for _, members in groupby(segments(segment_paths(paths), amiss), key=lambda segment: segment.origin):
        due: int | None = None
        for segment in members:
            for entry in until_amiss(segment.path, keys):
                if isinstance(entry, JournalError):
                    if isinstance(entry, UnopenedError):
                        closed, due = closed + 1, None
                    amiss(entry)
                    continue
                some_open = True
                if due is not None and due != entry.seq:
                    amiss(JournalError(f"{segment.path}: {_unexpected(entry.seq, due)}"))
                if entry.line is None:
                    amiss(unknown(segment.path, entry))
                due = entry.seq + 1
                yield entry
    if closed and not some_open:
        raise UnopenedError("none of the given keys opens any segment that is here")


def until_amiss(path: Path, keys: Sequence[SecretKey], since: int = 0) -> Iterator[Entry | JournalError]:
    """As :func:`read_entries`, but what ends it early comes last, by name, instead of being raised."""
    try:
        yield from read_entries(path, keys, since)
    except JournalError as error:
        yield type(error)(f"{path}: {error}")


def unknown(path: Path, entry: Entry) -> JournalError:
    """What is told of a record whose line is None."""
    return JournalError(f"{path}: record {entry.seq} is of a form that this version does not know")


def _unexpected(seq: int, due: int) -> str:
    if seq < due:
        return f"record {seq} of its stream comes again"
    return f"before it, records {due} to {seq - 1} of its stream are not here"


def segments(paths: Iterable[Path], amiss: Amiss = refuse) -> list[Segment]:
    """Segments, stream by stream, each in its order; ``amiss`` is told of files that are none."""
    found = []
    for path in paths:
        try:
            found.append(segment_of(path))
        except JournalError as error:
            amiss(error)
    return sorted(found)


def segment_of(path: Path) -> Segment:
    """Which one it is; JournalError, SegmentGoneError name the file."""
    with naming(path), opened(path) as reader:
        return Segment(reader.header.origin, reader.header.number, path)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """A JournalError says in which file."""
    try:
        yield
    except JournalError as error:
        raise type(error)(f"{path}: {error}") from None
