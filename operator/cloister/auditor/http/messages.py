"""What the two sides of the proxy hand to each other."""

from dataclasses import dataclass, field

Headers = list[tuple[bytes, bytes]]
"""Names in lower case, in the order of arrival."""

REASONS = {
    200: b"OK",
    201: b"Created",
    204: b"No Content",
    206: b"Partial Content",
    304: b"Not Modified",
    400: b"Bad Request",
    401: b"Unauthorized",
    403: b"Forbidden",
    404: b"Not Found",
    405: b"Method Not Allowed",
    408: b"Request Timeout",
    409: b"Conflict",
    411: b"Length Required",
    412: b"Precondition Failed",
    413: b"Content Too Large",
    415: b"Unsupported Media Type",
    416: b"Range Not Satisfiable",
    429: b"Too Many Requests",
    500: b"Internal Server Error",
    501: b"Not Implemented",
    502: b"Bad Gateway",
    503: b"Service Unavailable",
    504: b"Gateway Timeout",
}


@dataclass(slots=True)
class Request:
    """A request, whole."""

    method: str = ""
    target: str = ""
    """Path, and query if any, as received."""
    headers: dict[bytes, bytes] = field(default_factory=dict)
    """By name in lower case. Only what :data:`cloister.auditor.http.downstream.SINGLE` names may come twice."""
    body: bytes = b""

    def header(self, name: bytes) -> str | None:
        """A header as text."""
        value = self.headers.get(name)
        return None if value is None else value.decode("latin-1")


@dataclass(slots=True)
class Head:
    """The beginning of a reply."""

    status: int
    headers: Headers

    def header(self, name: bytes) -> bytes | None:
        """The first header of this name."""
        for key, value in self.headers:
            if key == name:
                return value
        return None


def head_bytes(status: int, headers: Headers) -> bytes:
    """A reply's head on the wire (RFC 9112, section 4)."""
    lines = [b"HTTP/1.1 %d %s\r\n" % (status, REASONS.get(status, b""))]
    lines += [b"%s: %s\r\n" % header for header in headers]
    lines.append(b"\r\n")
    return b"".join(lines)
