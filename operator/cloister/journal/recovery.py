"""Finding where a stream's chain goes on: after a restart, a crash or a failed write, from the clear parts alone."""

import hashlib
from dataclasses import dataclass, field, replace
from pathlib import Path

from cloister.journal.checkpoint import Checkpoint
from cloister.journal.errors import JournalError
from cloister.journal.files import (
    NEW,
    OPEN,
    SEALED,
    SHIPPED,
    Files,
    segment_files,
    write_all,
)
from cloister.journal.header import ZERO_HASH, Previous
from cloister.journal.merkle import CompactRange
from cloister.journal.segment import Frame, FrameKind, SegmentReader, cut_frame
from cloister.journal.stream import Stream


@dataclass(slots=True)
class Chain:
    """Everything that the next frame or segment continues."""

    seq: int = 0
    """Of the next record."""
    head: str = ZERO_HASH
    """SHA-256 of the last line."""
    tree: CompactRange = field(default_factory=CompactRange)
    previous: Previous | None = None
    """The last segment that was closed."""

    def checkpoint(self, origin: str) -> Checkpoint:
        """The chain as it is."""
        return Checkpoint(origin, self.tree.size, self.tree.root(), self.seq, self.head)


@dataclass(slots=True)
class _Tail:
    """A stream's last segment."""

    path: Path
    chain: Chain
    number: int
    size: int
    """Bytes that are whole."""
    digest: "hashlib._Hash"
    """SHA-256 of them."""
    frames: int
    closed: bool
    torn: bool


def recover(stream: Stream, files: Files, expected: tuple[int, str] | None = None) -> Chain:
    """Close what was left open, and give the chain to continue.

    `expected`: the (seq, head) that the writer remembers, if it does. A torn tail is cut away: it was never
    acknowledged. JournalError for anything that no crash leaves behind.
    """
    for path in segment_files(stream.directory, NEW):
        files.remove(path)
    paths = segment_files(stream.directory, OPEN, SEALED, SHIPPED)
    chain = _recover(paths, stream, files) if paths else Chain()
    if expected is not None and expected != (chain.seq, chain.head):
        raise JournalError("what is on disk is not what was written")
    return chain


def _recover(paths: list[Path], stream: Stream, files: Files) -> Chain:
    if len({path.stem for path in paths}) != len(paths):
        raise JournalError("two files hold the same segment")
    for path in paths[:-1]:
        if path.suffix == OPEN:
            raise JournalError(f"segment {path.stem} was left open before the last")
    tail = _read(paths[-1], stream)
    if tail.path.suffix == OPEN:
        _close(tail, stream, files)
    elif tail.torn or not tail.closed:
        raise JournalError(f"sealed segment {tail.path.stem} was changed")
    tail.chain.previous = Previous(number=tail.number, size=tail.size, sha256=tail.digest.hexdigest())
    return tail.chain


def seal_as_it_is(stream_directory: Path, files: Files) -> None:
    """Let what a stream left open be shipped: whatever is wrong with it is evidence."""
    for path in segment_files(stream_directory, OPEN):
        sealed = path.with_suffix(SEALED)
        if not sealed.exists():
            files.rename(path, sealed)


def _read(path: Path, stream: Stream) -> _Tail:
    with path.open("rb") as file:
        reader = SegmentReader(file, path.stat().st_size)
        header = reader.header
        if header.origin != stream.origin or header.number != int(path.stem):
            raise JournalError(f"segment {path.stem} is another's")
        if header.verify_key().public != stream.signer.verifier.public:
            raise JournalError(f"segment {path.stem} is signed by another key")
        chain = Chain(header.seq, header.prev, header.range(), header.previous)
        chain.tree.append(reader.header_raw)
        frames, closed = 0, False
        for frame in reader.frames():
            if closed or frame.index != frames or frame.seq != chain.seq:
                raise JournalError(f"segment {path.stem}: frame {frames} does not continue the one before")
            closed = _closes(frame, chain)
            chain.seq += frame.count
            chain.head = frame.head
            chain.tree.append(frame.raw)
            frames += 1
        return _Tail(path, chain, header.number, reader.offset, reader.digest, frames, closed, reader.torn is not None)


def _closes(frame: Frame, chain: Chain) -> bool:
    if frame.kind is FrameKind.RECORDS:
        return False
    if frame.count or frame.head != chain.head:
        raise JournalError("a closing frame does not continue the one before")
    return True


def _close(tail: _Tail, stream: Stream, files: Files) -> None:
    chain = tail.chain
    fd = files.reopen(tail.path)
    try:
        if tail.torn:
            files.truncate(fd, tail.size)
        if not tail.closed:
            files.sync_all(fd)  # the cut says what is there: that must be durable before
            note = stream.signer.sign(replace(chain.checkpoint(stream.origin), cut=True)).note
            frame = cut_frame(tail.frames, chain.seq, chain.head, note)
            write_all(files, fd, frame)
            chain.tree.append(frame)
            tail.digest.update(frame)
            tail.size += len(frame)
        files.sync_all(fd)
    finally:
        files.close(fd)
    files.rename(tail.path, tail.path.with_suffix(SEALED))
    files.sync_directory(tail.path.parent)
