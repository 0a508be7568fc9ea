"""Refusals in the words of S3 (Amazon S3 API reference, "Error responses"), so that clients raise their own errors."""

from xml.sax.saxutils import escape

from cloister.auditor.http.messages import Headers
from cloister.auditor.refusal import Refusal

XML: Headers = [(b"content-type", b"application/xml")]

_CODES = {
    400: "InvalidRequest",
    403: "AccessDenied",
    404: "NoSuchKey",
    411: "MissingContentLength",
    412: "PreconditionFailed",
    413: "EntityTooLarge",
    501: "NotImplemented",
    503: "ServiceUnavailable",
}
_KIND = "s3"


def refusal(status: int, code: str, message: str) -> Refusal:
    """A refusal with S3's own code."""
    return Refusal(status, message, kind=_KIND, code=code)


def denied(message: str) -> Refusal:
    """403: the caller has no right to it."""
    return refusal(403, "AccessDenied", message)


def not_implemented(message: str) -> Refusal:
    """501: no store of this kind does that, for anybody."""
    return refusal(501, "NotImplemented", message)


def invalid(message: str, code: str = "InvalidArgument") -> Refusal:
    """400: the request itself is wrong."""
    return refusal(400, code, message)


def slow_down(message: str, seconds: int) -> Refusal:
    """503 in the words after which clients ask again by themselves; those that heed it, after as many seconds."""
    return Refusal(503, message, kind=_KIND, code="SlowDown", headers=(("retry-after", str(seconds)),))


def no_such_key() -> Refusal:
    """404, as for any object that is not there."""
    return refusal(404, "NoSuchKey", "The specified key does not exist.")


def code_of(found: Refusal) -> str:
    """S3's code for any refusal, of those parts of the auditor too that know nothing of S3."""
    return found.code if found.kind == _KIND else _CODES.get(found.status, "InternalError")


def document(found: Refusal, request_id: str) -> bytes:
    """The body of the answer."""
    fields = {"Code": code_of(found), "Message": found.message, "RequestId": request_id}
    inner = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in fields.items())
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<Error>{inner}</Error>'.encode()
