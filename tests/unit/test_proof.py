"""When canaries run, what their answers amount to, and what is said of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Any

import pytest

from cloister import names
from cloister.addresses import METADATA, METADATA_SERVICES
from cloister.canaries import posts, probes, ready_port, tcp_ports
from cloister.controller import findings, proof
from cloister.controller.outcome import Outcome
from cloister.controller.proof import Cause
from cloister.controller.prover import Prover
from cloister.controller.surroundings import Surroundings, _addresses, nameservers
from cloister.facts import Beyond, CanaryRun
from cloister.probing import Answer, Probe, ProberReport, plan_digest
from cloister.spec import parse
from cloister.spec.status import AttemptStatus, IsolationStatus, PairStatus, ProofStatus
from cloister.zones import Component
from tests.edits import deployment as example
from tests.edits import example as raw_example

Object = dict[str, Any]

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
DEPLOYMENT = example({})
ADDRESSES = {post.name: (f"10.244.0.{number}",) for number, post in enumerate(posts(DEPLOYMENT), 1)}
RUN = CanaryRun(
    "0123456789", ADDRESSES, {Component.CHECKPOINTS: "10.96.0.9"}, (Beyond("API server", "10.96.0.1", 443),)
)
CAUSE = Cause("policies")
NOTHING = IsolationStatus(proof=None, attempt=None)


def proved(at: datetime = NOW, cause: Cause = CAUSE, *failures: str) -> IsolationStatus:
    last = ProofStatus(
        run="a",
        time=f"{at:%Y-%m-%dT%H:%M:%SZ}",
        policies=cause.policies,
        request=cause.request,
        proved=not failures,
        failures=failures,
        pairs=(PairStatus(source="a", target="b", blocked="1"),),
    )
    return IsolationStatus(proof=last, attempt=None)


def attempted(before: IsolationStatus, at: datetime = NOW, cause: Cause = CAUSE) -> IsolationStatus:
    return proof.after(before, proof.given_up("b", "no pods", cause, at))


def as_expected(probe: Probe) -> Answer:
    if probe.kind == "tls":
        return Answer.DEMANDED
    return Answer.REACHED if probe.passes else Answer.SILENT


def read(changes: dict[tuple[str, str, int, str], Answer]) -> findings.Reading:
    """What is found when everything is as expected but for these (post, to, port, kind)."""
    told = {}
    for post in posts(DEPLOYMENT):
        wanted = probes(DEPLOYMENT, post, RUN)
        answers = (changes.get((post.name, p.to, p.port, p.kind), as_expected(p)) for p in wanted)
        told[post.name] = ProberReport(run=RUN.id, post=post.name, plan=plan_digest(wanted), answers="".join(answers))
    return findings.reading(DEPLOYMENT, RUN, told)


# --- when ---


@pytest.mark.parametrize(
    ("before", "cause", "seconds"),
    [
        (NOTHING, CAUSE, 0),
        (proved(), CAUSE, 3600),
        (proved(NOW - HOUR), CAUSE, 0),
        (proved(), Cause("others"), 0),
        (proved(), Cause("policies", "nonce"), 0),
        (proved(NOW, Cause("policies", "nonce")), Cause("policies", "nonce"), 3600),
        (proved(NOW, CAUSE, "a -> b:1: reached, must be blocked"), CAUSE, 120),
        (attempted(proved()), CAUSE, 120),
        (attempted(NOTHING), Cause("others"), 0),
        (attempted(NOTHING), Cause("policies", "nonce"), 0),
        (attempted(NOTHING, NOW, Cause("policies", "nonce")), Cause("policies", "nonce"), 120),
    ],
)
def test_canaries_run_when_there_is_a_reason(before: IsolationStatus, cause: Cause, seconds: float) -> None:
    assert proof.due(before, cause, NOW, HOUR) == seconds


def test_a_run_has_one_name_until_it_has_ended() -> None:
    first = proof.run_id(DEPLOYMENT, NOTHING, "policies")
    assert first == proof.run_id(DEPLOYMENT, NOTHING, "policies")
    others = {
        proof.run_id(DEPLOYMENT, proved(), "policies"),
        proof.run_id(DEPLOYMENT, attempted(NOTHING), "policies"),
        proof.run_id(DEPLOYMENT, NOTHING, "others"),
    }
    assert len(others | {first}) == 4


def test_a_request_that_comes_during_a_run_is_answered_by_the_next() -> None:
    """Also the first request is: a run that may have begun before it says nothing of what is there now."""
    one, other = (Cause("policies", request) for request in ("one", "other"))
    begun = proof.begun(None, "a", one, there=False)
    assert begun.cause == one
    assert proof.begun(begun, "a", other, there=True) == begun
    ended = proved(NOW, begun.cause)
    assert proof.unanswered(ended, other)
    assert proof.due(ended, other, NOW, HOUR) == 0
    assert proof.begun(begun, "b", other, there=False).cause == other


def test_a_run_that_is_found_after_a_restart_answers_nobody() -> None:
    found = proof.begun(None, "a", Cause("policies", "one"), there=True)
    assert found.cause == CAUSE
    assert proof.unanswered(proved(NOW, found.cause), Cause("policies", "one"))


async def test_the_operator_goes_on_with_a_run_whatever_is_asked_meanwhile() -> None:
    """And what it has seen itself is not forgotten for what a status says."""

    class Nothing:
        def get(self, _: object) -> None:
            return None

        def of_kind(self, *_: str) -> Object:
            return {}

    nowhere: Any = Nothing()
    prover = Prover(nowhere, nowhere, Surroundings((), (), None), HOUR)

    async def look(request: str) -> tuple[CanaryRun | None, Outcome]:
        outcome = Outcome()
        raw = {"metadata": {"annotations": {names.VERIFY_REQUEST: request}}} | forged
        return await prover.look(DEPLOYMENT, raw, outcome), outcome

    forged: Object = {}
    first, _ = await look("one")
    second, _ = await look("two")
    assert first
    assert first == second
    refuted = proved(
        datetime.now(UTC), Cause(proof.policies_digest(DEPLOYMENT, [])), "a -> b:1: reached, must be blocked"
    )
    assert refuted.proof
    prover._end(DEPLOYMENT, NOTHING, refuted.proof)
    forged = written(proved(datetime.now(UTC) + timedelta(minutes=4), Cause(proof.policies_digest(DEPLOYMENT, []))))
    third, outcome = await look("")
    assert third is None
    assert outcome.standing.reason == "NotEnforced"


def test_another_flow_or_a_foreign_policy_is_another_question() -> None:
    other = example({"spec.storage.checkpoints.readers": []})
    foreign = {"kind": "NetworkPolicy", "metadata": {"name": "x", "namespace": "y"}, "spec": {"podSelector": {}}}
    digests = {
        proof.policies_digest(DEPLOYMENT, []),
        proof.policies_digest(other, []),
        proof.policies_digest(DEPLOYMENT, [foreign]),
    }
    assert len(digests) == 3


@pytest.mark.parametrize(
    ("changes", "another"),
    [
        ({"spec.training.nodeSelector": {"pool": "b"}}, True),
        ({"spec.training.tolerations": [{"key": "gpu", "operator": "Exists"}]}, True),
        ({"spec.inference.runtimeClassName": "kata"}, True),
        ({"spec.inference.port": 7000}, True),
        ({"spec.training.imagePullSecrets": [{"name": "registry"}]}, False),
        ({"spec.inference.replicas": 3}, False),
    ],
)
def test_other_nodes_and_other_ports_are_another_question(changes: Object, another: bool) -> None:
    """What was proved on some nodes says nothing of others, nor of a port that nobody has tried."""
    assert (proof.policies_digest(example(changes), []) != proof.policies_digest(DEPLOYMENT, [])) == another


# --- what is found ---


def test_everything_as_expected_is_a_proof() -> None:
    found = read({})
    assert (found.leaks, found.cut, found.closed) == ([], [], [])
    ended = proof.concluded(RUN.id, found, CAUSE, NOW)
    assert isinstance(ended, ProofStatus)
    assert ended.proved
    pairs = {(pair.source, pair.target): pair for pair in ended.pairs}
    assert pairs["training", "gate of checkpoints"].blocked == "8443"
    assert pairs["training", "checkpoints"].passed == "8443"


@pytest.mark.parametrize(
    ("answer", "said"),
    [(Answer.ANSWERED, "answered without a certificate"), (Answer.UNASKED, "asked for no certificate")],
)
def test_a_gate_that_asks_for_no_certificate_is_a_failure_and_named(answer: Answer, said: str) -> None:
    found = read({("training", "gate of checkpoints", 8443, "tls"): answer})
    assert found.leaks == [f"training -> gate of checkpoints:8443: {said}, must be refused"]
    assert proof.standing(_with(found), CAUSE, NOW, HOUR).reason == "NotEnforced"


def test_a_gate_that_does_not_answer_tells_nothing() -> None:
    found = read({("training", "gate of checkpoints", 8443, "tls"): Answer.REFUSED})
    assert not found.leaks
    (pair,) = [pair for pair in found.pairs if (pair.source, pair.target) == ("training", "gate of checkpoints")]
    assert (pair.passed, pair.blocked, pair.failed) == ("", "", "")


@pytest.mark.parametrize("answer", [Answer.SILENT, Answer.REFUSED, Answer.FAILED, Answer.ANSWERED])
def test_what_must_pass_must_reach_the_canary_itself(answer: Answer) -> None:
    found = read({("training", "checkpoints", 8443, "tcp"): answer})
    assert len(found.cut) == 1
    assert proof.standing(_with(found), CAUSE, NOW, HOUR).reason == "FlowBlocked"


@pytest.mark.parametrize("answer", [Answer.REACHED, Answer.ANSWERED])
def test_whatever_answers_where_nothing_must_is_a_leak(answer: Answer) -> None:
    found = read({("inference", "API server", 443, "tcp"): answer})
    assert found.leaks == ["inference -> API server:443: reached, must be blocked"]


def test_a_closed_ground_is_neither_proof_nor_refutation_but_does_not_hide_a_leak() -> None:
    closed = {("stranger", "stranger", 8443, "tcp"): Answer.SILENT}
    assert isinstance(proof.concluded(RUN.id, read(closed), CAUSE, NOW), AttemptStatus)
    leaking = closed | {("training", "inference", 8443, "tcp"): Answer.REACHED}
    ended = proof.concluded(RUN.id, read(leaking), CAUSE, NOW)
    assert isinstance(ended, ProofStatus)
    assert not ended.proved


def test_what_could_not_be_tried_is_neither_proof_nor_refutation_but_does_not_hide_a_leak() -> None:
    """A canary without a socket left has sent nothing, and nothing was blocked."""
    unsent = {("training", "inference", 8000, "tcp"): Answer.FAILED}
    found = read(unsent)
    (pair,) = [pair for pair in found.pairs if (pair.source, pair.target) == ("training", "inference")]
    assert "8000" not in f"{pair.blocked} {pair.failed}".split()
    ended = proof.concluded(RUN.id, found, CAUSE, NOW)
    assert isinstance(ended, AttemptStatus)
    assert "training -> inference:8000" in ended.message
    leaking = unsent | {("training", "inference", 8443, "tcp"): Answer.REACHED}
    assert isinstance(proof.concluded(RUN.id, read(leaking), CAUSE, NOW), ProofStatus)


def test_what_is_open_at_first_is_a_leak_and_told_from_one_that_stays() -> None:
    found = read({("training", "API server", 443, "tcp"): Answer.BRIEFLY})
    said = "training -> API server:443: reached in the pod's first seconds and blocked later, must be blocked"
    assert found.leaks == [said]
    assert proof.standing(_with(found), CAUSE, NOW, HOUR).reason == "NotEnforced"


def test_where_everything_leaks_every_place_is_named() -> None:
    through: dict[tuple[str, str, int, str], Answer] = {
        (post.name, probe.to, probe.port, probe.kind): Answer.REACHED
        for post in posts(DEPLOYMENT)
        for probe in probes(DEPLOYMENT, post, RUN)
        if probe.kind != "tls"
    }
    ended = proof.concluded(RUN.id, read(through), CAUSE, NOW)
    assert isinstance(ended, ProofStatus)
    assert len(ended.failures) == 64
    assert {failure.split(" -> ")[0] for failure in ended.failures} == set(ADDRESSES)
    assert "training -> API server:443: reached, must be blocked" in ended.failures


def pod(role: str, post: str, **status: Any) -> Object:
    labels = {"batch.kubernetes.io/job-name": names.canary(RUN.id, role, post)}
    return {"metadata": {"name": post, "creationTimestamp": "2026-06-01T12:00:00Z", "labels": labels}, "status": status}


def listener(post: str, **changes: Any) -> Object:
    status = {
        "podIPs": [{"ip": address} for address in ADDRESSES[post]],
        "conditions": [{"type": "Ready", "status": "True"}],
        "containerStatuses": [{"name": "canary", "restartCount": 0}],
    }
    return pod(names.LISTENER, post, **status | changes)


def test_listeners_count_when_all_are_ready_and_none_was_restarted() -> None:
    pods = [listener(name) for name in ADDRESSES]
    assert findings.listening(DEPLOYMENT, RUN.id, pods) == ADDRESSES
    for spoilt in (
        listener("training", podIPs=[]),
        listener("training", conditions=[]),
        listener("training", containerStatuses=[{"name": "canary", "restartCount": 1}]),
    ):
        pods[list(ADDRESSES).index("training")] = spoilt
        assert findings.listening(DEPLOYMENT, RUN.id, pods) is None


def test_a_pod_of_another_namespace_is_no_canary() -> None:
    ours = [
        pod(names.LISTENER, post.name) | {"metadata": {"namespace": names.namespace(DEPLOYMENT.name, post.place)}}
        for post in posts(DEPLOYMENT)
    ]
    forged = [pod(names.LISTENER, "inference") | {"metadata": {"namespace": other}} for other in ("default", "web")]
    assert findings.credible(DEPLOYMENT, [*forged, *ours, *forged]) == ours


def teller(post: str, report: ProberReport | str, code: int = 0) -> Object:
    message = report if isinstance(report, str) else report.model_dump_json()
    state = {"terminated": {"exitCode": code, "message": message}}
    return pod(names.PROBER, post, containerStatuses=[{"name": "canary", "state": state}])


def test_a_report_counts_only_for_exactly_what_was_asked() -> None:
    def report(place: Any, **changes: Any) -> ProberReport:
        wanted = probes(DEPLOYMENT, place, RUN)
        good = ProberReport(run=RUN.id, post=place.name, plan=plan_digest(wanted), answers="s" * len(wanted))
        return good.model_copy(update=changes)

    first, *others = posts(DEPLOYMENT)
    rest = [teller(post.name, report(post)) for post in others]
    assert findings.reports(DEPLOYMENT, RUN, [*rest, teller(first.name, report(first))])
    for bad in (
        teller(first.name, report(first, run="9876543210")),
        teller(first.name, report(first, post=others[0].name)),
        teller(first.name, report(first, plan="0" * 16)),
        teller(first.name, report(first, answers="s")),
        teller(first.name, report(first, answers="?" * len(report(first).answers))),
        teller(first.name, report(first), code=1),
        teller(first.name, "no JSON"),
        teller(first.name, ""),
    ):
        assert findings.reports(DEPLOYMENT, RUN, [*rest, bad]) is None
    elsewhere = replace(RUN, listeners=ADDRESSES | {"training": ("10.244.9.9",)})
    assert findings.reports(DEPLOYMENT, elsewhere, [*rest, teller(first.name, report(first))]) is None


def test_delays_say_what_a_person_can_mend() -> None:
    pods = [
        pod(
            names.LISTENER,
            "training",
            phase="Pending",
            conditions=[{"type": "PodScheduled", "status": "False", "message": "0/1 nodes are available"}],
        ),
        pod(
            names.LISTENER,
            "checkpoints",
            phase="Pending",
            containerStatuses=[{"state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}}],
        ),
        pod(names.LISTENER, "inference", phase="Pending"),
    ]
    assert list(findings.delays(pods, RUN.id)) == [
        "listener-checkpoints: ImagePullBackOff no such image",
        "listener-inference: its pod is pending",
        "listener-training: 0/1 nodes are available",
    ]


# --- what is said ---


def _with(found: findings.Reading) -> IsolationStatus:
    return proof.after(NOTHING, proof.concluded(RUN.id, found, CAUSE, NOW))


@pytest.mark.parametrize(
    ("before", "cause", "now", "status", "reason"),
    [
        (NOTHING, CAUSE, NOW, "Unknown", "Proving"),
        (attempted(NOTHING), CAUSE, NOW, "Unknown", "NoAnswer"),
        (proved(), CAUSE, NOW, "True", "Proven"),
        (attempted(proved()), CAUSE, NOW, "True", "Proven"),
        (proved(), Cause("others"), NOW, "Unknown", "PoliciesChanged"),
        (proved(), CAUSE, NOW + 3 * HOUR, "Unknown", "Stale"),
        (proved(NOW, CAUSE, "a -> b:1: reached, must be blocked"), CAUSE, NOW, "False", "NotEnforced"),
        (proved(NOW, CAUSE, "a -> b:1: silent, must be reached"), CAUSE, NOW, "False", "FlowBlocked"),
        (proved(NOW, CAUSE, "a -> b:1: reached, must be blocked"), Cause("others"), NOW, "Unknown", "PoliciesChanged"),
    ],
)
def test_only_a_fresh_proof_of_these_very_policies_is_true(
    before: IsolationStatus, cause: Cause, now: datetime, status: str, reason: str
) -> None:
    found = proof.standing(before, cause, now, HOUR)
    assert (found.status, found.reason) == (status, reason)
    assert found.proved == (status == "True")


def written(known: IsolationStatus) -> Object:
    """A resource whose status tells this."""
    return {"status": {"isolation": proof.as_status(known)}}


def test_status_is_read_as_it_was_written_and_nonsense_is_nothing() -> None:
    known = attempted(proved(NOW, CAUSE, "a -> b:1: reached, must be blocked"))
    assert proof.known(None, written(known), NOW) == known
    assert proof.known(None, {"status": {"isolation": {"proof": {"proved": "yes"}}}}, NOW) == NOTHING
    assert proof.known(None, {}, NOW) == NOTHING


def test_what_others_write_into_status_stands_against_nothing_that_was_seen() -> None:
    refuted = proved(NOW, CAUSE, "a -> b:1: reached, must be blocked")
    forged = written(proved(NOW + timedelta(minutes=4)))
    assert proof.known(refuted, forged, NOW) == refuted
    assert proof.standing(proof.known(refuted, forged, NOW), CAUSE, NOW, HOUR).reason == "NotEnforced"
    assert proof.known(attempted(NOTHING), forged, NOW).proof is None


def test_a_proof_that_has_tried_nothing_is_none() -> None:
    last = proved().proof
    assert last
    empty = IsolationStatus(proof=last.model_copy(update={"pairs": ()}), attempt=None)
    assert proof.known(None, written(empty), NOW) == NOTHING
    assert proof.due(proof.known(None, written(empty), NOW), CAUSE, NOW, HOUR) == 0
    assert proof.known(None, written(attempted(empty)), NOW) == attempted(NOTHING)


def test_no_proof_is_taken_over_from_another_deployment_of_the_same_name() -> None:
    raw = raw_example()
    raw["metadata"]["uid"] = "00000000-0000-0000-0000-00000000ffff"
    assert proof.policies_digest(parse(raw), []) != proof.policies_digest(DEPLOYMENT, [])


# --- what lies around ---


def test_what_lies_beyond_is_what_the_operator_itself_sees() -> None:
    environment = {"KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBERNETES_SERVICE_PORT": "443"}
    seen = Surroundings.found("1.1.1.1:443,[2606:4700:4700::1111]:443", environment)
    assert seen.api_server == ("10.96.0.1", 443)

    def beyond(nodes: list[tuple[str, ...]], *, ipv6: bool) -> list[tuple[str, str, int, str]]:
        found = replace(seen, resolvers=("10.96.0.10",)).beyond(
            nodes, [("10.96.0.1", 443), ("192.168.0.1", 6443)], ipv6=ipv6
        )
        return [(one.name, one.address, one.port, one.kind) for one in found]

    alone = beyond([("192.168.0.2",)], ipv6=False)
    assert alone == [
        ("cluster DNS", "10.96.0.10", 53, "dns"),
        ("cluster DNS", "10.96.0.10", 53, "tcp"),
        ("API server", "10.96.0.1", 443, "tcp"),
        ("API server", "192.168.0.1", 6443, "tcp"),
        ("metadata service", "169.254.169.254", 80, "tcp"),
        ("wire server of Azure", "168.63.129.16", 80, "tcp"),
        ("metadata service of Alibaba Cloud", "100.100.100.200", 80, "tcp"),
        ("kubelet of node 192.168.0.2", "192.168.0.2", 10250, "tcp"),
        ("internet", "1.1.1.1", 443, "tcp"),
    ]
    assert set(beyond([("192.168.0.2", "2001:db8::2")], ipv6=True)) - set(alone) == {
        ("metadata service of AWS by IPv6", "fd00:ec2::254", 80, "tcp"),
        ("kubelet of node 2001:db8::2", "2001:db8::2", 10250, "tcp"),
        ("internet", "2606:4700:4700::1111", 443, "tcp"),
    }
    assert Surroundings.found("", {}).internet == ()


def test_every_metadata_service_that_is_tried_is_one_that_the_operator_itself_does_not_call() -> None:
    tried = set(map(ip_address, METADATA_SERVICES.values()))
    assert all(any(address in network for network in METADATA) for address in tried)
    alone = {network.network_address for network in METADATA if network.num_addresses == 1}
    assert alone <= tried


def test_a_clusters_own_address_is_tried_in_each_family() -> None:
    """Of the API server's Service: a policy may close one and forget the other."""
    service = {
        "kind": "Service",
        "spec": {"clusterIP": "10.96.0.1", "clusterIPs": ["10.96.0.1", "fd00:96::1"], "ports": [{"port": 443}]},
    }
    assert list(_addresses(service)) == [("10.96.0.1", 443), ("fd00:96::1", 443)]


def test_every_address_of_a_canary_is_tried() -> None:
    """A network that enforces one family alone is found out, and it is said which."""
    both = {name: (address, f"fd00::{number}") for number, (name, (address,)) in enumerate(ADDRESSES.items(), 1)}
    run = replace(RUN, listeners=both)
    assert findings.listening(DEPLOYMENT, RUN.id, [listener(name, podIPs=[{"ip": one} for one in both[name]])
                                                   for name in both]) == both  # fmt: skip
    told = {}
    for post in posts(DEPLOYMENT):
        wanted = probes(DEPLOYMENT, post, run)
        answers = [Answer.REACHED if ":" in probe.address else as_expected(probe) for probe in wanted]
        told[post.name] = ProberReport(run=run.id, post=post.name, plan=plan_digest(wanted), answers="".join(answers))
        assert len(told[post.name].model_dump_json()) < 4096, "more than a termination message holds"
    found = findings.reading(DEPLOYMENT, run, told)
    assert "training -> inference:8000: reached over IPv6, must be blocked" in found.leaks
    assert all("over IPv6" in leak for leak in found.leaks)
    assert not found.cut
    (pair,) = [pair for pair in found.pairs if (pair.source, pair.target) == ("training", "checkpoints")]
    assert pair.passed == "8443"
    assert "8000" in pair.failed.split()
    assert "8000" in pair.blocked.split()


def test_nodes_are_told_once_with_every_address() -> None:
    both = {"hostIP": "10.0.0.2", "hostIPs": [{"ip": "10.0.0.2"}, {"ip": "fd00::2"}]}
    pods = [pod(names.LISTENER, "a", **both), pod(names.PROBER, "a", **both), pod(names.LISTENER, "b")]
    pods.append(pod(names.LISTENER, "c", hostIP="10.0.0.1"))
    assert findings.nodes(pods) == [("10.0.0.1",), ("10.0.0.2", "fd00::2")]


def test_resolvers_of_the_machine_itself_are_nobodys_to_reach() -> None:
    text = "# comment\nsearch a.b\nnameserver 127.0.0.53\nnameserver 10.96.0.10\nnameserver fd00::a\noptions ndots:5\n"
    assert list(nameservers(text)) == ["10.96.0.10", "fd00::a"]


@pytest.mark.parametrize("port", [8000, 8085, 8086])
def test_nobody_tries_the_port_where_a_canary_says_that_it_listens(port: int) -> None:
    deployment = example({"spec.inference.port": port})
    assert ready_port(deployment) not in tcp_ports(deployment)


@pytest.mark.parametrize(
    ("time", "believed"),
    [
        ("2026-06-01T12:00:00Z", True),
        ("2026-06-01T12:04:00Z", True),  # clocks of two nodes differ
        ("2026-06-01T12:06:00Z", False),
        ("2099-01-01T00:00:00Z", False),
        ("2026-06-01T11:00:00", False),
        ("soon", False),
    ],
)
def test_a_proof_from_the_future_is_none(time: str, believed: bool) -> None:
    """A clock was wrong, or somebody wrote it: nothing would be tried until then, and all would be called proved."""
    last = proved().proof
    assert last
    known = IsolationStatus(proof=last.model_copy(update={"time": time}), attempt=None)
    assert proof.believable(known, NOW) == (known if believed else NOTHING)
    assert proof.standing(proof.believable(known, NOW), CAUSE, NOW, HOUR).proved == believed
    assert (proof.due(proof.believable(known, NOW), CAUSE, NOW, HOUR) > 0) == believed
