"""The stores' keyrings: made once, read by name alone, and never made again while there is data under them."""

import secrets
import time
from datetime import UTC, datetime

import structlog

from cloister import names
from cloister.controller import errors
from cloister.controller.cluster import Cluster
from cloister.controller.ensure import failure
from cloister.controller.outcome import Obstacle, Outcome, describe
from cloister.controls import Family
from cloister.keyring import Keyring, KeyVersion
from cloister.names import Key
from cloister.render.keys import keyring_secret
from cloister.spec import LLMDeployment
from cloister.zones import STORES, Component, Zone

log = structlog.get_logger(__name__)

_KEYRING_SECONDS = 300.0
"""How long a keyring that was seen is believed to be there: Secrets are not watched."""


def new_key(number: int, now: datetime) -> KeyVersion:
    """A key of fresh random material: 256 bits for the password, and as many for the salt."""
    return KeyVersion(id=number, created=now, password=secrets.token_urlsafe(32), salt=secrets.token_urlsafe(32))


class Keyrings:
    """Sees to it that each store has keys before it has a volume."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._seen: dict[str, float] = {}
        """Deployment uid -> when its keyrings were last seen complete."""

    def forget(self, uid: str) -> None:
        """A deployment is gone."""
        self._seen.pop(uid, None)

    async def exist(self, deployment: LLMDeployment, outcome: Outcome) -> None:
        """Each store has keys before it has a volume. A lost keyring is never replaced: it would bury the data."""
        if time.monotonic() - self._seen.get(deployment.uid, -_KEYRING_SECONDS) < _KEYRING_SECONDS:
            outcome.keyrings = True
            return
        namespace = names.namespace(deployment.name, Zone.STORAGE)
        if not outcome.results[("Namespace", "", namespace)].in_force:
            return
        complete = [await self._exists(deployment, store, outcome) for store in STORES]
        outcome.keyrings = all(complete)
        if outcome.keyrings:
            self._seen[deployment.uid] = time.monotonic()

    async def _exists(self, deployment: LLMDeployment, store: Component, outcome: Outcome) -> bool:
        namespace, name = names.namespace(deployment.name, Zone.STORAGE), names.keyring(store)
        found: Key = ("Secret", namespace, name)
        try:
            await self._cluster.get("Secret", name, namespace)
        except errors.NotFoundError:
            if await self._volume_exists(namespace, store):
                message = (
                    f"{describe(found)} is gone while its volume is there: without it the data can't be read, and a new"
                    " one would not open it. Restore the Secret from a backup, or delete the volume to start empty"
                )
                outcome.obstacles.append(Obstacle(Family.ENCRYPTED_AT_REST, "KeyringLost", message, stalled=True))
                return False
        else:
            return True
        secret = keyring_secret(deployment, store, Keyring(current=1, keys=(new_key(1, datetime.now(UTC)),)))
        try:
            await self._cluster.create(secret)
        except errors.AlreadyExistsError:
            return True
        except errors.ApiError as error:
            outcome.results[found] = failure(error)
            return False
        log.info("keyring created", deployment=deployment.name, secret=describe(found))
        return True

    async def _volume_exists(self, namespace: str, store: Component) -> bool:
        """Asked live: a keyring made beside a volume that the cache does not know yet would be the wrong one."""
        try:
            await self._cluster.get("PersistentVolumeClaim", str(store), namespace)
        except errors.NotFoundError:
            return False
        return True
