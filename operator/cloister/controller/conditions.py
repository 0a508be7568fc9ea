"""Conditions: read from any object, written to our own (Kubernetes API conventions, "Typical status properties")."""

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

Object = dict[str, Any]

_MAX_MESSAGE = 2048
_UNPRINTABLE = re.compile(r"[^\x20-\x7e]+")


def find(obj: Mapping[str, Any], kind: str) -> Object | None:
    """The condition of a type in an object's status."""
    for condition in (obj.get("status") or {}).get("conditions") or ():
        if condition.get("type") == kind:
            found: Object = condition
            return found
    return None


def holds(obj: Mapping[str, Any], kind: str) -> bool:
    """Whether an object has a condition that is True."""
    condition = find(obj, kind)
    return condition is not None and condition.get("status") == "True"


def is_ready(obj: Mapping[str, Any]) -> bool:
    """Whether an object says that it is Ready."""
    return holds(obj, "Ready")


def cut(message: str) -> str:
    """A message for a status: one that is larger than its schema allows would not be written at all."""
    return message if len(message) <= _MAX_MESSAGE else f"{message[: _MAX_MESSAGE - 3]}..."


def merged(previous: Iterable[Mapping[str, Any]], wanted: Iterable[Object], now: str) -> list[Object]:
    """Conditions with their transition times: the old time stays unless status has flipped."""
    before = {condition.get("type"): condition for condition in previous}
    result = []
    for condition in wanted:
        old = before.get(condition["type"])
        flipped = old is None or old.get("status") != condition["status"]
        time = now if flipped or old is None else old.get("lastTransitionTime", now)
        result.append(condition | {"lastTransitionTime": time})
    return result


def timestamp(now: datetime) -> str:
    """A time as Kubernetes writes it."""
    return now.strftime("%Y-%m-%dT%H:%M:%SZ")


def printable(text: str) -> str:
    """What a pod or a registry has said, in one line of ASCII."""
    return _UNPRINTABLE.sub(" ", text).strip()
