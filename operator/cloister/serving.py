"""What the kubelet asks a program of ours, and what Prometheus reads from it."""

from collections.abc import Awaitable, Callable, Iterable

from aiohttp import web
from prometheus_client.registry import Collector

from cloister.exposition import CONTENT_TYPE, HOST, Unready, exposed, standing

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def said(reason: str | None) -> web.Response:
    """200, or 503 with the reason why not."""
    status, text = standing(reason)
    return web.Response(status=status, text=text)


async def alive(request: web.Request) -> web.Response:
    """The loop turns."""
    return said(None)


def ready(unready: Unready) -> Handler:
    """Whether it can do its work, and why not."""

    async def answer(request: web.Request) -> web.Response:
        return said(unready())

    return answer


def metrics(collector: Collector) -> Handler:
    """Its figures, in Prometheus' text format; nothing about the process itself."""
    figures = exposed(collector)

    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=figures(), headers={"Content-Type": CONTENT_TYPE})

    return answer


async def listen(port: int, routes: Iterable[web.RouteDef], host: str | None = HOST) -> web.AppRunner:
    """Start answering; the caller cleans the runner up. OSError where the port can't be had."""
    application = web.Application()
    application.add_routes(routes)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, host, port).start()
    return runner
