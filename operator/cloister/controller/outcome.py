"""What one pass over a deployment found and did: the input of its status. Plain data."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum

from cloister import names
from cloister.controller.proof import Standing
from cloister.controller.rotation import KeyringState
from cloister.controls import Family
from cloister.guards import Failing
from cloister.names import Key
from cloister.spec.status import IsolationStatus


def describe(found: Key) -> str:
    """An object's name for people."""
    kind, namespace, name = found
    return f"{kind} {namespace}/{name}" if namespace else f"{kind} {name}"


class State(StrEnum):
    """How one rendered object stands at the end of a pass."""

    IN_FORCE = "in force"
    HELD = "held"
    """Not written yet: something else must come first."""
    FAILED = "failed"
    """The API server refused it, or it belongs to somebody else."""


@dataclass(frozen=True)
class Result:
    """One object's state, with a reason for programs and a message for people when it is not in force, or not as it is
    rendered now."""

    state: State
    reason: str = ""
    message: str = ""

    @property
    def in_force(self) -> bool:
        """Whether the cluster holds what was rendered: exactly so, but for a run that is left to finish."""
        return self.state is State.IN_FORCE


PROOF_AWAITED = "WaitingForProof"
"""Reason of a workload that waits for proof of isolation alone."""
LISTENERS_AWAITED = "ListenersFirst"
"""Reason of a canary that waits for those that it is to reach."""

IN_FORCE = Result(State.IN_FORCE)


@dataclass(frozen=True)
class Obstacle:
    """Something in the way that a person, or time, must remove."""

    family: Family
    """The condition that it spoils."""
    reason: str
    message: str
    stalled: bool = False
    """Whether nothing but a person's act can remove it."""


@dataclass(frozen=True)
class Repair:
    """An object that others had changed or deleted, and that was restored."""

    key: Key
    what: str

    @property
    def object(self) -> str:
        """The object, for people."""
        return describe(self.key)


@dataclass(frozen=True)
class Ending:
    """A pod whose weights did not come, whose backend can't be used, or that does not start."""

    pod: str
    reason: str
    message: str
    container: str = names.FETCH


@dataclass
class Outcome:
    """Everything that a pass learnt."""

    today: date = date.max
    """The day of the pass, UTC. Where nobody says which, every exception has expired."""
    results: dict[Key, Result] = field(default_factory=dict)
    obstacles: list[Obstacle] = field(default_factory=list)
    repairs: list[Repair] = field(default_factory=list)
    guards: tuple[Failing, ...] | None = None
    """Admission policies and bindings that are not in force; None where that is not known."""
    foreign_policies: list[str] = field(default_factory=list)
    """`namespace/name` of NetworkPolicies in a zone that are not ours."""
    missing_namespaces: set[str] = field(default_factory=set)
    """Namespaces that clients are declared in, but that do not exist."""
    keyrings: bool = False
    """Whether every store has its keys."""
    keyring_states: tuple[KeyringState, ...] = ()
    """What may be told of them."""
    storage_classes: dict[str, bool] = field(default_factory=dict)
    """Storage class of each claim -> whether it is known to encrypt."""
    endings: list[Ending] = field(default_factory=list)
    """Pods whose weights did not come, whose backend can't be used, or that do not start."""
    alerts: Mapping[str, dict[str, int]] | None = None
    """Serious alerts by component and code, as the exporter's pod tells; None where it tells nothing now."""
    exports: bool | None = None
    """Whether the exporter works, as its pod's status tells; None where that is not known."""
    isolation: IsolationStatus | None = None
    """What canaries have told."""
    standing: Standing = field(default_factory=Standing)
    """What may be said of isolation."""
    recheck_after: float | None = None
    """Seconds after which something that is not watched must be looked at again."""

    def recheck_in(self, seconds: float) -> None:
        """Have something that is not watched looked at after so long at the latest."""
        self.recheck_after = seconds if self.recheck_after is None else min(self.recheck_after, seconds)

    def hindrances(self) -> frozenset[str]:
        """Everything that is in the way, to tell when that changes."""
        reasons = [one.reason for one in self.obstacles] + [one.reason for one in self.endings]
        guards = [str(one) for one in self.guards or ()]
        return frozenset([*reasons, *guards, *self.missing_namespaces, *self.foreign_policies])
