"""Sealing and unsealing files, resumable: what an interrupted run has written is compared, and then continued."""

import base64
import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pydantic import Base64Bytes, BaseModel, ConfigDict, ValidationError

from cloister.sealing import PublicKey, SecretKey
from cloister.weights import owned
from cloister.weights.errors import BrokenSealError, WeightsError
from cloister.weights.stream import CHUNK, Sealer, Unsealer

_Identity = tuple[int, int, int, int]
"""Of a file: device, inode, size, and time of the last change in ns."""
_SECRET = 0o600
"""Mode of a file that its owner alone may read."""
Progress = Callable[[int], None]
"""Called with the bytes of the source that are done."""


@dataclass(frozen=True, slots=True)
class Done:
    """What came out."""

    sha256: str
    size: int
    """Bytes."""
    resumed: int
    """Bytes that an interrupted run had written already."""


class _State(BaseModel):
    """What is needed to go on with an interrupted file. It holds the data key: mode 0600, gone when all is done."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    head: Base64Bytes
    data_key: Base64Bytes
    source: _Identity
    recipients: tuple[str, ...]


class _DiffersError(Exception):
    """A former run has written something else."""


def seal_file(
    source: Path, target: Path, recipients: Sequence[PublicKey], progress: Progress, chunk: int = CHUNK
) -> Done:
    """Seal `source` into `target`, which appears whole or not at all; WeightsError.

    A run that was interrupted leaves `.<target>.partial`, and its data key in `.<target>.sealing`. The next goes on
    there if the source is still the same and both are this user's own: each chunk is sealed again and must come out as
    it lies. Otherwise it begins anew, under another data key, so no nonce is ever used for two different chunks.
    """
    afresh = Sealer.new(recipients, chunk)
    with _named_errors(), _source(source) as (file, identity), _partial(target, 0o644) as (partial, partial_file):
        state_file = target.with_name(f".{target.name}.sealing")
        done = None
        if os.fstat(partial_file.fileno()).st_size and (sealer := _begun(state_file, identity, recipients, chunk)):
            with suppress(_DiffersError):
                done = _sealed(file, partial_file, sealer, progress)
        if done is None:
            partial_file.truncate(0)
            _begin(state_file, afresh, identity, recipients)
            done = _sealed(file, partial_file, afresh, progress)
        if _identity(file) != identity:
            partial.unlink()
            state_file.unlink()
            raise WeightsError(f"{source}: it was changed while it was sealed: seal it again when nobody writes it")
        _finish(partial_file)
        # Never both the whole file and its data key: without the key, the next run would only begin anew.
        state_file.unlink()
        _place(partial, target)
    return done


def unseal_file(source: Path, target: Path, keys: Sequence[SecretKey], progress: Progress) -> Done:
    """Unseal `source` into `target`, which appears only when all of it is verified; WeightsError.

    What an interrupted run has left in `.<target>.partial` is compared with the source, and continued.
    """
    with _named_errors(), _source(source) as (file, _), _partial(target, _SECRET) as (partial, partial_file):
        unsealer = Unsealer(keys)
        out = _Output(partial_file, may_differ=True)
        try:
            while piece := file.read(CHUNK):
                for data in unsealer.feed(piece):
                    out.put(data)
                progress(file.tell())
            out.put(unsealer.finish())
        except WeightsError as error:
            # Begun under the right key, it may be continued; broken, it is good for nothing.
            if isinstance(error, BrokenSealError) or not partial.stat().st_size:
                partial.unlink()
            raise type(error)(f"{source}: {error}") from None
        out.end()
        _finish(partial_file)
        _place(partial, target)
    return out.done()


def sha256_of(path: Path, progress: Progress) -> str:
    """SHA-256 of a file."""
    digest = hashlib.sha256()
    with _named_errors(), _source(path) as (file, _):
        while piece := file.read(CHUNK):
            digest.update(piece)
            progress(file.tell())
    return digest.hexdigest()


def place(target: Path, content: bytes) -> None:
    """Write a small file, whole or not at all."""
    with _named_errors():
        partial = target.with_name(f".{target.name}.partial")
        descriptor = owned.made(partial, 0o666)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                _finish(file)
            _place(partial, target)
        finally:
            partial.unlink(missing_ok=True)


def check_free(target: Path, way_out: str = "remove it, or name another") -> None:
    """WeightsError if there is something under this name."""
    with _named_errors():
        if os.path.lexists(target):
            raise WeightsError(f"{target}: there is a file already: {way_out}")


class _Output:
    """Writes where a former run has not, and compares where it has."""

    def __init__(self, file: BinaryIO, *, may_differ: bool) -> None:
        """`may_differ`: what is there may be written over."""
        self._file = file
        self._may_differ = may_differ
        self._left = os.fstat(file.fileno()).st_size
        self._digest = hashlib.sha256()
        self._size = self._resumed = 0
        file.seek(0)

    def put(self, data: bytes) -> None:
        self._digest.update(data)
        self._size += len(data)
        there = self._file.read(min(self._left, len(data))) if self._left else b""
        if data.startswith(there):
            self._left -= len(there)
            self._resumed += len(there)
        elif self._may_differ:
            self._file.seek(-len(there), os.SEEK_CUR)
            self._file.truncate()
            self._left, there = 0, b""
        else:
            raise _DiffersError
        self._file.seek(0, os.SEEK_CUR)  # between reading and writing, as C demands
        self._file.write(data[len(there) :])

    def end(self) -> None:
        if self._left and not self._may_differ:
            raise _DiffersError
        self._file.truncate()

    def done(self) -> Done:
        return Done(self._digest.hexdigest(), self._size, self._resumed)


def _sealed(source: BinaryIO, partial: BinaryIO, sealer: Sealer, progress: Progress) -> Done:
    out = _Output(partial, may_differ=False)
    out.put(sealer.head)
    source.seek(0)
    index, data = 0, source.read(sealer.chunk)
    while True:
        following = source.read(sealer.chunk) if len(data) == sealer.chunk else b""
        out.put(sealer.seal(index, data, last=not following))
        progress(source.tell() - len(following))
        if not following:
            break
        index, data = index + 1, following
    out.end()
    return out.done()


@contextmanager
def _named_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        raise WeightsError(f"{where}{(error.strerror or str(error)).lower()}") from error


@contextmanager
def _source(path: Path) -> Iterator[tuple[BinaryIO, _Identity]]:
    if path.exists() and not path.is_file():
        raise WeightsError(f"{path}: not a file")
    with path.open("rb") as file:
        yield file, _identity(file)


def _identity(file: BinaryIO) -> _Identity:
    status = os.fstat(file.fileno())
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


@contextmanager
def _partial(target: Path, mode: int) -> Iterator[tuple[Path, BinaryIO]]:
    """The file in the making, open for reading and writing, and nobody else's."""
    check_free(target)
    path = target.with_name(f".{target.name}.partial")
    descriptor = owned.opened(path, os.O_RDWR, mode)
    if descriptor is None:
        descriptor = owned.made(path, mode)
    with os.fdopen(descriptor, "r+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise WeightsError(f"{target}: another run is writing it just now") from None
        if not path.exists() or path.stat().st_ino != os.fstat(file.fileno()).st_ino:
            raise WeightsError(f"{target}: another run has just written it")
        yield path, file


def _finish(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _place(partial: Path, target: Path) -> None:
    partial.rename(target)
    directory = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _begun(path: Path, source: _Identity, recipients: Sequence[PublicKey], chunk: int) -> Sealer | None:
    """The sealer of the run that was interrupted, if it did the same. In doubt None: a new data key is always safe."""
    descriptor = owned.opened(path, os.O_RDONLY, _SECRET)
    if descriptor is None:
        return None
    with os.fdopen(descriptor, "rb") as file:
        try:
            state = _State.model_validate_json(file.read())
            if (state.source, state.recipients) != (source, tuple(map(str, recipients))):
                return None
            sealer = Sealer(state.head, state.data_key)
        except (ValidationError, WeightsError):
            return None
    return sealer if sealer.chunk == chunk and sealer.is_for(recipients) else None


def _begin(path: Path, sealer: Sealer, source: _Identity, recipients: Sequence[PublicKey]) -> None:
    """The data key is on the disk before the first byte that it seals."""
    document = _State(
        head=base64.b64encode(sealer.head),
        data_key=base64.b64encode(sealer.data_key),
        source=source,
        recipients=tuple(map(str, recipients)),
    ).model_dump_json()
    with os.fdopen(owned.made(path, _SECRET), "wb") as file:
        file.write(document.encode())
        _finish(file)
