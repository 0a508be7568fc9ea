"""/healthz and /readyz on one port, answered by the event loop that does the work: if it hangs, so do they."""

from collections.abc import Callable

from aiohttp import web


async def serve(port: int, alive: Callable[[], bool], ready: Callable[[], bool]) -> web.AppRunner:
    """Start answering; the caller cleans the runner up."""

    def answer(question: Callable[[], bool]) -> Callable[[web.Request], object]:
        async def handler(_: web.Request) -> web.Response:
            good = question()
            return web.Response(text="ok\n" if good else "not ok\n", status=200 if good else 503)

        return handler

    application = web.Application()
    application.router.add_get("/healthz", answer(alive))  # type: ignore[arg-type]
    application.router.add_get("/readyz", answer(ready))  # type: ignore[arg-type]
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, port=port).start()
    return runner
