"""Queries as the store gets them, answers as callers get them, and bodies read and verified."""

from collections.abc import AsyncIterator, Mapping

from cloister.auditor.http.messages import Head, Headers, Request
from cloister.auditor.http.streamed import Body
from cloister.auditor.http.upstream import Connection, UpstreamError
from cloister.auditor.s3.checksums import Verifier
from cloister.auditor.s3.chunks import Dechunker, is_chunked
from cloister.auditor.s3.errors import invalid, refusal
from cloister.auditor.s3.queries import META, Query

MAX_ANSWER_BYTES = 8 << 20
"""Of what is read as a whole: lists, errors and acknowledgements."""
_BACK = frozenset(
    {
        b"accept-ranges",
        b"cache-control",
        b"content-disposition",
        b"content-encoding",
        b"content-language",
        b"content-range",
        b"content-type",
        b"etag",
        b"expires",
        b"last-modified",
        b"retry-after",
    }
)
_NOT_OF_NEW = (b"if-match", b"if-none-match", b"x-amz-meta-mtime")
"""What a writer of new objects may not say: its own conditions, and a time, by which the object's retention counts."""
_BACK_PREFIXES = (META, b"x-amz-checksum-")


def head(query: Query, length: int | None, *, new_only: bool = False, more: Headers | None = None) -> bytes:
    """The head of a query. ``length``: of the body that follows, None where an operation has none."""
    headers = [header for header in query.headers if not (new_only and header[0] in _NOT_OF_NEW)]
    if new_only:
        headers.append((b"if-none-match", b"*"))
    if length is not None:
        headers.append((b"content-length", b"%d" % length))
    lines = [f"{query.operation.method} {query.target} HTTP/1.1\r\nhost: localhost\r\n".encode()]
    lines += [b"%s: %s\r\n" % header for header in [*headers, *(more or [])]]
    lines.append(b"\r\n")
    return b"".join(lines)


def back(found: Head, request_id: str) -> Headers:
    """What the caller gets of an answer's headers."""
    # A store that was started anew knows no ETag of what it has. An empty one would name all versions of all objects.
    headers = [
        (name, value)
        for name, value in found.headers
        if (name in _BACK or name.startswith(_BACK_PREFIXES)) and (name != b"etag" or value.strip(b'"'))
    ]
    return [*headers, (b"x-amz-request-id", request_id.encode())]


def length_of(found: Head) -> int | None:
    """The announced length of an answer's body."""
    value = found.header(b"content-length")
    return int(value) if value is not None and value.isdigit() else None


async def whole(connection: Connection) -> bytes:
    """An answer's body, where it is a document."""
    parts, size, ended = [], 0, False
    while not ended:
        data, ended = await connection.read()
        parts.append(data)
        size += len(data)
        if size > MAX_ANSWER_BYTES:
            raise UpstreamError("its answer is too large")
    return b"".join(parts)


class Incoming:
    """The body of a request: taken out of its chunks, and verified at its end."""

    def __init__(self, request: Request, body: Body) -> None:
        headers = request.headers
        self._body = body
        self._chunks = Dechunker() if is_chunked(headers) else None
        self._verifier = Verifier(headers)
        self.length = _length(headers, chunked=self._chunks is not None)
        """Of the data in it."""

    async def pieces(self) -> AsyncIterator[tuple[bytes, bool]]:
        """The data, and with the last piece, which may be empty, that all of it is as the caller meant it. Until then
        nothing that counts may be done with it."""
        size, held = 0, b""
        while data := await self._body.read():
            data = self._chunks.feed(data) if self._chunks else data
            if not data:
                continue
            size += len(data)
            if size > self.length:
                raise _incomplete()
            self._verifier.update(data)
            if held:
                yield held, False
            held = data
        if size != self.length or (self._chunks and not self._chunks.ended):
            raise _incomplete()
        self._verifier.finish(self._chunks.trailers if self._chunks else {})
        yield held, True

    async def document(self, limit: int) -> bytes:
        """All of it."""
        if self.length > limit:
            raise invalid(f"The document is larger than {limit} bytes.", "MaxMessageLengthExceeded")
        return b"".join([data async for data, _ in self.pieces()])


def no_body(request: Request) -> None:
    """A Refusal if a request has a body that its operation does not have."""
    if b"transfer-encoding" in request.headers or int(request.headers.get(b"content-length", b"0")):
        raise invalid("This operation has no body.", "InvalidRequest")


def _length(headers: Mapping[bytes, bytes], *, chunked: bool) -> int:
    if b"transfer-encoding" in headers and not chunked:
        raise refusal(411, "MissingContentLength", "The length of the body must be announced.")
    name = b"x-amz-decoded-content-length" if chunked else b"content-length"
    value = headers.get(name, b"" if chunked else b"0")
    if not value.isdigit() or len(value) > 15:
        raise refusal(411, "MissingContentLength", f"{name.decode()} must say how long the body is.")
    return int(value)


def _incomplete() -> Exception:
    return invalid("The body is not as long as was announced.", "IncompleteBody")
