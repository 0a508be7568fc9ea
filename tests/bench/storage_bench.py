"""What the way to a store costs: GET and PUT through gate, auditor and rclone, beside rclone alone and the plain disk.

Everything runs at once, on this machine; rounds are interleaved, and ratios are taken within a round. Both ways end in
the same rclone over the same kind of `crypt` remote, each with a volume of its own on the same disk. One connection is
kept, as S3 clients keep theirs. A reply that is not what was put ends the run. Then an object of 4 GB passes, and what
the auditors on its way have in memory is measured.
"""

import hashlib
import http.client
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

from cloister.zones import Component
from tests.bench import large_objects
from tests.bench.machine import machine
from tests.gate.specs import deployment, example
from tests.store.chain import CA, Chain, running_chain, spiffe
from tests.store.running import mounted_store, serving

KB, MB, GB = 1 << 10, 1 << 20, 1 << 30
REPEATS = {KB: 200, MB: 24, GB: 1}
"""Requests of each size in a round."""
DISK, RCLONE, CHAIN, MASKED = "plain disk", "rclone alone", "gate + auditor + rclone", "the same, masked"
WAYS = (DISK, RCLONE, CHAIN, MASKED)
_BLOCK = MB
_VALUE = b"Please write to ada@example.com about it. "
_WORD = b"The quick brown fox jumps over the lazy dog, and order 4711 waits for an answer until noon. "
_PAGE = (_VALUE + _WORD * (4 * KB // len(_WORD) + 1))[: 4 * KB]
"""Text with a value on each page: the masked way has something to look through, and to mask."""
_NAMES = {KB: "1 KB", MB: "1 MB", GB: "1 GB"}


@dataclass(frozen=True)
class Target:
    """What is to be reached."""

    text: str
    value: float
    bound: float
    at_least: bool

    @property
    def met(self) -> bool:
        """Whether it is."""
        return self.value >= self.bound if self.at_least else self.value <= self.bound


@dataclass
class Rounds:
    """Seconds of every request: (way, verb, size) -> one list a round."""

    seconds: dict[tuple[str, str, int], list[list[float]]] = field(default_factory=dict)

    def add(self, way: str, verb: str, size: int, seconds: list[float]) -> None:
        """One round more."""
        self.seconds.setdefault((way, verb, size), []).append(seconds)

    def p50(self, way: str, verb: str, size: int) -> float:
        """Median milliseconds of a request."""
        return statistics.median(statistics.median(one) for one in self.seconds[way, verb, size]) * 1e3

    def rate(self, way: str, verb: str, size: int) -> float:
        """Median megabytes (2^20) a second."""
        return statistics.median(len(one) * size / MB / sum(one) for one in self.seconds[way, verb, size])

    def times(self, way: str, verb: str, size: int, other: str = RCLONE) -> float:
        """Its speed, as a part of another's in the same round."""
        pairs = zip(self.seconds[way, verb, size], self.seconds[other, verb, size], strict=True)
        return statistics.median(sum(theirs) / sum(own) for own, theirs in pairs)

    def added(self, way: str, verb: str, size: int) -> float:
        """Milliseconds of its median beyond those of rclone alone in the same round."""
        pairs = zip(self.seconds[way, verb, size], self.seconds[RCLONE, verb, size], strict=True)
        return statistics.median(statistics.median(own) - statistics.median(theirs) for own, theirs in pairs) * 1e3

    def targets(self) -> Iterator[Target]:
        """Those that this run has measured."""
        for verb in ("PUT", "GET"):
            if (CHAIN, verb, GB) in self.seconds:
                text = f"{verb} of 1 GB: speed, as a part of rclone alone"
                yield Target(text, self.times(CHAIN, verb, GB), 0.6, at_least=True)
            if (CHAIN, verb, KB) in self.seconds:
                yield Target(f"{verb} of 1 KB: added p50, ms", self.added(CHAIN, verb, KB), 3, at_least=False)
        if (MASKED, "GET", GB) in self.seconds:
            text = "GET of 1 GB, masked: speed, as a part of rclone alone"
            yield Target(text, self.times(MASKED, "GET", GB), 0.4, at_least=True)


Way = Callable[[str, str, int], float]
"""(verb, name, size) -> seconds."""


def run(rounds: int, *, quick: bool = False) -> int:
    """Measure and print; 1 if a target is missed. ``quick`` leaves out what is large, and judges nothing."""
    sizes = [KB, MB] if quick else [KB, MB, GB]
    found = Rounds()
    with _ways() as ways:
        for number in range(rounds):
            for size in sizes:
                for verb in ("PUT", "GET"):
                    for way in WAYS:
                        if (way, verb) == (MASKED, "PUT"):
                            continue
                        _say(f"round {number + 1} of {rounds}: {verb} of {_NAMES[size]}, {way}")
                        # The masked way reads what the other one put.
                        seconds = [ways[way](verb, f"{_NAMES[size][-2:]}-{i}.txt", size) for i in range(REPEATS[size])]
                        found.add(way, verb, size, seconds)
    print(report(found, sizes))
    if quick:
        return 0
    passed = large_objects.measured(_say)
    print(large_objects.report(passed))
    targets = [*found.targets(), *_bounded(passed)]
    print(_judged(targets))
    return int(not all(target.met for target in targets))


def report(found: Rounds, sizes: list[int]) -> str:
    """The whole, as Markdown."""
    lines = [f"{machine()}.", ""]
    lines += ["| object | way | PUT p50 ms | PUT MB/s | of rclone | GET p50 ms | GET MB/s | of rclone |"]
    lines += ["|---|---|---:|---:|---:|---:|---:|---:|"]
    for size in sizes:
        for way in WAYS:
            cells = [_NAMES[size], way]
            for verb in ("PUT", "GET"):
                if (way, verb, size) in found.seconds:
                    share = "" if way == RCLONE else f"{found.times(way, verb, size):.2f}"
                    cells += [f"{found.p50(way, verb, size):.2f}", f"{found.rate(way, verb, size):.1f}", share]
                else:
                    cells += ["", "", ""]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join([*lines, ""])


def _bounded(passed: list[large_objects.Passed]) -> Iterator[Target]:
    """What the auditors have had in memory at most, while the object passed as a whole."""
    whole = [one for one in passed if not one.in_ranges]
    for whose, peak in (
        ("the training pod's", max(one.training for one in whole)),
        ("the store's", max(one.store for one in whole)),
    ):
        yield Target(
            f"4 GB in and out: peak of {whose} auditor, MiB", peak / MB, large_objects.LIMIT / MB, at_least=False
        )


def _judged(targets: list[Target]) -> str:
    lines = ["| target | measured | bound | |", "|---|---:|---:|---|"]
    for target in targets:
        bound = f"{'at least' if target.at_least else 'at most'} {target.bound:g}"
        lines.append(f"| {target.text} | {target.value:.2f} | {bound} | {'met' if target.met else 'MISSED'} |")
    return "\n".join([*lines, ""])


@contextmanager
def _ways() -> Iterator[dict[str, Way]]:
    with ExitStack() as stack:
        chain = stack.enter_context(running_chain(deployment(_spec())))
        alone = stack.enter_context(serving(stack.enter_context(mounted_store(Component.TRAINING_DATA))))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="disk-")))
        direct = alone.connection(timeout=600)
        writer, reader = _at_the_gate(chain, spiffe("etl", "ingest")), _at_the_gate(chain, spiffe("bench", "raw"))
        masked = _at_the_gate(chain, spiffe("bench", "masked"))
        yield {
            DISK: lambda verb, name, size: _disk(folder / name, verb, size),
            RCLONE: lambda verb, name, size: _s3(direct, verb, name, size),
            CHAIN: lambda verb, name, size: _s3(writer if verb == "PUT" else reader, verb, name, size),
            MASKED: lambda verb, name, size: _s3(masked, verb, name, size, exact=False),
        }


def _spec() -> dict[str, Any]:
    """The example, with a reader of each kind."""
    spec = example("support-bot")
    one = {"namespace": "bench", "prefixes": ["corpora/"]}
    readers = [one | {"serviceAccount": "raw", "raw": True}, one | {"serviceAccount": "masked"}]
    spec["storage"]["trainingData"]["readers"] = readers
    return spec


def _at_the_gate(chain: Chain, identity: str) -> http.client.HTTPSConnection:
    """A machine's connection to the store of training data."""
    gate = chain.gates[Component.TRAINING_DATA]
    return http.client.HTTPSConnection("localhost", gate.port, context=gate.context(CA.issue(identity), CA.pem))


def _s3(connection: http.client.HTTPConnection, verb: str, name: str, size: int, *, exact: bool = True) -> float:
    """One request; the object is compared afterwards, where it must come back as it was put."""
    target = f"/{Component.TRAINING_DATA}/corpora/support/{name}"
    body = _body(size) if verb == "PUT" else None
    began = time.perf_counter()
    connection.request(verb, target, body, {"Content-Length": str(size)} if body else {})
    answer = connection.getresponse()
    read, digest = 0, hashlib.sha256()
    first = answer.read(_BLOCK)
    while first:
        read += len(first)
        if exact and size < GB:
            digest.update(first)
        first = answer.read(_BLOCK)
    took = time.perf_counter() - began
    if answer.status != 200 or (verb == "GET" and read != size):
        raise RuntimeError(f"{verb} {target}: {answer.status}, {read} bytes instead of {size}")
    if verb == "GET" and exact and size < GB and digest.digest() != _digest(size):
        raise RuntimeError(f"{verb} {target}: not what was put")
    return took


def _disk(path: Path, verb: str, size: int) -> float:
    began = time.perf_counter()
    if verb == "PUT":
        with path.open("wb") as file:
            for block in _body(size):
                file.write(block)
            file.flush()
            os.fsync(file.fileno())
    else:
        with path.open("rb", buffering=0) as file:
            while file.read(_BLOCK):
                pass
    return time.perf_counter() - began


_TEXT = _PAGE * (_BLOCK // len(_PAGE))


def _body(size: int) -> Iterator[bytes]:
    while size > 0:
        yield _TEXT[:size]
        size -= _BLOCK


def _digest(size: int) -> Any:
    digest = hashlib.sha256()
    for block in _body(size):
        digest.update(block)
    return digest.digest()


def _say(text: str) -> None:
    Console(stderr=True, highlight=False, soft_wrap=True).print(text)
