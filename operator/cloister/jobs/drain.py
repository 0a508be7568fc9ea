"""Tells the gate to send its callers away: `python -m cloister.jobs.drain`, when a kubelet is about to stop the
auditor; with `--over`, when it has started it, that they may stay.

In between the gate is not ready, and each caller's next reply asks it to close the connection and go elsewhere. Where
the gate can't be asked at the end, callers find out by themselves; at the start, the kubelet starts the auditor again.
"""

import http.client
import sys

from cloister import sidecar
from cloister.jobs.unixhttp import UnixConnection

_SECONDS = 5


def drain(path: str = sidecar.DRAIN_SOCKET, *, over: bool = False) -> None:
    """Asks the gate on this socket. OSError, or an HTTPException, where it does not do it."""
    connection = UnixConnection(path, "gate", timeout=_SECONDS)
    try:
        connection.request("POST", "/serve" if over else "/drain")
        if (status := connection.getresponse().status) != http.HTTPStatus.OK:
            raise http.client.HTTPException(f"the gate answers {status}")
    finally:
        connection.close()


if __name__ == "__main__":
    try:
        drain(over=sys.argv[1:] == ["--over"])
    except (OSError, http.client.HTTPException) as error:
        sys.exit(f"the gate does not do it: {error}")
