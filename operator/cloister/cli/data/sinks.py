"""Where a download goes: into a file that appears whole or not at all, or to standard output."""

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Protocol

from cloister.cli.data.places import is_folder
from cloister.cli.errors import UserError
from cloister.cli.printable import printable


class Sink(Protocol):
    """Takes an object from its beginning, or from where an earlier attempt stopped."""

    size: int
    """Bytes that are here."""
    etag: str | None
    """Version of the object that they belong to; None if they can't be continued."""

    def begin(self, etag: str | None) -> None:
        """Forget what is here: this version comes, from its first byte."""

    def discard(self) -> bool:
        """Forget what is here: nothing of it may be used. False where it can't be taken back."""

    def write(self, data: bytes) -> None:
        """The next bytes."""


class Output:
    """Standard output: what has gone out can't be taken back."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.size, self.etag = 0, None  # type: int, str | None

    def begin(self, etag: str | None) -> None:
        """Only before the first byte."""
        if self.size:
            raise UserError("the object changed while it was read: what was printed is the beginning of the old one")
        self.etag = etag

    def discard(self) -> bool:
        """Only before the first byte."""
        return not self.size

    def write(self, data: bytes) -> None:
        """Prints it."""
        self._file.write(data)
        self.size += len(data)


class Partial:
    """The beginning of a file, beside it, under a name that only the next attempt at the same object looks for.

    `.cloister-<hash>.partial` holds bytes, `.cloister-<hash>.version` the ETag that they belong to: written before the
    first byte, so that no byte is ever taken for one of another version.
    """

    def __init__(self, target: Path, source: str) -> None:
        self._target = target
        mark = hashlib.sha256(f"{target.name}\n{source}".encode("utf-8", "surrogateescape")).hexdigest()[:24]
        self._path = target.with_name(f".cloister-{mark}.partial")
        self._version = target.with_name(f".cloister-{mark}.version")
        self._file = self._locked()
        self.etag = self._read_version()
        self.size = self._file.seek(0, os.SEEK_END)

    def begin(self, etag: str | None) -> None:
        """Empties the file."""
        self._file.truncate(0)
        self._file.seek(0)
        self.size, self.etag = 0, etag
        if etag:
            self._version.write_text(etag)
        else:
            self._version.unlink(missing_ok=True)

    def discard(self) -> bool:
        """Empties the file."""
        self.begin(None)
        return True

    def write(self, data: bytes) -> None:
        """Appends."""
        self._file.write(data)
        self._file.flush()  # kept, however this process ends
        self.size += len(data)

    def finish(self) -> None:
        """All of it is there: give it its name, in place of what had that name before."""
        os.fsync(self._file.fileno())
        self._path.replace(self._target)
        self._version.unlink(missing_ok=True)

    def close(self) -> None:
        """Keep what is worth being continued."""
        self._file.close()
        if self._path.exists() and not (self.size and self.etag):
            self._path.unlink(missing_ok=True)
            self._version.unlink(missing_ok=True)

    def _locked(self) -> IO[bytes]:
        while True:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if self._is_ours(descriptor):
                    return os.fdopen(descriptor, "r+b")
            except BlockingIOError:
                os.close(descriptor)
                raise UserError(f"{printable(str(self._target))}: is being fetched by another process") from None
            os.close(descriptor)

    def _is_ours(self, descriptor: int) -> bool:
        """Whether the file still has its name: the process before may have finished it while we opened it."""
        try:
            return os.path.samestat(os.fstat(descriptor), self._path.stat())
        except FileNotFoundError:
            return False

    def _read_version(self) -> str | None:
        try:
            return self._version.read_text() or None
        except (FileNotFoundError, UnicodeDecodeError):
            return None


@contextmanager
def partial(target: Path, source: str) -> Iterator[Partial]:
    """A file for one attempt; OSErrors name the target."""
    if is_folder(target):
        raise UserError(f"{printable(str(target))}: is a folder: name a file in it by -o")
    try:
        found = Partial(target, source)
        try:
            yield found
        finally:
            found.close()
    except OSError as error:
        raise UserError(f"{printable(str(target))}: {error.strerror or error}") from error
