"""One object over the gate's unix socket, piece by piece; a transfer that breaks is continued where it broke.

Continued by Range (RFC 9110, section 14), under If-Match with the strong ETag of the first reply, so that two versions
of an object are never put together. Whether the whole is what was declared, its digest tells.
"""

import http.client
import re
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from http import HTTPStatus

from cloister.jobs.errors import FetchError
from cloister.jobs.unixhttp import UnixConnection

PIECE = 1 << 20
ATTEMPTS = 8
"""Tries in a row that bring nothing; some two minutes, with the pauses between them."""
_TIMEOUT_SECONDS = 60
_LONGEST_PAUSE = 30.0
_TRANSIENT = {
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.INTERNAL_SERVER_ERROR,
    HTTPStatus.BAD_GATEWAY,
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT,
}
_CONTENT_RANGE = re.compile(r"bytes (\d{1,19})-(\d{1,19})/(\d{1,19})", re.ASCII)

Pause = Callable[[float], None]
Admit = Callable[[int], None]
"""Called with the object's size in bytes before any of it comes, if the store tells it; may refuse by a FetchError."""


class _BrokenError(Exception):
    """It may go better at the next try."""


def download(
    gate: str, path: str, pause: Pause = time.sleep, admit: Admit = lambda _: None
) -> Generator[bytes, None, None]:
    """The object's bytes, in order and without gaps; FetchError once there is no hope. `pause` takes seconds."""
    transfer, failures = _Transfer(gate, path, admit), 0
    while True:
        before = transfer.position
        try:
            yield from transfer.run()
        except (_BrokenError, OSError, http.client.HTTPException) as error:
            failures = 1 if transfer.position > before else failures + 1
            if failures >= ATTEMPTS:
                why = str(error) or type(error).__name__
                raise FetchError("StoreUnreachable", f"{path}: {why}, {failures} times in a row") from error
            pause(min(2.0 ** (failures - 1), _LONGEST_PAUSE))
        else:
            return


class _Transfer:
    """What is known of an object, and how much of it has been handed out."""

    def __init__(self, gate: str, path: str, admit: Admit) -> None:
        self.position = 0
        self._gate = gate
        self._path = path
        self._admit = admit
        self._etag: str | None = None
        self._total: int | None = None

    def run(self) -> Iterator[bytes]:
        """One request: whatever it brings beyond the position."""
        connection = UnixConnection(self._gate, "gate", timeout=_TIMEOUT_SECONDS)
        try:
            connection.request("GET", self._path, headers=self._headers())
            with closing(connection.getresponse()) as response:  # the connection does not always close it
                yield from self._received(response)
            if self._total is not None and self.position < self._total:
                raise _BrokenError(f"the transfer ended {self._total - self.position} bytes too early")
        finally:
            connection.close()

    def _received(self, response: http.client.HTTPResponse) -> Iterator[bytes]:
        skip = self._admitted(response)
        while piece := response.read(PIECE):
            fresh = piece[skip:]
            skip = max(skip - len(piece), 0)
            if fresh:
                self.position += len(fresh)
                yield fresh

    def _headers(self) -> dict[str, str]:
        if not self.position:
            return {"Accept-Encoding": "identity"}
        headers = {"Accept-Encoding": "identity", "Range": f"bytes={self.position}-"}
        return headers | ({"If-Match": self._etag} if self._etag else {})

    def _admitted(self, response: http.client.HTTPResponse) -> int:
        """How many bytes of the body are known already."""
        status = response.status
        if status == HTTPStatus.OK:
            self._same(_strong(response.getheader("ETag")), response.length)
            return self.position
        if status == HTTPStatus.PARTIAL_CONTENT and self.position:
            found = _CONTENT_RANGE.fullmatch(response.getheader("Content-Range", ""))
            if not found or int(found[1]) != self.position:
                raise FetchError("StoreRefused", f"{self._path}: the store answered with another range than asked for")
            self._same(_strong(response.getheader("ETag")), int(found[3]))
            return 0
        if status == HTTPStatus.PRECONDITION_FAILED and self.position:
            raise self._changed()
        message = f"{self._path}: the checkpoints store answered {status} {response.reason}"
        if status in _TRANSIENT:
            raise _BrokenError(message.removeprefix(f"{self._path}: "))
        raise FetchError("ObjectMissing" if status == HTTPStatus.NOT_FOUND else "StoreRefused", message)

    def _same(self, etag: str | None, total: int | None) -> None:
        known = ((etag, self._etag), (total, self._total)) if self.position else ()
        if any(None not in pair and pair[0] != pair[1] for pair in known):
            raise self._changed()
        self._etag, self._total = etag, total
        if total is not None:
            self._admit(total)

    def _changed(self) -> FetchError:
        return FetchError("ObjectChanged", f"{self._path}: it was replaced while it was fetched")


def _strong(etag: str | None) -> str | None:
    """A weak ETag does not say that bytes are the same (RFC 9110, section 8.8.1), and an empty one says nothing."""
    return etag if etag and etag.startswith('"') and etag.strip('"') else None
