"""One pass over one deployment: from what is declared and observed to what the cluster holds, and its status."""

import asyncio
from collections.abc import Coroutine, Iterable
from datetime import UTC, datetime
from typing import Any

import structlog

from cloister import names
from cloister.controller import errors, metrics
from cloister.controller.cluster import Cluster, Object
from cloister.controller.declared import last_good
from cloister.controller.endings import look_at_exporter, look_for_endings
from cloister.controller.ensure import Ensurer, failure
from cloister.controller.gather import Gatherer
from cloister.controller.guards import Guards
from cloister.controller.holds import Hold, by_phase, hold, prunable
from cloister.controller.keyrings import Keyrings
from cloister.controller.observed import Observed
from cloister.controller.outcome import Obstacle, Outcome, Result, State, describe
from cloister.controller.people import People
from cloister.controller.prover import Prover
from cloister.controller.reporter import Reporter
from cloister.controller.rulesets import RuleSets
from cloister.controller.status import View
from cloister.controller.waiting import look_for_waiting
from cloister.controls import Family
from cloister.facts import Facts, Settings
from cloister.flows import flows
from cloister.names import key
from cloister.render import render
from cloister.render.namespaces import namespaces
from cloister.render.phases import Phase
from cloister.spec import LLMDeployment, SpecError, parse
from cloister.zones import PLACES, Zone

log = structlog.get_logger(__name__)

_CONCURRENCY = 8
"""Writes of one pass that are under way at once."""
_CONFLICT_SECONDS = 30.0
"""After how long something that only a person can remove is looked at again."""


class RetryError(Exception):
    """The pass could not do all it had to; the queue decides when it is tried again, but ``due`` at the latest."""

    def __init__(self, message: str, due: float | None) -> None:
        super().__init__(message)
        self.due = due


class Reconciler:
    """Holds what passes share. Any number of passes may run at once, each over another deployment."""

    def __init__(
        self,
        cluster: Cluster,
        observed: Observed,
        people: People,
        rule_sets: RuleSets,
        prover: Prover,
        guards: Guards,
        settings: Settings,
    ) -> None:
        self._cluster = cluster
        self._observed = observed
        self._people = people
        self._prover = prover
        self._guards = guards
        self._rule_sets = rule_sets
        self._settings = settings
        self._gatherer = Gatherer(observed, people, rule_sets, settings.cert_manager_namespace)
        self._ensurer = Ensurer(cluster, observed)
        self._keyrings = Keyrings(cluster)
        self._reporter = Reporter(cluster, observed)
        self._valid: dict[str, LLMDeployment] = {}
        """Deployment uid -> the last valid declaration."""
        self._rendered: dict[str, tuple[LLMDeployment, Facts, list[Object]]] = {}
        self._uids: dict[str, str] = {}
        self.awaited: dict[str, set[str]] = {}
        """Deployment -> namespaces that its clients are declared in and that do not exist."""

    async def reconcile(self, name: str) -> float | None:
        """One pass. Returns after how many seconds another is due, if any; raises RetryError to be tried again."""
        raw = self._observed.get((names.KIND, "", name))
        if raw is None or "deletionTimestamp" in raw["metadata"]:
            self._forget(name)
            return None
        self._remember(name, raw["metadata"]["uid"])
        with metrics.RECONCILE_SECONDS.time():
            outcome = Outcome(today=datetime.now(UTC).date(), guards=self._guards.failing)
            deployment = self._declared(raw, outcome)
            rendered: list[Object] = []
            if deployment and not await self._refused(deployment, outcome):
                run = await self._prover.look(deployment, raw, outcome)
                facts = await self._gatherer.facts(deployment, run, outcome)
                rendered = self._render(deployment, facts)
                await self._enforce(deployment, raw, facts, rendered, outcome)
                await self._prune(deployment, rendered, outcome)
                await look_for_endings(deployment, self._cluster, self._observed, outcome)
                await look_for_waiting(deployment, rendered, self._cluster, self._observed, outcome)
                await look_at_exporter(deployment, self._cluster, self._observed, outcome)
                if self._gatherer.cluster_ips(deployment) != facts.cluster_ips:
                    # A Service was made again under another address: nobody else's event will tell.
                    outcome.recheck_after = 0.0
            self.awaited[name] = outcome.missing_namespaces
            view = View(raw, deployment, rendered, outcome, self._observed.get, datetime.now(UTC))
            again = await self._reporter.report(view)
        waits = (again, outcome.recheck_after, _CONFLICT_SECONDS if _in_conflict(outcome) else None)
        due = min((delay for delay in waits if delay is not None), default=None)
        _raise_for(outcome, due)
        return due

    async def farewell(self, raw: Object) -> None:
        """A deployment is gone: say what it has left behind."""
        await self._reporter.farewell(raw, self._settings.cert_manager_namespace)

    # --- before anything is written ---

    def _declared(self, raw: Object, outcome: Outcome) -> LLMDeployment | None:
        """The declaration; one that can't be used changes nothing: what was valid before stays in force."""
        uid = raw["metadata"]["uid"]
        problem = None
        try:
            deployment = parse(raw)
        except SpecError as error:
            problem = "InvalidSpec", str(error)
        else:
            problem = self._client_in_zone(deployment)
            if problem is None:
                self._valid[uid] = deployment
        if problem:
            message = f"{problem[1]}. Nothing was changed: what was in force before stays so"
            outcome.obstacles.append(Obstacle(Family.READY, problem[0], message, stalled=True))
            if uid not in self._valid and (kept := last_good(raw, self._observed.get)):
                log.info("the declaration before is enforced", deployment=kept.name)
                self._valid[uid] = kept
        return self._valid.get(uid)

    def _client_in_zone(self, deployment: LLMDeployment) -> tuple[str, str] | None:
        for peer in (flow.source for flow in flows(deployment) if flow.source.component is None):
            if self._is_zone(deployment, peer.namespace):
                who = f"service account {peer.service_account!r}" if peer.identity else "a scraper"
                return "ClientInZone", (
                    f"namespace {peer.namespace!r} of {who} is a zone, and machines"
                    " outside the zones must live outside them: declare another namespace"
                )
        return None

    async def _refused(self, deployment: LLMDeployment, outcome: Outcome) -> bool:
        """Whether something forbids to write anything at all for this deployment."""
        conflicts = [
            conflict
            for obj in namespaces(deployment, Facts(), self._settings)
            for conflict in await self._namespace_conflict(deployment, obj)
        ]
        outcome.obstacles += conflicts
        return bool(conflicts)

    def _is_zone(self, deployment: LLMDeployment, namespace: str) -> bool:
        live = self._observed.get(("Namespace", "", namespace))
        labelled = live is not None and names.LABEL_ZONE in live["metadata"].get("labels", {})
        return labelled or namespace in {names.namespace(deployment.name, place) for place in PLACES}

    async def _namespace_conflict(self, deployment: LLMDeployment, obj: Object) -> list[Obstacle]:
        """Asked of the API server itself unless the cache knows: a zone is never built inside somebody's namespace."""
        name = obj["metadata"]["name"]
        live = self._observed.get(key(obj))
        if live is None:
            try:
                live = await self._cluster.get("Namespace", name)
            except errors.NotFoundError:
                return []
            self._observed.put(live)
        if self._ensurer.owned(deployment, live, obj) or "deletionTimestamp" in live["metadata"]:
            return []
        labels = live["metadata"].get("labels", {})
        former = labels.get(names.LABEL_OWNER)
        if labels.get(names.LABEL_DEPLOYMENT) == deployment.name and former:
            way_out = (
                f"it was kept for an LLMDeployment of this name with uid {former}, which is gone: set spec.adopt to"
                " that uid to take its data back, or delete the namespace, and with it the data"
            )
        else:
            way_out = "it was not made by Cloister: delete or rename it, or give the LLMDeployment another name"
        return [Obstacle(Family.ZONES_ISOLATED, "NamespaceConflict", f"namespace {name!r} exists; {way_out}", True)]

    def _render(self, deployment: LLMDeployment, facts: Facts) -> list[Object]:
        """The whole set, before the first write."""
        known = self._rendered.get(deployment.uid)
        if known and known[0] == deployment and known[1] == facts:
            return known[2]
        rendered = render(deployment, facts, self._settings)
        self._rendered[deployment.uid] = (deployment, facts, rendered)
        return rendered

    # --- writing ---

    async def _enforce(
        self, deployment: LLMDeployment, raw: Object, facts: Facts, rendered: list[Object], outcome: Outcome
    ) -> None:
        """Phase by phase, deny first; what must wait is left alone."""
        slots = asyncio.Semaphore(_CONCURRENCY)

        async def one(obj: Object, held: Hold | None) -> None:
            if held and not (held.creation_only and self._observed.get(key(obj))):
                outcome.results[key(obj)] = self._as_it_is(obj, held.result())
                return
            async with slots:
                result, repair = await self._ensurer.ensure(deployment, obj, may_create=held is None)
            outcome.results[key(obj)] = held.result() if held and result.reason == "Waiting" else result
            if repair:
                outcome.repairs.append(repair)

        for at, batches in by_phase(rendered).items():
            if at is Phase.STORAGE:
                await self._keyrings.tend(deployment, raw["metadata"].get("annotations", {}), outcome)
            for batch in batches:
                holds = [hold(deployment, obj, outcome, facts, self._observed.get) for obj in batch]
                await _all(one(obj, held) for obj, held in zip(batch, holds, strict=True))
        self._foreign_policies(deployment, rendered, outcome)

    def _as_it_is(self, obj: Object, otherwise: Result) -> Result:
        """A held object may be in force all the same."""
        return Result(State.IN_FORCE) if self._ensurer.exact(obj) else otherwise

    def _foreign_policies(self, deployment: LLMDeployment, rendered: list[Object], outcome: Outcome) -> None:
        """NetworkPolicies only ever add permissions, so one of somebody else's in a zone may widen it."""
        wanted = {key(obj) for obj in rendered}
        for zone in Zone:
            namespace = names.namespace(deployment.name, zone)
            for name, policy in sorted(self._observed.of_kind("NetworkPolicy", namespace).items()):
                labels = policy["metadata"].get("labels", {})
                ours = labels.get(names.LABEL_DEPLOYMENT) == deployment.name
                if key(policy) not in wanted and not (ours and prunable(deployment, policy, wanted)):
                    outcome.foreign_policies.append(f"{namespace}/{name}")

    async def _prune(self, deployment: LLMDeployment, rendered: list[Object], outcome: Outcome) -> None:
        """Last of all, what is ours and not wanted any more. Not while an earlier write has failed in a zone."""
        if any(
            result.state is State.FAILED and kind in ("Namespace", "NetworkPolicy")
            for (kind, _, _), result in outcome.results.items()
        ):
            return
        wanted = {key(obj) for obj in rendered}
        surplus = [obj for obj in self._observed.labelled(deployment.name) if prunable(deployment, obj, wanted)]

        async def one(obj: Object) -> None:
            try:
                left = await self._cluster.delete(obj)
            except errors.NotFoundError:
                left = None
            except (errors.ConflictError, errors.ForbiddenError) as error:
                outcome.results[key(obj)] = failure(error)
                return
            self._ensurer.pruned(deployment.uid, key(obj))
            if left is None:
                self._observed.remove(obj)
            else:
                self._observed.put(left)
            log.info("pruned", deployment=deployment.name, object=describe(key(obj)))

        await _all(one(obj) for obj in surplus)

    # --- memory ---

    def _remember(self, name: str, uid: str) -> None:
        if self._uids.get(name, uid) != uid:
            self._forget(name)  # deleted, and made again under the same name
        self._uids[name] = uid

    def _forget(self, name: str) -> None:
        uid = self._uids.pop(name, "")
        self._ensurer.forget(uid)
        self._gatherer.forget(uid)
        self._people.forget(name)
        self._prover.forget(uid)
        self._rule_sets.forget(name)
        self._keyrings.forget(uid)
        self._reporter.forget(uid, name)
        self.awaited.pop(name, None)
        for memory in (self._valid, self._rendered):
            memory.pop(uid, None)


async def _all(coroutines: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Run them together; if one raises, the others are cancelled and awaited before it goes on."""
    try:
        async with asyncio.TaskGroup() as group:
            for coroutine in coroutines:
                group.create_task(coroutine)
    except BaseExceptionGroup as several:
        raise several.exceptions[0] from None


def _in_conflict(outcome: Outcome) -> bool:
    """Whether something of somebody else's is in the way: it is not watched, so its end is not seen."""
    refused = any(result.reason == "Conflict" for result in outcome.results.values())
    return refused or any(obstacle.stalled for obstacle in outcome.obstacles)


def _raise_for(outcome: Outcome, due: float | None) -> None:
    """Failures that time may heal are tried again. A missing namespace is watched: its coming is an event."""
    failed = [
        f"{describe(found)}: {result.message}"
        for found, result in outcome.results.items()
        if result.state is State.FAILED and result.reason not in ("Conflict", "NamespaceMissing")
    ]
    if failed:
        raise RetryError("; ".join(failed[:3]), due)
