"""The operator's process: caches first, then watches, then, as the leader, work."""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Awaitable
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import kopf
import structlog
import uvloop
from prometheus_client import start_http_server

from cloister.controller import errors, handlers, health, leader, metrics
from cloister.controller.cluster import Cluster
from cloister.controller.guards import Guards
from cloister.controller.observed import Observed
from cloister.controller.people import People
from cloister.controller.prover import Prover
from cloister.controller.reconcile import Reconciler
from cloister.controller.rulesets import RuleSets
from cloister.controller.settings import Settings
from cloister.controller.surroundings import Surroundings
from cloister.controller.world import World

log = structlog.get_logger(__name__)

_RETRY_SECONDS = 2.0


def run(settings: Settings | None = None) -> int:
    """Run until SIGTERM (0), or until something fails or the lease is lost (1)."""
    settings = settings or Settings()
    _configure_logging(settings)
    try:
        return uvloop.run(_main(settings))
    except KeyboardInterrupt:
        return 0


async def _main(settings: Settings) -> int:
    stopping = asyncio.Event()
    cluster = await Cluster.connect()
    observed = Observed()
    people = People(cluster, observed, settings.trust(_api_server(cluster)), settings.issuer_refresh_seconds)
    rule_sets = RuleSets(cluster, observed)
    surroundings = Surroundings.found(settings.canary_internet)
    prover = Prover(cluster, observed, surroundings, timedelta(seconds=settings.canary_interval_seconds))
    guards = Guards(cluster, observed, settings.guards)
    reconciler = Reconciler(cluster, observed, people, rule_sets, prover, guards, settings.for_rendering())
    world = World(cluster, observed, guards, reconciler)
    people.wakes(world.wake)
    rule_sets.wakes(world.wake)
    metrics_server, metrics_thread = start_http_server(settings.metrics_port)
    tasks: list[asyncio.Task[None]] = []
    probes = await health.serve(
        settings.health_port,
        alive=lambda: all(not task.done() for task in tasks),
        ready=lambda: world.listed and bool(tasks),
    )
    _stop_on_signals(stopping)
    kopf_stop = asyncio.Event()
    try:
        await _unless_stopped(_first_list(world), stopping)
        if stopping.is_set():
            return 0
        watcher = asyncio.create_task(_watch(world, kopf_stop, stopping), name="watches")
        worker = asyncio.create_task(_work(world, settings), name="work")
        stopper = asyncio.create_task(_stop(stopping), name="stop")
        tasks += [watcher, worker]
        done, _ = await asyncio.wait({watcher, worker, stopper}, return_when=asyncio.FIRST_COMPLETED)
        return await _end(done, worker, watcher, stopper, kopf_stop)
    finally:
        await probes.cleanup()
        metrics_server.shutdown()
        metrics_thread.join()
        await people.close()
        await rule_sets.close()
        await cluster.close()


def _api_server(cluster: Cluster) -> tuple[str, ...]:
    """Where the API server is, as the operator itself knows it."""
    host = urlsplit(cluster.api.configuration.host or "").hostname
    return tuple(address for address in (host, os.environ.get("KUBERNETES_SERVICE_HOST")) if address)


async def _end(
    done: set[asyncio.Task[None]],
    worker: asyncio.Task[None],
    watcher: asyncio.Task[None],
    stopper: asyncio.Task[None],
    kopf_stop: asyncio.Event,
) -> int:
    """End in order: work first, then the watches."""
    code = 0 if stopper in done else 1
    for task in done - {stopper}:
        if not task.cancelled() and (error := task.exception()):
            log.error("ended by an error", task=task.get_name(), error=repr(error), exc_info=error)
        else:
            log.error("ended unexpectedly", task=task.get_name())
    stopper.cancel()
    worker.cancel()
    await asyncio.gather(worker, stopper, return_exceptions=True)
    kopf_stop.set()
    await asyncio.gather(watcher, return_exceptions=True)
    asyncio.get_running_loop().set_exception_handler(_closing)
    log.info("stopped", code=code)
    return code


def _closing(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """kopf leaves its watches to the loop, which closes all generators at once: an outer one may find its inner one
    closing already, and that is no error of anybody's. Whatever else goes wrong at the end is told as ever."""
    if "asyncgen" in context:
        log.debug("a watch was closed by the loop", error=repr(context.get("exception")))
    else:
        loop.default_exception_handler(context)


async def _first_list(world: World) -> None:
    """Nothing is reconciled before everything is known: a restarted operator writes nothing that is there already."""
    said = ""
    while True:
        try:
            await world.list_all()
        except errors.ApiError as error:
            if error.message != said:
                said = error.message
                log.warning("waiting for the API server, and for the LLMDeployment CRD", error=said)
            await asyncio.sleep(_RETRY_SECONDS)
        else:
            return


async def _watch(world: World, stop: asyncio.Event, stopping: asyncio.Event) -> None:
    ours = asyncio.all_tasks()
    tasks = await kopf.spawn_tasks(
        registry=handlers.registry(world),
        settings=handlers.settings(),
        clusterwide=True,
        standalone=True,
        # Unused without peering; left out, kopf would look up the user's name, and a container's user has none.
        identity="cloister",  # type: ignore[arg-type] # a str, by a name that kopf does not export
        stop_flag=stop,
    )
    # kopf has just taken the signals for itself; it would end before the work does.
    _stop_on_signals(stopping)
    await kopf.run_tasks(tasks, ignored=ours)


def _stop_on_signals(stopping: asyncio.Event) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)


async def _work(world: World, settings: Settings) -> None:
    async def work() -> None:
        metrics.IS_LEADER.set(1)
        world.leading = True
        # What a watch may have missed while another was leading.
        await _first_list(world)
        world.wake_all()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(world.resync(settings.resync_seconds))
                for _ in range(settings.workers):
                    group.create_task(world.work())
        finally:
            world.leading = False
            metrics.IS_LEADER.set(0)

    if settings.leader_election:
        await leader.lead(world.cluster.api, settings.namespace, work)
    else:
        await work()


async def _stop(stopping: asyncio.Event) -> None:
    await stopping.wait()


async def _unless_stopped(work: Awaitable[None], stopping: asyncio.Event) -> None:
    """Do some work, or give it up when the process is told to stop."""
    doing = asyncio.ensure_future(work)
    stop = asyncio.ensure_future(stopping.wait())
    await asyncio.wait({doing, stop}, return_when=asyncio.FIRST_COMPLETED)
    stop.cancel()
    if doing.done():
        doing.result()
    else:
        doing.cancel()
        await asyncio.gather(doing, return_exceptions=True)


def _configure_logging(settings: Settings) -> None:
    """Structured lines on standard error, ours and the libraries'."""
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if settings.log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            renderer,
        ],
    )
    handler = logging.StreamHandler()
    handler.setFormatter(formatter)
    logging.basicConfig(level=level, handlers=[handler], force=True)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(level),
    )


if __name__ == "__main__":
    sys.exit(run())
