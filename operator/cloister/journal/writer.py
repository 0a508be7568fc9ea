"""Writes a journal: chains, seals, makes durable. Synchronous, for one thread."""

import contextlib
import datetime as dt
import hashlib
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Self

from cloister.journal.checkpoint import SignedCheckpoint
from cloister.journal.errors import JournalError
from cloister.journal.files import (
    NEW,
    OPEN,
    SEALED,
    SHIPPED,
    Files,
    OsFiles,
    explained,
    lock,
    segment_files,
    segment_path,
    stream_directories,
    write_all,
)
from cloister.journal.header import Header, Previous, wrap_info
from cloister.journal.recovery import Chain, recover, seal_as_it_is
from cloister.journal.segment import MAGIC, MAX_COUNT, SECRET_SIZE, ratchet, seal_end, seal_records
from cloister.journal.stream import Stream, create, load
from cloister.sealing import PublicKey, SealingError
from cloister.sealing.recipients import MAX_RECIPIENTS, wrap_for

MAX_BYTES = 8 << 20
MAX_AGE_S = 60.0


class _Open:
    """The segment that is being filled."""

    __slots__ = ("digest", "fd", "frames", "header_hash", "number", "opened", "path", "size", "state")

    def __init__(self, path: Path, number: int, fd: int, header: bytes, state: bytes, opened: float) -> None:
        self.path = path
        self.number = number
        self.fd = fd
        self.header_hash = hashlib.sha256(header).digest()
        self.digest = hashlib.sha256(header)
        self.size = len(header)
        """Good length: everything up to here is whole and durable."""
        self.frames = 0
        self.state = state
        """Of the ratchet; the ones before are gone."""
        self.opened = opened


class JournalWriter:
    """The one writer of a directory.

    What :meth:`append` was given is durable when it returns. When it raises, nothing of that batch counts, and the
    next call recovers: the segment is cut to its last good length, closed, and followed by a new one. What a crash
    left is put in order when a writer is made, and a journal that no crash can explain is left as it is, for shipping,
    while a new stream begins: :attr:`incident` then says why.

    With `opening`, what a process and every stream begin with are its records: they stand before the first others, or
    are written by the next :meth:`tick`.
    """

    def __init__(
        self,
        directory: Path,
        *,
        identity: str,
        recipients: Sequence[PublicKey],
        max_bytes: int = MAX_BYTES,
        max_age_s: float = MAX_AGE_S,
        clock: Callable[[], float] = time.time,
        files: Files | None = None,
        opening: Callable[[str | None], Iterable[bytes]] = lambda _: (),
    ) -> None:
        """`identity`: SPIFFE ID of the pod. `clock`: seconds since 1970. `opening`: makes the records that come first,
        from :attr:`incident`. JournalError when it can't begin.
        """
        if not 1 <= len(recipients) <= MAX_RECIPIENTS:
            raise JournalError(f"{len(recipients)} recipients: a journal has 1 to {MAX_RECIPIENTS}")
        self.incident: str | None = None
        """Why the stream before this one was given up, if it was."""
        self._directory = directory
        self._identity = identity
        self._recipients = tuple(recipients)
        self._max_bytes = max_bytes
        self._max_age_s = max_age_s
        self._clock = clock
        self._files = files or OsFiles()
        self._opening = opening
        self._segment: _Open | None = None
        self._broken = False
        self._closed = False
        self._lock = lock(directory)
        try:
            with explained("can't begin"):
                self._stream = self._load()
                self._chain = self._recovered()
            self._introduced = self.origin
            self._first = tuple(opening(self.incident))
            """What has to be written before anything else."""
        except BaseException:
            os.close(self._lock)
            raise

    @property
    def origin(self) -> str:
        """Name of the stream."""
        return self._stream.origin

    @property
    def seq(self) -> int:
        """Sequence number of the next record."""
        return self._chain.seq

    def append(self, records: Sequence[bytes]) -> None:
        """Make these records (:func:`cloister.journal.encode`) durable, in this order, as one frame.

        JournalError when that failed: then none of them is in the journal.
        """
        if not records and not self._first:
            return
        if self._broken or self._closed:
            self._repair()
        records = (*self._first, *records)
        segment = self._segment
        if segment is not None and segment.size >= self._max_bytes:
            self._finish(segment)
            segment = None
        if segment is None:
            segment = self._begin()
        chain = self._chain
        seq, head, lines = chain.seq, chain.head, []
        for record in records:
            line = b'{"prev":"%b","record":%b,"seq":%d}' % (head.encode(), record, seq)
            head = hashlib.sha256(line).hexdigest()
            seq += 1
            lines.append(line)
        if seq > MAX_COUNT:
            raise JournalError("the stream is full")
        key, state = ratchet(segment.state)
        frame = seal_records(key, segment.header_hash, segment.frames, chain.seq, lines, head)
        self._write(segment, frame)
        segment.state = state
        chain.seq = seq
        chain.head = head
        self._first = ()

    def tick(self, now: float | None = None) -> None:
        """Close the segment if it is old or full, and recover from a failure; call it every second or so.

        JournalError when the disk refuses; the next call tries again.
        """
        if self._broken:
            self._repair()
        if self._first:
            self.append(())
        segment = self._segment
        if segment is not None:
            age = (self._clock() if now is None else now) - segment.opened
            # A clock that was set back must not keep a segment open.
            if age >= self._max_age_s or age < 0 or segment.size >= self._max_bytes:
                self._finish(segment)

    def head(self) -> SignedCheckpoint:
        """What the journal has come to, signed: to be kept outside of it."""
        return self._stream.signer.sign(self._chain.checkpoint(self.origin))

    def close(self) -> None:
        """End the segment and let another writer in. JournalError when it could not be ended: the next writer will."""
        if self._closed:
            return
        try:
            if self._broken:
                self._repair()
            if self._segment is not None:
                self._finish(self._segment)
        finally:
            self._closed = True
            if self._segment is not None:
                self._release(self._segment)
            os.close(self._lock)

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def _begin(self) -> _Open:
        """Open the next segment. Until its name is durable, nothing is written to it."""
        chain, now = self._chain, self._clock()
        number = chain.previous.number + 1 if chain.previous else 0
        state = os.urandom(SECRET_SIZE)
        try:
            recipients = wrap_for(self._recipients, state, wrap_info(self.origin, number))
        except SealingError as error:
            raise JournalError(f"can't open a segment: {error}") from error
        header = Header(
            origin=self.origin,
            number=number,
            created=timestamp(now),
            seq=chain.seq,
            prev=chain.head,
            previous=chain.previous,
            tree_size=chain.tree.size,
            tree=tuple(node.hex() for node in chain.tree.roots),
            recipients=recipients,
            verifier=str(self._stream.signer.verifier),
        )
        raw = b"%b%b\n" % (MAGIC, header.encode())
        new = segment_path(self._stream.directory, number, NEW)
        path = new.with_suffix(OPEN)
        with self._changing():
            fd = self._files.create(new)
            segment = self._segment = _Open(path, number, fd, raw, state, now)
            write_all(self._files, fd, raw)
            self._files.sync_all(fd)
            self._files.rename(new, path)
            self._files.sync_directory(path.parent)
        chain.tree.append(raw)
        return segment

    def _finish(self, segment: _Open) -> None:
        """Close the segment by the ratchet and the signature."""
        chain = self._chain
        key, _ = ratchet(segment.state)
        note = self.head().note
        self._write(segment, seal_end(key, segment.header_hash, segment.frames, chain.seq, chain.head, note))
        segment.state = b""
        sealed = Previous(number=segment.number, size=segment.size, sha256=segment.digest.hexdigest())
        with self._changing():
            self._files.rename(segment.path, segment.path.with_suffix(SEALED))
            self._files.sync_directory(segment.path.parent)
        chain.previous = sealed
        self._release(segment)

    def _write(self, segment: _Open, frame: bytes) -> None:
        files = self._files
        with self._changing():
            write_all(files, segment.fd, frame)
            files.sync(segment.fd)
        segment.size += len(frame)
        segment.frames += 1
        segment.digest.update(frame)
        self._chain.tree.append(frame)

    @contextlib.contextmanager
    def _changing(self) -> Iterator[None]:
        """Whatever stops a change of the disk, the next call finds out first what is there."""
        self._broken = True
        with explained("can't record"):
            yield
        self._broken = False

    def _repair(self) -> None:
        """Cut what was not acknowledged, close the segment, and continue from what the disk holds."""
        if self._closed:
            raise JournalError("the journal is closed")
        with explained("can't recover"):
            if self._segment is not None:
                self._cut(self._segment)
            chain = self._recovered(expected=(self._chain.seq, self._chain.head))
        if self._introduced != self.origin:
            self._introduced = self.origin
            self._first = tuple(self._opening(self.incident))
        if self._segment is not None:
            self._release(self._segment)
        self._chain = chain
        self._broken = False

    def _cut(self, segment: _Open) -> None:
        """Take away what was written after the last good length; a name that never became durable goes whole."""
        path = segment.path
        if path.with_suffix(SEALED).exists():
            return
        if segment.frames == 0 and path.with_suffix(NEW).exists():
            return
        if path.exists() and path.stat().st_size > segment.size:
            fd = self._files.reopen(path)
            try:
                self._files.truncate(fd, segment.size)
                self._files.sync_all(fd)
            finally:
                self._files.close(fd)

    def _release(self, segment: _Open) -> None:
        self._segment = None
        with contextlib.suppress(OSError):
            self._files.close(segment.fd)

    def _load(self) -> Stream:
        try:
            stream = load(self._directory, self._identity)
        except JournalError as error:
            return self._new_stream(str(error))
        if stream is not None and stream.directory.is_dir():
            return stream
        lost = any(segment_files(old, OPEN, SEALED, SHIPPED) for old in stream_directories(self._directory))
        if stream is not None:
            return self._new_stream("the segments of its stream are gone")
        return self._new_stream("stream.json is gone" if lost else None)

    def _recovered(self, expected: tuple[int, str] | None = None) -> Chain:
        try:
            chain = recover(self._stream, self._files, expected)
        except JournalError as error:
            self._stream = self._new_stream(str(error))
            chain = Chain()
        for old in stream_directories(self._directory):
            if old != self._stream.directory:
                seal_as_it_is(old, self._files)
        return chain

    def _new_stream(self, incident: str | None) -> Stream:
        stream = create(self._directory, self._identity, self._files)
        self.incident = incident
        return stream


def timestamp(seconds: float) -> str:
    """RFC 3339, UTC, microseconds."""
    whole, micros = divmod(int(seconds * 1_000_000), 1_000_000)
    return f"{_second(whole)}.{micros:06d}Z"


@lru_cache(4)
def _second(seconds: int) -> str:
    # Many records tell of the same second, and the calendar is what costs.
    return dt.datetime.fromtimestamp(seconds, dt.UTC).strftime("%Y-%m-%dT%H:%M:%S")
