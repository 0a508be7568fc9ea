"""A deployment's life: made, changed, deleted. Through the API server alone, and with the operator's own identity."""

import pytest

from cloister import names
from cloister.controller.kinds import POD
from cloister.facts import Facts, Settings
from cloister.render import render
from cloister.spec import parse
from cloister.zones import PLACES
from tests.integration.operator.world import Object, World, full, minimal, until


def rendered_keys(resource: Object) -> set[names.Key]:
    return {names.key(obj) for obj in render(parse(resource), Facts(), Settings())}


def test_everything_declared_is_there_and_nothing_else(world: World) -> None:
    start = world.mark()
    name = world.converge(full("whole"))
    world.quiet(name)
    wanted = rendered_keys(world.deployment(name))
    # Claims of StatefulSets carry no label of ours; whatever does is rendered.
    assert set(world.owned(name)) == wanted
    for store in ("training-data", "checkpoints", "interaction-logs"):
        assert world.get(("Secret", f"{name}-storage", f"keyring-{store}"))["type"] == "Opaque"
    status = world.deployment(name)["status"]
    assert [zone["ready"] for zone in status["zones"]] == [True, True, True]
    assert all(one["ready"] and one["notAfter"] for one in status["certificates"])
    assert {one["component"] for one in status["endpoints"]} == {
        "inference", "training-data", "checkpoints", "interaction-logs"
    }  # fmt: skip
    keyrings, unguarded = 3, 1  # an Event says that this cluster has no guards
    assert len(world.operator_writes(start, name)) <= len(wanted) + keyrings + unguarded + 3


def test_deny_is_the_first_thing_in_a_zone_and_workloads_are_the_last(world: World) -> None:
    start = world.mark()
    name = world.converge(full("ordered"))
    kinds = [event["objectRef"]["resource"] for event in world.operator_writes(start, name)]
    names_in_order = [event["objectRef"].get("name") for event in world.operator_writes(start, name)]
    places = len(PLACES)
    assert set(kinds[:places]) == {"namespaces"}
    # Denied together, in whatever order: every connection, and every Service that leads in from outside.
    denied = [*["deny-all"] * places, *["no-way-in"] * places]
    assert sorted(names_in_order[places : 3 * places]) == denied
    first_workload = min(index for index, kind in enumerate(kinds) if kind in ("statefulsets", "cronjobs", "jobs"))
    others = ("networkpolicies", "resourcequotas", "serviceaccounts", "configmaps", "secrets", "persistentvolumeclaims")
    assert max(index for index, kind in enumerate(kinds) if kind in others) < first_workload


def test_without_proof_workloads_wait_and_stores_run(world: World) -> None:
    name = world.declare(minimal("unproven", exceptions=[]))["metadata"]["name"]
    waiting = world.until_condition(name, "WorkloadsReady", "False", "WaitingForProof")
    assert "ZT-17" in waiting["message"]
    assert world.condition(name, "IsolationProven")["status"] == "Unknown"
    assert world.find(("StatefulSet", f"{name}-storage", "checkpoints"))
    assert world.find(("StatefulSet", f"{name}-inference", "inference")) is None
    until(lambda: [one for one in world.events_about(name) if one["reason"] == "WaitingForProof"], "an Event")


def test_a_renamed_client_leaves_nothing_of_its_old_name(world: World) -> None:
    resource = minimal("renames")
    name = world.converge(resource)
    before = set(world.owned(name))
    (old,) = [key for key in before if key[0] == "Certificate" and key[1] == "batch"]
    resource["spec"]["inference"]["clients"] = [
        {"namespace": "web", "serviceAccount": "weekly", "users": "NotRequired", "apis": ["chat"]}
    ]
    world.declare(resource)
    world.until_gone(old)
    world.until_converged(name)
    policy = world.get(("NetworkPolicy", f"{name}-inference", "inference-ingress"))
    assert "batch" not in str(policy["spec"])
    assert "web" in str(policy["spec"])
    assert [key for key in world.owned(name) if key[0] == "Certificate" and key[1] == "web"]


def test_policies_change_before_workloads(world: World) -> None:
    resource = minimal("sequence")
    name = world.converge(resource)
    world.quiet(name)
    start = world.mark()
    resource["spec"]["inference"]["clients"][0]["namespace"] = "etl"
    resource["spec"]["inference"]["args"] = ["--other"]
    world.declare(resource)
    until(
        lambda: "--other" in str(world.get(("StatefulSet", f"{name}-inference", "inference"))["spec"]),
        "the workload follows",
    )
    kinds = [event["objectRef"]["resource"] for event in world.operator_writes(start, name)]
    assert kinds.index("networkpolicies") < kinds.index("statefulsets")


@pytest.mark.parametrize("policy", ["Retain", "Delete"])
def test_deletion_leaves_only_what_retain_keeps(world: World, policy: str) -> None:
    name = world.converge(minimal(f"ends-{policy.lower()}", deletionPolicy=policy))
    world.delete((names.KIND, "", name))
    zones = ("training", "inference") if policy == "Retain" else ("training", "inference", "storage")
    for zone in zones:
        world.until_gone(("Namespace", "", f"{name}-{zone}"))
    until(
        lambda: not any(key[0] in ("ClusterIssuer", "Certificate", "StatefulSet") for key in _outside(world, name)),
        "issuers, certificates and workloads are gone",
    )
    left = {key[0] for key in world.owned(name)}
    if policy == "Delete":
        assert left == set()
    else:
        assert {"Namespace", "PersistentVolumeClaim", "NetworkPolicy"} <= left
        assert world.find(("NetworkPolicy", f"{name}-storage", "deny-all"))
        assert world.find(("Secret", f"{name}-storage", "keyring-checkpoints"))
    told = until(lambda: [one for one in world.events_about(name) if one["reason"] == "LeftBehind"], "an Event")
    assert ("spec.adopt" in told[0]["note"]) == (policy == "Retain")


def test_pods_end_before_the_policies_that_hold_them(world: World) -> None:
    name = world.converge(minimal("lingers"))
    pod = f"api/v1/namespaces/{name}-inference/pods/inference-0"
    until(lambda: world.admin.get(pod).code == 200, "the pod is there")
    assert world.admin.patch(pod, {"metadata": {"finalizers": ["example.com/lingers"]}}, real=True).code == 200
    world.delete((names.KIND, "", name))
    until(lambda: "deletionTimestamp" in world.admin.get(pod).body["metadata"], "the pod is asked to end")
    # The training zone has no pod: when it is gone, the namespace controller has had its turn at this one as well.
    world.until_gone(("Namespace", "", f"{name}-training"))
    policy = world.get(("NetworkPolicy", f"{name}-inference", "deny-all"))
    assert "deletionTimestamp" not in policy["metadata"]
    assert world.admin.patch(pod, {"metadata": {"finalizers": None}}, real=True).code == 200
    world.until_gone(("Namespace", "", f"{name}-inference"))


def _outside(world: World, name: str) -> list[names.Key]:
    """Keys of what is owned, but for the leaf certificates that a retained storage zone keeps."""
    return [key for key in world.owned(name) if not (key[0] == "Certificate" and key[1] == f"{name}-storage")]


def test_a_retained_storage_zone_is_taken_back_only_by_its_uid(world: World) -> None:
    resource = minimal("returns")
    name = world.converge(resource)
    uid = world.deployment(name)["metadata"]["uid"]
    keyring = world.get(("Secret", f"{name}-storage", "keyring-checkpoints"))["data"]
    world.delete((names.KIND, "", name))
    world.until_gone(("Namespace", "", f"{name}-inference"))
    world.until_gone(("Namespace", "", f"{name}-training"))

    world.declare(resource)
    refused = world.until_condition(name, "Stalled", "True", "NamespaceConflict")
    assert uid in refused["message"]
    assert "spec.adopt" in refused["message"]
    assert world.find(("Namespace", "", f"{name}-inference")) is None

    world.declare(minimal("returns", adopt=uid))
    world.until_converged(name)
    assert world.get(("Secret", f"{name}-storage", "keyring-checkpoints"))["data"] == keyring
    mine = world.deployment(name)["metadata"]["uid"]
    assert {obj["metadata"]["labels"][names.LABEL_OWNER] for obj in world.owned(name).values()} == {mine}


def test_refused_weights_are_told_with_their_reason(world: World) -> None:
    """There is no kubelet: what it would write is written here."""
    resource = full("weightless")
    del resource["spec"]["inference"]["runtimeClassName"]  # there is none, and pods would be refused
    name = world.converge(resource)
    pod = POD.path(f"{name}-inference", "inference-0").lstrip("/")
    until(lambda: world.admin.get(pod).code == 200, "the pod")
    message = '{"reason": "SealBroken", "message": "/checkpoints/m: chunk 3 does not authenticate"}'
    ended = {"exitCode": 1, "message": message, "startedAt": None, "finishedAt": None}
    fetch = {"name": "fetch", "image": "x", "imageID": "x", "ready": False, "restartCount": 1}
    status = {"initContainerStatuses": [fetch | {"lastState": {"terminated": ended}}]}
    assert world.admin.patch(f"{pod}/status", {"status": status}, real=True).code == 200
    said = world.until_condition(name, "WorkloadsReady", "False", "SealBroken")
    assert said["message"] == "inference-0: fetch: /checkpoints/m: chunk 3 does not authenticate"
    status["initContainerStatuses"][0] |= {"ready": True, "state": {"terminated": {"exitCode": 0}}}
    assert world.admin.patch(f"{pod}/status", {"status": status}, real=True).code == 200
    world.until_condition(name, "WorkloadsReady", "False", "PodsNotReady")
