"""An identity provider's public side: a real HTTPS server on loopback with a CA of its own, which answers as told."""

from __future__ import annotations

import asyncio
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aiohttp import web

from tests.cluster.pki import Authority
from tests.gate.identities import Provider

METADATA = "/.well-known/openid-configuration"
KEYS = "/keys"


class Issuer:
    """Serves provider metadata and keys; a test may replace the answer of any path."""

    def __init__(self, directory: Path, path: str = "/realms/x") -> None:
        self.provider = Provider()
        self.path = path
        self.asked: list[str] = []
        """Paths, in the order of the requests."""
        self.answers: dict[str, web.Response | bytes | Any] = {}
        """Path -> JSON data, or bytes, or a tuple (status, headers, bytes)."""
        authority = Authority.create("issuer-ca")
        self.ca_bundle, _ = authority.pair.write(directory, "issuer-ca")
        self._pair = authority.issue("issuer", hosts=["localhost", "127.0.0.1"]).write(directory, "issuer")
        self._port = 0

    @property
    def origin(self) -> str:
        """Scheme, host and port."""
        return f"https://localhost:{self._port}"

    @property
    def issuer(self) -> str:
        """The `iss` of its tokens."""
        return self.origin + self.path

    def publish(self, *keys: dict[str, Any]) -> None:
        """From now on these are its keys."""
        self.answers[KEYS] = {"keys": list(keys)}

    def fail(self) -> None:
        """From now on it is out of order."""
        self.answers[KEYS] = (503, {}, b"")

    @contextmanager
    def running(self) -> Iterator[Issuer]:
        """Serve in a thread of its own, until the end of the block."""
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever, daemon=True)
        thread.start()
        runner = asyncio.run_coroutine_threadsafe(self._start(), loop).result(10)
        try:
            self.answers.setdefault(self.path + METADATA, {"issuer": self.issuer, "jwks_uri": self.origin + KEYS})
            self.publish(self.provider.jwk("RSA"), self.provider.jwk("EC"))
            yield self
        finally:
            asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(10)
            loop.call_soon_threadsafe(loop.stop)
            thread.join(10)
            loop.close()

    async def _start(self) -> web.AppRunner:
        application = web.Application()
        application.router.add_get("/{path:.*}", self._answer)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(*self._pair)
        site = web.TCPSite(runner, "127.0.0.1", self._port, ssl_context=context)
        await site.start()
        self._port = runner.addresses[0][1]
        return runner

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request.path)
        answer = self.answers.get(request.path, (404, {}, b"no such page"))
        if answer == "silence":
            await asyncio.sleep(3600)
        if answer == "chunks":
            response = web.StreamResponse()
            await response.prepare(request)
            for _ in range(64):
                if request.transport is None or request.transport.is_closing():
                    break
                await response.write(b" " * 65536)
            return response
        if isinstance(answer, tuple):
            status, headers, body = answer
            return web.Response(status=status, headers=headers, body=body)
        return web.Response(body=answer if isinstance(answer, bytes) else json.dumps(answer).encode())
