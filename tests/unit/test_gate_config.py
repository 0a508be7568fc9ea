"""The gate's configuration: the real Envoy accepts all of it, and it says no more than the flows do (ZT-02, ZT-03)."""

import copy
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloister import names, sidecar
from cloister.facts import Facts, Settings
from cloister.flows import components, gated
from cloister.render.gate import gate, gate_files
from cloister.spec import LLMDeployment
from cloister.zones import GATE_PORT, Component
from tests.gate.identities import Provider
from tests.gate.mounted import Mounted, directory
from tests.gate.specs import deployment, every_kind, example
from tests.strategies import deployments, facts

KINDS = every_kind()
FACTS = {
    "no facts yet": Facts(),
    "all facts": Facts(
        cluster_ips={component: f"10.96.0.{index}" for index, component in enumerate(Component, 1)},
        jwks=Provider().jwks({"kty": "oct", "k": "c2VjcmV0"}),
        trust_bundle="-----BEGIN CERTIFICATE-----",
    ),
    "broken keys": Facts(jwks='{"keys": [{"kty": "RSA", "n": "", "e": ""}]}'),
}
SUPPORT_BOT = KINDS["support-bot"]


def listener(files: dict[str, Any], name: str) -> dict[str, Any] | None:
    return next((found for found in files["listeners.json"]["resources"] if found["name"] == name), None)


def filters(found: dict[str, Any]) -> list[dict[str, Any]]:
    manager: dict[str, Any] = found["filter_chains"][0]["filters"][0]["typed_config"]
    chain: list[dict[str, Any]] = manager["http_filters"]
    return chain


def rule(files: dict[str, Any], name: str) -> dict[str, Any]:
    """The configuration of a filter that lies in a file of its own."""
    (found,) = files[f"{name}.json"]["resources"]
    config: dict[str, Any] = found["typed_config"]
    return config


def nodes(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        for item in value.values():
            yield from nodes(item)
    elif isinstance(value, list):
        for item in value:
            yield from nodes(item)


def texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from texts(item)


@pytest.fixture(scope="module")
def mounted() -> Iterator[Mounted]:
    with directory() as root:
        yield Mounted(root)


@pytest.mark.parametrize("known", FACTS.values(), ids=FACTS)
@pytest.mark.parametrize("kind", KINDS)
def test_envoy_accepts_every_configuration(kind: str, known: Facts, mounted: Mounted) -> None:
    for component in components(KINDS[kind]):
        answer = mounted.validate(gate_files(KINDS[kind], component, known))
        assert answer.returncode == 0, f"{component}: {answer.stderr[-2000:]}"
        assert "eprecated" not in answer.stderr, f"{component}: {answer.stderr[-2000:]}"


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(deployments(), facts(), st.booleans())
def test_envoy_accepts_whatever_is_valid(
    mounted: Mounted, wanted: LLMDeployment, known: Facts, with_keys: bool
) -> None:
    known = replace(known, jwks=FACTS["all facts"].jwks) if with_keys else known
    for component in components(wanted):
        answer = mounted.validate(gate_files(wanted, component, known))
        assert answer.returncode == 0, f"{component}: {answer.stderr[-2000:]}"


@pytest.mark.parametrize("file", ["listeners.json", "routes.json", "admission.json"])
def test_envoy_refuses_what_it_does_not_know(file: str, mounted: Mounted) -> None:
    """Otherwise the test above would prove nothing."""
    files = gate_files(SUPPORT_BOT, Component.INFERENCE, Facts())
    found = files[file]["resources"][0]
    found.get("typed_config", found)["nonsense"] = {}
    answer = mounted.validate(files)
    assert answer.returncode != 0
    assert "nonsense" in answer.stderr


@pytest.mark.parametrize("kind", KINDS)
def test_rendering_is_pure(kind: str) -> None:
    before = copy.deepcopy(KINDS[kind])
    first, second = ([*gate(KINDS[kind], FACTS["all facts"], Settings())] for _ in range(2))
    assert first == second
    assert KINDS[kind] == before


@pytest.mark.parametrize("kind", KINDS)
def test_each_component_has_one_config_map_in_its_own_zone(kind: str) -> None:
    made = [*gate(KINDS[kind], Facts(), Settings())]
    expected = [
        (names.gate_config(component), names.namespace("support-bot", component.zone))
        for component in components(KINDS[kind])
    ]
    assert [(one["metadata"]["name"], one["metadata"]["namespace"]) for one in made] == expected
    always = {"envoy.json", "listeners.json", "clusters.json", "leaf.json", "bundle.json"}
    entered = {"admission.json", "routes.json"}
    persons = {"token.json", "second-factor.json", "person.json"}
    for component, one in zip(components(KINDS[kind]), made, strict=True):
        incoming = any(flow.target.component is component for flow in gated(KINDS[kind]))
        asked = persons if component is Component.INFERENCE and incoming else set()
        assert set(one["data"]) == always | (entered if incoming else set()) | asked
        assert all(json.loads(text) for text in one["data"].values())


@pytest.mark.parametrize("kind", KINDS)
def test_ingress_knows_exactly_the_sources_of_its_flows(kind: str) -> None:
    for component in components(KINDS[kind]):
        sources = {flow.source.identity for flow in gated(KINDS[kind]) if flow.target.component is component}
        files = gate_files(KINDS[kind], component, FACTS["all facts"])
        found = listener(files, "ingress")
        if not sources:
            assert found is None
            continue
        assert found
        context = found["filter_chains"][0]["transport_socket"]["typed_config"]
        assert context["require_client_certificate"] is True
        validation = context["common_tls_context"]["combined_validation_context"]["default_validation_context"]
        assert {san["matcher"]["exact"] for san in validation["match_typed_subject_alt_names"]} == sources
        principals = [node["principal_name"] for node in nodes(files) if "principal_name" in node]
        assert principals
        assert all(set(principal) == {"exact"} for principal in principals)
        assert {principal["exact"] for principal in principals} <= sources


def test_tls_is_1_2_at_least_and_1_3_between_gates() -> None:
    """Said here because no client is left that could still try: the ciphers alone rule out what is older."""
    files = gate_files(SUPPORT_BOT, Component.TRAINING_DATA, FACTS["all facts"])
    for file, least in (("listeners.json", "TLSv1_2"), ("clusters.json", "TLSv1_3")):
        (params,) = (node["tls_params"] for node in nodes(files[file]) if "tls_params" in node)
        assert params["tls_minimum_protocol_version"] == least
        assert all(name.startswith("ECDHE-") and "-CBC" not in name for name in params["cipher_suites"])


@pytest.mark.parametrize("kind", KINDS)
def test_nobody_is_admitted_without_an_identity(kind: str) -> None:
    for component in components(KINDS[kind]):
        files = gate_files(KINDS[kind], component, FACTS["all facts"])
        if found := listener(files, "ingress"):
            assert filters(found)[0]["name"] == "admission"
            first = rule(files, "admission")
            assert first["rules"]["action"] == "ALLOW"
            for policy in first["rules"]["policies"].values():
                assert not any("any" in node for node in nodes(policy))


@pytest.mark.parametrize("kind", KINDS)
def test_clusters_dial_only_targets_of_flows(kind: str) -> None:
    for component in components(KINDS[kind]):
        targets = {
            flow.target.component: flow.target.identity
            for flow in gated(KINDS[kind])
            if flow.source.component is component
        }
        files = gate_files(KINDS[kind], component, FACTS["all facts"])
        remote = [one for one in files["clusters.json"]["resources"] if "transport_socket" in one]
        assert {one["name"] for one in remote} == {f"gate-{target}" for target in targets}
        for one in remote:
            context = one["transport_socket"]["typed_config"]["common_tls_context"]
            validation = context["combined_validation_context"]["default_validation_context"]
            identities = [san["matcher"]["exact"] for san in validation["match_typed_subject_alt_names"]]
            assert identities == [targets[Component(one["name"].removeprefix("gate-"))]]
            assert [node["port_value"] for node in nodes(one) if "port_value" in node] == [GATE_PORT]
        assert all(one["type"] == "STATIC" for one in files["clusters.json"]["resources"])


def test_an_address_that_is_not_known_is_no_endpoint() -> None:
    files = gate_files(SUPPORT_BOT, Component.TRAINING, Facts())
    remote = [one for one in files["clusters.json"]["resources"] if "transport_socket" in one]
    assert remote
    assert all(one["load_assignment"]["endpoints"] == [] for one in remote)


@pytest.mark.parametrize("known", [Facts(), Facts(jwks="{}"), Facts(jwks="not JSON"), FACTS["broken keys"]])
def test_without_keys_no_person_is_admitted(known: Facts) -> None:
    files = gate_files(SUPPORT_BOT, Component.INFERENCE, known)
    persons = rule(files, "person")["rules"]
    assert persons["action"] == "ALLOW"
    assert set(persons["policies"]) == {"machines"}
    admitted = [node["exact"] for node in nodes(persons["policies"]) if "exact" in node]
    assert admitted == ["spiffe://cluster.local/ns/batch/sa/nightly"]


def test_the_order_of_the_filters_is_that_of_trust() -> None:
    found = listener(gate_files(SUPPORT_BOT, Component.INFERENCE, FACTS["all facts"]), "ingress")
    assert found
    assert [one["name"].removeprefix("envoy.filters.http.") for one in filters(found)] == [
        "admission",  # machine, method, path
        "token",
        "second-factor",
        "person",  # the rule that admits
        "local_ratelimit",
        "buffer",
        "header_mutation",  # of the reply
        "router",
    ]


def test_no_configuration_holds_a_symmetric_key() -> None:
    secret = "c3ltbWV0cmljLXNlY3JldA"
    keys = Provider().jwks({"kty": "oct", "k": secret, "alg": "HS256"})
    assert secret not in json.dumps(gate_files(SUPPORT_BOT, Component.INFERENCE, Facts(jwks=keys)))


def test_admin_is_a_socket_and_reads_only() -> None:
    admin = gate_files(SUPPORT_BOT, Component.INFERENCE, Facts())["envoy.json"]["admin"]
    assert admin["address"] == {"pipe": {"path": sidecar.ADMIN_SOCKET, "mode": 0o600}}
    read = {"/ready", "/stats/prometheus", "/certs"}
    assert {path["exact"] for path in admin["allow_paths"]} == read | {"/healthcheck/fail", "/healthcheck/ok"}
    store = gate_files(SUPPORT_BOT, Component.CHECKPOINTS, Facts())["envoy.json"]["admin"]
    assert {path["exact"] for path in store["allow_paths"]} == read


def test_only_a_socket_of_the_auditors_makes_the_gate_drain() -> None:
    listeners = gate_files(SUPPORT_BOT, Component.INFERENCE, Facts())["listeners.json"]["resources"]
    found = [one["name"] for one in listeners if "/healthcheck/" in json.dumps(one)]
    assert found == ["drain"]
    (drain,) = [one for one in listeners if one["name"] == "drain"]
    assert drain["address"] == {"pipe": {"path": sidecar.DRAIN_SOCKET, "mode": 0o660}}


def test_only_clusters_and_listeners_follow_the_facts() -> None:
    """The bootstrap is read once: a change of it replaces pods, a change of the rest does not."""
    first = gate_files(SUPPORT_BOT, Component.INFERENCE, Facts())
    second = gate_files(SUPPORT_BOT, Component.INFERENCE, FACTS["all facts"])
    changed = {name for name in first if first[name] != second[name]}
    assert changed == {"clusters.json", "token.json", "second-factor.json", "person.json"}


def test_new_keys_change_the_token_alone() -> None:
    """No listener: a reply that is under way is not cut for it."""
    first = gate_files(SUPPORT_BOT, Component.INFERENCE, FACTS["all facts"])
    second = gate_files(SUPPORT_BOT, Component.INFERENCE, replace(FACTS["all facts"], jwks=Provider().jwks()))
    assert {name for name in first if first[name] != second[name]} == {"token.json"}


def test_a_new_client_changes_no_bootstrap_and_no_other_way() -> None:
    spec = example("support-bot")
    spec["inference"]["clients"].append({"namespace": "new", "serviceAccount": "one", "apis": ["chat"]})
    first = gate_files(SUPPORT_BOT, Component.INFERENCE, FACTS["all facts"])
    second = gate_files(deployment(spec), Component.INFERENCE, FACTS["all facts"])
    changed = {name for name in first if first[name] != second[name]}
    assert changed == {"admission.json", "listeners.json", "person.json", "routes.json", "second-factor.json"}


def test_nothing_of_a_token_is_written_into_envoys_format_language() -> None:
    files = gate_files(KINDS["odd claims"], Component.INFERENCE, FACTS["all facts"])
    assert not [text for text in texts(files) if "DYNAMIC_METADATA" in text]
