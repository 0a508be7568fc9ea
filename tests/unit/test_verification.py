"""What `cloister verify` makes of what it sees, and how it prints it."""

from __future__ import annotations

import datetime as dt
import json
from itertools import count
from types import SimpleNamespace
from typing import Any

import pytest
from junitparser import JUnitXml

from cloister import names
from cloister.cli import verification
from cloister.cli.api import Response
from cloister.cli.documents import Document
from cloister.cli.errors import UserError
from cloister.cli.verification import flows, objects, refusals, report
from cloister.cli.verification.check import Check, Outcome
from tests.edits import deployment as example
from tests.edits import example as raw_example

Object = dict[str, Any]

NOW = dt.datetime(2026, 6, 1, 12, tzinfo=dt.UTC)
DEPLOYMENT = example({})
CHECKS = [
    Check("network", "training -> checkpoints", Outcome.HOLDS, "8443 passes"),
    Check("network", "training -> inference", Outcome.FAILED, "training -> inference:8000: reached, must be blocked"),
    Check("refusals", "exec into a pod of a-training", Outcome.UNTRIED, "no pod runs there now"),
]


def pair(source: str, target: str, **ports: str) -> Object:
    return {"source": source, "target": target} | ports


def found(*pairs: Object, failures: tuple[str, ...] = ()) -> dict[str, Check]:
    proof = {"pairs": list(pairs), "failures": list(failures)}
    return {check.name: check for check in flows.checks(DEPLOYMENT, proof)}


def test_a_pair_holds_with_what_was_seen() -> None:
    check = found(pair("training", "checkpoints", passed="8443", blocked="8000 8443/udp"))["training -> checkpoints"]
    assert (check.outcome, check.detail) == (Outcome.HOLDS, "8443 passes; 8000 8443/udp blocked")


def test_a_pair_fails_with_where_and_what() -> None:
    failure = "training -> inference:8000: reached, must be blocked"
    checks = found(pair("training", "inference", failed="8000", blocked="8443"), failures=(failure,))
    assert (checks["training -> inference"].outcome, checks["training -> inference"].detail) == (
        Outcome.FAILED,
        failure,
    )
    around = checks["no way around gate and auditor"]
    assert around.outcome is Outcome.FAILED
    assert "training -> inference:8000" in around.detail


def test_a_gate_without_client_verification_fails_and_one_that_does_not_serve_is_untried() -> None:
    failure = "training -> gate of checkpoints:8443: answered without a certificate, must be refused"
    checks = found(
        pair("training", "gate of checkpoints", failed="8443"),
        pair("training", "gate of training-data", blocked="8443"),
        pair("training", "gate of interaction-logs"),
        failures=(failure,),
    )
    assert checks["training -> gate of checkpoints"].outcome is Outcome.FAILED
    assert checks["training -> gate of checkpoints"].group == "mutual TLS"
    assert checks["training -> gate of training-data"].outcome is Outcome.HOLDS
    assert checks["training -> gate of interaction-logs"].outcome is Outcome.UNTRIED
    assert checks["gate of inference"].outcome is Outcome.UNTRIED


def test_what_no_canary_can_try_is_said() -> None:
    checks = found()
    (flow,) = [name for name in checks if name.startswith("web/")]
    assert checks[flow].outcome is Outcome.UNTRIED
    assert "namespace of yours" in checks[flow].detail


class Answering:
    """A cluster that has pods and gives every attempt the same answer."""

    def __init__(self, status: int, message: str) -> None:
        self.status, self.message = status, message

    def send(self, method: str, path: str, *_: object, **__: str) -> Response:
        if method == "GET":
            return Response(200, {"items": [{"metadata": {"name": "p"}}]}, "")
        verb = {"POST": "create", "DELETE": "delete", "PATCH": "patch"}[method]
        return Response(self.status, {"message": self.message.replace("VERB", verb)}, "")


@pytest.mark.parametrize(
    ("status", "message", "outcome"),
    [
        (403, "ValidatingAdmissionPolicy 'zone-guard.cloister.dev' with binding 'b' denied request: x", Outcome.HOLDS),
        (403, "ValidatingAdmissionPolicy 'guard.example.com' with binding 'b' denied request: x", Outcome.UNTRIED),
        (
            403,
            'x is forbidden: User "ada" cannot VERB resource "x" in API group "" in the namespace "b"',
            Outcome.UNTRIED,
        ),
        (404, "not found", Outcome.UNTRIED),
        (201, "", Outcome.FAILED),
    ],
)
def test_only_what_cloisters_own_guards_refuse_holds(status: int, message: str, outcome: Outcome) -> None:
    found = list(refusals.checks(Answering(status, message), DEPLOYMENT))  # type: ignore[arg-type]
    assert {check.outcome for check in found} == {outcome}


@pytest.mark.parametrize(
    ("status", "message", "outcome"),
    [
        (400, "Upgrade request required", Outcome.FAILED),
        (200, "", Outcome.FAILED),
        (400, "container not found", Outcome.UNTRIED),
        (404, "not found", Outcome.UNTRIED),
        (409, "conflict", Outcome.UNTRIED),
        (429, "too many requests", Outcome.UNTRIED),
        (500, "etcd is away", Outcome.UNTRIED),
        (503, "apiserver not ready", Outcome.UNTRIED),
    ],
)
def test_only_what_is_let_through_fails_and_an_api_server_in_trouble_tells_nothing(
    status: int, message: str, outcome: Outcome
) -> None:
    found = list(refusals.checks(Answering(status, message), DEPLOYMENT))  # type: ignore[arg-type]
    entering = {check.outcome for check in found if check.name.startswith("exec into")}
    assert entering == {outcome}


class Holding:
    """A cluster that holds no policy of anybody's but those at these paths, or answers so there."""

    def __init__(self, answers: dict[str, Response]) -> None:
        self.answers = answers

    def send(self, _: str, path: str) -> Response:
        if path.endswith("/networkpolicies") and "networking.k8s.io/v1/" in path:
            return Response(200, {"items": []}, "")
        found = [answer for part, answer in self.answers.items() if part in path]
        return found[0] if found else Response(404, {"message": "page not found"}, "")


def listed(*named: str) -> Response:
    return Response(200, {"items": [{"metadata": {"name": name}} for name in named]}, "")


FORBIDDEN = Response(403, {"message": 'User "ada" cannot list resource "x"'}, "")
IN_ZONE = f"no foreign policy in {DEPLOYMENT.name}-training"
ABOVE = "no policy for the whole cluster"


@pytest.mark.parametrize(
    ("answers", "name", "outcome", "said"),
    [
        ({}, IN_ZONE, Outcome.HOLDS, "none"),
        ({}, ABOVE, Outcome.HOLDS, "none"),
        ({"/ciliumnetworkpolicies": listed()}, IN_ZONE, Outcome.HOLDS, "none"),
        ({"/ciliumnetworkpolicies": listed("wide")}, IN_ZONE, Outcome.FAILED, "ciliumnetworkpolicies/wide"),
        ({"/ciliumnetworkpolicies": FORBIDDEN}, IN_ZONE, Outcome.UNTRIED, 'can\'t be listed (403): User "ada"'),
        ({"projectcalico": Response(503, {}, "")}, IN_ZONE, Outcome.UNTRIED, "(503)"),
        ({"cilium": FORBIDDEN, "projectcalico": listed("wide")}, IN_ZONE, Outcome.FAILED, "networkpolicies/wide"),
        ({"/adminnetworkpolicies": listed("ops")}, ABOVE, Outcome.UNTRIED, "adminnetworkpolicies/ops"),
        ({"/baselineadmin": FORBIDDEN}, ABOVE, Outcome.UNTRIED, "baselineadminnetworkpolicies can't be listed"),
        ({"/ciliumclusterwide": listed("ops")}, ABOVE, Outcome.UNTRIED, "only canaries can tell"),
        ({"/globalnetworkpolicies": listed("ops")}, ABOVE, Outcome.UNTRIED, "globalnetworkpolicies/ops"),
    ],
)
def test_what_else_there_is_of_policies_is_said_and_what_can_not_be_read_is_no_proof(
    answers: dict[str, Response], name: str, outcome: Outcome, said: str
) -> None:
    found = {check.name: check for check in objects.policies(Holding(answers), DEPLOYMENT)}  # type: ignore[arg-type]
    assert found[name].outcome is outcome
    assert said in found[name].detail


def test_who_has_not_the_right_is_told_which_it_takes() -> None:
    cluster = Answering(403, 'x is forbidden: User "ada" cannot VERB resource "x" in API group ""')
    found = {check.name: check.detail for check in refusals.checks(cluster, DEPLOYMENT)}  # type: ignore[arg-type]
    for name, right in {
        f"a forged status of {DEPLOYMENT.name}": "patch llmdeployments/status",
        f"a pod in {DEPLOYMENT.name}-training": "create pods",
        f"exec into a pod of {DEPLOYMENT.name}-inference": "create pods/exec",
        f"a token of {DEPLOYMENT.name}-storage/checkpoints": "create serviceaccounts/token",
        f"deletion of {DEPLOYMENT.name}-inference/deny-all": "delete networkpolicies",
        f"the label of {DEPLOYMENT.name}-storage taken away": "patch namespaces",
    }.items():
        assert found[name].endswith(f"needs somebody who may {right}")


class Resource:
    """A deployment that is read time after time: as the next of these, or not at all."""

    def __init__(self, *reads: Object | UserError) -> None:
        self._reads = list(reads)

    def get(self, _: str) -> Document:
        found = self._reads.pop(0) if len(self._reads) > 1 else self._reads[0]
        if isinstance(found, UserError):
            raise found
        return Document("cluster", found)


def asked(request: str, **isolation: str) -> Object:
    """A deployment of which this was asked last, and whose status answers these requests."""
    raw = raw_example()
    raw["metadata"]["annotations"] = {names.VERIFY_REQUEST: request}
    return raw | {"status": {"isolation": {part: {"request": answered} for part, answered in isolation.items()}}}


@pytest.mark.parametrize(
    ("reads", "answer", "why"),
    [
        ([asked("mine"), asked("mine", proof="mine")], verification.Answer.PROOF, ""),
        ([asked("mine", proof="before"), asked("mine", attempt="mine")], verification.Answer.ATTEMPT, ""),
        ([asked("theirs"), asked("theirs", proof="theirs")], verification.Answer.PROOF, ""),
        ([asked("theirs"), asked("x" * 99), asked("x" * 99, proof="theirs")], verification.Answer.PROOF, ""),
        ([asked("x" * 99), asked("x" * 99, proof="x" * 64)], verification.Answer.PROOF, ""),
        ([UserError("away"), asked("mine", proof="mine")], verification.Answer.PROOF, ""),
        ([asked("mine", proof="before", attempt="")], verification.Answer.NONE, "does it run?"),
        ([asked("", proof="")], verification.Answer.NONE, "does it run?"),
        ([UserError("away")], verification.Answer.NONE, "can't be read: away"),
    ],
)
def test_who_asks_waits_for_their_own_answer_or_for_a_later_ones(
    reads: list[Object | UserError], answer: verification.Answer, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = count()
    clock = SimpleNamespace(monotonic=lambda: float(next(seconds)), sleep=lambda _: None)
    monkeypatch.setattr(verification, "time", clock)
    found = verification._answered(Resource(*reads), raw_example(), "mine", 5)  # type: ignore[arg-type]
    assert found[1] is answer
    assert found[2].endswith(why)


def certificate(**changes: Any) -> Object:
    return {
        "name": "leaf",
        "namespace": "a",
        "ready": True,
        "notAfter": "2026-06-02T12:00:00Z",
        "renewalTime": "2026-06-02T04:00:00Z",
    } | changes


def resource(**status: Any) -> Object:
    raw = raw_example()
    raw["metadata"]["generation"] = 1
    return raw | {"status": {"observedGeneration": 1} | status}


@pytest.mark.parametrize(
    ("changes", "outcome", "detail"),
    [
        ({}, Outcome.HOLDS, "until 2026-06-02T12:00:00Z"),
        ({"ready": False}, Outcome.FAILED, "is not issued"),
        ({"notAfter": "2026-06-01T11:00:00Z"}, Outcome.FAILED, "has expired at 2026-06-01T11:00:00Z"),
        ({"renewalTime": "2026-06-01T11:00:00Z"}, Outcome.FAILED, "should have been renewed at 2026-06-01T11:00:00Z"),
    ],
)
def test_certificates_are_judged_by_their_age(changes: Object, outcome: Outcome, detail: str) -> None:
    (check,) = objects.reported(DEPLOYMENT, resource(certificates=[certificate(**changes)]), NOW)
    assert (check.outcome, check.detail) == (outcome, detail)


def test_keys_are_judged_by_what_was_declared() -> None:
    raw = resource(
        keyrings=[
            {
                "store": "checkpoints",
                "secret": "keyring-checkpoints",
                "current": 2,
                "old": [1],
                "created": "2026-05-01T00:00:00Z",
            },
            {"store": "training-data", "secret": "elsewhere"},
        ]
    )
    weekly, monthly = (
        example({"spec.storage.checkpoints.encryption": {"rotateEvery": every}}) for every in ("7d", "60d")
    )
    late, foreign = objects.reported(weekly, raw, NOW)
    assert (late.outcome, late.name) == (Outcome.FAILED, "keys of checkpoints")
    assert foreign.outcome is Outcome.UNTRIED
    held, _ = objects.reported(monthly, raw, NOW)
    assert (held.outcome, "moved away from 1" in held.detail) == (Outcome.HOLDS, True)


def test_conditions_are_taken_at_their_word_and_unknown_is_no_proof() -> None:
    conditions = [
        {"type": kind, "status": status, "message": kind}
        for kind, status in (("ZonesIsolated", "True"), ("EncryptedAtRest", "Unknown"), ("AuditRecording", "False"))
    ]
    outcomes = [check.outcome for check in objects.reported(DEPLOYMENT, resource(conditions=conditions), NOW)]
    assert outcomes == [Outcome.HOLDS, Outcome.UNTRIED, Outcome.FAILED]
    raw = resource()
    raw["metadata"]["generation"] = 2
    (check,) = objects.reported(DEPLOYMENT, raw, NOW)
    assert check.outcome is Outcome.FAILED


def test_a_table_has_a_line_for_each_check_and_counts(capsys: pytest.CaptureFixture[str]) -> None:
    report.print_all("a", CHECKS, "table")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["WHAT", "OUTCOME", "WHERE", "SEEN"]
    assert len(lines) == len(CHECKS) + 3
    assert lines[-1] == "1 holds, 1 FAILED, 1 untried"


def test_json_says_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    report.print_all("a", CHECKS, "json")
    said = json.loads(capsys.readouterr().out)
    assert said["deployment"] == "a"
    assert [one["outcome"] for one in said["checks"]] == ["holds", "failed", "untried"]


def test_junit_counts_failures_and_what_was_not_tried(capsys: pytest.CaptureFixture[str]) -> None:
    report.print_all("a", CHECKS, "junit")
    text = capsys.readouterr().out
    document = JUnitXml.fromstring(text.encode())
    assert (document.tests, document.failures, document.skipped) == (3, 1, 1)
    assert 'message="training -&gt; inference:8000: reached, must be blocked"' in text
