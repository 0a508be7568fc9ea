"""What must not be done is not done, and says so with a reason and a way out; nothing in force is loosened."""

import copy
import json
from typing import Any

import pytest

from cloister import names
from cloister.sealing import Kind, generate
from cloister.zones import Component
from tests.installed import operator_kubeconfig, start_operator, stop_operator
from tests.integration.operator.world import JWKS, Key, Object, World, full, minimal, until

CRD: Key = ("CustomResourceDefinition", "", f"{names.PLURAL}.{names.GROUP}")


def namespace(name: str, **labels: str) -> Object:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def told(world: World, name: str, reason: str) -> list[Object]:
    return until(
        lambda: [event for event in world.events_about(name) if event["reason"] == reason], f"an Event {reason}"
    )


def test_a_namespace_that_is_there_is_never_taken(world: World) -> None:
    made = world.create(namespace("squatted-inference", team="a"))
    world.declare(minimal("squatted"))
    said = world.until_condition("squatted", "Stalled", "True", "NamespaceConflict")
    assert "squatted-inference" in said["message"]
    assert world.find(("Namespace", "", "squatted-training")) is None
    assert world.get(names.key(made))["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]
    told(world, "squatted", "NamespaceConflict")
    # The way out.
    world.delete(names.key(made))
    world.until_converged("squatted")


def test_an_issuer_that_is_there_is_never_taken(world: World) -> None:
    key: Key = ("ClusterIssuer", "", "cloister-ca-usurped-g1")
    world.create(
        {
            "apiVersion": "cert-manager.io/v1",
            "kind": "ClusterIssuer",
            "metadata": {"name": key[2]},
            "spec": {"selfSigned": {}},
        }
    )
    world.declare(minimal("usurped"))
    said = world.until_condition("usurped", "Stalled", "True", "ObjectConflict")
    assert key[2] in said["message"]
    assert world.get(key)["spec"] == {"selfSigned": {}}
    world.delete(key)
    world.until_converged("usurped")


def test_a_client_never_lives_in_a_zone(world: World) -> None:
    host = world.converge(minimal("host"))
    client = {"namespace": f"{host}-training", "serviceAccount": "spy", "users": "NotRequired", "apis": ["chat"]}
    resource = minimal("parasite")
    resource["spec"]["inference"]["clients"] = [client]
    world.declare(resource)
    said = world.until_condition("parasite", "Stalled", "True", "ClientInZone")
    assert f"{host}-training" in said["message"]
    assert world.owned("parasite") == {}


def test_a_client_without_a_namespace_holds_up_nobody_else(world: World) -> None:
    resource = minimal("early")
    resource["spec"]["inference"]["clients"].append(
        {"namespace": "not-yet", "serviceAccount": "later", "users": "NotRequired", "apis": ["chat"]}
    )
    world.declare(resource)
    said = world.until_condition("early", "IdentityIssued", "False", "NamespaceMissing")
    assert "not-yet" in said["message"]
    world.until_condition("early", "StorageSeparated", "True")
    world.create(namespace("not-yet"))
    world.until_converged("early")


def test_a_storage_class_that_is_missing_is_named(world: World) -> None:
    resource = minimal("classless")
    for store in resource["spec"]["storage"].values():
        store["storageClassName"] = "vault"
    world.declare(resource)
    said = world.until_condition("classless", "StorageSeparated", "False", "StorageClassNotFound")
    assert "'vault'" in said["message"]
    assert "standard" in said["message"]
    world.plane.create_storage_class("vault")
    world.merge(
        ("StorageClass", "", "vault"),
        {"metadata": {"annotations": {"storageclass.kubernetes.io/is-default-class": "false"}}},
    )
    world.until_converged("classless")


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (None, "does not exist"),
        ("{", "is not JSON"),
        ('{"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}', "is symmetric"),
        ('{"keys": [{"kty": "EC", "crv": "P-256", "x": "a", "y": "b", "d": "c"}]}', "private key"),
    ],
    ids=["missing", "broken", "symmetric", "private"],
)
def test_keys_that_cannot_be_used_admit_nobody(world: World, document: str | None, said: str) -> None:
    name = f"keys-{'none' if document is None else len(document)}"
    config: Object = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": "web"},
        "data": {"jwks.json": document},
    }
    if document is not None:
        world.create(config)
    resource = full(name)
    resource["spec"]["identity"]["users"]["jwks"]["configMapRef"]["name"] = name
    world.declare(resource)
    found = world.until_condition(name, "AccessMinimal", "False", "JwksUnusable")
    assert said in found["message"]
    # Machines that speak for themselves are served all the same.
    gate: Key = ("ConfigMap", f"{name}-inference", "gate-inference")
    until(lambda: world.find(gate), "the gate is there")
    for what in ("local_jwks", "person-0"):
        assert what not in str(world.get(gate)["data"])
    world.delete((names.KIND, "", name))


def test_keys_that_go_bad_leave_the_good_ones_in_force(world: World) -> None:
    config: Object = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "fading", "namespace": "web"},
        "data": {"jwks.json": json.dumps(JWKS)},
    }
    world.create(config)
    resource = full("fading")
    resource["spec"]["identity"]["users"]["jwks"]["configMapRef"]["name"] = "fading"
    world.converge(resource)
    gate: Key = ("ConfigMap", "fading-inference", "gate-inference")
    before = world.get(gate)["data"]
    world.merge(names.key(config), {"data": {"jwks.json": "{}"}})
    said = world.until_condition("fading", "AccessMinimal", "False", "JwksUnusable")
    assert "stay in force" in said["message"]
    assert world.get(gate)["data"] == before
    assert world.find(("StatefulSet", "fading-inference", "inference"))


def test_a_lost_keyring_is_never_replaced(world: World) -> None:
    # The operator must not have seen the keyring: it is lost before the stores begin, as in a bad restore.
    world.create(namespace("amnesia-storage", **zone_labels("amnesia", "11111111-1111-1111-1111-111111111111")))
    claim: Object = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "checkpoints", "namespace": "amnesia-storage"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "10Gi"}}},
    }
    world.create(claim)
    world.declare(minimal("amnesia", adopt="11111111-1111-1111-1111-111111111111"))
    said = world.until_condition("amnesia", "Stalled", "True", "KeyringLost")
    assert "amnesia-storage/keyring-checkpoints" in said["message"]
    assert "Restore" in said["message"]
    assert world.find(("Secret", "amnesia-storage", "keyring-checkpoints")) is None
    assert world.find(("StatefulSet", "amnesia-storage", "checkpoints")) is None
    # Deny is in force all the same.
    assert world.find(("NetworkPolicy", "amnesia-storage", "deny-all"))


def zone_labels(name: str, uid: str) -> dict[str, str]:
    return names.owner_labels(name, uid) | {names.LABEL_ZONE: "storage"}


def test_a_training_run_is_one_job_for_each_change_and_never_again(world: World) -> None:
    training: dict[str, Any] = full("x")["spec"]["training"]
    training.pop("schedule")
    resource = minimal("trains", training=training)
    name = world.converge(resource)

    def jobs() -> list[Object]:
        return [obj for key, obj in world.owned(name).items() if key[0] == "Job"]

    # Nothing of it runs yet, so what has changed holds for it already.
    (uid,) = [job["metadata"]["uid"] for job in jobs()]
    recipients = [str(generate(Kind.X25519).public)]
    world.merge((names.KIND, "", name), {"spec": {"audit": {"recipients": recipients}}})
    (first,) = until(lambda: [job for job in jobs() if job["metadata"]["uid"] != uid], "it is made again")
    # Once it runs, it is left to finish.
    begin(world, names.key(first))
    recipients = [str(generate(Kind.X25519).public)]
    world.merge((names.KIND, "", name), {"spec": {"audit": {"recipients": recipients}}})
    auditor: Key = ("ConfigMap", f"{name}-training", names.auditor_config(Component.TRAINING))
    until(lambda: recipients[0] in str(world.get(auditor)["data"]), "another pass")
    world.quiet(name)
    assert [job["metadata"]["uid"] for job in jobs()] == [first["metadata"]["uid"]]
    resource["spec"]["audit"] = {"recipients": recipients}
    # Suspended, it ends; what is resumed is what is declared by then.
    world.merge((names.KIND, "", name), {"spec": {"training": {"suspend": True}}})
    config = first["spec"]["template"]["metadata"]["annotations"]

    def changed() -> list[Object]:
        return [job for job in jobs() if job["spec"]["template"]["metadata"]["annotations"] != config]

    (first,) = until(changed, "it is what is declared now")
    assert first["spec"]["suspend"] is True
    world.merge((names.KIND, "", name), {"spec": {"training": {"suspend": False}}})
    (first,) = until(lambda: [job for job in jobs() if job["spec"]["suspend"] is False], "it is resumed")

    finish(world, names.key(first))
    start = world.mark()
    world.merge((names.KIND, "", name), {"spec": {"access": [{"group": "a", "zone": "training", "role": "view"}]}})
    until(lambda: world.find(("RoleBinding", f"{name}-training", "cloister-zone-view")), "another pass")
    assert [job["metadata"]["uid"] for job in jobs()] == [first["metadata"]["uid"]]
    assert not [e for e in world.operator_writes(start, name) if e["objectRef"]["resource"] == "jobs"]

    resource["spec"]["training"]["args"] = ["--again"]
    resource["spec"]["access"] = [{"group": "a", "zone": "training", "role": "view"}]
    world.declare(resource)
    until(lambda: [job for job in jobs() if "--again" in str(job["spec"])], "a new run")
    world.until_gone(names.key(first))


def begin(world: World, key: Key) -> None:
    """Have the pod of a Job run, as a kubelet would."""
    selector = f"batch.kubernetes.io/controller-uid={world.get(key)['metadata']['uid']}"
    (pod,) = until(lambda: world.every("Pod", selector), "the Job has a pod")
    path = world.path(("Pod", key[1], pod["metadata"]["name"]), "status")
    answer = world.admin.patch(path, {"status": {"phase": "Running"}}, real=True)
    assert answer.code == 200, str(answer)
    until(lambda: world.get(key).get("status", {}).get("active"), "the Job knows of its pod")


def finish(world: World, key: Key) -> None:
    """End a Job, as its controller would if there were nodes."""
    started = until(lambda: world.get(key).get("status", {}).get("startTime"), "the Job has begun")
    world.plane.pause_controller_manager()  # which would set it back
    try:
        conditions = [
            {"type": kind, "status": "True", "lastProbeTime": started, "lastTransitionTime": started}
            for kind in ("SuccessCriteriaMet", "Complete")
        ]
        status = {"conditions": conditions, "completionTime": started, "succeeded": 1, "active": None, "ready": None}
        answer = world.admin.patch(world.path(key, "status"), {"status": status}, real=True)
        assert answer.code == 200, str(answer)
    finally:
        world.plane.resume_controller_manager()


def test_an_invalid_declaration_changes_nothing_and_stops_nothing(bare_world: World) -> None:
    world = bare_world
    world.plane.install_cert_manager()
    world.plane.create_storage_class()
    start_operator(world.plane, operator_kubeconfig(world.plane))
    name = world.converge(minimal("slipped"))
    before = {key: version for key, version in world.quiet(name).items() if key[0] != names.KIND}

    definition = world.get(CRD)
    relaxed = copy.deepcopy(definition)
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    relaxed["spec"]["versions"][0]["schema"]["openAPIV3Schema"] = schema
    world.replace(relaxed)
    key: Key = (names.KIND, "", name)
    bad = {"spec": {"inference": {"port": "eighty"}, "deletionPolicy": "Never"}}
    until(lambda: world.admin.patch(world.path(key), bad, real=True).code == 200, "it slips through")
    said = world.until_condition(name, "Stalled", "True", "InvalidSpec")
    for field in ("spec.inference.port", "spec.deletionPolicy"):
        assert field in said["message"]
    now = {key: version for key, version in world.versions(name).items() if key[0] != names.KIND}
    assert now == before
    told(world, name, "InvalidSpec")
    # What was valid before is still enforced.
    deny: Key = ("NetworkPolicy", f"{name}-inference", "deny-all")
    world.delete(deny)
    until(lambda: world.find(deny), "the policy is back")

    # So it is after a restart, by what the storage zone keeps; and what was deleted meanwhile comes back.
    stop_operator(world.plane)
    world.delete(deny)
    before = {key: version for key, version in world.versions(name).items() if key[0] != names.KIND}
    start_operator(world.plane, operator_kubeconfig(world.plane))
    until(lambda: world.find(deny), "the policy is back after a restart")
    assert world.converge(minimal("bystander"))
    assert world.condition(name, "Stalled")["status"] == "True"
    world.until_condition(name, "ZonesIsolated", "True")
    now = {key: version for key, version in world.versions(name).items() if key[0] != names.KIND}
    assert now.pop(deny)
    assert now == before
    stop_operator(world.plane)


def test_a_volume_that_can_not_grow_is_said_and_the_size_taken_back(world: World) -> None:
    """Nothing here binds claims, and only a bound one grows (admission plug-in PersistentVolumeClaimResize)."""
    name = world.converge(minimal("cramped"))
    size = world.deployment(name)["spec"]["storage"]["checkpoints"]["size"]

    def resize(wanted: str) -> None:
        patch = {"spec": {"storage": {"checkpoints": {"size": wanted}}}}
        assert world.admin.patch(world.path((names.KIND, "", name)), patch, real=True).code == 200

    resize("1Ti")
    said = world.until_condition(name, "Stalled", "True", "PersistentVolumeClaimNotResized")
    assert f"set spec.storage.checkpoints.size back to {size}" in said["message"]
    resize(size)
    world.until_condition(name, "Stalled", "False")
    world.until_condition(name, "StorageSeparated", "True")


def test_cert_manager_may_come_later(bare_world: World) -> None:
    world = bare_world
    world.plane.create_storage_class()
    start_operator(world.plane, operator_kubeconfig(world.plane))
    name = world.declare(minimal("patient"))["metadata"]["name"]
    said = world.until_condition(name, "IdentityIssued", "False", "CertManagerMissing")
    assert "install it" in said["message"]
    world.until_condition(name, "ZonesIsolated", "True")
    assert world.find(("NetworkPolicy", f"{name}-inference", "deny-all"))
    assert world.find(("StatefulSet", f"{name}-storage", "checkpoints")) is None
    world.plane.install_cert_manager()
    world.until_converged(name)
    stop_operator(world.plane)


def test_no_storage_class_at_all_is_said(bare_world: World) -> None:
    world = bare_world
    world.plane.install_cert_manager()
    start_operator(world.plane, operator_kubeconfig(world.plane))
    name = world.declare(minimal("homeless"))["metadata"]["name"]
    said = world.until_condition(name, "StorageSeparated", "False", "StorageClassNotFound")
    assert "no default class" in said["message"]
    world.plane.create_storage_class()
    world.until_converged(name)
    stop_operator(world.plane)
