"""What canaries are told and what they report: the live proof that the network lets through exactly the flow table.

A listener stands where a workload would and answers whoever reaches it; a prober stands where a workload would and
tries to reach. `cloister.canaries` says who tries what, `cloister.jobs.canary` does it.
"""

import hashlib
import json
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Listener(_Model):
    """Configuration of a canary that is to be reached, or must not be, as its one argument (JSON)."""

    run: str
    post: str
    """For whom it stands. What it sends to whoever connects is :func:`greeting`."""
    tcp: tuple[int, ...]
    udp: tuple[int, ...]
    ready: int
    """TCP port that is opened when it has reached itself on all the others."""


class Probe(_Model):
    """One attempt of a canary."""

    to: str
    """What stands there, for people; a canary's post where ``canary`` is set."""
    address: str
    port: int
    kind: Literal["tcp", "udp", "dns", "tls"] = "tcp"
    """`tls` is a request at a gate without a certificate, which must be refused; the others try to get an answer."""
    passes: bool = False
    """Whether it must get through; otherwise it must not."""
    canary: bool = False
    """Whether a canary listens there, which can be told by what it sends."""


class Prober(_Model):
    """Configuration of a canary that tries, as its one argument (JSON)."""

    run: str
    post: str
    probes: tuple[Probe, ...]
    patience_seconds: float = 20.0
    """How long what must pass is tried."""
    settle_seconds: float = 10.0
    """How long is waited, where nothing must pass that tells when the network carries, until what must not is tried
    again."""
    silence_seconds: float = 3.0
    """After how long without an answer an attempt counts as blocked: two repetitions of TCP's first packet."""
    termination_log: str = "/dev/termination-log"


class Answer(StrEnum):
    """What came of an attempt. One letter each: a termination message holds 4096 bytes."""

    REACHED = "r"
    """The canary there has sent what only it sends."""
    ANSWERED = "a"
    """Something has accepted the connection, or answered."""
    BRIEFLY = "b"
    """Reached or answered at first, and blocked when it was tried again."""
    SILENT = "s"
    REFUSED = "x"
    """A reset, or a message of ICMP: nobody listens, or something on the way says no."""
    FAILED = "e"
    """Never under way: no socket, or no address of its own. Of a gate: it speaks, and not as a gate does."""
    DEMANDED = "c"
    """The gate has ended the connection, and said that it wants a certificate."""
    UNASKED = "u"
    """The gate has ended the connection, and has asked for no certificate."""

    @property
    def through(self) -> bool:
        """Whether packets have come there and back."""
        return self in (Answer.REACHED, Answer.ANSWERED, Answer.BRIEFLY)


class ProberReport(_Model):
    """The termination message of a canary that has tried."""

    run: str
    post: str
    plan: str
    """:func:`plan_digest` of what was tried."""
    answers: str
    """An :class:`Answer` for each probe, in their order."""


def greeting(run: str, post: str) -> bytes:
    """What a canary sends, so that it is told from whatever else may answer in its place."""
    return f"cloister-canary {run} {post}\n".encode()


def plan_digest(probes: tuple[Probe, ...]) -> str:
    """Tells whether two canaries try the same."""
    text = json.dumps([probe.model_dump() for probe in probes], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
