"""Whatever others delete, change or add is put right, for every kind; what is not the operator's is left alone."""

import copy
from typing import Any

import pytest

from cloister import names
from tests.integration.operator.world import Key, Object, World, full, minimal, until

NAME = "tampered"
TRAINING, INFERENCE, STORAGE = (f"{NAME}-{zone}" for zone in ("training", "inference", "storage"))
CONTAINER = {"name": "shell", "image": "evil.example.com/shell"}

KEYS: dict[str, Key] = {
    "ResourceQuota": ("ResourceQuota", INFERENCE, "no-way-in"),
    "NetworkPolicy": ("NetworkPolicy", INFERENCE, "deny-all"),
    "flow": ("NetworkPolicy", INFERENCE, "inference-ingress"),
    "ServiceAccount": ("ServiceAccount", INFERENCE, "inference"),
    "RoleBinding": ("RoleBinding", INFERENCE, "cloister-zone-view"),
    "ClusterIssuer": ("ClusterIssuer", "", f"cloister-ca-{NAME}-g1"),
    "authority": ("Certificate", "cert-manager", f"cloister-ca-{NAME}-g1"),
    "Certificate": ("Certificate", INFERENCE, "cloister-inference"),
    "Service": ("Service", STORAGE, "checkpoints"),
    "ConfigMap": ("ConfigMap", INFERENCE, "gate-inference"),
    "bundle": ("ConfigMap", STORAGE, names.TRUST_BUNDLE),
    "StatefulSet": ("StatefulSet", STORAGE, "checkpoints"),
    "CronJob": ("CronJob", TRAINING, "training"),
    "PodDisruptionBudget": ("PodDisruptionBudget", INFERENCE, "inference"),
}

CHANGES: dict[str, Object] = {
    "ResourceQuota": {"spec": {"hard": {"services.nodeports": "5"}}},
    "NetworkPolicy": {"spec": {"policyTypes": ["Ingress"]}},
    "flow": {"spec": {"podSelector": {"matchLabels": {"cloister.dev/deployment": "other"}}}},
    "ServiceAccount": {"automountServiceAccountToken": True},
    "RoleBinding": {"subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "evil"}]},
    "ClusterIssuer": {"spec": {"ca": {"secretName": "another"}}},
    "authority": {"spec": {"commonName": "another"}},
    "Certificate": {"spec": {"duration": "9000h0m0s"}},
    "Service": {"spec": {"selector": {"app.kubernetes.io/component": "other"}}},
    "ConfigMap": {"data": {"lds.json": "{}"}},
    "bundle": {"data": {"ca.crt": "another authority"}},
    "StatefulSet": {"spec": {"template": {"spec": {"serviceAccountName": "default"}}}},
    "CronJob": {"spec": {"schedule": "* * * * *"}},
    "PodDisruptionBudget": {"spec": {"maxUnavailable": "100%"}},
    "Namespace": {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "privileged"}}},
    "labels": {"metadata": {"labels": {names.LABEL_DEPLOYMENT: None, names.LABEL_OWNER: None}}},
    "owner": {"metadata": {"ownerReferences": None}},
}

ADDITIONS: dict[str, Object] = {
    "ResourceQuota": {"spec": {"hard": {"pods": "0"}}},
    "NetworkPolicy": {"spec": {"ingress": [{}]}},
    "flow": {"spec": {"egress": [{}]}},
    "ServiceAccount": {"imagePullSecrets": [{"name": "evil"}]},
    "RoleBinding": {"subjects+": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "evil"}},
    "ClusterIssuer": {"spec": {"ca": {"crlDistributionPoints": ["http://evil.example.com"]}}},
    "Certificate": {"spec": {"dnsNames+": "evil.example.com"}},
    "Service": {"spec": {"externalIPs": ["203.0.113.7"]}},
    "ConfigMap": {"data": {"extra": "evil"}},
    "bundle": {"data": {"evil.crt": "another authority"}},
    "frozen": {"immutable": True, "data": {"ca.crt": "another authority"}},
    "container": {"spec": {"template": {"spec": {"containers+": CONTAINER}}}},
    "init container": {"spec": {"template": {"spec": {"initContainers+": CONTAINER}}}},
    "hostNetwork": {"spec": {"template": {"spec": {"hostNetwork": True}}}},
    "volume": {"spec": {"template": {"spec": {"volumes+": {"name": "x", "emptyDir": {}}}}}},
    "pod annotation": {"spec": {"template": {"metadata": {"annotations": {"evil": "true"}}}}},
    "CronJob": {"spec": {"jobTemplate": {"spec": {"template": {"spec": {"containers+": CONTAINER}}}}}},
    "PodDisruptionBudget": {"spec": {"unhealthyPodEvictionPolicy": "AlwaysAllow"}},
    "Namespace": {"metadata": {"labels": {"cloister.dev/extra": "evil"}}},
}

PLACES: dict[str, Key] = (
    KEYS
    | {
        "Namespace": ("Namespace", "", INFERENCE),
        "labels": KEYS["NetworkPolicy"],
        "owner": ("Namespace", "", TRAINING),
        "frozen": KEYS["bundle"],
    }
    | dict.fromkeys(("container", "init container", "hostNetwork", "volume", "pod annotation"), KEYS["StatefulSet"])
)


@pytest.fixture(scope="module")
def tampered(world: World) -> World:
    """A converged deployment of every kind."""
    world.converge(full(NAME))
    world.quiet(NAME)
    return world


def content(obj: Object) -> Object:
    """What of an object must be the same again."""
    metadata = obj["metadata"]
    kept = copy.deepcopy({name: value for name, value in obj.items() if name not in ("metadata", "status")})
    if obj["kind"] == "Service":
        for field in ("clusterIP", "clusterIPs"):
            kept["spec"].pop(field)
    return kept | {name: metadata.get(name) for name in ("labels", "annotations", "ownerReferences")}


def added(obj: Any, addition: Any) -> Any:
    """The object with an addition merged in; `field+` appends to a list."""
    if not isinstance(addition, dict):
        return addition
    result = dict(obj or {})
    for name, value in addition.items():
        if name.endswith("+"):
            field = name.removesuffix("+")
            result[field] = [*result.get(field, ()), value]
        else:
            result[name] = added(result.get(name), value)
    return result


def until_restored(world: World, key: Key, before: Object) -> Object:
    def restored() -> Object | None:
        now = world.find(key)
        return now if now and content(now) == content(before) else None

    try:
        return until(restored, f"{key} is as before", 30)
    except AssertionError:
        assert content(world.get(key)) == content(before)
        raise


@pytest.mark.parametrize("kind", KEYS)
def test_what_is_deleted_comes_back(tampered: World, kind: str) -> None:
    key = KEYS[kind]
    tampered.quiet(NAME, 0.5)  # a Service that was made again has another address, which gates learn
    before = tampered.get(key)
    tampered.delete(key)
    until(lambda: (tampered.find(key) or before)["metadata"]["uid"] != before["metadata"]["uid"], f"{key} is back")
    until_restored(tampered, key, before)


@pytest.mark.parametrize("kind", CHANGES)
def test_what_is_changed_is_put_right(tampered: World, kind: str) -> None:
    key = PLACES[kind]
    before = tampered.get(key)
    changed = tampered.merge(key, CHANGES[kind])
    assert content(changed) != content(before)
    until_restored(tampered, key, before)


@pytest.mark.parametrize("kind", ADDITIONS)
def test_what_is_added_is_taken_away(tampered: World, kind: str) -> None:
    key = PLACES[kind]
    before = tampered.get(key)
    changed = tampered.change(key, lambda obj: added(obj, ADDITIONS[kind]))
    assert content(changed) != content(before)
    until_restored(tampered, key, before)


def test_a_forged_record_of_field_managers_hides_nothing(tampered: World) -> None:
    key = KEYS["NetworkPolicy"]
    before = tampered.get(key)

    # As one who has read how server-side apply works: first the hole, then its owner is made to be nobody.
    def forge(obj: Object) -> Object:
        forged: Object = added(obj, {"spec": {"ingress": [{}]}})
        return forged | {"metadata": {**obj["metadata"], "managedFields": [{}]}}

    tampered.change(key, forge)
    until_restored(tampered, key, before)


def test_an_object_made_by_somebody_else_in_its_place_is_taken_over(tampered: World) -> None:
    key = KEYS["flow"]
    before = tampered.get(key)
    tampered.delete(key)
    open_wide: Object = {
        "apiVersion": before["apiVersion"],
        "kind": before["kind"],
        "metadata": {"name": key[2], "namespace": key[1]},
        "spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"], "ingress": [{}], "egress": [{}]},
    }
    answer = tampered.admin.create(tampered.path((key[0], key[1], "")), open_wide, real=True)
    assert answer.code in (201, 409)  # the operator may have been faster
    until_restored(tampered, key, before)


def test_a_deleted_zone_comes_back_whole(world: World) -> None:
    name = world.converge(minimal("razed"))
    before = set(world.owned(name))
    world.delete(("Namespace", "", f"{name}-inference"))
    until(lambda: set(world.owned(name)) == before, "every object is back")
    world.until_converged(name)


def test_a_new_service_address_reaches_the_gates(tampered: World) -> None:
    key = KEYS["Service"]
    old = tampered.get(key)["spec"]["clusterIP"]
    gate: Key = ("ConfigMap", TRAINING, "gate-training")
    assert old in str(tampered.get(gate)["data"])
    # The address is taken before the Service is made again, so that it must become another.
    tampered.delete(key)
    new = until(lambda: (tampered.find(key) or {"spec": {}})["spec"].get("clusterIP"), "the Service is back")
    until(lambda: new in str(tampered.get(gate)["data"]), "the gate dials the new address")


def test_a_foreign_policy_in_a_zone_is_reported_and_not_deleted(tampered: World) -> None:
    foreign: Object = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "let-me-in", "namespace": INFERENCE},
        "spec": {"podSelector": {}, "ingress": [{}]},
    }
    tampered.create(foreign)
    said = tampered.until_condition(NAME, "ZonesIsolated", "False", "ForeignPolicies")
    assert f"{INFERENCE}/let-me-in" in said["message"]
    until(lambda: [e for e in tampered.events_about(NAME) if e["reason"] == "ForeignPolicies"], "an Event")
    assert tampered.find(names.key(foreign))
    tampered.delete(names.key(foreign))
    tampered.until_condition(NAME, "ZonesIsolated", "True")


def test_repairs_are_told(tampered: World) -> None:
    key = KEYS["RoleBinding"]
    before = tampered.get(key)
    tampered.delete(key)
    until_restored(tampered, key, before)
    what = f"RoleBinding {key[1]}/{key[2]}"

    def told() -> bool:
        return bool(tampered.deployment(NAME)["status"].get("lastDrift", {}).get("object") == what)

    until(told, "status tells of the repair")
    until(
        lambda: [e for e in tampered.events_about(NAME) if e["reason"] == "DriftRepaired" and what in e["note"]],
        "an Event tells of the repair",
    )


def test_what_is_not_ours_is_left_alone(tampered: World) -> None:
    labels = {names.LABEL_DEPLOYMENT: NAME, names.LABEL_OWNER: "00000000-0000-0000-0000-000000000000"}
    stranger: Object = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "stranger", "namespace": "web", "labels": labels},
        "data": {"a": "b"},
    }
    unlabelled = copy.deepcopy(stranger)
    unlabelled["metadata"] = {"name": "unlabelled", "namespace": INFERENCE}
    made = [tampered.create(stranger), tampered.create(unlabelled)]
    key = KEYS["Certificate"]
    tampered.merge(key, {"metadata": {"labels": {"team": "a"}, "annotations": {"note": "b"}}})
    tampered.delete(KEYS["RoleBinding"])  # so that there is a pass
    until(lambda: tampered.find(KEYS["RoleBinding"]), "the operator has passed")
    tampered.quiet(NAME)
    for obj in made:
        assert tampered.get(names.key(obj))["metadata"]["resourceVersion"] == obj["metadata"]["resourceVersion"]
        tampered.delete(names.key(obj))
    assert tampered.get(key)["metadata"]["labels"]["team"] == "a"
    assert tampered.get(key)["metadata"]["annotations"]["note"] == "b"
