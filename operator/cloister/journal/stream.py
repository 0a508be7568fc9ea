"""Who a stream is: a random id and the Ed25519 key of its checkpoints, in `stream.json`."""

import base64
import binascii
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from cloister.journal.checkpoint import Signer
from cloister.journal.errors import JournalError
from cloister.journal.files import Files, write_all

STREAM_FILE = "stream.json"


class _Stored(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    version: Literal[1] = 1
    id: Annotated[str, StringConstraints(pattern="^[0-9a-f]{32}$")]
    origin: str
    key: str


@dataclass(frozen=True, slots=True)
class Stream:
    """The stream that a directory is written to."""

    id: str
    signer: Signer
    directory: Path
    """Where its segments lie."""

    @property
    def origin(self) -> str:
        """Name of the stream in headers and checkpoints."""
        return self.signer.origin


def load(directory: Path, identity: str) -> Stream | None:
    """The directory's stream; None where there is none yet. JournalError if its file is damaged or another's."""
    try:
        raw = (directory / STREAM_FILE).read_bytes()
    except FileNotFoundError:
        return None
    try:
        stored = _Stored.model_validate_json(raw)
        key = Ed25519PrivateKey.from_private_bytes(base64.b64decode(stored.key, validate=True))
    except (ValidationError, binascii.Error, ValueError):
        raise JournalError(f"{STREAM_FILE} is damaged") from None
    if stored.origin != _origin(identity, stored.id):
        raise JournalError(f"{STREAM_FILE} belongs to {stored.origin}, and this is {identity}")
    return Stream(stored.id, Signer(stored.origin, key), directory / stored.id)


def create(directory: Path, identity: str, files: Files) -> Stream:
    """A new stream, durable on return; it replaces what `stream.json` named before."""
    stream_id, seed = secrets.token_hex(16), os.urandom(32)
    origin = _origin(identity, stream_id)
    stream = Stream(stream_id, Signer(origin, Ed25519PrivateKey.from_private_bytes(seed)), directory / stream_id)
    stored = _Stored(id=stream_id, origin=origin, key=base64.b64encode(seed).decode())
    target, part = directory / STREAM_FILE, directory / f"{STREAM_FILE}.new"
    if part.exists():
        files.remove(part)
    fd = files.create(part)
    try:
        write_all(files, fd, stored.model_dump_json().encode())
        files.sync_all(fd)
    finally:
        files.close(fd)
    files.make_directory(stream.directory)
    files.rename(part, target)
    files.sync_directory(directory)
    return stream


def _origin(identity: str, stream_id: str) -> str:
    return f"{identity.removeprefix('spiffe://')}/{stream_id}"  # tlog-checkpoint wants it without a scheme
