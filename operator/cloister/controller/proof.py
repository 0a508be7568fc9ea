"""Pure: when canaries run, and what is said of isolation. What no canary has answered is Unknown."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from pydantic import ValidationError

from cloister import names
from cloister.canaries import posts, tcp_ports
from cloister.controller import conditions
from cloister.controller.findings import Reading
from cloister.facts import Facts, Settings
from cloister.render.canary import placement_of
from cloister.render.meta import digest
from cloister.render.network import allow_flows, deny_all
from cloister.spec import LLMDeployment
from cloister.spec.status import AttemptStatus, IsolationStatus, ProofStatus

Object = dict[str, Any]

_RETRY = timedelta(minutes=2)
"""After how long a run is repeated that was not answered, or that found something wrong."""
_TOLERANCE = timedelta(minutes=10)
_CLOCK_SKEW = timedelta(minutes=5)
"""By which the clocks of two nodes may differ."""
_MAX_FAILURES = 64


Ended = ProofStatus | AttemptStatus
"""How a run has ended."""


@dataclass(frozen=True)
class Cause:
    """What a run is made for."""

    policies: str
    """:func:`policies_digest`: the policies and flows that it is about, and where it is tried."""
    request: str = ""
    """Value of the annotation by which somebody has asked for it; empty where nobody has."""


@dataclass(frozen=True)
class Begun:
    """A run that is under way, and what it was begun for."""

    run: str
    cause: Cause


@dataclass(frozen=True)
class Standing:
    """What may be said of isolation now: the condition's status, reason and message."""

    status: str = "Unknown"
    reason: str = "NotTried"
    message: str = "no canary has tried anything yet"

    @property
    def proved(self) -> bool:
        """Whether workloads may be started on the strength of it."""
        return self.status == "True"


def policies_digest(deployment: LLMDeployment, live: Iterable[Object]) -> str:
    """Of all that decides what the network lets through: another value asks for another proof.

    Of what lives in the zones only that counts which is not rendered, and may widen them; the rest is as rendered, or
    is being put right. The deployment's uid is among it, so that no proof is taken over from another of the same name.
    And which ports are tried, and on which nodes: a proof says nothing of a workload that has moved to others.
    """
    rendered = (*deny_all(deployment, Facts(), Settings()), *allow_flows(deployment, Facts(), Settings()))
    own = {names.key(policy): policy["spec"] for policy in rendered}
    foreign = [(names.key(policy), policy.get("spec")) for policy in live if names.key(policy) not in own]
    places = [[post.name, _nodes(placement_of(deployment, post))] for post in posts(deployment)]
    return digest([deployment.uid, *own.items(), *foreign, tcp_ports(deployment), places])


def _nodes(placement: Object) -> Object:
    """What of it decides where a pod runs, and in what; the rest only lets its image be pulled."""
    return {field: value for field, value in placement.items() if field != "imagePullSecrets"}


def known(remembered: IsolationStatus | None, raw: Object, now: datetime) -> IsolationStatus:
    """What is known of earlier runs: what this process remembers of them, and only where it has seen none end, what the
    deployment's status tells. Others may write status, so it never stands against what was seen."""
    return believable(_told(raw) if remembered is None else remembered, now)


def _told(raw: Object) -> IsolationStatus:
    """What status tells; nothing where it can't be read. A proof without a single pair has tried nothing."""
    try:
        told = IsolationStatus.model_validate((raw.get("status") or {}).get("isolation") or {}, by_alias=True)
    except ValidationError:
        return IsolationStatus(proof=None, attempt=None)
    return told if told.proof and told.proof.pairs else IsolationStatus(proof=None, attempt=told.attempt)


def believable(known: IsolationStatus, now: datetime) -> IsolationStatus:
    """Without what is said to have happened later than now: a clock was wrong, or somebody has written it."""
    return IsolationStatus(
        proof=known.proof if known.proof and _past(known.proof, now) else None,
        attempt=known.attempt if known.attempt and _past(known.attempt, now) else None,
    )


def _past(ended: Ended, now: datetime) -> bool:
    try:
        return datetime.fromisoformat(ended.time) <= now + _CLOCK_SKEW
    except (ValueError, TypeError):  # no time, or one without a zone
        return False


def unanswered(before: IsolationStatus, cause: Cause) -> bool:
    """Whether somebody has asked for a run and has got none yet."""
    return bool(cause.request) and cause.request not in {one.request for one in (before.proof, before.attempt) if one}


def due(before: IsolationStatus, cause: Cause, now: datetime, interval: timedelta) -> float:
    """Seconds until canaries run again; 0 when it is time."""
    last = before.attempt or before.proof
    if last is None or last.policies != cause.policies or unanswered(before, cause):
        return 0.0
    settled = isinstance(last, ProofStatus) and last.proved
    again = datetime.fromisoformat(last.time) + (interval if settled else min(interval, _RETRY))
    return max(0.0, (again - now).total_seconds())


def run_id(deployment: LLMDeployment, before: IsolationStatus, policies: str) -> str:
    """The same for the same reason, so that an operator that starts anew goes on with the run that it finds.

    Requests are no part of it: one that comes while a run is under way does not end it, and is answered by the next.
    """
    done = [[one.run, one.time] for one in (before.proof, before.attempt) if one]
    return digest([deployment.uid, policies, done], 10)


def begun(last: Begun | None, run: str, cause: Cause, there: bool) -> Begun:
    """The run as it was begun. ``last`` is the one that this process saw last; ``there`` whether canaries of this run
    are. One that was found is no answer to anybody: it may be older than what is asked for now."""
    if last and last.run == run:
        return last
    return Begun(run, replace(cause, request="") if there else cause)


def given_up(run: str, message: str, cause: Cause, now: datetime) -> AttemptStatus:
    """The end of a run that tells nothing."""
    return AttemptStatus(
        run=run,
        time=conditions.timestamp(now),
        policies=cause.policies,
        request=cause.request,
        message=conditions.cut(message),
    )


def concluded(run: str, found: Reading, cause: Cause, now: datetime) -> Ended:
    """The end of a run that all canaries have answered. One that can't be measured is no proof, and no refutation."""
    if found.closed and not found.leaks:
        message = (
            f"the canaries' own ground is not open, so that silence proves nothing: {found.closed[0]}. Another policy"
            " of the cluster closes the namespace that ends in -canary: let canaries through there"
        )
        return given_up(run, message, cause, now)
    if found.untried and not found.leaks:
        message = (
            f"a canary could not even try what must be blocked, for want of a socket or an address: {found.untried[0]}."
            " That proves nothing; it is tried again"
        )
        return given_up(run, message, cause, now)
    failures = _spread([*found.leaks, *found.cut])
    return ProofStatus(
        run=run,
        time=conditions.timestamp(now),
        policies=cause.policies,
        request=cause.request,
        proved=not failures,
        failures=failures[:_MAX_FAILURES],
        pairs=tuple(found.pairs),
    )


def _spread(failures: list[str]) -> tuple[str, ...]:
    """One of each pair of places before more of any: there may be more than status has room for."""
    turns: Counter[str] = Counter()
    ordered = []
    for failure in failures:
        pair = failure.rpartition(": ")[0].rpartition(":")[0]
        ordered.append((turns[pair], failure))
        turns[pair] += 1
    return tuple(failure for _, failure in sorted(ordered, key=lambda one: one[0]))


def after(before: IsolationStatus, ended: Ended) -> IsolationStatus:
    """What is known when a run has ended: an attempt leaves the last proof as it was."""
    if isinstance(ended, ProofStatus):
        return IsolationStatus(proof=ended, attempt=None)
    return IsolationStatus(proof=before.proof, attempt=ended)


def as_status(known: IsolationStatus) -> Object:
    """As it stands in a deployment's status."""
    return known.model_dump(mode="json", by_alias=True, exclude_none=True)


def standing(before: IsolationStatus, cause: Cause, now: datetime, interval: timedelta) -> Standing:
    """What may be said of isolation, from what is known of the last runs."""
    last, attempt = before.proof, before.attempt
    unanswered = f". The last run was not answered: {attempt.message}" if attempt else ""
    if last and last.policies == cause.policies and not last.proved:
        more = f" (and {len(last.failures) - 1} more)" if len(last.failures) > 1 else ""
        leaks = any(failure.endswith(("must be blocked", "must be refused")) for failure in last.failures)
        reason = "NotEnforced" if leaks else "FlowBlocked"
        return Standing("False", reason, f"tried at {last.time}: {last.failures[0]}{more}{unanswered}")
    if last is None:
        if attempt:
            return Standing("Unknown", "NoAnswer", attempt.message)
        return Standing("Unknown", "Proving", "canaries are trying what must pass and what must not")
    if last.policies != cause.policies:
        changed = "policies, flows or placements have changed since the last proof; canaries are trying them"
        return Standing("Unknown", "PoliciesChanged", f"{changed}{unanswered}")
    if now - datetime.fromisoformat(last.time) > 2 * interval + _TOLERANCE:
        return Standing("Unknown", "Stale", f"the last proof is of {last.time}{unanswered}")
    passed, blocked = (
        sum(len(ports.split()) for ports in every)
        for every in ([pair.passed for pair in last.pairs], [pair.blocked for pair in last.pairs])
    )
    places = len({pair.source for pair in last.pairs})
    return Standing(
        "True",
        "Proven",
        f"tried at {last.time} from {places} places: {passed} connections that must pass did, {blocked} that must not"
        f" did not{unanswered}",
    )
