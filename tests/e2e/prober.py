"""Tries who can reach whom on a node, all the while, and tells what was denied and came through all the same."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from cloister.flows import Peer
from tests.cluster.node.machine import Machine
from tests.cluster.processes import wait_until

_SECONDS = 0.3
"""How long one attempt may take: every pair is tried as often."""


@dataclass(frozen=True)
class End:
    """Something with a network of its own; ``namespace`` is empty for what is no pod."""

    name: str
    network: str
    address: str
    namespace: str = ""
    labels: Mapping[str, str] = field(default_factory=dict, hash=False)
    in_zone: bool = False
    deniable: bool = True
    """Whether policies can deny what it sends."""

    def stands_for(self, peer: Peer) -> bool:
        """Whether it is one of the pods that a flow names."""
        return self.namespace == peer.namespace and peer.pods.items() <= self.labels.items()


@dataclass(frozen=True)
class Attempt:
    """One thing that is tried."""

    source: End
    target: str
    protocol: str
    address: str
    port: int

    def __str__(self) -> str:
        return f"{self.source.name} -> {self.target} {self.protocol}/{self.port}"


@dataclass(frozen=True)
class Round:
    """All attempts, tried at once."""

    began: float
    ended: float
    through: frozenset[str]


Listener = tuple[str, str, int]
"""(name of an end, protocol, port)."""


class Prober:
    """Tries everything, round after round, as long as it runs.

    ``allowed`` says of attempts, by name, whether they may come through; of the others nobody can say.
    """

    def __init__(
        self,
        machine: Machine,
        ends: Sequence[End],
        listeners: Sequence[Listener],
        attempts: Sequence[Attempt],
        allowed: Mapping[str, bool],
    ) -> None:
        self.ends, self.attempts, self.allowed = ends, attempts, allowed
        self.rounds: list[Round] = []
        self._plan = {
            "networks": {end.name: end.network for end in ends},
            "listen": listeners,
            "attempts": [[a.source.name, a.protocol, a.address, a.port] for a in attempts],
            "seconds": _SECONDS,
        }
        self._command = [*machine.enter(), sys.executable, str(Path(__file__).with_name("probe.py"))]

    @contextmanager
    def running(self) -> Iterator[Prober]:
        """Try until the end of the block."""
        process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert process.stdin
        reader = threading.Thread(target=self._read, args=(process,))
        reader.start()
        try:
            process.stdin.write(json.dumps(self._plan) + "\n")
            process.stdin.flush()
            yield self
        finally:
            with suppress(BrokenPipeError):
                process.stdin.close()
            process.wait(30)
            reader.join(30)

    @property
    def period(self) -> float:
        """Seconds from one round to the next, on average."""
        return (self.rounds[-1].ended - self.rounds[0].began) / len(self.rounds)

    def now(self, rounds: int = 3, timeout: float = 60) -> frozenset[str]:
        """What comes through in the rounds that begin after this call, in any of them."""
        since = time.time()

        def enough() -> bool:
            return sum(found.began > since for found in self.rounds) >= rounds

        assert wait_until(enough, timeout), "the prober does not answer"
        return self.came_through(since)

    def came_through(self, since: float = 0.0) -> frozenset[str]:
        """What came through in any round that began after that."""
        return frozenset().union(*(found.through for found in self.rounds if found.began > since))

    def widened(self, since: float) -> dict[str, list[str]]:
        """What was denied and came through after a moment: when, for whoever looks for the reason."""
        denied = frozenset(name for name, may in self.allowed.items() if not may)
        found: dict[str, list[str]] = {}
        for seen in self.rounds:
            if seen.began > since:
                for name in seen.through & denied:
                    found.setdefault(name, []).append(time.strftime("%X", time.localtime(seen.began)))
        return found

    def narrowed(self) -> frozenset[str]:
        """What may come through and does not, now."""
        return frozenset(name for name, may in self.allowed.items() if may) - self.now()

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout
        for line in process.stdout:
            found = json.loads(line)
            through = frozenset(str(self.attempts[number]) for number in found["through"])
            self.rounds.append(Round(found["began"], found["ended"], through))
