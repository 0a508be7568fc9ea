"""Brings the model's weights into the pod before its server starts, and lets nothing start with other weights.

Runs as `python -m cloister.jobs.fetch '<sidecar.Fetch as JSON>'` in an init container. It has no key and no network:
it asks the gate of its own pod over a unix socket, and the gate reaches one object of one store.
"""

import hashlib
import http.client
import os
import socket
import sys
from pathlib import Path

from pydantic import ValidationError

from cloister.sidecar import Fetch

CHUNK = 1 << 20
TERMINATION_LOG = Path("/dev/termination-log")
"""Where Kubernetes reads why a container ended (documentation, "Determine the Reason for Pod Failure")."""
_TIMEOUT_SECONDS = 60


class FetchError(Exception):
    """The weights are not there, or are not the ones that were declared."""


class _GateConnection(http.client.HTTPConnection):
    """HTTP over the gate's unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("gate", timeout=_TIMEOUT_SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def fetch(wanted: Fetch) -> int:
    """Write the object to its target and return its size in bytes, or raise :class:`FetchError` and leave nothing.

    The target appears under its name only when its SHA-256 is the declared one.
    """
    target = Path(wanted.target)
    partial = target.with_name(f".{target.name}.partial")
    try:
        size, digest = _download(wanted, partial)
        if digest != wanted.sha256:
            raise FetchError(
                f"{wanted.path} has SHA-256 {digest}, but spec.inference.model.sha256 is {wanted.sha256}:"
                " either the object was changed or the declaration is out of date"
            )
        partial.chmod(0o444)
        partial.rename(target)
    finally:
        partial.unlink(missing_ok=True)
    return size


def _download(wanted: Fetch, partial: Path) -> tuple[int, str]:
    connection = _GateConnection(wanted.socket)
    try:
        connection.request("GET", wanted.path)
        response = connection.getresponse()
        if response.status != http.HTTPStatus.OK:
            raise FetchError(f"{wanted.path}: the checkpoints store answered {response.status} {response.reason}")
        digest, size = hashlib.sha256(), 0
        with partial.open("wb") as file:
            while chunk := response.read(CHUNK):
                digest.update(chunk)
                size += file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
        if response.length:
            raise FetchError(f"{wanted.path}: the transfer ended {response.length} bytes too early")
    except (OSError, http.client.HTTPException) as error:
        raise FetchError(f"{wanted.path}: {str(error) or type(error).__name__}") from error
    finally:
        connection.close()
    return size, digest.hexdigest()


def main(arguments: list[str]) -> int:
    """Fetch what the one argument describes; exit code 1 and a termination message if that fails."""
    try:
        (document,) = arguments
        wanted = Fetch.model_validate_json(document)
        size = fetch(wanted)
    except (ValueError, ValidationError, FetchError) as error:
        print(f"fetch: {error}", file=sys.stderr)
        if TERMINATION_LOG.exists():
            TERMINATION_LOG.write_text(f"fetch: {error}"[:4096])
        return 1
    print(f"fetch: {wanted.path} is in place, {size} bytes, SHA-256 {wanted.sha256}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
