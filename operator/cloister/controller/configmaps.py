"""A user's ConfigMap, watched alone: its change is known at once, and nobody else's ConfigMaps are read."""

import asyncio
from dataclasses import dataclass

import structlog

from cloister.controller import errors
from cloister.controller.cluster import Cluster, Object
from cloister.controller.followed import Tell
from cloister.controller.kinds import BY_KIND
from cloister.spec.identity import ConfigMapRef

log = structlog.get_logger(__name__)

_RETRY_SECONDS = 2.0
_WATCH_SECONDS = 60
"""After so long the object is read again: a watch whose connection has died unseen is found out."""


@dataclass(frozen=True)
class Place:
    """Where a ConfigMap lies."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"ConfigMap {self.namespace}/{self.name}"


@dataclass(frozen=True)
class Content:
    """What a ConfigMap says. None where there is no such object."""

    data: tuple[tuple[str, str], ...] | None


class UnusableError(Exception):
    """A document can't be used, and why."""


def place(reference: ConfigMapRef) -> Place:
    """The ConfigMap that a reference means."""
    return Place(reference.namespace, reference.name)


def document(content: Content | None, reference: ConfigMapRef, what: str) -> str:
    """The text that a reference means; UnusableError says what is missing."""
    if content is None:
        raise UnusableError(f"{place(reference)} could not be read yet")
    if content.data is None:
        raise UnusableError(f"{place(reference)} does not exist: create it with {what} under {reference.key!r}")
    data = dict(content.data)
    if reference.key not in data:
        there = ", ".join(sorted(data)) or "nothing"
        raise UnusableError(f"{place(reference)} has no key {reference.key!r} (it has {there})")
    return data[reference.key]


async def follow(cluster: Cluster, where: Place, tell: Tell[Content]) -> None:
    """Tell what the ConfigMap says, whenever that changes."""
    resource = BY_KIND["ConfigMap"]
    while True:
        try:
            found, version = await cluster.list_named(resource, where.namespace, where.name)
            tell(_content(found))
            async for event, obj in cluster.watch_named(resource, where.namespace, where.name, version, _WATCH_SECONDS):
                tell(_content(None if event == "DELETED" else obj))
        except errors.ApiError as error:
            log.warning("ConfigMap not read", where=str(where), error=error.message)
            await asyncio.sleep(_RETRY_SECONDS)


def _content(obj: Object | None) -> Content:
    return Content(None if obj is None else tuple(sorted((obj.get("data") or {}).items())))
