"""HTTP/1 requests that two programs could read differently, as bytes; and what may come of each.

Sources: RFC 9112 (sections 2.2, 5.2, 6.3, 7.1 and 11.2); "HTTP Desync Attacks" (Kettle, 2019) and "Browser-Powered
Desync Attacks" (2022); "Funky chunks" (2025).
"""

from tests.gate.model import CHAT

HEAD = f"POST {CHAT} HTTP/1.1\r\nHost: a\r\n".encode()
BODY = b"{}"
SIZED = b"Content-Length: 2\r\n\r\n" + BODY
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
CHUNKS = b"2\r\n{}\r\n0\r\n\r\n"
HIDDEN = b"GET /admin HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"
"""A second request, where a reader should see a body."""


def _head(*lines: bytes, body: bytes = b"") -> bytes:
    return HEAD + b"".join(line + b"\r\n" for line in lines) + b"\r\n" + body


def _encoded(spelling: bytes, more: bytes = b"") -> bytes:
    return _head(b"Transfer-Encoding:" + spelling, *([more] if more else []), body=CHUNKS)


REFUSED: dict[str, bytes] = {
    "length and chunked": _head(b"Content-Length: 2", b"Transfer-Encoding: chunked", body=CHUNKS),
    "chunked and length": _encoded(b" chunked", b"Content-Length: 2"),
    "no length and chunked": _head(b"Content-Length: 0", b"Transfer-Encoding: chunked", body=CHUNKS),
    "two lengths": _head(b"Content-Length: 2", b"Content-Length: 3", body=BODY),
    "one length twice": _head(b"Content-Length: 2", b"Content-Length: 2", body=BODY),
    **{
        f"a length of {value!r}": _head(b"Content-Length: " + value, body=BODY)
        for value in (b"2, 2", b"2 2", b"+2", b"-1", b"0x2", b"2.0", b"", b"18446744073709551618", b"2\0", b"\x0b2")
    },
    "a length before a space": _head(b"Content-Length : 2", body=BODY),
    "a length after a space": HEAD + b" " + SIZED,
    **{
        f"an encoding of {value!r}": _encoded(value)
        for value in (
            b" identity",
            b" chunked, identity",
            b" identity, chunked",
            b" gzip, chunked",
            b" chunked, chunked",
            b" chunked,",
            b" xchunked",
            b' "chunked"',
            b" chunked;a=b",
            b" \x0bchunked",
            b" chunked\0",
            b" chunked\xa0",
            b" ch\xc5\xabnked",
            b"",
        )
    },
    "an encoding twice": _encoded(b" chunked", b"Transfer-Encoding: identity"),
    "an encoding twice the other way": _encoded(b" identity", b"Transfer-Encoding: chunked"),
    "an encoding before a space": _head(b"Transfer-Encoding : chunked", body=CHUNKS),
    "an encoding with an underscore": _head(b"Transfer_Encoding: chunked", b"Content-Length: 2", body=BODY),
    "a fold before the first header": HEAD.replace(b"Host", b" X: y\r\nHost", 1) + SIZED,
    "lines that end with CR": (HEAD + SIZED).replace(b"\r\n", b"\r") + b"\r\r",
    "NUL in a value": HEAD + b"X: a\0b\r\n" + SIZED,
    "NUL in a name": HEAD + b"X\0: a\r\n" + SIZED,
    "a line that is no header": HEAD + b"X\r\n" + SIZED,
    "a header without a name": HEAD + b": a\r\n" + SIZED,
    "a name that is none": HEAD + b"X(y): a\r\n" + SIZED,
    "a name with an underscore": HEAD + b"x_cloister_peer: a\r\n" + SIZED,
    **{
        f"a chunk {what}": HEAD + CHUNKED + chunks
        for what, chunks in {
            "of a size that ends with LF": b"2\n{}\r\n0\r\n\r\n",
            "with LF in its extension": b"2;a\n{}\r\n0\r\n\r\n",
            "with CR in its extension": b"2;a\rb\r\n{}\r\n0\r\n\r\n",
            "that ends with LF": b"2\r\n{}\n0\r\n\r\n",
            "that is longer than it says": b"2\r\n{}xx\r\n0\r\n\r\n",
            "that is shorter than it says": b"3\r\n{}\r\n0\r\n\r\n",
            "of size 0x2": b"0x2\r\n{}\r\n0\r\n\r\n",
            "of size +2": b"+2\r\n{}\r\n0\r\n\r\n",
            "of size -2": b"-2\r\n{}\r\n0\r\n\r\n",
            "of a size after a space": b" 2\r\n{}\r\n0\r\n\r\n",
            "without a size": b"\r\n{}\r\n0\r\n\r\n",
            "of more than 64 bits": b"10000000000000002\r\n{}\r\n0\r\n\r\n",
            "that is last and ends with LF": b"2\r\n{}\r\n0\n\n",
        }.items()
    },
    "a second request as the body of a refused one": (
        b"POST /admin HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(HIDDEN) + HIDDEN
    ),
    "a second request after the body of a refused one": b"POST /admin HTTP/1.1\r\nHost: a\r\n" + SIZED + HEAD + SIZED,
    "a second request as the body of a GET": (
        HEAD.replace(b"POST", b"GET") + b"Content-Length: %d\r\n\r\n" % len(HIDDEN) + HIDDEN
    ),
    "HTTP/1.0 and chunked": HEAD.replace(b"1.1", b"1.0") + CHUNKED + CHUNKS,
    "HTTP/1.2": HEAD.replace(b"1.1", b"1.2") + SIZED,
    "HTTP/2.0": HEAD.replace(b"1.1", b"2.0") + SIZED,
    "http/1.1": HEAD.replace(b"HTTP", b"http") + SIZED,
    "HTTP/0.9": f"POST {CHAT}\r\n\r\n".encode(),
    "no host": HEAD.replace(b"Host: a\r\n", b"") + SIZED,
    "a host that is none": HEAD.replace(b": a", b": a/b@c") + SIZED,
    "a method with NUL": HEAD.replace(b"POST", b"PO\0ST") + SIZED,
    "CONNECT to a server": b"CONNECT 127.0.0.1:8000 HTTP/1.1\r\nHost: 127.0.0.1:8000\r\n\r\n",
    "CONNECT to a path": HEAD.replace(b"POST", b"CONNECT") + b"Content-Length: 0\r\n\r\n",
    "another path by an absolute URL": HEAD.replace(CHAT.encode(), b"http://evil/admin") + SIZED,
    "another scheme": HEAD.replace(CHAT.encode(), b"ftp://evil" + CHAT.encode()) + SIZED,
    "HTTP/2 where HTTP/1.1 was agreed on": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0",
}
"""Nothing of these reaches the auditor, and none of what follows on the connection does."""

ONE: dict[str, bytes] = {
    "a plain request": HEAD + SIZED,
    "a length of b'02'": _head(b"Content-Length: 02", body=BODY),
    "Chunked": _encoded(b" Chunked"),
    "CHUNKED": _head(b"TRANSFER-ENCODING: CHUNKED", body=CHUNKS),
    "chunked between spaces": _encoded(b"  chunked "),
    "chunked after a tab": _encoded(b"\tchunked"),
    "chunked on the next line": _encoded(b"\r\n chunked"),
    "a value on two lines": HEAD + b"X: a\r\n b\r\n" + SIZED,
    "a length in a value's second line": HEAD + b"X: a\r\n Content-Length: 50\r\n" + SIZED,
    "lines that end with LF": (HEAD + SIZED).replace(b"\r\n", b"\n"),
    "a line that ends with LF": HEAD + b"X: b\nY: c\r\n" + SIZED,
    "a length after LF": HEAD + b"X: b\nContent-Length: 2\r\n\r\n" + BODY,
    "a last line that ends with LF": HEAD + b"Content-Length: 2\r\n\n" + BODY,
    "CR in a value": HEAD + b"X: b\rY: c\r\n" + SIZED,
    "a length after CR": HEAD + b"X: b\rContent-Length: 50\r\n" + SIZED,
    "CR before the end of a line": HEAD + b"X: b\r\r\n" + SIZED,
    "an extension of a chunk": HEAD + CHUNKED + b"2;a=b\r\n{}\r\n0\r\n\r\n",
    "an extension with half a quotation": HEAD + CHUNKED + b'2;a="\r\n{}\r\n0\r\n\r\n',
    "an extension of 100 KB": HEAD + CHUNKED + b"2;" + b"a" * 100_000 + b"\r\n{}\r\n0\r\n\r\n",
    "a chunk's size before a space": HEAD + CHUNKED + b"2 \r\n{}\r\n0\r\n\r\n",
    "a chunk's size with zeros": HEAD + CHUNKED + b"0000000000000002\r\n{}\r\n0\r\n\r\n",
    "trailers": HEAD + CHUNKED + b"2\r\n{}\r\n0\r\nX-Cloister-Peer: a\r\nContent-Length: 5\r\n\r\n",
    "an empty line first": b"\r\n" + HEAD + SIZED,
    "two spaces after the method": HEAD.replace(b"POST ", b"POST  ") + SIZED,
    "a tab after the method": HEAD.replace(b"POST ", b"POST\t") + SIZED,
    "two hosts": HEAD + b"Host: b\r\n" + SIZED,
    "an upgrade to h2c": HEAD
    + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n"
    + SIZED,
    "an absolute URL": HEAD.replace(CHAT.encode(), b"http://u:p@evil" + CHAT.encode()) + SIZED,
    "a connection header that names the gate's": HEAD + b"Connection: x-cloister-peer, x-cloister-api\r\n" + SIZED,
    "a connection header that names the length": HEAD + b"Connection: content-length\r\n" + SIZED,
    "an expectation": HEAD + b"Expect: 100-continue\r\n" + SIZED,
    "an expectation that is none": HEAD + b"Expect: 200-ok\r\n" + SIZED,
    "codings of transfer": HEAD + b"TE: trailers, chunked\r\n" + SIZED,
}
"""Envoy reads these leniently, but in one way only: the auditor gets one request, written anew and without any of it,
or nothing, should a later Envoy refuse some."""
