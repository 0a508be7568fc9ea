"""The parts put together: what listens, what ticks, and how it all ends."""

import asyncio
import os
import secrets
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from cloister import __version__, sidecar
from cloister.auditor.health import Pages, health, metrics
from cloister.auditor.http.downstream import IDLE_SECONDS, REQUEST_SECONDS, Downstream
from cloister.auditor.http.upstream import Pool, UpstreamError
from cloister.auditor.recorder import Recorder
from cloister.auditor.shipping import Shipper
from cloister.auditor.stats import Stats
from cloister.exposition import HOST
from cloister.journal import SCHEMA_VERSION, JournalWriter, encode, timestamp
from cloister.sealing import parse_public

if TYPE_CHECKING:
    from cloister.auditor.inference import Inference
    from cloister.auditor.stores import Stores

DRAIN_SECONDS = 15
"""How long requests under way may take once the pod is told to end."""
CUT_SECONDS = 5
"""How long what is cut then may take to be recorded."""
TICK_SECONDS = 1.0

_log = structlog.get_logger()


async def run(config: sidecar.Auditor) -> None:
    """Serves until SIGTERM or SIGINT."""
    ending, listening = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ending.set)
    stats = Stats()
    content_key = secrets.token_bytes(32)
    writer = JournalWriter(
        Path(config.journal.directory),
        identity=config.identity,
        recipients=[parse_public(text) for text in config.journal.recipients],
        opening=lambda incident: _opening(config, content_key, stats, incident),
    )
    writer.append(())
    recorder = Recorder(writer)
    connections: set[Downstream] = set()
    asking: set[Downstream] = set()  # how this program is, and answered to the end
    shipper = Shipper(config.journal, stats)
    address = config.upstream.address if config.upstream else config.s3_upstream
    pool = Pool(address) if address else None
    inference = _inference(config, recorder, pool, stats, content_key)
    bucket = asyncio.Event()

    def unready() -> str | None:
        if ending.is_set():
            return "it is ending"
        if not listening.is_set():
            return "it is not listening yet"
        if recorder.error:
            return f"nothing can be recorded: {recorder.error}"
        if not bucket.is_set():
            return "the store is not there yet"
        return inference.unready() if inference else None

    with ExitStack() as stack:
        await _serve(health(unready, pool, config.upstream), config.health_port, asking, stack)
        figures = metrics(recorder, stats, inference.watch if inference else None)
        await _serve(figures, config.metrics_port, asking, stack)
        tasks = [
            asyncio.create_task(shipper.run()),
            asyncio.create_task(_tick(lambda: _sweep(connections | asking, pool, recorder, inference))),
        ]
        servers: list[asyncio.Server] = []
        if pool and config.serves_s3:
            servers.append(await _listen_s3(config, _stores(config, recorder, pool, stats).connection(connections)))
        elif inference and config.listen:
            servers.append(await _listen(Path(config.listen), inference.connection(connections)))
        if pool and config.upstream and config.upstream.kind == "s3":
            tasks.append(asyncio.create_task(_await_buckets(config, pool, bucket)))
        else:
            bucket.set()
        listening.set()
        _log.info("serving", deployment=config.deployment, component=config.component)
        await ending.wait()
        _log.info("ending", under_way=sum(connection.busy for connection in connections))
        for server in servers:
            server.close()
        await _drain(connections)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await _end(config, recorder, shipper, inference)
        if pool:
            pool.close()


async def _end(config: sidecar.Auditor, recorder: Recorder, shipper: Shipper, inference: "Inference | None") -> None:
    """Keeps and ships what there is."""
    if inference:
        inference.close()
    recorder.note({"type": "stop", "time": timestamp(time.time())})
    await recorder.close()
    shipped = await shipper.last(config.journal.last_shipping_seconds)
    _log.info("ended", everything_shipped=shipped)


async def _serve(pages: Pages, port: int, asking: set[Downstream], stack: ExitStack) -> None:
    """For the kubelet, or Prometheus, until the stack is unwound."""
    server = await asyncio.get_running_loop().create_server(lambda: Downstream(pages, asking), HOST, port)
    stack.callback(_end_serving, server, asking)


def _end_serving(server: asyncio.Server, asking: set[Downstream]) -> None:
    server.close()
    for connection in list(asking):
        connection.abort()


async def _listen(path: Path, connection: Callable[[], Downstream]) -> asyncio.Server:
    """On the socket that the gate knows, for its user and the sockets' group."""
    _forget(path)
    before = os.umask(0o117)
    try:
        server = await asyncio.get_running_loop().create_unix_server(connection, str(path), backlog=1024)
    finally:
        os.umask(before)
    # An fsGroup makes the directory setgid, and so the socket that of every container in the pod.
    os.chown(path, -1, os.getgid())
    return server


async def _listen_s3(config: sidecar.Auditor, connection: Callable[[], Downstream]) -> asyncio.Server:
    """For the gate; in training pods, for the program beside, on loopback."""
    if config.listen:
        return await _listen(Path(config.listen), connection)
    assert config.s3_listen
    host, port = config.s3_listen.rsplit(":", 1)
    return await asyncio.get_running_loop().create_server(connection, host, int(port), backlog=1024)


async def _await_buckets(config: sidecar.Auditor, pool: Pool, there: asyncio.Event) -> None:
    """The store may start later than this program."""
    for bucket in config.buckets:
        while not await _serves(pool, bucket):  # noqa: ASYNC110 - there is no event for that
            await asyncio.sleep(TICK_SECONDS)
    there.set()


async def _serves(pool: Pool, bucket: sidecar.Bucket) -> bool:
    try:
        connection = await pool.acquire()
        try:
            head = f"HEAD /{bucket.name} HTTP/1.1\r\nhost: localhost\r\n\r\n"
            return (await connection.send(head.encode(), b"", head_only=True)).status == 200
        finally:
            connection.release()
    except UpstreamError:
        return False


def _forget(path: Path) -> None:
    """Of a process that was killed, the socket is still there."""
    path.unlink(missing_ok=True)


async def _tick(work: Callable[[], None]) -> None:
    while True:
        await asyncio.sleep(TICK_SECONDS)
        try:
            work()
        except Exception as fault:  # noqa: BLE001 - revocations, saving and timeouts must not end with it
            _log.error("a round of upkeep failed by a fault of this program", exc_info=fault)


def _inference(
    config: sidecar.Auditor, recorder: Recorder, pool: Pool | None, stats: Stats, content_key: bytes
) -> "Inference | None":
    if not pool or config.serves_s3:
        return None
    from cloister.auditor.inference import Inference  # noqa: PLC0415  (brings what stores and training never need)

    return Inference(config, recorder, pool, stats, content_key)


def _stores(config: sidecar.Auditor, recorder: Recorder, pool: Pool, stats: Stats) -> "Stores":
    from cloister.auditor.stores import Stores  # noqa: PLC0415  (brings what a model server's auditor never needs)

    return Stores(config, recorder, pool, stats)


def _sweep(
    connections: set[Downstream],
    pool: Pool | None,
    recorder: Recorder,
    inference: "Inference | None",
) -> None:
    recorder.tick()
    if inference:
        inference.tick()
    if pool:
        pool.sweep()
    now = asyncio.get_running_loop().time()
    for connection in list(connections):
        if not connection.busy and now - connection.since > (REQUEST_SECONDS if connection.reading else IDLE_SECONDS):
            connection.abort()


async def _drain(connections: set[Downstream]) -> None:
    """Lets requests under way finish, and ends connections that have none."""
    if under_way := [connection.task for connection in connections if connection.task]:
        await asyncio.wait(under_way, timeout=DRAIN_SECONDS)
    cut = [connection.task for connection in connections if connection.task]
    for connection in list(connections):
        connection.abort()
    if cut:
        # Each still says in the journal how it ended.
        await asyncio.wait(cut, timeout=CUT_SECONDS)


def _opening(config: sidecar.Auditor, content_key: bytes, stats: Stats, incident: str | None) -> Iterator[bytes]:
    """The records with which this process begins, and any stream that it has to begin anew."""
    yield encode(_start_record(config, content_key, incident))
    if incident:
        _log.error("a new stream of the journal begins", why=incident)
        stats.alerts["journal", "critical"] += 1
        message = f"The stream of the journal before this one was given up, and is left as it is: {incident}"
        alert = {"type": "alert", "code": "journal.begun-anew", "severity": "critical", "message": message}
        yield encode({"time": timestamp(time.time()), **alert})


def _start_record(config: sidecar.Auditor, content_key: bytes, incident: str | None) -> dict[str, object]:
    return {
        "type": "start",
        "time": timestamp(time.time()),
        "cloister.schema": SCHEMA_VERSION,
        "cloister.version": __version__,
        "cloister.deployment": config.deployment,
        "cloister.component": config.component,
        "cloister.identity": config.identity,
        "cloister.content": config.journal.content,
        "cloister.content_key": content_key.hex() if config.journal.content == "Hash" else None,
        "cloister.recipients": [parse_public(text).key_id for text in config.journal.recipients],
        "cloister.incident": incident,
    }
