"""Has canaries run when it is time, and reads what they tell. Their pods are not watched, only their Jobs."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import structlog

from cloister import names
from cloister.canaries import posts
from cloister.controller import conditions, errors, findings, proof
from cloister.controller.cluster import Cluster, Object
from cloister.controller.holds import PROOF, receivers
from cloister.controller.kinds import POD
from cloister.controller.observed import Observed
from cloister.controller.outcome import Outcome
from cloister.controller.proof import Begun, Cause, Ended
from cloister.controller.surroundings import Surroundings, api_servers
from cloister.facts import Beyond, CanaryRun
from cloister.spec import LLMDeployment
from cloister.spec.status import IsolationStatus
from cloister.zones import GATE_PORT, STORES, Component, Place, Zone

log = structlog.get_logger(__name__)

_CHECK_SECONDS = 20.0
"""After how long a run is looked at again although none of its Jobs has changed."""
_MAX_SIBLINGS = 8


class Prover:
    """The live proof of every deployment."""

    def __init__(self, cluster: Cluster, observed: Observed, surroundings: Surroundings, interval: timedelta) -> None:
        self._cluster = cluster
        self._observed = observed
        self._surroundings = surroundings
        self._interval = interval
        self._known: dict[str, IsolationStatus] = {}
        """Deployment uid -> what its last runs have told: status may be written later, and by others."""
        self._told: dict[str, CanaryRun] = {}
        """Deployment uid -> the run as its probers are told it."""
        self._begun: dict[str, Begun] = {}
        """Deployment uid -> the run that is under way."""

    async def look(self, deployment: LLMDeployment, raw: Object, outcome: Outcome) -> CanaryRun | None:
        """The run that is under way, if one is; the outcome tells what is known of isolation."""
        now = datetime.now(UTC)
        request = raw["metadata"].get("annotations", {}).get(names.VERIFY_REQUEST, "")
        cause = Cause(
            proof.policies_digest(deployment, self._policies(deployment)), request[: names.VERIFY_REQUEST_LENGTH]
        )
        before = proof.known(self._known.get(deployment.uid), raw, now)
        run = None
        if not deployment.spec.excused(PROOF, outcome.today) or proof.unanswered(before, cause):
            if proof.due(before, cause, now, self._interval) == 0.0:
                found = await self._advance(deployment, proof.run_id(deployment, before, cause.policies), cause, now)
                if isinstance(found, CanaryRun):
                    run = found
                else:
                    before = self._end(deployment, before, found)
            outcome.recheck_in(_CHECK_SECONDS if run else proof.due(before, cause, now, self._interval))
        outcome.isolation = before
        outcome.standing = proof.standing(before, cause, now, self._interval)
        return run

    def forget(self, uid: str) -> None:
        """A deployment is gone."""
        self._known.pop(uid, None)
        self._told.pop(uid, None)
        self._begun.pop(uid, None)

    # --- a run, as far as it has come ---

    async def _advance(self, deployment: LLMDeployment, run: str, cause: Cause, now: datetime) -> CanaryRun | Ended:
        jobs = {
            role: [self._job(deployment, run, role, post.name, post.place) for post in posts(deployment)]
            for role in (names.LISTENER, names.PROBER)
        }
        begun = proof.begun(self._begun.get(deployment.uid), run, cause, any(jobs[names.LISTENER]))
        self._begun[deployment.uid] = begun
        cause = begun.cause
        # A listener never ends by itself: one that is complete was ended, and answers nobody any more.
        failed = any(_is(job, "Failed") for every in jobs.values() for job in every) or any(
            _is(job, "Complete") for job in jobs[names.LISTENER]
        )
        if not failed and not all(_ready(job) for job in jobs[names.LISTENER]):
            return CanaryRun(run)
        try:
            found, _ = await self._cluster.list(POD, f"{names.LABEL_RUN}={run}")
        except errors.ApiError as error:
            log.warning("canaries can't be read", deployment=deployment.name, error=error.message)
            told = self._told.get(deployment.uid)
            return told if told and told.id == run else CanaryRun(run)
        pods = findings.credible(deployment, found)
        if failed:
            why = "; ".join(list(findings.delays(pods, run))[:3]) or "a canary has ended without a report"
            return proof.given_up(run, f"not all canaries have answered: {why}", cause, now)
        addresses = findings.listening(deployment, run, pods)
        known = self._told.get(deployment.uid)
        if known and known.id == run and known.listeners and known.listeners != addresses:
            return proof.given_up(run, "a canary that listens was lost while others tried it", cause, now)
        if addresses is None:
            return CanaryRun(run)
        if known is None or known.id != run or not known.listeners:
            known = await self._described(deployment, run, addresses, pods)
            self._told[deployment.uid] = known
        if not all(_is(job, "Complete") for job in jobs[names.PROBER]):
            return known
        reports = findings.reports(deployment, known, pods)
        if reports is None:
            return proof.given_up(run, "a canary has not told what came of all that it was to try", cause, now)
        return proof.concluded(run, findings.reading(deployment, known, reports), cause, now)

    def _end(self, deployment: LLMDeployment, before: IsolationStatus, ended: Ended) -> IsolationStatus:
        after = proof.after(before, ended)
        log.info(
            "canaries have ended",
            deployment=deployment.name,
            run=ended.run,
            proved=getattr(ended, "proved", None),
            failures=getattr(ended, "failures", (getattr(ended, "message", ""),)),
        )
        self._known[deployment.uid] = after
        self._told.pop(deployment.uid, None)
        return after

    # --- what is there ---

    def _job(self, deployment: LLMDeployment, run: str, role: str, post: str, place: Place) -> Object | None:
        return self._observed.get(("Job", names.namespace(deployment.name, place), names.canary(run, role, post)))

    async def _described(
        self, deployment: LLMDeployment, run: str, addresses: dict[str, tuple[str, ...]], pods: list[Object]
    ) -> CanaryRun:
        ipv6 = any(":" in address for every in addresses.values() for address in every)
        beyond = self._surroundings.beyond(findings.nodes(pods), await api_servers(self._cluster), ipv6=ipv6)
        return CanaryRun(
            run, addresses, dict(self._gates(deployment)), (*beyond, *list(self._siblings(deployment))[:_MAX_SIBLINGS])
        )

    def _gates(self, deployment: LLMDeployment) -> Iterator[tuple[Component, str]]:
        """Gates that answer now: of one that does not, nothing could be learnt."""
        for component in receivers(deployment):
            namespace = names.namespace(deployment.name, component.zone)
            server = self._observed.get(("StatefulSet", namespace, str(component))) or {}
            address = self._address(namespace, component)
            if address and (server.get("status") or {}).get("readyReplicas"):
                yield component, address

    def _siblings(self, deployment: LLMDeployment) -> Iterator[Beyond]:
        """Gates of other deployments."""
        for name in sorted(self._observed.of_kind(names.KIND)):
            for component in (Component.INFERENCE, *STORES) if name != deployment.name else ():
                address = self._address(names.namespace(name, component.zone), component)
                if address:
                    yield Beyond(f"{name}/{component}", address, GATE_PORT)

    def _address(self, namespace: str, component: Component) -> str | None:
        service = self._observed.get(("Service", namespace, str(component))) or {}
        address: str | None = service.get("spec", {}).get("clusterIP")
        return address

    def _policies(self, deployment: LLMDeployment) -> Iterator[Object]:
        """Every NetworkPolicy that is in the zones."""
        for zone in Zone:
            policies = self._observed.of_kind("NetworkPolicy", names.namespace(deployment.name, zone))
            yield from (policies[name] for name in sorted(policies))


def _ready(job: Object | None) -> bool:
    return bool(job and (job.get("status") or {}).get("ready"))


def _is(job: Object | None, condition: str) -> bool:
    return conditions.holds(job or {}, condition)
