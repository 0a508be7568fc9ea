"""Brings the model's weights into the pod before its server starts, and lets nothing start with other weights.

Runs as `python -m cloister.jobs.fetch '<sidecar.Fetch as JSON>'` in an init container. It has no network: it asks the
gate of its own pod over a unix socket, and the gate reaches one object of one store, and its signature. The one key
that it may hold opens these weights.
"""

import errno
import hashlib
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Protocol

import orjson
from pydantic import ValidationError

from cloister.jobs.download import Pause, download
from cloister.jobs.errors import FetchError
from cloister.sealing import SealingError, read_secrets
from cloister.sidecar import Fetch, Signed
from cloister.weights import Unsealer, WeightsError, is_sealed, least_opened, verifier
from cloister.weights.signatures import MAX_SIGNATURE

TERMINATION_LOG = Path("/dev/termination-log")
"""Where Kubernetes reads why a container ended (documentation, "Determine the Reason for Pod Failure")."""
_FULL = (errno.ENOSPC, errno.EDQUOT)
_RAISE = "raise spec.inference.model.size"
_MAX_MESSAGE = 3000
"""Characters; Kubernetes keeps 4096 bytes."""


class _Opener(Protocol):
    """Turns what is stored into what is served."""

    def feed(self, piece: bytes) -> Iterator[bytes]: ...

    def finish(self) -> bytes: ...


class _Plain:
    """For an object that is served as it is stored."""

    def __init__(self) -> None:
        self._begun = False

    def feed(self, piece: bytes) -> Iterator[bytes]:
        if not self._begun and is_sealed(piece):
            raise FetchError("SealedUnexpectedly", "the object is sealed: set spec.inference.model.sealed: true")
        self._begun = True
        yield piece

    def finish(self) -> bytes:
        return b""


def fetch(wanted: Fetch, pause: Pause = time.sleep) -> int:
    """Write the weights to their target and return their size in bytes, or raise :class:`FetchError` and leave nothing.

    The target appears under its name only when its signature, its SHA-256 and its seal have all been found in order, as
    far as they were asked for. What a former run in this pod has brought makes room first: the volume holds the weights
    once.
    """
    target = Path(wanted.target)
    partial = target.with_name(f".{target.name}.partial")
    try:
        target.unlink(missing_ok=True)
        opener = _opener(wanted)
        if wanted.signed:
            _check_signature(wanted, wanted.signed, pause)
        size, digest = _bring(wanted, opener, partial, pause)
        if digest != wanted.sha256:
            raise FetchError(
                "DigestMismatch",
                f"{wanted.path} has SHA-256 {digest}, but spec.inference.model.sha256 is {wanted.sha256}:"
                " either the object was changed or the declaration is out of date",
            )
        partial.chmod(0o444)
        partial.rename(target)
    except WeightsError as error:
        raise FetchError(error.reason, f"{wanted.path}: {error}") from error
    except OSError as error:
        way_out = f": {_RAISE}, or free the node's disk" if error.errno in _FULL else ""
        raise FetchError("VolumeUnusable", f"{target}: {error.strerror or error}{way_out}") from error
    finally:
        partial.unlink(missing_ok=True)
    return size


def _opener(wanted: Fetch) -> _Opener:
    if wanted.unseal_key is None:
        return _Plain()
    try:
        return Unsealer(read_secrets(Path(wanted.unseal_key)))
    except SealingError as error:
        way_out = "see entry `key` of the Secret that spec.inference.model.unsealKeyRef names"
        raise FetchError("UnsealKeyUnusable", f"{error}: {way_out}") from error


def _check_signature(wanted: Fetch, signed: Signed, pause: Pause) -> None:
    """Over the declared digest, before anything is downloaded: what is downloaded must have that digest."""
    try:
        trusted = verifier(signed.public_key)
        trusted.check(_signature(wanted.socket, signed.path, pause), wanted.sha256, wanted.path)
    except WeightsError as error:
        raise FetchError(error.reason, str(error)) from error


def _signature(gate: str, path: str, pause: Pause) -> bytes:
    signature = bytearray()
    try:
        with closing(download(gate, path, pause)) as pieces:
            while len(signature) <= MAX_SIGNATURE and (piece := next(pieces, b"")):
                signature += piece
    except FetchError as error:
        if error.reason != "ObjectMissing":
            raise
        raise FetchError(
            "SignatureMissing",
            f"{path} is not there, and spec.inference.model.publicKey asks for it: put the signature beside the object",
        ) from error
    if len(signature) > MAX_SIGNATURE:
        raise FetchError("SignatureInvalid", f"{path}: larger than {MAX_SIGNATURE} bytes")
    return bytes(signature)


def _bring(wanted: Fetch, opener: _Opener, partial: Path, pause: Pause) -> tuple[int, str]:
    """Bytes written, and SHA-256 of what is stored."""
    digest, room = hashlib.sha256(), _Room(wanted)
    with partial.open("wb") as file, closing(download(wanted.socket, wanted.path, pause, room.admit)) as pieces:
        for piece in pieces:
            digest.update(piece)
            for data in opener.feed(piece):
                room.take(len(data))
                file.write(data)
        last = opener.finish()
        room.take(len(last))
        file.write(last)
        file.flush()
        os.fsync(file.fileno())
    return room.taken, digest.hexdigest()


class _Room:
    """Keeps what is written within the volume's size. On a node's disk nothing else does: the kubelet evicts the pod
    some time after it has written more, and the next pod would fetch it all again."""

    def __init__(self, wanted: Fetch) -> None:
        self.taken = 0
        """Bytes."""
        self._wanted = wanted

    def admit(self, stored: int) -> None:
        """FetchError if an object of so many bytes can't fit, before any of it comes."""
        least = least_opened(stored) if self._wanted.unseal_key else stored
        if least > self._wanted.size:
            raise self._refused(f"it has {stored} bytes")

    def take(self, size: int) -> None:
        """FetchError if so many bytes more do not fit."""
        self.taken += size
        if self.taken > self._wanted.size:
            raise self._refused("more came of it")

    def _refused(self, what: str) -> FetchError:
        room = f"the volume has room for {self._wanted.size}"
        return FetchError("VolumeUnusable", f"{self._wanted.path}: {what}, and {room}: {_RAISE}")


def main(arguments: list[str]) -> int:
    """Fetch what the one argument describes; exit code 1 and a termination message if that fails."""
    try:
        wanted = _wanted(arguments)
        size = fetch(wanted)
    except FetchError as error:
        print(f"fetch: {error.reason}: {error}", file=sys.stderr)
        if TERMINATION_LOG.exists():
            TERMINATION_LOG.write_bytes(orjson.dumps({"reason": error.reason, "message": str(error)[:_MAX_MESSAGE]}))
        return 1
    checked = f"SHA-256 {wanted.sha256}" + (", signed" if wanted.signed else "")
    print(f"fetch: {wanted.path} is in place, {size} bytes, {checked}")
    return 0


def _wanted(arguments: list[str]) -> Fetch:
    try:
        (document,) = arguments
        return Fetch.model_validate_json(document)
    except (ValueError, ValidationError) as error:
        raise FetchError("BadConfiguration", str(error)) from error


def _ended(number: int, _: object) -> None:
    """The first process of a container ends by a signal only if it handles it. What was begun is removed on the way."""
    raise SystemExit(128 + number)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _ended)
    sys.exit(main(sys.argv[1:]))
