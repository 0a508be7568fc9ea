"""Free loopback ports."""

from __future__ import annotations

import json
import os
import random
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import psutil
from filelock import FileLock

from tests.cluster.catalogue import cache_root
from tests.cluster.components import LOOPBACK

#: Below what kernels hand out for outgoing connections, one of which could take a port before we do.
_RANGE = range(20000, 30000)
_CLAIMS = ".ports.json"


@contextmanager
def choosing() -> Iterator[None]:
    """Held from the choice of ports until they are in use: two control planes never choose the same."""
    root = cache_root()
    root.mkdir(parents=True, exist_ok=True)
    with FileLock(root / ".ports.lock"):
        yield


def free(names: Iterable[str]) -> dict[str, int]:
    """A different free port for each name, claimed as long as this process lives: some are only used much later.

    To be called while `choosing`.
    """
    claims = _claims()
    chosen: dict[str, int] = {}
    for name in names:
        chosen[name] = next(
            port for port in random.sample(_RANGE, len(_RANGE)) if port not in claims and _is_free(port)
        )
        claims[chosen[name]] = _mark(os.getpid())
    (cache_root() / _CLAIMS).write_text(json.dumps(claims))
    return chosen


def _claims() -> dict[int, str | None]:
    """Port -> the living process that has claimed it."""
    try:
        found = json.loads((cache_root() / _CLAIMS).read_text())
    except (OSError, ValueError):
        return {}
    return {int(port): mark for port, mark in found.items() if mark == _mark(int(mark.partition(" ")[0]))}


def _mark(pid: int) -> str | None:
    """What tells a process from a later one of the same number."""
    try:
        return f"{pid} {psutil.Process(pid).create_time()}"
    except psutil.NoSuchProcess:
        return None


def answers(port: int) -> bool:
    """Whether something listens on this loopback port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((LOOPBACK, port)) == 0


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))  # every address: one listener of ours cannot be told to use loopback only
        except OSError:
            return False
    return True
