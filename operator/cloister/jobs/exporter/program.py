"""The parts put together: a pipeline for each sink, and one for the serious alerts that the operator is told of."""

import asyncio
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path

import structlog

from cloister import sidecar
from cloister.jobs.exporter.figures import Figures, serve
from cloister.jobs.exporter.keys import Keys
from cloister.jobs.exporter.pipeline import Memory, Pipeline, Source, Wanted
from cloister.jobs.exporter.posting import Form, OtlpForm, Poster, WebhookForm
from cloister.jobs.exporter.serious import Serious
from cloister.jobs.exporter.store import Store
from cloister.jobs.exporter.told import Told
from cloister.kept import KeptFile

EVENTS = "events"
"""Name of the pipeline whose end is the teller."""
_FRESH = 0.8
"""Of the time between two looks, for which a listing is believed: so that all pipelines share it."""

log = structlog.get_logger(__name__)


class _Sink:
    """A sink as the end of a pipeline."""

    def __init__(self, poster: Poster) -> None:
        self._poster = poster

    async def take(self, batch: Sequence[Told], memory: Memory) -> None:
        await self._poster.take(batch)

    def kept(self, memory: Memory) -> None:
        pass


def check(config: sidecar.Exporter) -> None:
    """KeysError where something in the Secret is missing or can't be used."""
    keys = Keys(Path(config.secrets), config.public_key)
    keys.journal()
    keys.trust()
    if "otlp" in config.sinks:
        keys.authorization()
    if "webhook" in config.sinks:
        keys.webhook()


async def run(config: sidecar.Exporter) -> None:
    """Serves until SIGTERM or SIGINT. What a sink was not told by then it is told after the next start."""
    ending = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ending.set)
    figures, keys = Figures(), Keys(Path(config.secrets), config.public_key)
    store = Store(config.upstream, config.bucket, config.writers, Path(config.scratch), _FRESH * config.look_seconds)
    source, types = Source(store, keys), frozenset(config.records)

    def pipeline(name: str, taker: _Sink | Serious, wanted: Wanted) -> Pipeline:
        return Pipeline(name, taker, wanted, source, KeptFile(Path(config.state) / f"{name}.json"), figures)

    pipelines = [
        pipeline(name, _Sink(poster), Wanted(types, config.per_minute))
        for name, poster in _posters(config, keys, figures)
    ]
    pipelines.append(pipeline(EVENTS, Serious(Path(config.told)), Wanted(frozenset({"alert"}), None)))
    runners = await serve(config.health_port, config.metrics_port, figures, lambda: figures.store_error)
    log.info("exporting", deployment=config.deployment, sinks=sorted(config.sinks))
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one.run(config.look_seconds)) for one in pipelines]
            await ending.wait()
            for task in tasks:
                task.cancel()
    finally:
        await store.close()
        for runner in runners:
            await runner.cleanup()


def _posters(config: sidecar.Exporter, keys: Keys, figures: Figures) -> Iterator[tuple[str, Poster]]:
    forms: tuple[Form, ...] = OtlpForm(config.deployment, keys), WebhookForm(config.deployment, keys)
    for form in forms:
        if sink := config.sinks.get(form.name):
            yield form.name, Poster(form, sink, keys, figures)
