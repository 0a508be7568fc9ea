"""/healthz and /readyz on one port, answered by the event loop that does the work: if it hangs, so do they."""

from collections.abc import Callable

from aiohttp import web

from cloister import serving


async def serve(port: int, alive: Callable[[], bool], ready: Callable[[], bool]) -> web.AppRunner:
    """Start answering, by IPv4 and IPv6; the caller cleans the runner up."""

    def route(path: str, question: Callable[[], bool]) -> web.RouteDef:
        return web.get(path, serving.ready(lambda: None if question() else "not ok"))

    return await serving.listen(port, [route("/healthz", alive), route("/readyz", ready)], host=None)
