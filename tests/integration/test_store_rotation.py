"""Rotation under fire: real rclone and the real keeper, killed at random points while clients go on writing."""

import contextlib
import http.client
import os
import random
import re
import signal
import threading
import time
from collections.abc import Iterator

import pytest

from cloister.zones import Component
from tests.store.pod import Pod, pod
from tests.store.running import Mounted, Reply, key, mounted_store, until

BUCKET = f"/{Component.CHECKPOINTS}"
KILLS = 50
SEED = 20260


@pytest.fixture
def mounted() -> Iterator[Mounted]:
    """Volumes of a store."""
    with mounted_store(Component.CHECKPOINTS) as volumes:
        yield volumes


@pytest.fixture
def running(mounted: Mounted) -> Iterator[Pod]:
    """Its pod."""
    with pod(mounted) as found:
        yield found


class Client(threading.Thread):
    """Puts, overwrites and deletes keys of its own, each until it is acknowledged, as S3 clients do."""

    def __init__(self, running: Pod, number: int, over: threading.Event) -> None:
        super().__init__(daemon=True)
        self._pod, self._over = running, over
        self._random = random.Random(SEED + number)
        self._prefix = f"{BUCKET}/client-{number}"
        self.expected: dict[str, bytes] = {}
        self.keys = [f"{self._prefix}/{name // 5}/{name}" for name in range(20)]
        self.fault = ""

    def run(self) -> None:
        """Until the test is over."""
        try:
            while not self._over.is_set():
                self._step()
        except AssertionError as error:
            self.fault = str(error)

    def _step(self) -> None:
        name = self._random.choice(self.keys)
        if name in self.expected and self._random.random() < 0.4:
            insist(self._pod, "DELETE", name, (204,))
            del self.expected[name]
        else:
            body = self._random.randbytes(self._random.choice([0, 10, 5000, 200_000]))
            insist(self._pod, "PUT", name, (200,), body)
            self.expected[name] = body
        name = self._random.choice(self.keys)
        reply = insist(self._pod, "GET", name, (200, 404))
        found = reply.body if reply.status == 200 else None
        assert found == self.expected.get(name), f"{name}: {reply.status}, {len(reply.body)} bytes"


def insist(running: Pod, method: str, target: str, wanted: tuple[int, ...], body: bytes | None = None) -> Reply:
    """Ask until there is an answer that is not the server's failure."""
    end = time.monotonic() + 60
    while True:
        with contextlib.suppress(OSError, http.client.HTTPException):
            reply = running.store.ask(method, target, body=body)
            if reply.status in wanted:
                return reply
            assert reply.status >= 500, f"{method} {target}: {reply.status} {reply.body!r}"
        assert time.monotonic() < end, f"{method} {target}: never answered"
        time.sleep(0.02)


def listed(running: Pod) -> set[str]:
    """Every key in the bucket."""
    found: set[str] = set()
    after = ""
    while True:
        body = insist(running, "GET", f"{BUCKET}?list-type=2&start-after={after}", (200,)).body.decode()
        page = re.findall("<Key>([^<]*)</Key>", body)
        found.update(f"{BUCKET}/{name}" for name in page)
        if "<IsTruncated>true" not in body:
            return found
        after = page[-1]


def turn_on(running: Pod) -> None:
    """What the operator does when nothing lies under old keys: destroys them, and makes the next."""
    keys = running.mounted.keys
    if keys.old:
        report = running.report()
        if report is None or report.current != keys.current or set(report.emptied) != set(keys.old):
            return
        running.mounted.turn(keys.without(frozenset(report.emptied)))
    else:
        running.mounted.turn(keys.with_new(key(keys.current + 1)))


def test_nothing_is_lost_however_often_it_is_killed(running: Pod) -> None:
    chance, over = random.Random(SEED), threading.Event()
    still = {f"{BUCKET}/still/{name % 7}/{name}.txt": b"%d" % name * 100 for name in range(150)}
    for name, body in still.items():
        insist(running, "PUT", name, (200,), body)
    clients = [Client(running, number, over) for number in range(3)]
    for client in clients:
        client.start()
    for _ in range(KILLS):
        turn_on(running)
        time.sleep(chance.uniform(0.02, 1.2))  # where it is killed is the point of the test
        chance.choice([running.kill_keeper, running.kill_keeper, running.kill_store])()
        name = chance.choice(list(still))
        assert insist(running, "GET", name, (200,)).body == still[name]
    over.set()
    for client in clients:
        client.join()
        assert not client.fault
    end = time.monotonic() + 120
    while len(running.mounted.keys.keys) > 1:
        turn_on(running)
        time.sleep(0.1)
        assert time.monotonic() < end, running.log()[-3000:]
    current = running.mounted.keys.current
    assert current >= 2
    assert "object not moved" not in running.log()  # only ever interrupted, never refused
    expected = dict(still)
    for client in clients:
        expected |= client.expected
    for name, body in expected.items():
        assert insist(running, "GET", name, (200,)).body == body
    assert listed(running) == set(expected)
    files = [path.relative_to(running.mounted.data) for path in running.mounted.data.rglob("*") if path.is_file()]
    assert {path.parts[0] for path in files} == {str(current)}


def test_a_key_turns_within_the_same_container(running: Pod) -> None:
    """The kubelet would let a container that ends twice wait before it starts it again."""
    insist(running, "PUT", f"{BUCKET}/a", (200,), b"a")
    assert running.store.process
    container, first = running.store.process.pid, running.store.pid
    turn_on(running)
    until(lambda: bool(running.report()), "the old key's end")
    turn_on(running)
    assert len(running.mounted.keys.keys) == 1
    until(lambda: running.store.answers() and running.store.pid != first, "a server that has the new key alone")
    assert insist(running, "GET", f"{BUCKET}/a", (200,)).body == b"a"
    assert running.store.process.pid == container
    assert not running.store.ended()


def test_a_store_that_is_told_to_end_ends(mounted: Mounted) -> None:
    with pod(mounted) as running:
        process = running.store.process
        assert process
    assert process.returncode == 0


def test_a_store_that_fails_is_started_again_by_the_kubelet(running: Pod) -> None:
    process = running.store.process
    assert process
    os.kill(running.store.pid, signal.SIGKILL)
    assert process.wait(30) == 137
