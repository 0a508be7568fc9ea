"""What the API server may answer instead of what was asked for, as a small hierarchy of exceptions."""

import json
from typing import Any


class ApiError(Exception):
    """The API server refused or failed. The message is its own."""

    def __init__(self, message: str, status: int = 0, details: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.details = details or {}


class NotFoundError(ApiError):
    """There is no such object, or no such namespace."""

    @property
    def missing_namespace(self) -> str | None:
        """The namespace, when it is the namespace that is missing."""
        return str(self.details.get("name")) if self.details.get("kind") == "namespaces" else None


class NotServedError(NotFoundError):
    """There is no such kind: its CRD is not installed."""


class AlreadyExistsError(ApiError):
    """A create found the object there."""


class ConflictError(ApiError):
    """The object has changed since it was read, or is not the one that was meant."""


class ForbiddenError(ApiError):
    """RBAC, an admission policy or a terminating namespace says no."""


class InvalidError(ApiError):
    """The object is not valid, or changes what can't be changed."""


class UnavailableError(ApiError):
    """The API server, or a webhook that it must ask, can't answer now."""


def from_response(status: int, body: bytes, what: str) -> ApiError:
    """The exception for an HTTP answer; ``what`` says what was tried."""
    details: dict[str, Any] = {}
    message, reason = body[:500].decode(errors="replace").strip(), ""
    try:
        answer = json.loads(body)
        message, reason = answer["message"], answer.get("reason", "")
        details = answer.get("details") or {}
    except (ValueError, TypeError, KeyError):
        pass  # a proxy or the plain "404 page not found": the text is all there is
    return _class(status, reason, details)(f"{what}: {message}", status, details)


def _class(status: int, reason: str, details: dict[str, Any]) -> type[ApiError]:
    match status:
        case 404:
            return NotFoundError if details.get("name") else NotServedError
        case 409:
            return AlreadyExistsError if reason == "AlreadyExists" else ConflictError
        case 401 | 403:
            return ForbiddenError
        case 400 | 413 | 422:
            return InvalidError
        case 429 | 500 | 502 | 503 | 504:
            return UnavailableError
        case _:
            return ApiError
