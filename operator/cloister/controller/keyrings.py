"""The stores' keyrings: read by name alone, never made again while there is data under them, and turned in time.

Key material is in no log, no message and no memory beyond the call that needs it.
"""

import base64
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import structlog

from cloister import keyring, names
from cloister.controller import errors
from cloister.controller.cluster import Cluster
from cloister.controller.ensure import failure
from cloister.controller.outcome import Obstacle, Outcome, describe
from cloister.controller.rotation import KeyringState, due, emptied, requested, state
from cloister.controls import Family
from cloister.keyring import Keyring, KeyringError, KeyVersion
from cloister.names import Key
from cloister.render.keys import keyring_secret
from cloister.spec import LLMDeployment
from cloister.zones import STORES, Component, Zone

Object = dict[str, Any]

log = structlog.get_logger(__name__)

_KEYRING_SECONDS = 300.0
"""How long a keyring that was seen is believed to be there: Secrets are not watched."""
_UNDER_WAY_SECONDS = 30.0
"""How often a rotation under way is looked at: its end is told by a pod's status, and pods are not watched."""
_WHO = "The guards let only those write in a zone whom the chart's admission.extraWriters names"


@dataclass
class _Known:
    """What was seen of a deployment's keyrings, and when it is looked at again (monotonic clock)."""

    states: dict[Component, KeyringState]
    until: float


def new_key(number: int, now: datetime) -> KeyVersion:
    """A key of fresh random material: 256 bits for the password, and as many for the salt."""
    return KeyVersion(id=number, created=now, password=secrets.token_urlsafe(32), salt=secrets.token_urlsafe(32))


class Keyrings:
    """Sees to it that each store has keys before it has a volume, and new ones when it is time."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._known: dict[str, _Known] = {}
        """By deployment uid; only keyrings that were complete."""

    def forget(self, uid: str) -> None:
        """A deployment is gone."""
        self._known.pop(uid, None)

    async def tend(self, deployment: LLMDeployment, annotations: Mapping[str, str], outcome: Outcome) -> None:
        """Each store has keys before it has a volume. A lost keyring is never replaced: it would bury the data."""
        namespace = names.namespace(deployment.name, Zone.STORAGE)
        known = self._known.get(deployment.uid)
        if known is None or known.until <= time.monotonic() or self._waits(deployment, annotations, known) == 0:
            if not outcome.results[("Namespace", "", namespace)].in_force:
                return
            found = {store: await self._tend(deployment, annotations, store, outcome) for store in STORES}
            states = {store: seen for store, seen in found.items() if seen}
            known = _Known(states, time.monotonic() + _KEYRING_SECONDS)
            if len(states) == len(STORES):
                self._known[deployment.uid] = known
        outcome.keyrings = len(known.states) == len(STORES)
        outcome.keyring_states = tuple(known.states.values())
        waits = self._waits(deployment, annotations, known)
        if waits is not None:
            outcome.recheck_in(waits or _UNDER_WAY_SECONDS)

    def _waits(self, deployment: LLMDeployment, annotations: Mapping[str, str], known: _Known) -> float | None:
        """Seconds until some keyring must be looked at again; 0 for now, None for never."""
        now = datetime.now(UTC)
        waits = [due(deployment, annotations, seen, now) for seen in known.states.values() if not seen.old]
        waits += [0.0 for seen in known.states.values() if seen.old]
        return min((one for one in waits if one is not None), default=None)

    async def _tend(
        self, deployment: LLMDeployment, annotations: Mapping[str, str], store: Component, outcome: Outcome
    ) -> KeyringState | None:
        """What is known of one keyring in the end; None while there is none that can be used."""
        encryption = deployment.spec.storage.by_component()[store].encryption
        if encryption and encryption.key_ref:
            return KeyringState(store, encryption.key_ref.name)
        secret = await self._secret(deployment, store, outcome)
        if secret is None:
            return None
        try:
            keys = keyring.parse(base64.b64decode(secret["data"][keyring.FILE]))
        except (KeyringError, KeyError, ValueError) as error:
            message = (
                f"Secret {secret['metadata']['namespace']}/{secret['metadata']['name']} is no keyring"
                f" ({error if isinstance(error, KeyringError) else f'it has no {keyring.FILE}'}): restore it from a"
                f" backup. {_WHO}"
            )
            outcome.obstacles.append(Obstacle(Family.ENCRYPTED_AT_REST, "KeyringUnreadable", message, stalled=True))
            return None
        following = await self._following(deployment, annotations, state(store, keys), keys)
        if following is not None and await self._replace(secret, following, outcome):
            log.info(
                "keyring turned", deployment=deployment.name, store=store, current=following.current, old=following.old
            )
            keys = following
        return state(store, keys)

    async def _following(
        self, deployment: LLMDeployment, annotations: Mapping[str, str], seen: KeyringState, keys: Keyring
    ) -> Keyring | None:
        """The next keyring; None while this one stays."""
        if not seen.old:
            now = datetime.now(UTC)
            if due(deployment, annotations, seen, now) == 0:
                asked = requested(annotations, seen.store) or now
                return keys.with_new(new_key(keys.current + 1, max(now, asked)))  # one key for one request
            return None
        try:
            pod = await self._cluster.get("Pod", f"{seen.store}-0", names.namespace(deployment.name, Zone.STORAGE))
        except errors.NotFoundError:
            return None
        retired = emptied(pod, seen)
        return keys.without(retired) if retired else None

    async def _replace(self, secret: Object, keys: Keyring, outcome: Outcome) -> bool:
        """Over exactly the version that was read: what somebody else has added since is never lost."""
        data = {keyring.FILE: base64.b64encode(keys.model_dump_json().encode()).decode()}
        try:
            await self._cluster.replace({"apiVersion": "v1", "kind": "Secret"} | secret | {"data": data})
        except errors.ConflictError:
            return False  # looked at again soon
        except errors.ApiError as error:
            outcome.results[_key(secret)] = failure(error)
            return False
        return True

    async def _secret(self, deployment: LLMDeployment, store: Component, outcome: Outcome) -> Object | None:
        """The Secret, made if need be."""
        namespace, name = names.namespace(deployment.name, Zone.STORAGE), names.keyring(store)
        found: Key = ("Secret", namespace, name)
        try:
            return await self._cluster.get("Secret", name, namespace)
        except errors.NotFoundError:
            if claim := await self._claim(deployment, store):
                message = (
                    f"{describe(found)} is gone while the store has data: without it the data can't be read, and a new"
                    f" one would not open it. Restore the Secret from a backup, or delete claim {claim} and the data to"
                    f" start empty. {_WHO}"
                )
                outcome.obstacles.append(Obstacle(Family.ENCRYPTED_AT_REST, "KeyringLost", message, stalled=True))
                return None
        keys = Keyring(current=1, keys=(new_key(1, datetime.now(UTC)),))
        try:
            made = await self._cluster.create(keyring_secret(deployment, store, keys))
        except errors.AlreadyExistsError:
            return await self._cluster.get("Secret", name, namespace)
        except errors.ApiError as error:
            outcome.results[found] = failure(error)
            return None
        log.info("keyring created", deployment=deployment.name, secret=describe(found))
        return made

    async def _claim(self, deployment: LLMDeployment, store: Component) -> str | None:
        """The claim of a store that has had keys: that of its volume, or, with a backend, of its records. Asked live: a
        keyring made beside a volume that the cache does not know yet would be the wrong one."""
        namespace = names.namespace(deployment.name, Zone.STORAGE)
        name = f"journal-{store}-0" if deployment.spec.storage.by_component()[store].backend else str(store)
        try:
            await self._cluster.get("PersistentVolumeClaim", name, namespace)
        except errors.NotFoundError:
            return None
        return f"{namespace}/{name}"


def _key(secret: Object) -> Key:
    return "Secret", secret["metadata"]["namespace"], secret["metadata"]["name"]
