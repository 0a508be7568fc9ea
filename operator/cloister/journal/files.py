"""Segments as files: their names, and the few operations by which a writer changes a disk.

<directory>/lock                        held by the one writer
<directory>/stream.json                 the current stream: its id and signing key (0600)
<directory>/<stream id>/<number>.new    a header that is being written; holds nothing yet
<directory>/<stream id>/<number>.open   being filled, at most one in a stream
<directory>/<stream id>/<number>.sealed closed: will not change
<directory>/<stream id>/<number>.shipped
"""

import contextlib
import fcntl
import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from cloister.journal.errors import JournalError

OPEN = ".open"
SEALED = ".sealed"
SHIPPED = ".shipped"
NEW = ".new"
OBJECT = ".cja"

STREAM = re.compile(r"[0-9a-f]{32}")
"""Id of a stream, which is the name of its folder."""
OBJECT_NAME = re.compile(rf"([0-9]{{10}})[.][0-9a-f]{{16}}{re.escape(OBJECT)}")
"""A segment in a store, as :func:`object_name` has it: its number is the group."""
_NUMBER = re.compile(r"[0-9]{10}")


class Files(Protocol):
    """What a writer does to a disk; every method raises OSError as os does."""

    def create(self, path: Path) -> int:
        """A new file of mode 0600, open for writing at its end."""

    def reopen(self, path: Path) -> int:
        """An existing file, open for writing at its end."""

    def write(self, fd: int, data: bytes | memoryview) -> int:
        """Bytes written, perhaps fewer than given."""

    def sync(self, fd: int) -> None:
        """fdatasync."""

    def sync_all(self, fd: int) -> None:
        """fsync."""

    def truncate(self, fd: int, size: int) -> None:
        """ftruncate."""

    def close(self, fd: int) -> None:
        """Close."""

    def rename(self, source: Path, target: Path) -> None:
        """Atomic."""

    def remove(self, path: Path) -> None:
        """Unlink."""

    def make_directory(self, path: Path) -> None:
        """Of mode 0700."""

    def sync_directory(self, path: Path) -> None:
        """Make names durable."""


class OsFiles:
    """The operating system."""

    def create(self, path: Path) -> int:
        """O_EXCL: an existing file is an error."""
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)

    def reopen(self, path: Path) -> int:
        """Without creating it."""
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW)

    def write(self, fd: int, data: bytes | memoryview) -> int:
        """One write."""
        return os.write(fd, data)

    def sync(self, fd: int) -> None:
        """Data, and the size that leads to it."""
        os.fdatasync(fd)

    def sync_all(self, fd: int) -> None:
        """Data and everything about the file."""
        os.fsync(fd)

    def truncate(self, fd: int, size: int) -> None:
        """Cut."""
        os.ftruncate(fd, size)

    def close(self, fd: int) -> None:
        """Close."""
        os.close(fd)

    def rename(self, source: Path, target: Path) -> None:
        """Replaces the target."""
        source.rename(target)

    def remove(self, path: Path) -> None:
        """Unlink."""
        path.unlink()

    def make_directory(self, path: Path) -> None:
        """One level."""
        path.mkdir(mode=0o700)

    def sync_directory(self, path: Path) -> None:
        """Fsync on the directory."""
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def write_all(files: Files, fd: int, data: bytes) -> None:
    """Every byte, in as many writes as it takes."""
    written = files.write(fd, data)
    if written != len(data):
        rest = memoryview(data)[written:]
        while rest:
            rest = rest[files.write(fd, rest) :]


def segment_path(stream_directory: Path, number: int, suffix: str) -> Path:
    """Where a segment lies."""
    return stream_directory / f"{number:010d}{suffix}"


def segment_files(stream_directory: Path, *suffixes: str) -> list[Path]:
    """Segments of one stream with one of these suffixes, in order."""
    found = [path for path in stream_directory.iterdir() if path.suffix in suffixes and _NUMBER.fullmatch(path.stem)]
    return sorted(found, key=lambda path: (int(path.stem), path.suffix))


def stream_directories(directory: Path) -> list[Path]:
    """Every stream's folder."""
    return sorted(path for path in directory.iterdir() if STREAM.fullmatch(path.name) and path.is_dir())


def sealed_segments(directory: Path) -> list[Path]:
    """Segments that wait to be shipped, of every stream, in the order of each."""
    return [path for stream in stream_directories(directory) for path in segment_files(stream, SEALED)]


def removable_segments(directory: Path) -> list[Path]:
    """Shipped segments that may be deleted, the oldest of each stream first.

    A stream's newest segment is not among them: after a restart the chain goes on from it.
    """
    found = []
    for stream in stream_directories(directory):
        segments = segment_files(stream, OPEN, SEALED, SHIPPED)
        found += [path for path in segments[:-1] if path.suffix == SHIPPED]
    return found


def object_name(path: Path, data: bytes) -> str:
    """Name of a segment in a store, `<stream id>/<number>.<digest>.cja`, with the first 16 digits of its SHA-256.

    So what has the name has the content, and a store that takes each name once never keeps one segment from another:
    of a volume that was put back from a copy, what is written anew lies beside what was shipped before.
    """
    return f"{path.parent.name}/{path.stem}.{hashlib.sha256(data).hexdigest()[:16]}{OBJECT}"


@contextlib.contextmanager
def explained(what: str) -> Iterator[None]:
    """Let an OSError out as a JournalError."""
    try:
        yield
    except OSError as error:
        raise JournalError(f"{what}: {error.strerror or error}") from error


def lock(directory: Path) -> int:
    """Make the directory and hold it, until the descriptor is closed. JournalError if another writer holds it."""
    with explained("can't begin"):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(fd)
        raise JournalError(f"{directory}: another writer has it") from error
    return fd
