"""What the checks know of a cluster: what was read, what was refused, and how it answered what was tried."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Object = dict[str, Any]


@dataclass(frozen=True)
class Probe:
    """A write that is sent as a dry run (`dryRun=All`): the API server goes all the way and stores nothing."""

    path: str
    body: str
    """JSON."""


@dataclass(frozen=True)
class Reply:
    """The API server's answer to a probe."""

    status: int
    message: str


@dataclass(frozen=True)
class View:
    """A cluster as one person sees it, at one time."""

    command: str
    """The version of whoever looks."""
    here: dt.datetime
    """This machine's time, when the API server answered."""
    there: dt.datetime
    """The API server's, to the second."""
    objects: Mapping[str, tuple[Object, ...] | None]
    """By the path that was asked: the items of a list, or the one object; None where there is no such thing."""
    refused: Mapping[str, str] = field(default_factory=dict)
    """By the path that was asked: why nothing was answered."""
    replies: Mapping[Probe, Reply] = field(default_factory=dict)

    def all(self, path: str) -> tuple[Object, ...]:
        """Everything at a path; nothing where there is no such thing, or where it was refused."""
        return self.objects.get(path) or ()

    def one(self, path: str) -> Object | None:
        """The object at a path."""
        return next(iter(self.all(path)), None)


def labels(obj: Object) -> Mapping[str, str]:
    """An object's labels."""
    return obj["metadata"].get("labels") or {}


def qualified(obj: Object) -> str:
    """`namespace/name`, or the name alone."""
    metadata = obj["metadata"]
    return f"{metadata['namespace']}/{metadata['name']}" if metadata.get("namespace") else str(metadata["name"])


def time_of(text: str | None) -> dt.datetime | None:
    """A time as Kubernetes writes it (RFC 3339)."""
    try:
        return dt.datetime.fromisoformat(text or "")
    except ValueError:
        return None
