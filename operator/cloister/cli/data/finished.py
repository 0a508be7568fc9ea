"""Which files an interrupted `get -r` has finished, so that the next one need not fetch them again."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from cloister.cli.data.listing import Entry
from cloister.cli.errors import UserError
from cloister.cli.printable import printable


class _Line(BaseModel):
    """One file, as it was finished."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    key: str
    etag: str
    """Of the version that is in it."""
    size: int
    mtime_ns: int


class Finished:
    """`.cloister-<hash>.finished` in the folder: a line of JSON for each file, written when the file has its name."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lines: dict[str, _Line] = {}
        for line in _read(path).splitlines():
            try:
                found = _Line.model_validate_json(line)
            except ValidationError:
                continue  # cut off by what interrupted it
            self._lines[found.key] = found

    def holds(self, entry: Entry, file: Path) -> bool:
        """Whether the very version that is listed is in the file. A store that names no version is never believed."""
        line = self._lines.get(entry.key)
        if line is None or (entry.etag, entry.size) != (line.etag, line.size):
            return False
        try:
            found = file.lstat()
        except OSError:
            return False
        return (found.st_size, found.st_mtime_ns) == (line.size, line.mtime_ns)

    def add(self, key: str, etag: str | None, file: Path) -> None:
        """A file is there, with this version of the object in it."""
        if not etag or not (version := etag.strip('"')):
            return
        with _named(self._path):
            found = file.lstat()
            line = _Line(key=key, etag=version, size=found.st_size, mtime_ns=found.st_mtime_ns)
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            with os.fdopen(os.open(self._path, flags, 0o666), "w") as index:
                # What is there may lack its end: a line of its own in any case.
                index.write(f"\n{line.model_dump_json()}\n")

    def forget(self) -> None:
        """All of it is there: the next run fetches what is there then."""
        with _named(self._path):
            self._path.unlink(missing_ok=True)


@contextmanager
def finished(folder: Path, source: str) -> Iterator[Finished]:
    """For one `get -r` of what `source` names; forgotten when it is through."""
    mark = hashlib.sha256(source.encode("utf-8", "surrogateescape")).hexdigest()[:24]
    found = Finished(folder / f".cloister-{mark}.finished")
    yield found
    found.forget()


def _read(path: Path) -> bytes:
    with _named(path):
        try:
            return path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return b""


@contextmanager
def _named(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(f"{printable(str(path))}: {error.strerror or error}") from error
