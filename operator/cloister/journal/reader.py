"""Reading journals: which files are segments, and their lines, opened with the keys of those who may."""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from cloister.journal.errors import JournalError, SegmentGoneError
from cloister.journal.files import OBJECT, OPEN, SEALED, SHIPPED
from cloister.journal.header import Header, wrap_info
from cloister.journal.records import Line, parse_line
from cloister.journal.segment import FrameKind, SegmentReader, open_frame, ratchet
from cloister.sealing import SealingError, SecretKey

SUFFIXES = (OBJECT, OPEN, SEALED, SHIPPED)
_LIFE = (OPEN, SEALED, SHIPPED)
"""The names of one segment, one after another."""


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


def read_lines(path: Path, keys: Sequence[SecretKey], since: int = 0) -> Iterator[Line]:
    """The lines of one segment from number `since` on, as far as it is whole; frames before it are not opened.

    JournalError where the keys don't open it, or it is damaged.
    """
    with opened(path) as reader:
        state = first_state(reader.header, keys)
        if state is None:
            ids = ", ".join(recipient.key_id for recipient in reader.header.recipients)
            raise JournalError(f"none of the given keys opens it; it is sealed for {ids}")
        for frame in reader.frames():
            if frame.kind is FrameKind.CUT:
                return
            key, state = ratchet(state)
            if frame.kind is FrameKind.RECORDS and frame.seq + frame.count <= since:
                continue
            lines = map(parse_line, open_frame(key, reader.header_hash, frame))
            yield from (line for line in lines if line.seq >= since)


def read_journal(paths: Iterable[Path], keys: Sequence[SecretKey]) -> Iterator[Line]:
    """The lines of every segment, stream by stream, each in its order."""
    for path, _ in segments(segment_paths(paths)):
        with naming(path):
            yield from read_lines(path, keys)


def segments(paths: Iterable[Path]) -> list[tuple[Path, Header]]:
    """Segments with their headers, stream by stream, each in its order."""
    return sorted(((path, _header(path)) for path in paths), key=lambda found: (found[1].origin, found[1].number))


def _header(path: Path) -> Header:
    with naming(path), opened(path) as reader:
        return reader.header


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """A JournalError says in which file."""
    try:
        yield
    except JournalError as error:
        raise type(error)(f"{path}: {error}") from None
