"""Pure: which keys a store's keyring has next. A key is added when it is time, and goes when nothing lies under it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pydantic import ValidationError

from cloister import names
from cloister.keyring import Keyring
from cloister.sidecar import KeeperReport
from cloister.spec import LLMDeployment
from cloister.spec.fields import seconds
from cloister.zones import Component

Object = dict[str, Any]

_AHEAD = timedelta(minutes=5)
"""How far a clock may be ahead that a request for a new key was written by."""


@dataclass(frozen=True)
class KeyringState:
    """What anybody may know of a keyring."""

    store: Component
    secret: str
    current: int | None = None
    """None where something else fills the Secret: the operator does not read it."""
    old: tuple[int, ...] = ()
    created: datetime | None = None
    """When the current key was made."""


def state(store: Component, keys: Keyring) -> KeyringState:
    """What may be told of a keyring."""
    return KeyringState(store, names.keyring(store), keys.current, keys.old, keys.keys[-1].created)


def due(deployment: LLMDeployment, annotations: Mapping[str, str], known: KeyringState, now: datetime) -> float | None:
    """Seconds until a new key is due (0: now); None where nobody wants one, or objects can't be moved to it."""
    store = deployment.spec.storage.by_component()[known.store]
    if known.created is None or store.backend:
        return None
    times = []
    encryption = store.encryption
    if encryption and encryption.rotate_every:
        times.append(known.created + timedelta(seconds=seconds(encryption.rotate_every)))
    asked = requested(annotations, known.store)
    if asked and known.created < asked <= now + _AHEAD:  # later ones would ask again and again
        times.append(now)
    return max(0.0, (min(times) - now).total_seconds()) if times else None


def requested(annotations: Mapping[str, str], store: Component) -> datetime | None:
    """When somebody asked for a new key (`cloister keys rotate`); None for what is no time with a zone (RFC 3339)."""
    try:
        asked = datetime.fromisoformat(annotations.get(names.rotation_request(store), ""))
    except ValueError:
        return None
    return asked if asked.tzinfo else None


def emptied(pod: Object, known: KeyringState) -> frozenset[int]:
    """Old keys of which the keeper of this pod has said, for this very keyring, that nothing lies under them."""
    statuses = (pod.get("status") or {}).get("initContainerStatuses") or ()
    for status in (one for one in statuses if one["name"] == "keeper"):
        for when in ("state", "lastState"):
            ended = (status.get(when) or {}).get("terminated") or {}
            try:
                report = KeeperReport.model_validate_json(ended.get("message") or "")
            except ValidationError:
                continue
            if ended.get("exitCode") == 0 and (report.store, report.current) == (known.store, known.current):
                return frozenset(report.emptied) & frozenset(known.old)
    return frozenset()
