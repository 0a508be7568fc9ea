"""Questions without end through the whole chain, from the application's network, and what came of each."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cloister.zones import GATE_PORT
from tests.cluster.node.pods import Pods
from tests.cluster.processes import wait_until
from tests.e2e.life import NAME, Life

PEOPLE = 6
SHIFTS = 20
PAUSE = 1.1
"""Seconds between two questions of one person, who may ask sixty a minute."""


@dataclass(frozen=True)
class Asked:
    """One question."""

    person: int
    """Who asked it; one after the other."""
    name: str
    """What it says; nobody else says that."""
    began: float
    ended: float
    status: int | None
    bytes: int
    """Of the answer, as far as it came."""
    error: str | None
    certificate: str | None = None
    """Serial number of the gate's, where the connection was made for this question."""

    @property
    def answered(self) -> bool:
        """Whether it was, to the end."""
        return self.status == 200 and self.error is None


LOADS: list[Load] = []
"""Every load of this run: what was answered in any of them must be on record."""


class Load:
    """People who ask as long as it runs."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []

    def since(self, moment: float) -> list[Asked]:
        """What was asked after a moment, and is over."""
        return [asked for asked in self.asked if asked.began > moment]

    def failures(self, since: float) -> list[Asked]:
        """What was asked after a moment, without an answer."""
        return [asked for asked in self.since(since) if not asked.answered]

    def recovered(self, timeout: float = 90) -> float:
        """Wait until each of them has asked since and was answered; how many seconds that took.

        Whatever anybody had asked before is over then, with or without an answer.
        """
        began = time.time()

        def all_well() -> bool:
            latest = {asked.person: asked for asked in list(self.asked)}
            return len(latest) == PEOPLE and all(one.answered and one.began > began for one in latest.values())

        assert wait_until(all_well, timeout), self.asked[-PEOPLE:]
        return time.time() - began

    def read(self, lines: Any) -> None:
        """What the asking program says."""
        for line in lines:
            self.asked.append(Asked(**json.loads(line)))


@contextmanager
def under_load(life: Life, name: str) -> Iterator[Load]:
    """People ask until the end of the block; ``name`` is in each question."""
    plan = _plan(life, name)
    network = Pods(life.node.machine).network("web", "frontend")
    program = Path(__file__).with_name("ask_on.py")
    command = [*life.node.machine.enter(), "nsenter", f"--net={network}", sys.executable, str(program)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin
    load = Load()
    LOADS.append(load)
    reader = threading.Thread(target=load.read, args=(process.stdout,))
    reader.start()
    try:
        process.stdin.write(json.dumps(plan) + "\n")
        process.stdin.flush()
        load.recovered()
        yield load
    finally:
        process.stdin.close()
        process.wait(90)
        reader.join(30)


def _plan(life: Life, name: str) -> dict[str, Any]:
    secret = life.kubectl.get("secret", f"cloister-{NAME}.frontend", "-n", "web")["data"]
    for entry in ("tls.crt", "tls.key", "ca.crt"):
        (life.folder / f"frontend-{entry}").write_bytes(base64.b64decode(secret[entry]))
    service = life.kubectl.get("service", "inference", "-n", f"{NAME}-inference")
    return {
        "name": name,
        "host": f"inference.{NAME}-inference.svc",
        "address": service["spec"]["clusterIP"],
        "port": GATE_PORT,
        "path": "/v1/chat/completions",
        "model": NAME,
        "ca": str(life.folder / "frontend-ca.crt"),
        "certificate": str(life.folder / "frontend-tls.crt"),
        "key": str(life.folder / "frontend-tls.key"),
        "tokens": [[_token(life, f"{name}-{number}-{shift}") for shift in range(SHIFTS)] for number in range(PEOPLE)],
        "pause": PAUSE,
    }


def _token(life: Life, person: str) -> str:
    return life.token(sub=person, sid=person, exp=int(time.time()) + 1800)
