"""The digests that S3 clients send along, verified (Amazon S3 user guide, "Checking object integrity")."""

import base64
import binascii
import hashlib
import re
from collections.abc import Callable, Mapping
from typing import Protocol

from awscrt import checksums

from cloister.auditor.s3.errors import invalid


class Digest(Protocol):
    """A digest that is fed bit by bit."""

    def update(self, data: bytes, /) -> None:
        """Takes more."""

    def digest(self) -> bytes:
        """Of all that it took."""


class _Crc:
    def __init__(self, function: Callable[[bytes, int], int], size: int) -> None:
        self._function, self._size, self._value = function, size, 0

    def update(self, data: bytes, /) -> None:
        self._value = self._function(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(self._size, "big")


def _md5() -> Digest:
    return hashlib.md5(usedforsecurity=False)


def _sha1() -> Digest:
    return hashlib.sha1(usedforsecurity=False)


_ALGORITHMS: Mapping[bytes, Callable[[], Digest]] = {
    b"content-md5": _md5,
    b"x-amz-checksum-crc32": lambda: _Crc(checksums.crc32, 4),
    b"x-amz-checksum-crc32c": lambda: _Crc(checksums.crc32c, 4),
    b"x-amz-checksum-crc64nvme": lambda: _Crc(checksums.crc64nvme, 8),
    b"x-amz-checksum-sha1": _sha1,
    b"x-amz-checksum-sha256": hashlib.sha256,
}
_CONTENT = b"x-amz-content-sha256"
_HEX = re.compile(rb"[0-9a-fA-F]{64}")


class Verifier:
    """Takes a body as it passes, and says at its end whether it is what the caller meant."""

    def __init__(self, headers: Mapping[bytes, bytes]) -> None:
        self._expected: dict[bytes, bytes] = {}
        self._digests: dict[bytes, Digest] = {}
        for name, make in _ALGORITHMS.items():
            if name in headers:
                self._expected[name] = _decoded(headers[name], make().digest())
                self._digests[name] = make()
        content = headers.get(_CONTENT, b"")
        if _HEX.fullmatch(content):  # other values say how the body is signed, which is nobody's business here
            self._expected[_CONTENT] = bytes.fromhex(content.decode())
            self._digests[_CONTENT] = hashlib.sha256()
        for name in headers.get(b"x-amz-trailer", b"").split(b","):
            if name := name.strip().lower():
                if name not in _ALGORITHMS:
                    raise invalid("x-amz-trailer names something else than a checksum.")
                self._digests[name] = _ALGORITHMS[name]()

    def update(self, data: bytes) -> None:
        """Takes more of the body."""
        for digest in self._digests.values():
            digest.update(data)

    def finish(self, trailers: Mapping[bytes, bytes]) -> None:
        """Compares everything that was announced; a Refusal if anything differs or is missing."""
        for name, digest in self._digests.items():
            computed = digest.digest()
            if name in trailers:
                expected = _decoded(trailers[name], computed)
            elif name in self._expected:
                expected = self._expected[name]
            else:
                raise invalid("The checksum that was announced did not come.", "MalformedTrailerError")
            if computed != expected:
                code = "XAmzContentSHA256Mismatch" if name == _CONTENT else "BadDigest"
                raise invalid(f"The body is not what {name.decode()} says.", code)


def _decoded(value: bytes, like: bytes) -> bytes:
    try:
        found = base64.b64decode(value, validate=True)
    except binascii.Error:
        found = b""
    if len(found) != len(like):
        raise invalid("A checksum has another form than its kind.", "InvalidDigest")
    return found
