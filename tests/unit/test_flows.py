"""The flow table, row by row, and that nothing flows beside it."""

from typing import Any

import pytest
from hypothesis import assume, given, settings

from cloister.flows import Flow, components, flows, gated, outside, peer
from cloister.names import namespace
from cloister.spec import LLMDeployment
from cloister.zones import FLOW_TABLE, GATE_METRICS_PORT, GATE_PORT, METRICS_PORT, Component, Party, Verb, Zone
from tests.backends import backed
from tests.edits import REMOVED, UNEXPORTED, deployment
from tests.strategies import ED25519, deployments


def row(rule: str, changes: dict[str, Any] | None = None) -> list[Flow]:
    return [flow for flow in flows(deployment(changes)) if flow.rule.id == rule]


def ends(flow: Flow) -> tuple[str, str]:
    return tuple(f"{end.namespace}/{end.service_account}" for end in (flow.source, flow.target))  # type: ignore[return-value]


def granted(flow: Flow) -> list[tuple[str, str]]:
    return [
        (method, path)
        for grant in flow.grants
        for method in grant.methods
        for path in (*grant.paths, *(f"{prefix}*" for prefix in grant.prefixes))
    ]


MODEL = "support-bot-inference/inference"
TRAINING = "support-bot-training/training"


def store(name: str) -> str:
    return f"support-bot-storage/{name}"


def test_prompt_of_people_allows_what_their_rules_name() -> None:
    people, machine = row("prompt")
    assert ends(people) == ("web/frontend", MODEL)
    assert people.people
    assert granted(people) == [("POST", "/v1/chat/completions"), ("GET", "/v1/models")]
    assert people.source.pods == {"app": "bff"}
    assert ends(machine) == ("batch/nightly", MODEL)
    assert not machine.people
    assert granted(machine) == [("POST", "/v1/chat/completions")]


def test_a_client_for_people_may_be_narrowed_but_not_widened_by_its_own_list() -> None:
    (narrowed, _) = row("prompt", {"spec.inference.clients[0].apis": ["models"]})
    assert granted(narrowed) == [("GET", "/v1/models")]


@pytest.mark.parametrize(
    "changes",
    [
        {"spec.identity.users": REMOVED},
        {"spec.identity.users.rules": []},
    ],
    ids=["no users", "no rules"],
)
def test_without_rules_nobody_is_given_anything(changes: dict[str, Any]) -> None:
    (people, _) = row("prompt", changes)
    assert people.people
    assert not people.grants


def test_a_machine_without_apis_is_given_nothing() -> None:
    (_, machine) = row("prompt", {"spec.inference.clients[1].apis": []})
    assert not machine.grants


def test_fetch_is_one_object() -> None:
    (fetch,) = row("fetch")
    assert ends(fetch) == (MODEL, store("checkpoints"))
    assert granted(fetch) == [(method, "/checkpoints/support-bot/model.gguf") for method in ("GET", "HEAD")]
    assert row("fetch", {"spec.inference.model": REMOVED}) == []


def test_a_signature_is_one_object_more() -> None:
    (fetch,) = row("fetch", {"spec.inference.model.publicKey": ED25519})
    assert granted(fetch) == [
        (method, f"/checkpoints/support-bot/model.gguf{suffix}")
        for method in ("GET", "HEAD")
        for suffix in ("", ".sig")
    ]


def test_learn_is_reading_declared_prefixes() -> None:
    (learn,) = row("learn")
    assert ends(learn) == (TRAINING, store("training-data"))
    assert granted(learn) == [(method, "/training-data/corpora/support/*") for method in ("GET", "HEAD")]
    assert row("learn", {"spec.training.reads": []}) == []
    assert row("learn", {"spec.training": REMOVED}) == []


def test_checkpoint_is_reading_and_writing_declared_prefixes() -> None:
    (checkpoint,) = row("checkpoint")
    assert ends(checkpoint) == (TRAINING, store("checkpoints"))
    methods = ("GET", "HEAD", "PUT", "DELETE")
    assert granted(checkpoint) == [(method, "/checkpoints/support-bot/*") for method in methods]
    assert row("checkpoint", {"spec.training.writes": []}) == []


def test_journal_is_new_objects_below_ones_own_name() -> None:
    found = row("journal")
    assert {ends(flow) for flow in found} == {
        (source, store("interaction-logs"))
        for source in (MODEL, TRAINING, store("training-data"), store("checkpoints"))
    }
    for flow in found:
        (source, _) = ends(flow)
        assert granted(flow) == [("PUT", f"/interaction-logs/{source}/*")]
        assert all(grant.new_objects_only for grant in flow.grants)


def test_read_is_for_declared_readers() -> None:
    assert {ends(flow): granted(flow) for flow in row("read")} == {
        ("release/evaluator", store("checkpoints")): [(m, "/checkpoints/support-bot/*") for m in ("GET", "HEAD")],
        ("security/auditor", store("interaction-logs")): [(m, "/interaction-logs/*") for m in ("GET", "HEAD")],
    }


def test_write_is_for_declared_writers() -> None:
    assert {ends(flow): granted(flow) for flow in row("write")} == {
        ("etl/ingest", store("training-data")): [(m, "/training-data/corpora/*") for m in ("PUT", "DELETE")],
    }


def test_scrape_reaches_the_counts_of_every_pod_and_no_gate() -> None:
    for rule, port in (("scrape", METRICS_PORT), ("scrape-gate", GATE_METRICS_PORT)):
        found = row(rule)
        assert {flow.target.component for flow in found} == set(Component)
        assert {(flow.port, flow.source.namespace, *flow.source.pods.items()) for flow in found} == {
            (port, "monitoring", ("app.kubernetes.io/name", "prometheus"))
        }
        assert not {flow.source.identity for flow in found} - {""}
    assert not row("scrape", {"spec.metrics": REMOVED})
    unexported = row("scrape", UNEXPORTED)
    assert {flow.target.component for flow in unexported} == set(Component) - {Component.EXPORTER}


def test_the_example_shows_every_row() -> None:
    """But for those of a backend, which it does not have."""
    assert {flow.rule.id for flow in flows(deployment())} == {rule.id for rule in FLOW_TABLE} - {"resolve", "keep"}


def test_without_an_export_nothing_is_collected_or_told() -> None:
    lost = {flow.rule.id for flow in flows(deployment())} - {flow.rule.id for flow in flows(deployment(UNEXPORTED))}
    assert lost == {"collect", "export"}


def test_a_store_with_a_backend_and_nothing_else_reaches_dns_and_its_addresses() -> None:
    changed = flows(deployment(UNEXPORTED | backed("checkpoints")))
    found = [flow for flow in changed if flow.target.component is None]
    assert {flow.source.component for flow in found} == {Component.CHECKPOINTS}
    assert [(flow.port, flow.rule.protocols, flow.target.addresses, flow.target.namespace) for flow in found] == [
        (53, ("UDP", "TCP"), (), "kube-system"),
        (53, ("UDP", "TCP"), ("169.254.20.10/32",), ""),
        (443, ("TCP",), ("203.0.113.0/24",), ""),
    ]
    assert not [flow for flow in flows(deployment(UNEXPORTED)) if flow.target.component is None]


def test_a_renamed_client_leaves_nothing_behind() -> None:
    changed = flows(deployment({"spec.inference.clients[0].serviceAccount": "renamed"}))
    assert not [flow for flow in changed if flow.source.service_account == "frontend"]


# Of every deployment

_PARTIES: dict[Party, set[Component | None]] = {
    Party.CLIENT: {None},
    Party.READER: {None},
    Party.WRITER: {None},
    Party.SCRAPER: {None},
    Party.EVERY_COMPONENT: set(Component),
    Party.BACKED_STORE: {Component.TRAINING_DATA, Component.CHECKPOINTS, Component.INTERACTION_LOGS},
    Party.BACKEND: {None},
    Party.SINK: {None},
    Party.CLUSTER_DNS: {None},
    Party.EVERY_STORE: {Component.TRAINING_DATA, Component.CHECKPOINTS, Component.INTERACTION_LOGS},
    Party.EVERY_AUDITOR: {one for one in Component if one not in (Component.INTERACTION_LOGS, Component.EXPORTER)},
}
_PARTIES |= {Party(component): {component} for component in Component}


@given(deployments())
def test_every_flow_is_within_its_row(parsed: LLMDeployment) -> None:
    apis = parsed.spec.inference.apis
    for flow in flows(parsed):
        assert flow.rule in FLOW_TABLE
        assert flow.source.component in _PARTIES[flow.rule.source]
        assert flow.target.component in _PARTIES[flow.rule.target]
        assert flow.port == (GATE_PORT if flow.rule.gated else flow.rule.port)
        if flow.rule.id in ("scrape", "scrape-gate"):
            assert granted(flow) == [("GET", "/metrics")]
            continue
        if not flow.rule.gated:
            assert not flow.grants
            assert bool(flow.target.addresses) != bool(flow.target.pods)
        for grant in flow.grants:
            if flow.rule.verbs == (Verb.CALL,):
                assert (grant.methods, grant.paths) == (apis[grant.api].methods, apis[grant.api].paths)
                assert not grant.prefixes
            else:
                assert set(grant.methods) <= {method for verb in flow.rule.verbs for method in verb.methods}
                bucket = f"/{flow.target.component}/"
                assert all(path.startswith(bucket) for path in (*grant.paths, *grant.prefixes))
                assert all(prefix.endswith("/") for prefix in grant.prefixes)


@given(deployments())
def test_what_is_not_declared_has_no_flow(parsed: LLMDeployment) -> None:
    declared = {(machine.namespace, machine.service_account) for _, machine in parsed.spec.machines()}
    assert {(end.namespace, end.service_account) for end in outside(parsed)} == declared
    scrapers = [(one.namespace, dict(one.pod_selector)) for one in parsed.spec.metrics.scrapers]
    stores = parsed.spec.storage.by_component()
    for flow in flows(parsed):
        assert flow.source.component in (None, *components(parsed))
        if flow.target.component:
            assert flow.target.component in components(parsed)
            assert flow.rule.gated or (flow.source.namespace, dict(flow.source.pods)) in scrapers
        else:
            assert flow.source.component
            export = parsed.spec.audit.export
            if flow.source.component is Component.EXPORTER:
                assert export
                assert flow.target.addresses in [sink.networks for sink in export.sinks().values()]
            else:
                assert stores[flow.source.component].backend


@given(deployments())
def test_nothing_reaches_training_and_inference_reaches_only_what_it_must(parsed: LLMDeployment) -> None:
    for flow in gated(parsed):
        assert flow.target.component is not Component.TRAINING
        if flow.source.component is Component.INFERENCE:
            assert flow.target.component in (Component.CHECKPOINTS, Component.INTERACTION_LOGS)
            assert flow.target.component is Component.CHECKPOINTS or not {"GET", "HEAD", "DELETE"} & {
                method for grant in flow.grants for method in grant.methods
            }


@given(deployments())
def test_only_training_and_declared_machines_touch_training_data(parsed: LLMDeployment) -> None:
    touching = {flow.source.component for flow in gated(parsed) if flow.target.component is Component.TRAINING_DATA}
    assert touching <= {Component.TRAINING, None}


@given(deployments())
def test_records_are_only_ever_added(parsed: LLMDeployment) -> None:
    for flow in gated(parsed):
        if flow.target.component is Component.INTERACTION_LOGS and flow.rule.id not in ("read", "collect"):
            for grant in flow.grants:
                assert grant.methods == ("PUT",)
                assert grant.new_objects_only
                assert grant.prefixes == (f"/interaction-logs/{flow.source.namespace}/{flow.source.service_account}/",)


@given(deployments())
def test_the_exporter_reads_records_reaches_its_sinks_and_nothing_else(parsed: LLMDeployment) -> None:
    sent = [flow for flow in flows(parsed) if flow.source.component is Component.EXPORTER]
    received = [flow for flow in flows(parsed) if flow.target.component is Component.EXPORTER]
    export = parsed.spec.audit.export
    assert bool(sent) == bool(export)
    assert {flow.target.component for flow in sent} <= {Component.INTERACTION_LOGS, None}
    assert {method for flow in sent for grant in flow.grants for method in grant.methods} <= {"GET", "HEAD"}
    assert all(flow.rule.id in ("scrape", "scrape-gate") for flow in received)
    reached = {address for flow in sent if flow.target.component is None for address in flow.target.addresses}
    assert reached == {network for sink in (export.sinks().values() if export else ()) for network in sink.networks}


@given(deployments())
def test_identities_are_unique(parsed: LLMDeployment) -> None:
    ours = [peer(parsed, component) for component in components(parsed)]
    every = [end.identity for end in (*ours, *outside(parsed))]
    assert len(set(every)) == len(every)
    pairs = [(flow.rule.id, flow.source.identity, flow.target.identity) for flow in gated(parsed)]
    assert len(set(pairs)) == len(pairs)


@settings(max_examples=50)
@given(deployments(), deployments())
def test_nothing_flows_between_deployments(one: LLMDeployment, other: LLMDeployment) -> None:
    assume(one.name != other.name)
    zones = {namespace(other.name, zone) for zone in Zone}
    assert not [flow for flow in flows(one) if {flow.source.namespace, flow.target.namespace} & zones]
