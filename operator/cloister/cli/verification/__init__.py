"""`cloister verify`: the live proof for a person. Canaries try the network, the person's own requests the guards."""

import datetime as dt
import secrets
import time
from enum import StrEnum
from typing import Annotated, Any

import typer

from cloister import names
from cloister.cli.errors import BAD_INPUT, UserError, friendly
from cloister.cli.live import Cluster
from cloister.cli.options import FORM, Context, Kubeconfig
from cloister.cli.verification import flows, objects, refusals, report
from cloister.cli.verification.check import Check, Outcome
from cloister.spec import LLMDeployment

_POLL_SECONDS = 2.0


class Answer(StrEnum):
    """Which part of `status.isolation` answers a request."""

    PROOF = "proof"
    ATTEMPT = "attempt"
    """A run that told nothing."""
    NONE = ""


class Form(StrEnum):
    """Output of `verify`."""

    TABLE = "table"
    JSON = "json"
    JUNIT = "junit"


def verify(
    name: Annotated[str, typer.Argument(help="The deployment.")],
    output: Annotated[Form, FORM] = Form.TABLE,
    timeout: Annotated[int, typer.Option(min=0, help="Seconds to wait for the canaries.")] = 300,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Prove now that a deployment is as isolated as it is declared to be, and say where it is not.

    Canaries try every pair of the flow table both ways, gates without a certificate, and what lies beyond the zones.
    Your own requests try what nobody may do in a zone; those that would change anything are dry runs. Exit code 1:
    something does not hold; 2: the canaries did not answer, or the cluster can't be asked.
    """
    with friendly():
        cluster = Cluster(context, kubeconfig)
        document = cluster.get(name)
        deployment = document.parsed()
        nonce = secrets.token_hex(8)
        cluster.annotate(name, names.VERIFY_REQUEST, nonce)
        checks = [*refusals.checks(cluster, deployment), *objects.policies(cluster, deployment)]
        raw, answer, why = _answered(cluster, document.raw, nonce, timeout)
        checks = [
            *_flows(deployment, raw, answer, why),
            *objects.reported(deployment, raw, dt.datetime.now(dt.UTC)),
            *checks,
        ]
    report.print_all(name, checks, output.value)
    if any(check.outcome is Outcome.FAILED for check in checks):
        raise typer.Exit(1)
    if answer is not Answer.PROOF:
        raise typer.Exit(BAD_INPUT)


def _answered(cluster: Cluster, raw: Any, nonce: str, timeout: int) -> tuple[Any, Answer, str]:
    """The resource when its status answers the request, or as it was last seen when time is up; what in it is the
    answer; and why there is none.

    Somebody else who asks takes this request's place. What answers them answers this one too: it began later still.
    """
    name, deadline = raw["metadata"]["name"], time.monotonic() + timeout
    requests = {nonce}
    while True:
        why = f"the operator has not answered within {timeout} s: does it run?"
        try:
            raw = cluster.get(name).raw
        except UserError as error:  # the next may be answered
            why = f"whether the operator has answered can't be read: {error}"
        else:
            if now := raw["metadata"].get("annotations", {}).get(names.VERIFY_REQUEST):
                requests.add(now[: names.VERIFY_REQUEST_LENGTH])
            isolation = (raw.get("status") or {}).get("isolation") or {}
            for answer in (Answer.PROOF, Answer.ATTEMPT):
                if (isolation.get(answer) or {}).get("request") in requests:
                    return raw, answer, ""
        if time.monotonic() >= deadline:
            return raw, Answer.NONE, why
        time.sleep(_POLL_SECONDS)


def _flows(deployment: LLMDeployment, raw: Any, answer: Answer, why: str) -> list[Check]:
    match answer:
        case Answer.PROOF:
            return list(flows.checks(deployment, raw["status"]["isolation"]["proof"]))
        case Answer.ATTEMPT:
            why = raw["status"]["isolation"]["attempt"]["message"]
    return [Check("network", "every pair of places", Outcome.UNTRIED, why)]
