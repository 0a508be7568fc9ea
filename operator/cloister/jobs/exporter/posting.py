"""Batches to a sink: at its declared addresses, over TLS that proves its host, again and again until it has them."""

import asyncio
import random
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import aiohttp
import orjson
import structlog
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from cloister import sidecar
from cloister.jobs.exporter import batches
from cloister.jobs.exporter.figures import Figures
from cloister.jobs.exporter.keys import Keys, KeysError
from cloister.jobs.exporter.told import Told
from cloister.sidecar import SinkName

BATCH = 200
"""Records of one request; each is at most some kilobytes."""
RETRY_SECONDS = (1.0, 60.0)
"""First and longest pause after a failure; doubled in between, and jittered."""
LONGEST_WAIT = 600.0
"""However long a sink asks to be left alone."""
ANSWER_SECONDS = 30.0
MAX_ANSWER = 1 << 16
_NOT_HAVING_IT = (400, 413, 422)
"""The batch itself is refused, and would be again. Everything else may end, a wrong credential too."""
_TOO_LARGE = 413
"""Of several records: half of them may be taken."""

log = structlog.get_logger(__name__)


class _RefusedError(Exception):
    """The attempt failed; ``wait`` is what the sink asks for, in seconds."""

    def __init__(self, message: str, wait: float = 0.0) -> None:
        super().__init__(message)
        self.wait = wait


class _TooLargeError(Exception):
    """It is more than the sink takes at a time."""


@dataclass(frozen=True, slots=True)
class Request:
    """One POST."""

    body: bytes
    headers: dict[str, str]


class Form(Protocol):
    """How one kind of sink is spoken to."""

    name: SinkName

    def request(self, batch: Sequence[Told]) -> Request:
        """Made anew for each attempt. KeysError."""

    def rejected(self, answer: bytes) -> int:
        """How many records a sink that has taken a batch would not have."""


class OtlpForm:
    """OTLP/HTTP."""

    name: SinkName = "otlp"

    def __init__(self, deployment: str, keys: Keys) -> None:
        self._deployment, self._keys = deployment, keys

    def request(self, batch: Sequence[Told]) -> Request:
        """With the header that the user has given for it."""
        authorization = self._keys.authorization()
        headers = {"Authorization": authorization} if authorization else {}
        return Request(batches.otlp(self._deployment, batch, time.time()), headers)

    def rejected(self, answer: bytes) -> int:
        """A partial success (section "Partial Success"): what is rejected must not be sent again."""
        try:
            found: Any = orjson.loads(answer)
            return max(0, int((found.get("partialSuccess") or {}).get("rejectedLogRecords", 0)))
        except (ValueError, TypeError, AttributeError):
            return 0


class WebhookForm:
    """Standard Webhooks."""

    name: SinkName = "webhook"

    def __init__(self, deployment: str, keys: Keys) -> None:
        self._deployment, self._keys = deployment, keys

    def request(self, batch: Sequence[Told]) -> Request:
        """Signed with each secret of the user's."""
        body = batches.webhook(self._deployment, batch)
        return Request(body, batches.signed(batches.identifier(batch), int(time.time()), body, self._keys.webhook()))

    def rejected(self, answer: bytes) -> int:
        """All or nothing."""
        return 0


class Poster:
    """Tells one sink."""

    def __init__(self, form: Form, sink: sidecar.Sink, keys: Keys, figures: Figures) -> None:
        self._form, self._sink, self._keys, self._figures = form, sink, keys, figures
        self._failing = False

    async def take(self, batch: Sequence[Told]) -> None:
        """Returns when the sink has all of it, or has said that it will never have it."""
        for begin in range(0, len(batch), BATCH):
            await self._told(batch[begin : begin + BATCH])

    async def _told(self, batch: Sequence[Told]) -> None:
        pause = RETRY_SECONDS[0]
        while True:
            try:
                rejected = await self._post(batch)
            except _TooLargeError:
                for part in (batch[: len(batch) // 2], batch[len(batch) // 2 :]):
                    await self._told(part)
                return
            except (aiohttp.ClientError, TimeoutError, OSError, KeysError, _RefusedError) as error:
                self._figures.failures[self._form.name] += 1
                if not self._failing:
                    log.warning("a sink can't be told; it is tried again", sink=self._form.name, why=_short(error))
                self._failing = True
                asked = min(getattr(error, "wait", 0.0), LONGEST_WAIT)
                await asyncio.sleep(max(asked, pause * random.uniform(0.5, 1.0)))  # noqa: S311 - no secret
                pause = min(2 * pause, RETRY_SECONDS[1])
                continue
            if self._failing:
                log.info("a sink can be told again", sink=self._form.name)
            self._failing = False
            self._figures.rejected[self._form.name] += rejected
            for one in batch if rejected < len(batch) else ():
                self._figures.records[self._form.name, one.type] += 1
            return

    async def _post(self, batch: Sequence[Told]) -> int:
        """How many of the batch it would not have."""
        request = self._form.request(batch)
        # A connection of its own each time: batches are rare, and so what the user has put into the Secret holds.
        connector = aiohttp.TCPConnector(ssl=await asyncio.to_thread(self._keys.trust), resolver=_Declared(self._sink))
        async with (
            asyncio.timeout(ANSWER_SECONDS),
            aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as session,
            session.post(
                URL(self._sink.url, encoded=True),
                data=request.body,
                headers={"Content-Type": "application/json", "User-Agent": "cloister-exporter", **request.headers},
                allow_redirects=False,
            ) as answer,
        ):
            if answer.status == _TOO_LARGE and len(batch) > 1:
                raise _TooLargeError
            if answer.status in _NOT_HAVING_IT:
                log.error("a sink would not have a batch", sink=self._form.name, status=answer.status)
                return len(batch)
            if not 200 <= answer.status <= 299:
                raise _RefusedError(f"it answers {answer.status}", _wait(answer.headers.get("Retry-After", "")))
            return min(len(batch), self._form.rejected(await answer.content.read(MAX_ANSWER)))


class _Declared(AbstractResolver):
    """Nobody is asked where a host is: the resource says it."""

    def __init__(self, sink: sidecar.Sink) -> None:
        self._addresses = sink.addresses

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Every declared address; a connection is tried to one after the other."""
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for address in self._addresses
        ]

    async def close(self) -> None:
        """Nothing is held."""


def _wait(text: str) -> float:
    """Seconds of Retry-After (RFC 9110, section 10.2.3); a date is taken for none."""
    return float(text) if text.isascii() and text.isdigit() and len(text) < 9 else 0.0


def _short(error: BaseException) -> str:
    """What a sink says is not repeated: the log is nobody's to write into."""
    return (
        f"{type(error).__name__}: {error}"[:200]
        if isinstance(error, (KeysError, _RefusedError, OSError))
        else type(error).__name__
    )
