"""namespace-guard: a zone's label is as precious as the zone, and so is its end."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.admission.api import Object
from tests.integration.admission.objects import CLIENTS, CORE, STORAGE, TRAINING, zone
from tests.integration.admission.world import World

POLICY = "namespace-guard.cloister.dev"
NAMESPACES = f"{CORE}/namespaces"
ZONE = f"{NAMESPACES}/{TRAINING}"


def labels(**changes: str | None) -> Object:
    keys = {"zone": "cloister.dev/zone", "deployment": "cloister.dev/deployment", "new": "cloister.dev/new"}
    keys |= {
        "pods": "pod-security.kubernetes.io/enforce",
        "warn": "pod-security.kubernetes.io/warn",
        "team": "team",
        "manager": "app.kubernetes.io/managed-by",
    }
    return {"metadata": {"labels": {keys[key]: value for key, value in changes.items()}}}


FAKE_OWNER = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "name": "none",
    "uid": "00000000-0000-0000-0000-000000000000",
}

REFUSED: dict[str, tuple[str, str, Any]] = {
    "the label removed": ("merge", ZONE, labels(zone=None)),
    "the label moved to another zone": ("merge", ZONE, labels(zone="storage")),
    "another deployment": ("merge", ZONE, labels(deployment="other")),
    "a new label of ours": ("merge", ZONE, labels(new="x")),
    "all labels removed": ("json", ZONE, [{"op": "remove", "path": "/metadata/labels"}]),
    "pod security loosened": ("merge", ZONE, labels(pods="privileged")),
    "pod security removed": ("merge", ZONE, labels(pods=None)),
    "pod security added to": ("merge", ZONE, labels(warn="privileged")),
    "another manager": ("merge", ZONE, labels(manager="Helm")),
    "no manager": ("merge", ZONE, labels(manager=None)),
    "another manager through status": ("merge", f"{ZONE}/status", labels(manager="Helm")),
    "the label removed through status": ("merge", f"{ZONE}/status", labels(zone=None)),
    "pod security loosened through status": ("merge", f"{ZONE}/status", labels(pods="privileged")),
    # The garbage collector would delete the zone: its owner does not exist.
    "a made-up owner": ("merge", ZONE, {"metadata": {"ownerReferences": [FAKE_OWNER]}}),
    "a made-up owner through status": (
        "merge",
        f"{ZONE}/status",
        {"metadata": {"ownerReferences": [FAKE_OWNER]}},
    ),
    "another namespace made a zone": ("merge", f"{NAMESPACES}/{CLIENTS}", labels(zone="training")),
    "another namespace labelled": ("merge", f"{NAMESPACES}/{CLIENTS}", labels(deployment="guarded")),
}


@pytest.mark.parametrize(("kind", "path", "patch"), REFUSED.values(), ids=REFUSED)
def test_only_the_operator_labels_a_zone(world: World, kind: str, path: str, patch: Any) -> None:
    for user in (world.admin, world.fire_fighter, world.controller("statefulset-controller")):
        assert (answer := user.patch(path, patch, kind)).refused_by(POLICY), (user.name, answer)


def test_a_replacement_of_the_whole_is_seen(world: World) -> None:
    body = world.admin.get(ZONE).body
    del body["metadata"]["labels"]["cloister.dev/zone"]
    assert (answer := world.admin.replace(ZONE, body)).refused_by(POLICY), answer
    assert "cloister.dev/zone" in answer.message


def test_a_finalize_request_is_seen(world: World) -> None:
    body = world.admin.get(ZONE).body
    body["spec"]["finalizers"] = []
    for user in (world.admin, world.fire_fighter):
        assert (answer := user.replace(f"{ZONE}/finalize", body)).refused_by(POLICY), answer
    assert (answer := world.controller("namespace-controller").replace(f"{ZONE}/finalize", body)).allowed, answer


def test_nobody_else_makes_a_zone(world: World) -> None:
    assert (answer := world.admin.create(NAMESPACES, zone("training", "other"))).refused_by(POLICY), answer
    assert (answer := world.operator.create(NAMESPACES, zone("training", "other"))).allowed, answer


def test_the_operator_relabels_its_zone(world: World) -> None:
    patch = {"metadata": {"labels": {"cloister.dev/owner-uid": "2"}, "ownerReferences": []}}
    assert (answer := world.operator.patch(ZONE, patch)).allowed, answer


def test_other_metadata_is_the_administrators(world: World) -> None:
    assert (answer := world.admin.patch(ZONE, labels(team="ml"))).allowed, answer
    note = {"metadata": {"annotations": {"note": "x"}}}
    for path in (ZONE, f"{NAMESPACES}/{CLIENTS}"):
        assert (answer := world.admin.patch(path, note)).allowed, answer
    assert (answer := world.admin.patch(f"{NAMESPACES}/{CLIENTS}", labels(pods="privileged"))).allowed, answer
    assert (answer := world.admin.patch(f"{NAMESPACES}/{CLIENTS}", labels(manager="Helm"))).allowed, answer
    assert (answer := world.admin.create(NAMESPACES, {"metadata": {"name": "other-training"}})).allowed, answer
    assert (answer := world.admin.delete(f"{NAMESPACES}/{CLIENTS}")).allowed, answer


def test_the_garbage_collector_drops_owners(world: World) -> None:
    patch: Object = {"metadata": {"ownerReferences": []}}
    assert (answer := world.controller("generic-garbage-collector").patch(ZONE, patch)).allowed, answer


def test_who_deletes_a_zone(world: World) -> None:
    path = f"{NAMESPACES}/{STORAGE}"
    assert (answer := world.admin.delete(path)).refused_by(POLICY), answer
    assert "LLMDeployment 'guarded'" in answer.message
    assert (answer := world.controller("statefulset-controller").delete(path)).refused_by(POLICY), answer
    for user in (world.operator, world.controller("generic-garbage-collector"), world.fire_fighter):
        assert (answer := user.delete(path)).allowed, (user.name, answer)
    assert world.audited(f"{POLICY}/break-glass", f"jane deleted zone {STORAGE}", "ticket 42")
