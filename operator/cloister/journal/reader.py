"""Reading journals: which files are segments, and their lines, opened with the keys of those who may."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from cloister.journal.errors import JournalError
from cloister.journal.files import OBJECT, OPEN, SEALED, SHIPPED
from cloister.journal.header import Header, wrap_info
from cloister.journal.records import Line, parse_line
from cloister.journal.segment import FrameKind, SegmentReader, open_frame, ratchet
from cloister.sealing import SealingError, SecretKey

SUFFIXES = (OBJECT, OPEN, SEALED, SHIPPED)


def segment_paths(paths: Iterable[Path]) -> list[Path]:
    """The segments among some files and below some folders."""
    found: set[Path] = set()
    for path in paths:
        if path.is_dir():
            found |= {child for child in path.rglob("*") if child.suffix in SUFFIXES and child.is_file()}
        else:
            found.add(path)
    return sorted(found)


def first_state(header: Header, keys: Sequence[SecretKey]) -> bytes | None:
    """The ratchet's first state; None where none of the keys is a recipient's. JournalError where one does not open."""
    for recipient in header.recipients:
        if key := next((key for key in keys if recipient.is_for(key)), None):
            try:
                return recipient.open(key, wrap_info(header.origin, header.number))
            except SealingError as error:
                raise JournalError(f"the segment's secret does not open: {error}") from None
    return None


def read_lines(path: Path, keys: Sequence[SecretKey]) -> Iterator[Line]:
    """The lines of one segment, as far as it is whole. JournalError where the keys don't open it, or it is damaged."""
    with path.open("rb") as file:
        reader = SegmentReader(file, path.stat().st_size)
        state = first_state(reader.header, keys)
        if state is None:
            ids = ", ".join(recipient.key_id for recipient in reader.header.recipients)
            raise JournalError(f"none of the given keys opens it; it is sealed for {ids}")
        for frame in reader.frames():
            if frame.kind is FrameKind.CUT:
                return
            key, state = ratchet(state)
            yield from map(parse_line, open_frame(key, reader.header_hash, frame))


def read_journal(paths: Iterable[Path], keys: Sequence[SecretKey]) -> Iterator[Line]:
    """The lines of every segment, stream by stream, each in its order."""
    for path in sorted(segment_paths(paths), key=_place):
        try:
            yield from read_lines(path, keys)
        except JournalError as error:
            raise JournalError(f"{path}: {error}") from None


def _place(path: Path) -> tuple[str, int]:
    try:
        with path.open("rb") as file:
            header = SegmentReader(file, path.stat().st_size).header
    except JournalError as error:
        raise JournalError(f"{path}: {error}") from None
    return header.origin, header.number
