"""The paths that are compared, each a list of processes between the same callers and the same model."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.cluster.processes import Identity


@dataclass(frozen=True)
class Client:
    """A caller's side of mutual TLS: PEM files, and the name that the gate's certificate must carry."""

    authority: str
    certificate: str
    key: str
    name: str


@dataclass(frozen=True)
class Path:
    """One way to the model."""

    name: str
    address: str
    """`tcp:<host>:<port>` or `unix:<path>`."""
    processes: tuple[Identity, ...] = ()
    """What is counted, with everything that these have started: neither the model nor the callers."""
    headers: Mapping[str, str] = field(default_factory=dict)
    tls: Client | None = None
