"""A request to a store becomes one typed query, or is refused: the list of what there is is closed."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from cloister.auditor.http.messages import Headers, Request
from cloister.auditor.s3 import keys
from cloister.auditor.s3.errors import invalid, not_implemented
from cloister.s3 import OPERATIONS, Level, Operation

_CONDITIONS = (b"if-match", b"if-none-match", b"if-modified-since", b"if-unmodified-since")
_CONTENT = (
    b"content-type",
    b"content-encoding",
    b"cache-control",
    b"content-disposition",
    b"content-language",
    b"expires",
)
PASSED_ON: Mapping[str, tuple[bytes, ...]] = {
    "GetObject": (*_CONDITIONS, b"range", b"x-amz-checksum-mode"),
    "HeadObject": (*_CONDITIONS, b"x-amz-checksum-mode"),
    "PutObject": (*_CONTENT, b"if-match", b"if-none-match"),
    "CreateMultipartUpload": _CONTENT,
    "CompleteMultipartUpload": (b"if-match", b"if-none-match"),
}
"""What the store gets of a caller's headers, by operation; checksums are verified here, and user metadata goes along
with new objects."""
CHECKSUMS = ("crc32", "crc32c", "crc64nvme", "sha1", "sha256")

_WITHOUT_EFFECT = frozenset(
    {
        b"x-amz-date",
        b"x-amz-security-token",
        b"x-amz-user-agent",
        b"x-amz-content-sha256",
        b"x-amz-decoded-content-length",
        b"x-amz-trailer",
        b"x-amz-te",
        b"x-amz-sdk-checksum-algorithm",
        b"x-amz-checksum-algorithm",
        b"x-amz-checksum-type",
        b"x-amz-checksum-mode",
        b"x-amz-mp-object-size",
        *(f"x-amz-checksum-{name}".encode() for name in CHECKSUMS),
    }
)
"""`x-amz-` headers that may come. Any other could change what a query does (copy, ACL, redirect, tags, encryption,
storage class, retention, owner), so it is refused."""
META = b"x-amz-meta-"
_WITH_META = frozenset({"PutObject", "CreateMultipartUpload"})
_RANGE = re.compile(rb"bytes=(?:[0-9]{1,18}-[0-9]{0,18}|-[0-9]{1,18})")

_VALUES: Mapping[str, Callable[[str], object]] = {
    "list-type": re.compile("2").fullmatch,
    "delimiter": re.compile("/?").fullmatch,
    "encoding-type": re.compile("url").fullmatch,
    "fetch-owner": re.compile("true|false").fullmatch,
    "max-keys": re.compile("[0-9]{1,9}").fullmatch,
    "max-parts": re.compile("[0-9]{1,9}").fullmatch,
    "part-number-marker": re.compile("[0-9]{1,9}").fullmatch,
    "partNumber": re.compile("[1-9][0-9]{0,3}|10000").fullmatch,
    "uploadId": re.compile("[A-Za-z0-9._~-]{1,256}").fullmatch,
    "uploads": re.compile("").fullmatch,
    "delete": re.compile("").fullmatch,
    "continuation-token": re.compile("[!-~]{1,4096}").fullmatch,
    "prefix": keys.checked_prefix,
    "start-after": keys.checked_prefix,
    "marker": keys.checked_prefix,
}
_MAY_BE_EMPTY = frozenset({"prefix", "start-after", "marker"})
_BARE = frozenset({"delete", "uploads"})


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked of a store."""

    operation: Operation
    bucket: str
    key: str
    parameters: Mapping[str, str]
    headers: Headers = field(default_factory=list)
    """What the store is told besides."""

    @property
    def name(self) -> str:
        """The operation's."""
        return self.operation.name

    @property
    def prefix(self) -> str:
        """Of a listing."""
        return self.parameters.get("prefix", "")

    def header(self, name: bytes) -> bytes | None:
        """A header that is passed on."""
        return next((value for key, value in self.headers if key == name), None)

    @property
    def target(self) -> str:
        """The request target, in its one form."""
        path = f"/{self.bucket}" + (f"/{keys.escaped(self.key)}" if self.key else "")
        asked = "&".join(
            f"{name}={keys.escaped(value, slashes=False)}" if name not in _BARE else name
            for name, value in self.parameters.items()
        )
        return f"{path}?{asked}" if asked else path


def parse(request: Request) -> Query:
    """The query; a Refusal in S3's words if it is none that there is."""
    bucket, key, raw = keys.split(request.target)
    given = keys.parameters(raw)
    level = Level.OBJECT if key else Level.BUCKET if bucket else Level.SERVICE
    operation = _operation(request.method, level, given)
    if given.pop("x-id", operation.name) != operation.name:
        raise invalid("x-id names another operation.")
    for name, value in given.items():
        if not value and name in _MAY_BE_EMPTY:
            continue
        if _VALUES[name](value) is None:
            raise invalid(f"The parameter {name} has a value that this store does not know.")
    return Query(operation, bucket, key, given, _headers(operation, request.headers))


def _operation(method: str, level: Level, given: Mapping[str, str]) -> Operation:
    """The operation with the most of its own parameters among the given ones."""
    fitting = [
        operation
        for operation in OPERATIONS
        if operation.method == method
        and operation.level is level
        and set(operation.required) <= set(given) <= set(operation.parameters)
    ]
    if not fitting:
        raise not_implemented("This store does not do that.")
    return max(fitting, key=lambda operation: len(operation.required))


def _headers(operation: Operation, given: Mapping[bytes, bytes]) -> Headers:
    for name in given:
        known = name in _WITHOUT_EFFECT or (name.startswith(META) and operation.name in _WITH_META)
        if name.startswith(b"x-amz-") and not known:
            raise not_implemented(f"This store knows no header {name.decode('latin-1')[:64]}.")
    for name in (*_CONDITIONS, b"if-range"):
        if name in given and name not in PASSED_ON.get(operation.name, ()):
            # To leave it out would do what the caller wanted done only under that condition.
            raise not_implemented(f"This store knows no condition {name.decode()} for {operation.name}.")
    passed = [(name, given[name]) for name in PASSED_ON.get(operation.name, ()) if name in given]
    if operation.name in _WITH_META:
        passed += [(name, value) for name, value in given.items() if name.startswith(META)]
        passed = [_without_chunks(*header) for header in passed]
    for name, value in passed:
        if name == b"range" and not _RANGE.fullmatch(value):
            raise invalid("One range of bytes can be asked for, in one form.", "InvalidRange")
    return [(name, value) for name, value in passed if value]


def _without_chunks(name: bytes, value: bytes) -> tuple[bytes, bytes]:
    """`aws-chunked` is how a body travels, and no property of the object."""
    if name != b"content-encoding":
        return name, value
    kept = [part.strip() for part in value.split(b",") if part.strip().lower() != b"aws-chunked"]
    return name, b", ".join(part for part in kept if part)
