"""A refusal: what the caller is told, in the shape of the API that it speaks, and what the record says."""

from typing import Self

import orjson


class Refusal(Exception):  # noqa: N818 - it is no fault of the program
    """An answer that is no. Its text helps an honest caller; it repeats no value that was sent."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str = "invalid_request_error",
        code: str,
        param: str | None = None,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.kind, self.code, self.param = status, message, kind, code, param
        self.headers = headers

    @classmethod
    def invalid(cls, message: str, *, code: str, param: str | None = None) -> Self:
        """400: the request itself is wrong."""
        return cls(400, message, code=code, param=param)

    @classmethod
    def unavailable(cls, message: str, *, code: str) -> Self:
        """503: it may be asked again later."""
        return cls(503, message, kind="server_error", code=code, headers=(("retry-after", "1"),))

    @classmethod
    def upstream(cls, message: str, *, code: str) -> Self:
        """502: the model server did not answer as it should."""
        return cls(502, message, kind="server_error", code=code)

    def body(self) -> bytes:
        """The JSON of an error (OpenAI API reference, "Error codes")."""
        error = {"message": self.message, "type": self.kind, "param": self.param, "code": self.code}
        return orjson.dumps({"error": error})
