"""HTTP to a neighbour in the pod, over the unix socket that it listens on."""

import http.client
import socket


class UnixConnection(http.client.HTTPConnection):
    """A connection to the socket at a path. The host is only what it is called in requests."""

    def __init__(self, path: str, host: str, *, timeout: float | None) -> None:
        """`timeout`: how many seconds it may be silent; None: any number."""
        super().__init__(host, timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)
