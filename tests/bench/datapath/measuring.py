"""One cell: a closed loop for some seconds, and what the processes of the path spent meanwhile."""

import json
import os
import subprocess
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path as File
from typing import Any

import psutil

from tests.bench.datapath.paths import Path
from tests.bench.datapath.program import program
from tests.bench.datapath.workloads import EVENTS, Workload
from tests.cluster.processes import Identity

LONGEST = 30.0
"""Seconds that a slow path gets until each connection has had a reply."""


@dataclass(frozen=True)
class Sample:
    """What one closed loop showed. Times are microseconds."""

    seconds: float
    requests: int
    events: int
    cpu: float
    """CPU seconds of the path's processes."""
    latencies: list[float]
    firsts: list[float]
    gaps: list[float]
    delays: list[float]
    total: int
    """Requests answered in all, those outside the measured window included."""


@dataclass(frozen=True)
class Timing:
    """How long a loop runs, in seconds."""

    warmup: float
    seconds: float


class PathError(RuntimeError):
    """A reply was wrong, or none came."""


def measure(path: Path, workload: Workload, timing: Timing) -> Sample:
    """Run the callers against one path."""
    command = [str(program()), "load"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as load:
        assert load.stdin
        assert load.stdout
        assert load.stderr
        try:
            load.stdin.write(json.dumps(_job(path, workload, timing)))
            load.stdin.close()
            began = _cpu_at(load.stdout.readline(), path.processes)
            ended = _cpu_at(load.stdout.readline(), path.processes)
            results = load.stdout.read()
            complaint = load.stderr.read()
        finally:
            load.kill()
    if began is None or ended is None or not results:
        raise PathError(f"{path.name}, {workload.name}: {complaint.strip()}")
    return Sample(cpu=ended - began, **{name: [] if value is None else value for name, value in _read(results)})


def _read(results: str) -> Iterable[tuple[str, Any]]:
    found: dict[str, Any] = json.loads(results)
    return found.items()


def _job(path: Path, workload: Workload, timing: Timing) -> dict[str, Any]:
    return {
        "address": path.address,
        "tls": asdict(path.tls) if path.tls else None,
        "request": workload.request(path.headers),
        "bytes": workload.size,
        "events": 0 if workload.kind == "plain" else EVENTS,
        "connections": workload.connections,
        "warmup_seconds": timing.warmup,
        "seconds": timing.seconds,
        "longest_seconds": LONGEST,
        "event_times": workload.kind == "paced",
    }


def _cpu_at(line: str, processes: tuple[Identity, ...]) -> float | None:
    return cpu_seconds(processes) if line else None


def cpu_seconds(processes: Iterable[Identity]) -> float:
    """CPU time of these processes and of all that they have started, to the nanosecond.

    psutil counts in clock ticks of 10 ms, of which a cell has few; this is clock_getcpuclockid(3).
    """
    return sum(time.clock_gettime((~pid << 3) | 2) for pid in _family(processes))


def peak_memory(processes: Iterable[Identity]) -> int:
    """Bytes that these processes, and all that they have started, once had resident: each one's own peak, added up."""
    return sum(_high_water(pid) for pid in _family(processes))


def _family(processes: Iterable[Identity]) -> list[int]:
    roots = [psutil.Process(identity.pid) for identity in processes]
    return [process.pid for root in roots for process in [root, *root.children(recursive=True)]]


def _high_water(pid: int) -> int:
    for line in File(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) << 10
    return 0


def disk_sync(folder: File, count: int, size: int = 2048) -> list[float]:
    """Microseconds that an append of one record's size and its fdatasync take, nothing else being under way."""
    scratch = folder / "sync"
    descriptor = os.open(scratch, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    try:
        return [_synced(descriptor, bytes(size)) for _ in range(count)]
    finally:
        os.close(descriptor)
        with suppress(FileNotFoundError):
            scratch.unlink()


def _synced(descriptor: int, data: bytes) -> float:
    started = time.perf_counter()
    os.write(descriptor, data)
    os.fdatasync(descriptor)
    return (time.perf_counter() - started) * 1e6
