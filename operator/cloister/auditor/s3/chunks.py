"""`aws-chunked` bodies (Amazon S3 API reference, "Signature calculations for chunked uploads").

`<hex size>[;chunk-signature=...]\\r\\n<data>\\r\\n`, again and again, then `0[;...]\\r\\n`, trailers as header lines,
and an empty line. Signatures are not looked at: who calls is known by certificate, or is the pod itself.
"""

import re

from cloister.auditor.s3.errors import invalid

MAX_LINE = 512
MAX_TRAILERS = 8
_SIZE = re.compile(rb"([0-9a-fA-F]{1,15})(?:;chunk-signature=[0-9a-f]{64})?")
_TRAILER = re.compile(rb"([!-9;-~]+):[ \t]*([!-~]*)[ \t]*")


def is_chunked(headers: dict[bytes, bytes]) -> bool:
    """Whether a body travels so."""
    content = headers.get(b"x-amz-content-sha256", b"")
    encoded = b"aws-chunked" in [part.strip().lower() for part in headers.get(b"content-encoding", b"").split(b",")]
    return content.startswith(b"STREAMING-") or encoded


class Dechunker:
    """Takes the bytes as they come, and gives the data in them."""

    def __init__(self) -> None:
        self._line = b""
        self._left = 0
        self._state = self._size
        self.trailers: dict[bytes, bytes] = {}
        self.ended = False

    def feed(self, data: bytes) -> bytes:
        """The data in the next bytes."""
        found: list[bytes] = []
        at = 0
        while at < len(data):
            if self.ended:
                raise _malformed()
            if self._left:
                piece = data[at : at + self._left]
                found.append(piece)
                self._left -= len(piece)
                at += len(piece)
                continue
            end = data.find(b"\n", at)
            until = len(data) if end < 0 else end + 1
            self._line += data[at:until]
            at = until
            if len(self._line) > MAX_LINE:
                raise _malformed()
            if end >= 0:
                if not self._line.endswith(b"\r\n"):
                    raise _malformed()
                line, self._line = self._line[:-2], b""
                self._state(line)
        return found[0] if len(found) == 1 else b"".join(found)

    def _size(self, line: bytes) -> None:
        match = _SIZE.fullmatch(line)
        if not match:
            raise _malformed()
        self._left = int(match[1], 16)
        self._state = self._after_data if self._left else self._trailer

    def _after_data(self, line: bytes) -> None:
        if line:
            raise _malformed()
        self._state = self._size

    def _trailer(self, line: bytes) -> None:
        if not line:
            self.ended = True
            return
        match = _TRAILER.fullmatch(line)
        name = match[1].lower() if match else b""
        if not match or name in self.trailers or len(self.trailers) == MAX_TRAILERS:
            raise _malformed()
        self.trailers[name] = match[2]


def _malformed() -> Exception:
    return invalid("The body is not in the form of aws-chunked.", "IncompleteBody")
