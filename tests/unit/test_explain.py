"""`cloister explain`: golden answers, and that they are what the flows say."""

import json
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest
from hypothesis import given
from typer.testing import CliRunner

from cloister import cli, names
from cloister.cli.documents import read
from cloister.explain import DECLARATIONS, End, Place, UnknownEndError, Verdict, explain, explained
from cloister.explain.ends import parse_end, parse_target
from cloister.facts import Facts, Settings
from cloister.flows import Peer, components, flows, outside
from cloister.render import render
from cloister.spec import LLMDeployment
from cloister.zones import FLOW_TABLE, Component, Zone
from tests import strategies
from tests.edits import REMOVED, deployment

CASES = sorted((Path(__file__).parents[1] / "cases").glob("*/questions.txt"))
FILE = str(CASES[0].parents[1] / "support-bot" / "input.yaml")


def run(*arguments: str, code: int, stdin: str | None = None) -> str:
    """stdout of a command that ends with this code; stderr, if it is to fail as bad input."""
    result = CliRunner().invoke(cli.app, ["explain", *arguments], input=stdin)
    assert result.exit_code == code, f"{result.output}\n{result.exception!r}"
    return result.stderr if code == 2 else result.stdout


def questions(path: Path) -> list[tuple[str, str]]:
    """(FROM, TO) of each line."""
    lines = [line.split() for line in path.read_text().splitlines() if not line.startswith("#")]
    return [(source, target) for source, target in lines]


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.parent.name)
def test_golden(path: Path, rewrite: bool) -> None:
    file = str(path.with_name("input.yaml"))
    (document,) = read(file)
    answers = {pair: explained(document.parsed(), *pair) for pair in questions(path)}
    text = "\n".join(run(*pair, "-f", file, code=0 if found.allowed else 1) for pair, found in answers.items())
    data = json.dumps([found.as_dict() for found in answers.values()], indent=2) + "\n"
    for name, made in (("explain.txt", text), ("explain.json", data)):
        golden = path.with_name(name)
        if rewrite:
            golden.write_text(made)
        assert golden.read_text() == made, "look at the difference, then run this test with --rewrite"


def test_data_is_what_the_command_prints() -> None:
    (document,) = read(FILE)
    found = explained(document.parsed(), "web/other", "inference")
    assert json.loads(run("web/other", "inference", "-f", FILE, "-o", "json", code=1)) == found.as_dict()


@pytest.mark.parametrize(
    ("source", "target", "message"),
    [
        ("nonsense", "inference", "'nonsense' is none of inference, training, training-data, checkpoints"),
        ("a/b/c", "inference", "no NAMESPACE/SERVICEACCOUNT"),
        ("A/b", "inference", "no NAMESPACE/SERVICEACCOUNT"),
        ("inference", "internet:0", "'0' is no port"),
        ("inference", "internet:x", "'x' is no port"),
        ("inference", "internet:65536", "'65536' is no port"),
        ("inference", "checkpoints:", "'' is no port"),
        ("inference", "checkpoints:٣", "is no port"),
        ("a/b", "internet", "neither a/b nor the internet is in a zone of support-bot"),
    ],
)
def test_ends_that_are_none(source: str, target: str, message: str) -> None:
    assert message in run(source, target, "-f", FILE, code=2)


def test_which_deployment_is_meant() -> None:
    text = Path(FILE).read_text()
    two = f"{text}\n---\n{text.replace('name: support-bot', 'name: other', 1)}"
    assert "choose one with --deployment (other, support-bot)" in run("training", "dns", "-f", "-", code=2, stdin=two)
    one = ("--deployment", "other")
    assert run("training", "dns", "-f", "-", *one, code=1, stdin=two).startswith("other-training/training -> ")
    assert "those that exist: support-bot" in run("training", "dns", "-f", FILE, *one, code=2)


def test_every_row_has_its_declaration() -> None:
    assert set(DECLARATIONS) | {"journal"} == {rule.id for rule in FLOW_TABLE}


@pytest.mark.parametrize(
    ("source", "target", "declare"),
    [
        ("stranger/pod", "inference", "spec.inference.clients"),
        ("stranger/pod", "training-data", "spec.storage.trainingData.readers"),
        ("stranger/pod", "checkpoints", "spec.storage.checkpoints.writers"),
        ("stranger/pod", "interaction-logs", "spec.storage.interactionLogs.readers"),
        ("stranger/pod", "inference:9090", "spec.metrics.scrapers"),
        ("inference", "checkpoints", "spec.inference.model"),
        ("training", "training-data", "spec.training.reads"),
        ("training", "checkpoints", "spec.training.writes"),
    ],
)
def test_what_would_have_to_be_declared(source: str, target: str, declare: str) -> None:
    bare = deployment(
        {"spec.inference.model": REMOVED, "spec.training.reads": REMOVED, "spec.training.writes": REMOVED}
    )
    found = explained(bare, source, target)
    assert not found.allowed
    assert any(text.startswith(declare) for text in found.declare), found.declare
    assert not any("interactionLogs.writers" in text for text in found.declare)


def test_a_client_without_an_api_reaches_nothing() -> None:
    found = explained(deployment({"spec.inference.clients[1].apis": []}), "batch/nightly", "inference")
    assert (found.allowed, [layer.name for layer in found.layers if layer.verdict is Verdict.DENIES]) == (
        False,
        ["gate: request"],
    )
    assert found.declare == ("spec.inference.clients[].apis; for people, spec.identity.users.rules[].apis",)


def end_of(made: LLMDeployment, peer: Peer) -> End:
    """A peer as a person names it."""
    return parse_end(made, f"{peer.namespace}/{peer.service_account}")


@given(strategies.deployments())
def test_what_is_explained_is_what_flows(made: LLMDeployment) -> None:
    every = flows(made)
    ours = [parse_end(made, component) for component in Component]
    others = [end_of(made, peer) for peer in outside(made)]
    for source in (*ours, *others, End("stranger-of-all", "pod")):
        for target in ours:
            found = explain(made, source, target, 8443)
            here = [flow for flow in every if source.is_of(flow.source) and target.is_of(flow.target)]
            passing = [flow for flow in here if flow.port == 8443 and flow.grants]
            if not any(flow.people for flow in passing):
                assert found.allowed == bool(passing)
            assert found.allowed == (bool(found.flows))
            assert found.allowed != bool(found.declare or found.remark)
            assert {flow.rule.id for flow in found.flows} <= {flow.rule.id for flow in here}
    for source in ours:
        for place in set(Place) - {Place.KUBELET, Place.DNS}:
            assert not explain(made, source, End(place=place)).allowed
            assert not explain(made, End(place=place), source).allowed


ADDRESSES = tuple(map(ip_address, ("203.0.113.7", "198.51.100.20", "142.250.1.1", "20.38.98.1", "2001:db8:1::7")))


@given(strategies.deployments())
def test_what_is_explained_is_what_policies_let_out(made: LLMDeployment) -> None:
    """Of what lies outside the zones: pods by their labels, and addresses, as they are rendered."""
    policies = {
        (one["metadata"]["namespace"], one["metadata"]["name"]): one["spec"]
        for one in render(made, Facts(), Settings())
        if one["kind"] == "NetworkPolicy"
    }
    for source in (parse_end(made, component) for component in components(made)):
        assert source.component
        spec = policies.get((source.namespace, names.flow_policy(source.component, "Egress")), {})
        ends = [(end, port["port"]) for rule in spec.get("egress", ()) for end in rule["to"] for port in rule["ports"]]
        blocks = [(ip_network(end["ipBlock"]["cidr"]), port) for end, port in ends if "ipBlock" in end]
        inside = [(network.network_address, port) for network, port in blocks]
        for address, port in (*inside, *((address, 443) for address in ADDRESSES), (ADDRESSES[0], 80)):
            lets = any(port == opened and address in network for network, opened in blocks)
            assert explain(made, source, End(address=address), port).allowed == lets
            assert not explain(made, End(address=address), source, port).allowed
        labelled = [end["podSelector"] for end, port in ends if port == 53 and "podSelector" in end]
        assert explain(made, source, End(place=Place.DNS), 53).allowed == bool(labelled)
        assert all(selector == {"matchLabels": {"k8s-app": "kube-dns"}} for selector in labelled)
        assert not explain(made, source, End("kube-system", "metrics-server"), 53).allowed


def test_an_address_is_an_end_with_and_without_a_port() -> None:
    made = deployment()
    for text, address, port in (
        ("203.0.113.5", "203.0.113.5", None),
        ("203.0.113.5:443", "203.0.113.5", 443),
        ("2001:db8::1", "2001:db8::1", None),
        ("[2001:db8::1]", "2001:db8::1", None),
        ("[2001:db8::1]:443", "2001:db8::1", 443),
    ):
        assert parse_target(made, text) == (End(address=ip_address(address)), port)
    for text in ("203.0.113.5:", "[2001:db8::1]:x", "[2001:db8::1]443", "[x]:443", "1.2.3:443"):
        with pytest.raises(UnknownEndError):
            parse_target(made, text)


@given(strategies.deployments())
def test_the_policies_that_it_names_exist(made: LLMDeployment) -> None:
    objects = [one for one in render(made, Facts(), Settings()) if one["kind"] == "NetworkPolicy"]
    there = {f"NetworkPolicy {one['metadata']['namespace']}/{one['metadata']['name']}" for one in objects}
    ends = [parse_end(made, component) for component in Component]
    ends += [End(names.namespace(made.name, zone), "shell", zone=zone) for zone in Zone]
    for source in ends:
        for target in ends:
            named = {layer.name for layer in explain(made, source, target).layers if "NetworkPolicy" in layer.name}
            assert named <= there
