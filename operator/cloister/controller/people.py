"""Who signs for people, and who is no longer admitted: from where the resource says, as long as it says so.

The last good answer stays in force while its source is away. It survives a restart of the operator, because the zone's
own ConfigMaps hold it.
"""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from cloister import names, sidecar
from cloister.controller import configmaps, issuers, jwks, revocations
from cloister.controller.cluster import Cluster
from cloister.controller.configmaps import Content, Place, UnusableError
from cloister.controller.followed import Followed, Wake
from cloister.controller.observed import Observed
from cloister.controller.oidc import Trust
from cloister.controller.outcome import Obstacle, Outcome
from cloister.controls import Family
from cloister.spec import LLMDeployment, Users
from cloister.zones import Component, Zone

_KEYS = "local_jwks"
"""Where a gate's token provider has its keys, whatever file that is in."""
_FIRST_SECONDS = 2.0
"""How long a pass waits for the first answer of a source. A later one wakes the deployment."""


@dataclass
class _Remembered:
    """The last good answers for one deployment."""

    issuer: str | None = None
    """Whose the keys are: another issuer's never stand in for them."""
    keys: jwks.KeySet | None = None
    listed: bool = False
    """Whether the deployment has a list of revocations."""
    source: str | None = None
    revocations: str | None = None


class People:
    """Follows what deployments name, and remembers what was good."""

    def __init__(self, cluster: Cluster, observed: Observed, trust: Trust, refresh_seconds: float) -> None:
        self._observed = observed
        self._remembered: dict[str, _Remembered] = {}
        self._config_maps: Followed[Place, Content] = Followed(partial(configmaps.follow, cluster))
        self._issuers: Followed[str, issuers.Answer] = Followed(
            partial(issuers.follow, trust=trust, refresh_seconds=refresh_seconds)
        )

    def wakes(self, wake: Wake) -> None:
        """Whom to tell the names of deployments for which there is news."""
        self._config_maps.wake = self._issuers.wake = wake

    async def facts(self, deployment: LLMDeployment, outcome: Outcome) -> tuple[str | None, str | None]:
        """The keys (JWKS) and the revocations; what is wrong with their sources goes into the outcome."""
        users = deployment.spec.identity.users
        self._want(deployment.name, users)
        if users is None:
            self._remembered.pop(deployment.name, None)
            return None, None
        memory = self._remembered.setdefault(deployment.name, _Remembered())
        if memory.issuer != users.issuer:
            memory.issuer, memory.keys = users.issuer, self._rendered_keys(deployment.name, users.issuer)
        if memory.listed != (users.revocations is not None):
            memory.listed, memory.source = users.revocations is not None, None
            memory.revocations = self._rendered_revocations(deployment.name) if memory.listed else None
        outcome.obstacles += [*await self._keys(users, memory), *await self._revocations(users, memory)]
        return memory.keys.keys if memory.keys else None, memory.revocations

    def forget(self, name: str) -> None:
        """A deployment is gone."""
        self._remembered.pop(name, None)
        self._want(name, None)

    async def close(self) -> None:
        """Follow nothing any more."""
        await self._config_maps.close()
        await self._issuers.close()

    def _want(self, name: str, users: Users | None) -> None:
        references = [source.config_map_ref for source in (users.jwks, users.revocations) if source] if users else []
        self._config_maps.want(name, map(configmaps.place, references))
        self._issuers.want(name, [users.issuer] if users and users.jwks is None else ())

    # --- keys ---

    async def _keys(self, users: Users, memory: _Remembered) -> list[Obstacle]:
        problem = await (self._listed_keys(users, memory) if users.jwks else self._fetched_keys(users, memory))
        if problem:
            if memory.keys is None:
                stands = "; nobody is admitted until then"
            else:
                stands = "; nobody is admitted" if memory.keys.empty else "; the keys known before stay in force"
            return [Obstacle(Family.ACCESS_MINIMAL, "JwksUnusable", f"{problem}{stands}")]
        complaint = memory.keys.complaint if memory.keys else None
        where = str(configmaps.place(users.jwks.config_map_ref)) if users.jwks else users.issuer
        return [Obstacle(Family.ACCESS_MINIMAL, "JwksUnusable", f"{where} {complaint}")] if complaint else []

    async def _listed_keys(self, users: Users, memory: _Remembered) -> str | None:
        assert users.jwks is not None
        reference = users.jwks.config_map_ref
        where = configmaps.place(reference)
        content = await self._config_maps.latest(where, _FIRST_SECONDS)
        if content is None and memory.keys:
            return None
        try:
            text = configmaps.document(content, reference, "the identity provider's JWKS document")
            memory.keys = jwks.read(text)
        except UnusableError as error:
            return str(error)
        except jwks.NoJwksError as error:
            return f"{where}, key {reference.key!r}: {error}"
        return None

    async def _fetched_keys(self, users: Users, memory: _Remembered) -> str | None:
        answer = await self._issuers.latest(users.issuer, _FIRST_SECONDS)
        if answer is None:
            return None if memory.keys else f"{users.issuer} has not answered yet"
        memory.keys = answer.keys or memory.keys
        if answer.problem is None:
            return None
        way_out = "" if memory.keys else ". Or put the keys into a ConfigMap, and name it in spec.identity.users.jwks"
        return f"the keys of {users.issuer} can't be fetched: {answer.problem}{way_out}"

    def _rendered_keys(self, name: str, issuer: str) -> jwks.KeySet | None:
        """The keys of this issuer that the gate goes by now."""
        texts = [
            text for text in self._rendered(name, names.gate_config(Component.INFERENCE)).values() if _KEYS in text
        ]
        try:
            found = [one for text in texts for one in _providers(json.loads(text)) if one.get("issuer") == issuer]
            return jwks.read(found[0][_KEYS]["inline_string"]) if found else None
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError, jwks.NoJwksError):
            return None  # somebody else's doing: the source will tell

    # --- revocations ---

    async def _revocations(self, users: Users, memory: _Remembered) -> list[Obstacle]:
        if users.revocations is None:
            return []
        reference = users.revocations.config_map_ref
        where = configmaps.place(reference)
        content = await self._config_maps.latest(where, _FIRST_SECONDS)
        if content is None and memory.revocations is not None:
            return []
        try:
            text = configmaps.document(content, reference, "a list of revocations ({} for none)")
            if text != memory.source:
                # A long list takes a while to read; other deployments don't wait for it.
                memory.revocations, memory.source = await asyncio.to_thread(revocations.read, text), text
        except (UnusableError, revocations.NoListError) as error:
            said = str(error) if isinstance(error, UnusableError) else f"{where}, key {reference.key!r}: {error}"
            stands = "no person is admitted until then"
            if memory.revocations is not None:
                stands = "the list known before stays in force"
            return [Obstacle(Family.ACCESS_MINIMAL, "RevocationsUnusable", f"{said}; {stands}")]
        return []

    def _rendered_revocations(self, name: str) -> str | None:
        """The list that the auditor goes by now."""
        text = self._rendered(name, names.REVOCATIONS).get(sidecar.REVOCATIONS.rsplit("/", 1)[1])
        try:
            return sidecar.Revocations.model_validate_json(text).model_dump_json() if text else None
        except ValueError:
            return None

    def _rendered(self, name: str, config_map: str) -> dict[str, str]:
        found = self._observed.get(("ConfigMap", names.namespace(name, Zone.INFERENCE), config_map))
        return (found or {}).get("data") or {}


def _providers(node: Any) -> Iterator[dict[str, Any]]:
    """Every token provider (Envoy's jwt_authn) in a gate's configuration."""
    if isinstance(node, dict):
        if _KEYS in node:
            yield node
        for child in node.values():
            yield from _providers(child)
    elif isinstance(node, list):
        for child in node:
            yield from _providers(child)
