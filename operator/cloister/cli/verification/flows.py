"""What canaries have found, pair by pair. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any

from cloister.canaries import GATE_OF, STRANGER, untried
from cloister.cli.verification.check import Check, Outcome
from cloister.flows import flows
from cloister.spec import LLMDeployment
from cloister.zones import GATE_PORT

_ENOUGH = 8


def checks(deployment: LLMDeployment, proof: Mapping[str, Any]) -> Iterator[Check]:
    """One for each ordered pair of places, one for each gate, and one for the ways around gate and auditor."""
    pairs = proof.get("pairs") or []
    failures: list[str] = list(proof.get("failures") or [])
    for pair in pairs:
        group = "mutual TLS" if pair["target"].startswith(GATE_OF) else "network"
        name = f"{pair['source']} -> {pair['target']}"
        wrong = [failure for failure in failures if failure.startswith(f"{name}:")]
        if pair.get("failed"):
            said = "; ".join(wrong[:_ENOUGH]) or f"{name}:{pair['failed']}: not as it must be"
            yield Check(group, name, Outcome.FAILED, said)
        elif group == "mutual TLS" and not pair.get("blocked"):
            yield Check(group, name, Outcome.UNTRIED, "the gate did not answer")
        else:
            yield Check(group, name, Outcome.HOLDS, _seen(pair, group))
    yield from _gates_unasked(deployment, pairs)
    yield _around(pairs)
    for flow in untried(deployment):
        yield Check(
            "network", flow, Outcome.UNTRIED, "its source is a namespace of yours, where Cloister starts no pod"
        )


def _seen(pair: Mapping[str, str], group: str) -> str:
    if group == "mutual TLS":
        return "refused without a certificate"
    passed = f"{pair['passed']} passes" if pair.get("passed") else ""
    blocked = f"{pair['blocked']} blocked" if pair.get("blocked") else ""
    return "; ".join(filter(None, (passed, blocked)))


def _gates_unasked(deployment: LLMDeployment, pairs: list[Mapping[str, str]]) -> Iterator[Check]:
    """Gates of the flow table at which no canary was: they did not serve, or only machines outside may reach them."""
    asked = {pair["target"].removeprefix(GATE_OF) for pair in pairs if pair["target"].startswith(GATE_OF)}
    for component in sorted({str(flow.target.component) for flow in flows(deployment) if flow.rule.gated} - asked):
        inside = any(str(flow.target.component) == component and flow.source.component for flow in flows(deployment))
        why = "it does not serve now" if inside else "only machines outside the zones reach it, and no canary is one"
        yield Check("mutual TLS", f"{GATE_OF}{component}", Outcome.UNTRIED, why)


def _around(pairs: list[Mapping[str, str]]) -> Check:
    """Whether any port but the gate's was reached: what passes there is neither checked nor recorded."""
    # The stranger stands for everybody outside, and its own ground is open on purpose.
    inside = [pair for pair in pairs if not pair["source"] == pair["target"] == STRANGER]
    ways = [
        f"{pair['source']} -> {pair['target']}:{port}"
        for pair in inside
        for port in pair.get("failed", "").split()
        if port != str(GATE_PORT)
    ]
    if ways:
        return Check(
            "records", "no way around gate and auditor", Outcome.FAILED, f"reached: {', '.join(ways[:_ENOUGH])}"
        )
    tried = sum(port != str(GATE_PORT) for pair in inside for port in pair.get("blocked", "").split())
    return Check("records", "no way around gate and auditor", Outcome.HOLDS, f"{tried} attempts at other ports blocked")
