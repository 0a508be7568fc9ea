"""What is recorded of one query: that it was let through or refused, and what became of it."""

import random
import time
from collections.abc import Mapping, Sequence
from typing import Any

import structlog

from cloister.auditor.http.messages import Request
from cloister.auditor.recorder import Recorder
from cloister.auditor.refusal import Refusal
from cloister.auditor.s3.errors import code_of, refusal
from cloister.auditor.s3.queries import Query
from cloister.journal import JournalError, timestamp

_log = structlog.get_logger()


class Trail:
    """One exchange with its records. Its methods return when the record is durable, and raise a Refusal if it can't
    be: no record, no answer."""

    def __init__(self, recorder: Recorder, request: Request) -> None:
        self._recorder, self._request = recorder, request
        self.id = f"{random.getrandbits(128):032x}"
        """Also the answer's `x-amz-request-id`."""
        self.peer: str | None = None
        self.query: Query | None = None
        self.asked = False
        """Whether the query is on record as let through."""
        self.moved = 0
        """Bytes of content that went to the caller or to the store."""
        self.status = 0
        """Of the answer, once it is known."""
        self.found: Mapping[str, int] | None = None
        """How many values were masked, by kind."""
        self._began = time.monotonic()

    async def ask(
        self, query: Query, *, size: int | None = None, keys: Sequence[str] = (), masked: Sequence[str] = ()
    ) -> None:
        """It is let through; from here on it ends with :meth:`end`, whatever happens."""
        parameters = query.parameters
        part, asked_range = parameters.get("partNumber"), query.header(b"range")
        record = self._base("query") | {
            "keys": list(keys) or None,
            "prefix": query.prefix if "prefix" in parameters else None,
            "upload": parameters.get("uploadId"),
            "part": int(part) if part else None,
            "range": asked_range.decode("latin-1") if asked_range else None,
            "bytes": size,
            "masked": list(masked) or None,
        }
        self.asked = True
        await self._recorded(record)

    async def end(self, status: int) -> None:
        """It is done, or the store has answered that it can't be."""
        self.status = status
        await self._recorded(self._result("complete" if status < 400 else "failed") | {"status": status})

    async def fail(self, found: Refusal, *, begun: bool) -> None:
        """It was refused, or it failed. ``begun``: when some of the answer had left."""
        if self.asked:
            record = self._result("cut" if begun else "failed")
        else:
            record = self._base("refusal") | {
                "method": self._request.method[:16],
                "path": self._request.target[:1024],
            }
        await self._recorded(record | {"status": found.status, "code": code_of(found), "reason": found.message})

    def leave(self) -> None:
        """The caller is gone; nobody waits for this record."""
        try:
            self._recorder.note(self._result("cancelled") if self.asked else self._base("refusal") | _LEFT)
        except JournalError as error:
            _log.error("not recorded", error=str(error), exchange=self.id)

    def _base(self, kind: str) -> dict[str, Any]:
        record: dict[str, Any] = {"type": kind, "exchange": self.id, "time": timestamp(time.time()), "peer": self.peer}
        if request_id := self._request.header(b"x-request-id"):
            record["request_id"] = request_id[:128]
        if query := self.query:
            record |= {"operation": query.name, "bucket": query.bucket or None, "key": query.key or None}
        return record

    def _result(self, outcome: str) -> dict[str, Any]:
        return {
            "type": "result",
            "exchange": self.id,
            "time": timestamp(time.time()),
            "outcome": outcome,
            "bytes": self.moved,
            "duration_us": int((time.monotonic() - self._began) * 1_000_000),
            "masked": dict(self.found) if self.found else None,
        }

    async def _recorded(self, record: dict[str, Any]) -> None:
        try:
            await self._recorder.record(record)
        except JournalError as error:
            message = "Nothing can be recorded at the moment, so nothing is answered."
            raise refusal(503, "ServiceUnavailable", message) from error


_LEFT = {"status": 400, "code": "RequestTimeout", "reason": "The caller left before its query was read."}
