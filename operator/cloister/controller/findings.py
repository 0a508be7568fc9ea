"""Pure: what the canaries of a run have found, from their pods."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from cloister import names
from cloister.canaries import STRANGER, Post, posts, probes
from cloister.controller import conditions
from cloister.facts import CanaryRun
from cloister.probing import Answer, Probe, ProberReport, plan_digest
from cloister.spec import LLMDeployment
from cloister.spec.status import PairStatus
from cloister.zones import PLACES

Object = dict[str, Any]

_WORDS = {
    Answer.SILENT: "silent",
    Answer.REFUSED: "refused",
    Answer.FAILED: "failed",
    Answer.ANSWERED: "something else answered",
}


@dataclass
class Reading:
    """What the canaries of a run have found."""

    leaks: list[str] = field(default_factory=list)
    """What was reached and must not be."""
    cut: list[str] = field(default_factory=list)
    """What was not reached and must be."""
    closed: list[str] = field(default_factory=list)
    """Where the ground is not open, on which the rest is measured."""
    untried: list[str] = field(default_factory=list)
    """What must not be reached, and no packet was ever sent to."""
    pairs: list[PairStatus] = field(default_factory=list)


def credible(deployment: LLMDeployment, pods: Iterable[Object]) -> list[Object]:
    """Those that nobody but the operator's Jobs can have made. In any other namespace whoever may create pods may give
    one a canary's labels, and write what it tells."""
    places = {names.namespace(deployment.name, place) for place in PLACES}
    return [pod for pod in pods if pod["metadata"]["namespace"] in places]


def listening(deployment: LLMDeployment, run: str, pods: list[Object]) -> dict[str, tuple[str, ...]] | None:
    """Post -> addresses of the canary that listens; None until every one does, and when one was started again."""
    found = {}
    for post in posts(deployment):
        pod = _pod(pods, names.canary(run, names.LISTENER, post.name))
        status = (pod or {}).get("status") or {}
        restarted = any(one.get("restartCount") for one in status.get("containerStatuses", ()))
        addresses = tuple(str(one["ip"]) for one in status.get("podIPs") or ())
        if not addresses or restarted or not conditions.is_ready(pod or {}):
            return None
        found[post.name] = addresses
    return found


def reports(deployment: LLMDeployment, run: CanaryRun, pods: list[Object]) -> dict[str, ProberReport] | None:
    """Post -> what its canary tells; None unless every one tells of exactly what it was asked to try."""
    found = {}
    for post in posts(deployment):
        wanted = probes(deployment, post, run)
        pod = _pod(pods, names.canary(run.id, names.PROBER, post.name))
        report = _report(pod) if pod else None
        if report is None or (report.run, report.post, report.plan) != (run.id, post.name, plan_digest(wanted)):
            return None
        if len(report.answers) != len(wanted) or not set(report.answers) <= set(Answer):
            return None
        found[post.name] = report
    return found


def reading(deployment: LLMDeployment, run: CanaryRun, told: Mapping[str, ProberReport]) -> Reading:
    """What the answers of a run amount to."""
    found = Reading()
    for post in posts(deployment):
        answers = zip(probes(deployment, post, run), map(Answer, told[post.name].answers), strict=True)
        by_target: dict[str, list[tuple[Probe, Answer]]] = {}
        for probe, answer in answers:
            by_target.setdefault(probe.to, []).append((probe, answer))
        for target, tried in by_target.items():
            ports: dict[str, list[str]] = {"passed": [], "blocked": [], "failed": []}
            for probe, answer in tried:
                port = _port(probe)
                what = f"{post.name} -> {target}:{port}"
                match _judged(probe, answer):
                    case None:
                        found.untried += [what] if probe.kind != "tls" else []
                    case True:
                        ports["passed" if probe.passes else "blocked"].append(port)
                    case False:
                        ports["failed"].append(port)
                        _blame(found, post, probe, answer, what)
            joined = {what: " ".join(dict.fromkeys(found_ports)) for what, found_ports in ports.items()}
            found.pairs.append(PairStatus(source=post.name, target=target, **joined))
    return found


def _judged(probe: Probe, answer: Answer) -> bool | None:
    """Whether an answer is as it must be; None where it tells nothing."""
    if probe.kind == "tls":
        return {Answer.DEMANDED: True, Answer.ANSWERED: False, Answer.UNASKED: False}.get(answer)
    if probe.passes:
        return answer is Answer.REACHED
    return None if answer is Answer.FAILED else not answer.through


def _blame(found: Reading, post: Post, probe: Probe, answer: Answer, what: str) -> None:
    over = " over IPv6" if ":" in probe.address else ""
    if probe.kind == "tls":
        did = "answered without a certificate" if answer is Answer.ANSWERED else "asked for no certificate"
        found.leaks.append(f"{what}: {did}, must be refused")
    elif not probe.passes:
        when = " in the pod's first seconds and blocked later" if answer is Answer.BRIEFLY else ""
        found.leaks.append(f"{what}: reached{over}{when}, must be blocked")
    else:
        where = found.closed if post.name == probe.to == STRANGER else found.cut
        where.append(f"{what}: {_WORDS[answer]}{over}, must be reached")


def _port(probe: Probe) -> str:
    return f"{probe.port}/udp" if probe.kind in ("udp", "dns") else str(probe.port)


def _pod(pods: list[Object], job: str) -> Object | None:
    """The newest pod of a Job."""
    made = [pod for pod in pods if pod["metadata"].get("labels", {}).get(names.JOB_NAME) == job]
    return max(made, key=lambda pod: str(pod["metadata"]["creationTimestamp"]), default=None)


def _report(pod: Object) -> ProberReport | None:
    for container in (pod.get("status") or {}).get("containerStatuses", ()):
        ended = (container.get("state") or {}).get("terminated") or {}
        if container["name"] == names.CANARY and ended.get("exitCode") == 0:
            try:
                return ProberReport.model_validate_json(ended.get("message") or "")
            except ValidationError:
                return None
    return None


def nodes(pods: Iterable[Object]) -> list[tuple[str, ...]]:
    """Addresses of each node that canaries run on, in order."""
    found = set()
    for status in (pod.get("status") or {} for pod in pods):
        if status.get("hostIP"):
            # Kubelets before 1.29 tell of one alone.
            found.add(tuple(str(one["ip"]) for one in status.get("hostIPs") or ({"ip": status["hostIP"]},)))
    return sorted(found)


def delays(pods: list[Object], run: str) -> Iterator[str]:
    """Why canaries have not answered, as their pods tell."""
    for pod in sorted(pods, key=lambda pod: str(pod["metadata"]["name"])):
        status = pod.get("status") or {}
        name = str(pod["metadata"].get("labels", {}).get(names.JOB_NAME, "")).removeprefix(f"canary-{run}-")
        unscheduled = [
            one.get("message", "")
            for one in status.get("conditions", ())
            if one["type"] == "PodScheduled" and one["status"] == "False"
        ]
        waiting = [
            (container.get("state") or {}).get("waiting") or {} for container in status.get("containerStatuses", ())
        ]
        reasons = unscheduled + [f"{one.get('reason', '')} {one.get('message', '')}".strip() for one in waiting if one]
        if reasons:
            yield f"{name}: {reasons[0]}"
        elif status.get("phase") == "Pending":
            yield f"{name}: its pod is pending"
