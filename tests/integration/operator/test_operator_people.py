"""Keys, revocations and readers on their way from the resource to the zone, on a real API server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cloister import names
from tests.installed import operator_kubeconfig, start_operator, stop_operator
from tests.integration.operator.world import JWKS, Key, Object, World, full, until
from tests.issuer import Issuer

OTHER_READER = "cloister-pub-x25519:" + "B" * 42 + "A"


def config_map(name: str, **data: str) -> Object:
    metadata = {"name": name, "namespace": "security"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def gate_keys(world: World, name: str) -> list[str]:
    """Ids of the keys that the inference gate verifies tokens with."""
    gate = world.find(("ConfigMap", f"{name}-inference", "gate-inference")) or {"data": {}}
    providers = [one for text in gate["data"].values() for one in _found(json.loads(text), "local_jwks")]
    return sorted(key["kid"] for one in providers for key in json.loads(one["inline_string"])["keys"])


def _found(node: Any, name: str) -> Iterator[Any]:
    if isinstance(node, dict):
        for key, child in node.items():
            if key == name:
                yield child
            yield from _found(child, name)
    elif isinstance(node, list):
        for child in node:
            yield from _found(child, name)


def template(world: World, name: str) -> Object:
    """The pods' template: another one would restart them."""
    found: Object = world.get(("StatefulSet", f"{name}-inference", "inference"))["spec"]["template"]
    return found


def list_of(world: World, name: str) -> Any:
    """The list of revocations as the auditor is given it; None when it is given none."""
    found = world.find(("ConfigMap", f"{name}-inference", "revocations")) or {}
    text = found.get("data", {}).get("revocations.json")
    return json.loads(text) if text else None


def revoking(name: str, config: str) -> Object:
    resource = full(name)
    resource["spec"]["identity"]["users"]["revocations"] = {"configMapRef": {"name": config, "namespace": "security"}}
    return resource


def test_a_key_that_a_config_map_loses_leaves_the_gate_at_once(world: World) -> None:
    keys = [dict(JWKS["keys"][0], kid="a"), dict(JWKS["keys"][0], kid="b")]
    made = world.create(config_map("turning", **{"jwks.json": json.dumps({"keys": keys})}))
    resource = full("turning")
    reference = {"name": "turning", "namespace": "security"}
    resource["spec"]["identity"]["users"]["jwks"]["configMapRef"] = reference
    name = world.converge(resource)
    assert gate_keys(world, name) == ["a", "b"]
    before = template(world, name)
    world.merge(names.key(made), {"data": {"jwks.json": json.dumps({"keys": keys[1:]})}})
    until(lambda: gate_keys(world, name) == ["b"], "the key is withdrawn", 10)
    world.merge(names.key(made), {"data": {"jwks.json": json.dumps({"keys": []})}})
    until(lambda: gate_keys(world, name) == [], "all keys are withdrawn", 10)
    said = world.until_condition(name, "AccessMinimal", "False", "JwksUnusable")
    assert "nobody is admitted" in said["message"]
    assert template(world, name) == before


def test_a_list_of_revocations_reaches_the_auditor_and_restarts_nothing(world: World) -> None:
    made = world.create(config_map("leavers", **{"revocations.json": "subjects: [mallory]"}))
    name = world.converge(revoking("revoking", "leavers"))
    assert list_of(world, name)["subjects"] == ["mallory"]
    before = template(world, name)
    (auditor,) = [one for one in before["spec"]["initContainers"] if one["name"] == "auditor"]
    (mounted,) = [mount for mount in auditor["volumeMounts"] if mount["name"] == "revocations"]
    assert "subPath" not in mounted
    world.merge(names.key(made), {"data": {"revocations.json": '{"sessions": ["s-1"], "issuedBefore": {"*": 5}}'}})
    until(lambda: list_of(world, name)["sessions"] == ["s-1"], "the list is another", 10)
    assert list_of(world, name)["issued_before"] == {"*": 5}
    assert template(world, name) == before


def test_a_list_that_is_spoilt_or_deleted_lets_nobody_back_in(world: World) -> None:
    made = world.create(config_map("spoilt", **{"revocations.json": "subjects: [mallory]"}))
    name = world.converge(revoking("spoilt", "spoilt"))
    before = list_of(world, name)
    world.merge(names.key(made), {"data": {"revocations.json": "subject: []"}})
    said = world.until_condition(name, "AccessMinimal", "False", "RevocationsUnusable")
    assert "subject: is no field" in said["message"]
    assert "stays in force" in said["message"]
    assert list_of(world, name) == before
    world.delete(names.key(made))
    until(lambda: "does not exist" in world.condition(name, "AccessMinimal")["message"], "it is missed")
    assert list_of(world, name) == before
    world.create(config_map("spoilt", **{"revocations.json": "{}"}))
    until(lambda: list_of(world, name)["subjects"] == [], "a new list is in force")
    world.until_access(name)


def test_without_the_list_that_is_named_no_person_is_admitted(world: World) -> None:
    name = world.declare(revoking("listless", "not-there"))["metadata"]["name"]
    said = world.until_condition(name, "AccessMinimal", "False", "RevocationsUnusable")
    assert "no person is admitted" in said["message"]
    assert "ConfigMap security/not-there does not exist" in said["message"]
    # The auditor is told to ask for a list, and finds none.
    until(lambda: world.find(("ConfigMap", f"{name}-inference", "revocations")), "the empty ConfigMap is there")
    assert list_of(world, name) is None
    auditor = world.get(("ConfigMap", f"{name}-inference", "auditor-inference"))
    assert json.loads(auditor["data"]["auditor.json"])["people"]["revocations"]
    world.create(config_map("not-there", **{"revocations.json": "{}"}))
    until(lambda: list_of(world, name) is not None, "the list is in force")
    world.until_access(name)
    # No longer asked for, it goes.
    world.declare(full(name))
    world.until_gone(("ConfigMap", f"{name}-inference", "revocations"))


def test_another_reader_means_other_pods(world: World) -> None:
    name = world.converge(full("readers"))
    before = template(world, name)["metadata"]["annotations"][names.ANNOTATION_CONFIG]
    said = world.condition(name, "AuditRecording")
    assert said["status"] == "Unknown"
    assert "sealed for 1 recipient" in said["message"]
    resource = full(name)
    resource["spec"]["audit"]["recipients"].append(OTHER_READER)
    world.declare(resource)
    until(
        lambda: template(world, name)["metadata"]["annotations"][names.ANNOTATION_CONFIG] != before,
        "the pods are replaced",
    )
    for zone, component in (("inference", "inference"), ("training", "training"), ("storage", "checkpoints")):
        found = world.get(("ConfigMap", f"{name}-{zone}", f"auditor-{component}"))
        assert OTHER_READER in json.loads(found["data"]["auditor.json"])["journal"]["recipients"]


# --- keys that the operator fetches ---


@pytest.fixture
def issuer(tmp_path: Path) -> Iterator[Issuer]:
    with Issuer(tmp_path).running() as found:
        yield found


def signed_by(issuer: Issuer, name: str) -> Object:
    resource = full(name)
    users = resource["spec"]["identity"]["users"]
    del users["jwks"]
    users["issuer"] = issuer.issuer
    return resource


def test_keys_of_an_issuer_are_fetched_withdrawn_and_kept(own_world: World, issuer: Issuer) -> None:
    world = own_world
    kubeconfig = operator_kubeconfig(world.plane)
    settings = {
        "issuer_refresh_seconds": "1",
        "issuer_ca_bundle": str(issuer.ca_bundle),
        "issuer_allowed_cidrs": "127.0.0.0/8,::1/128",
    }
    start_operator(world.plane, kubeconfig, **settings)
    name = world.converge(signed_by(issuer, "fetching"))
    assert gate_keys(world, name) == ["ec", "rsa"]
    before = template(world, name)

    issuer.publish(issuer.provider.jwk("EC"))
    until(lambda: gate_keys(world, name) == ["ec"], "the key is withdrawn", 10)
    assert template(world, name) == before

    issuer.fail()
    said = world.until_condition(name, "AccessMinimal", "False", "JwksUnusable")
    assert "answers 503" in said["message"]
    assert "stay in force" in said["message"]
    assert gate_keys(world, name) == ["ec"]

    # What an operator knows that starts in the middle of it.
    stop_operator(world.plane)
    gate: Key = ("ConfigMap", f"{name}-inference", "gate-inference")
    version = world.get(gate)["metadata"]["resourceVersion"]
    start_operator(world.plane, kubeconfig, **settings)
    bystander = world.declare(full("bystander"))["metadata"]["name"]
    world.until_converged(bystander)
    assert gate_keys(world, name) == ["ec"]
    assert world.get(gate)["metadata"]["resourceVersion"] == version

    issuer.publish(issuer.provider.jwk("RSA"))
    until(lambda: gate_keys(world, name) == ["rsa"], "it has recovered")
    world.until_access(name)
    stop_operator(world.plane)
    assert "Traceback" not in world.plane.log("operator").read_text()


def test_an_issuer_in_the_operators_own_pod_is_not_asked(world: World, issuer: Issuer) -> None:
    name = world.declare(signed_by(issuer, "inward"))["metadata"]["name"]
    said = world.until_condition(name, "AccessMinimal", "False", "JwksUnusable")
    until(lambda: "allowedCIDRs" in world.condition(name, "AccessMinimal").get("message", ""), "the way out")
    assert "nobody is admitted" in said["message"]
    assert issuer.asked == []
    # Machines that speak for themselves are served all the same.
    until(lambda: world.find(("ConfigMap", f"{name}-inference", "gate-inference")), "the gate is there")
    assert gate_keys(world, name) == []
    world.delete((names.KIND, "", name))
