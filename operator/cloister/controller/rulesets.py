"""Rules for prompt injection from where a resource says: checked here, before any auditor sees them.

The last good set stays in force while its source is away or bad. It survives a restart of the operator, because the
zone's own ConfigMap holds it.
"""

import asyncio
from functools import partial

from cloister import names, sidecar
from cloister.controller import configmaps
from cloister.controller.cluster import Cluster
from cloister.controller.configmaps import Content, Place, UnusableError
from cloister.controller.followed import Followed, Wake
from cloister.controller.observed import Observed
from cloister.controller.outcome import Obstacle, Outcome
from cloister.controls import Family
from cloister.inspection.rules import RulesError, parse
from cloister.spec import LLMDeployment
from cloister.zones import Zone

_FIRST_SECONDS = 2.0
"""How long a pass waits for the first answer of a source. A later one wakes the deployment."""


class RuleSets:
    """Follows what deployments name, and remembers what was good."""

    def __init__(self, cluster: Cluster, observed: Observed) -> None:
        self._observed = observed
        self._good: dict[str, str | None] = {}
        """Deployment -> its last good set; None while there never was one."""
        self._config_maps: Followed[Place, Content] = Followed(partial(configmaps.follow, cluster))

    def wakes(self, wake: Wake) -> None:
        """Whom to tell the names of deployments for which there is news."""
        self._config_maps.wake = wake

    async def facts(self, deployment: LLMDeployment, outcome: Outcome) -> str | None:
        """The set in force; what is wrong with its source goes into the outcome."""
        source = deployment.spec.inference.guard.injection_rules
        name = deployment.name
        if source is None:
            self.forget(name)
            return None
        where = configmaps.place(source.config_map_ref)
        self._config_maps.want(name, [where])
        if name not in self._good:
            self._good[name] = await self._rendered(name)
        content = await self._config_maps.latest(where, _FIRST_SECONDS)
        good = self._good[name]
        if content is None and good is not None:
            return good
        try:
            text = configmaps.document(content, source.config_map_ref, "a set of rules (docs/detection.md)")
            if text != good:
                await _compiled(text)
                self._good[name] = good = text
        except (UnusableError, RulesError) as error:
            key = source.config_map_ref.key
            said = str(error) if isinstance(error, UnusableError) else f"{where}, key {key!r}: {error}"
            stands = "; the pods are not ready until then" if good is None else "; the rules known before stay"
            outcome.obstacles.append(Obstacle(Family.AUDIT_RECORDING, "InjectionRulesUnusable", said + stands))
        return good

    def forget(self, name: str) -> None:
        """A deployment is gone, or names no rules any more."""
        self._good.pop(name, None)
        self._config_maps.want(name, ())

    async def close(self) -> None:
        """Follow nothing any more."""
        await self._config_maps.close()

    async def _rendered(self, name: str) -> str | None:
        """The set that the auditor goes by now."""
        key = ("ConfigMap", names.namespace(name, Zone.INFERENCE), names.INJECTION_RULES)
        data = (self._observed.get(key) or {}).get("data") or {}
        text: str | None = data.get(sidecar.INJECTION_RULES.rsplit("/", 1)[1])
        try:
            if text is not None:
                await _compiled(text)
        except RulesError:
            return None  # somebody else's doing: the source will tell
        return text


async def _compiled(text: str) -> None:
    """Compiling many patterns takes a while; other deployments don't wait for it."""
    await asyncio.to_thread(parse, text)
