"""zone-guard: in a zone the operator writes, each controller what it is for, and nobody else anything."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.integration.admission.api import Answer, Object, User
from tests.integration.admission.objects import (
    APPS,
    BATCH,
    CERT_MANAGER,
    CILIUM,
    CORE,
    INFERENCE,
    STORAGE,
    TRAINING,
    autoscaler,
    budget,
    certificate,
    certificate_request,
    claim,
    cron_job,
    custom_object,
    issuer,
    job,
    meta,
    pod_spec,
    service,
    stateful_set,
    template,
)  # fmt: skip
from tests.integration.admission.world import World

POLICY = "zone-guard.cloister.dev"
PODS, JOBS = f"{CORE}/namespaces/{INFERENCE}/pods", f"{BATCH}/namespaces/{INFERENCE}/jobs"
ZONE = f"namespaces/{INFERENCE}"
NOTE = {"metadata": {"annotations": {"note": "x"}}}


def rbac(name: str, kind: str) -> Object:
    return {
        "metadata": meta(name),
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": "cloister-zone-view"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "ml-engineers"}],
    }


def network_policy(name: str) -> Object:
    return {"metadata": meta(name), "spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}}


def workload(name: str) -> Object:
    labels = {"app": name}
    return {
        "metadata": meta(name),
        "spec": {"selector": {"matchLabels": labels}, "template": template(labels)},
    }


OPERATOR_KINDS: dict[str, Object] = {
    f"{CORE}/{ZONE}/configmaps": {"metadata": meta("new")},
    f"{CORE}/{ZONE}/services": service("new", INFERENCE),
    f"{CORE}/{ZONE}/serviceaccounts": {"metadata": meta("new")},
    f"{CORE}/{ZONE}/persistentvolumeclaims": claim("new", INFERENCE),
    f"{CORE}/{ZONE}/resourcequotas": {"metadata": meta("new"), "spec": {"hard": {"services.nodeports": "0"}}},
    f"{CORE}/namespaces/{STORAGE}/secrets": {
        "metadata": meta("keyring-training-data"),
        "stringData": {"k": "v"},
    },
    f"{APPS}/{ZONE}/statefulsets": stateful_set("new", INFERENCE),
    f"{BATCH}/{ZONE}/jobs": job("new", INFERENCE),
    f"{BATCH}/{ZONE}/cronjobs": cron_job("new", INFERENCE),
    f"apis/networking.k8s.io/v1/{ZONE}/networkpolicies": network_policy("new"),
    f"apis/policy/v1/{ZONE}/poddisruptionbudgets": budget("new", INFERENCE),
    f"apis/rbac.authorization.k8s.io/v1/{ZONE}/rolebindings": rbac("new", "ClusterRole"),
    f"{CERT_MANAGER}/{ZONE}/certificates": certificate("cloister-new", INFERENCE, "cloister-ca-guarded-g1"),
}

FOREIGN_KINDS: dict[str, Object] = {
    f"{CORE}/{ZONE}/pods": {"metadata": {"name": "new"}, "spec": pod_spec()},
    f"{CORE}/{ZONE}/podtemplates": {"metadata": {"name": "new"}, "template": template({"app": "new"})},
    f"{CORE}/{ZONE}/replicationcontrollers": {
        "metadata": {"name": "new"},
        "spec": {"selector": {"app": "new"}, "template": template({"app": "new"})},
    },
    f"{CORE}/{ZONE}/endpoints": {"metadata": {"name": "model"}, "subsets": []},
    f"{CORE}/{ZONE}/limitranges": {"metadata": {"name": "new"}, "spec": {"limits": []}},
    f"{APPS}/{ZONE}/deployments": workload("new"),
    f"{APPS}/{ZONE}/daemonsets": workload("new"),
    f"{APPS}/{ZONE}/replicasets": workload("new"),
    f"apis/discovery.k8s.io/v1/{ZONE}/endpointslices": {
        "metadata": {"name": "new", "labels": {"kubernetes.io/service-name": "model"}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["198.51.100.1"]}],
    },
    f"apis/networking.k8s.io/v1/{ZONE}/ingresses": {
        "metadata": {"name": "new"},
        "spec": {"defaultBackend": {"service": {"name": "model", "port": {"number": 8443}}}},
    },
    f"apis/rbac.authorization.k8s.io/v1/{ZONE}/roles": {"metadata": {"name": "new"}, "rules": []},
    f"apis/coordination.k8s.io/v1/{ZONE}/leases": {"metadata": {"name": "new"}},
    f"apis/autoscaling/v2/namespaces/{STORAGE}/horizontalpodautoscalers": autoscaler("new", STORAGE),
    f"apis/autoscaling/v2/{ZONE}/horizontalpodautoscalers": autoscaler("new", INFERENCE, "Deployment"),
    f"{CERT_MANAGER}/{ZONE}/issuers": issuer("new", {"selfSigned": {}}, "Issuer", INFERENCE),
    f"{CERT_MANAGER}/{ZONE}/certificaterequests": certificate_request("new", "any", INFERENCE),
    # Would open the zone although every NetworkPolicy is as it was; stands for kinds not known today.
    f"{CILIUM}/{ZONE}/ciliumnetworkpolicies": custom_object("CiliumNetworkPolicy", "new"),
}


@pytest.mark.parametrize(("path", "body"), OPERATOR_KINDS.items(), ids=OPERATOR_KINDS)
def test_only_the_operator_makes_what_a_zone_is_made_of(world: World, path: str, body: Object) -> None:
    assert (answer := world.operator.create(path, body)).allowed, answer
    policies = (POLICY, "certificate-guard.cloister.dev")  # whichever answers first
    assert (answer := world.admin.create(path, body)).refused_by(*policies), answer


@pytest.mark.parametrize(("path", "body"), FOREIGN_KINDS.items(), ids=FOREIGN_KINDS)
def test_nobody_makes_anything_else(world: World, path: str, body: Object) -> None:
    assert (answer := world.admin.create(path, body)).refused_by(POLICY), answer


def test_the_refusal_names_what_who_and_the_way_out(world: World) -> None:
    message = world.admin.create(f"{CORE}/{ZONE}/configmaps", {"metadata": {"name": "mine"}}).message
    for text in (
        "CREATE of configmaps 'mine'",
        INFERENCE,
        "kubernetes-admin",
        "LLMDeployment 'guarded'",
        "extraWriters",
    ):
        assert text in message


def test_a_generated_name_is_seen(world: World) -> None:
    answer = world.admin.create(f"{CORE}/{ZONE}/configmaps", {"metadata": {"generateName": "mine-"}})
    assert "CREATE of configmaps 'mine-" in answer.message, answer


EXISTING = f"{CORE}/{ZONE}/configmaps/trust-bundle"
CHANGES: dict[str, Callable[[User], Answer]] = {
    "merge patch": lambda user: user.patch(EXISTING, {"data": {"ca.crt": "mine"}}),
    "json patch": lambda user: user.patch(EXISTING, [{"op": "remove", "path": "/data"}], "json"),
    "apply": lambda user: user.patch(
        EXISTING,
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "trust-bundle"}, "data": {}},
        "apply",
    ),
    "apply that creates": lambda user: user.patch(
        f"{CORE}/{ZONE}/configmaps/new",
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta("new")},
        "apply",
    ),
    "update": lambda user: user.replace(EXISTING, {"metadata": meta("trust-bundle"), "data": {"ca.crt": "mine"}}),
    "labels only": lambda user: user.patch(EXISTING, {"metadata": {"labels": {"cloister.dev/owner-uid": "2"}}}),
    "owner only": lambda user: user.patch(
        EXISTING,
        {"metadata": {"ownerReferences": [{"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "none"}]}},
    ),
    "delete": lambda user: user.delete(EXISTING),
    "delete collection": lambda user: user.delete(f"{CORE}/{ZONE}/configmaps"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_only_the_operator_changes_or_deletes(world: World, change: Callable[[User], Answer]) -> None:
    assert (answer := change(world.operator)).allowed, answer
    assert (answer := change(world.admin)).refused_by(POLICY), answer


def test_outside_zones_everyone_writes_as_before(world: World) -> None:
    for path, body in {**OPERATOR_KINDS, **FOREIGN_KINDS}.items():
        if body.get("kind") == "Certificate" or "certificaterequests" in path:
            continue  # guarded everywhere: see test_issuance_guard.py
        elsewhere = path.replace(INFERENCE, "guarded-clients").replace(STORAGE, "guarded-clients")
        assert (answer := world.admin.create(elsewhere, _without_namespace(body))).allowed, (path, answer)


def _without_namespace(body: Object) -> Object:
    return body | {"metadata": {k: v for k, v in body["metadata"].items() if k != "namespace"}}


def test_a_node_can_be_drained(world: World) -> None:
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": world.bound_pod}}
    answer = world.admin.create(f"{PODS}/{world.bound_pod}/eviction", body)
    assert answer.allowed, answer


def test_resizing_a_pod_is_changing_it(world: World) -> None:
    answer = world.admin.patch(f"{PODS}/{world.bound_pod}/resize", NOTE)
    assert answer.refused_by(POLICY), answer


def test_events_are_only_notes(world: World) -> None:
    involved = {"kind": "Pod", "name": world.bound_pod, "namespace": INFERENCE}
    body = {
        "metadata": {"name": "e"},
        "involvedObject": involved,
        "reason": "Test",
        "message": "x",
        "type": "Normal",
    }
    assert (answer := world.admin.create(f"{CORE}/{ZONE}/events", body)).allowed, answer


def test_the_break_glass_group_deletes_pods_and_nothing_else(world: World) -> None:
    assert (answer := world.fire_fighter.delete(f"{PODS}/{world.bound_pod}")).allowed, answer
    assert (answer := world.admin.delete(f"{PODS}/{world.bound_pod}")).refused_by(POLICY), answer
    assert "evict" in answer.message
    for user in (world.fire_fighter, world.admin):
        assert (answer := user.delete(f"{JOBS}/job")).refused_by(POLICY), answer
        assert (answer := user.patch(EXISTING, NOTE)).refused_by(POLICY), answer
    assert world.audited("zone-guard.cloister.dev/break-glass", "jane deleted pod", "ticket 42")


def test_every_zone_is_guarded(world: World) -> None:
    for name in (TRAINING, INFERENCE, STORAGE):
        answer = world.admin.create(f"{CORE}/namespaces/{name}/configmaps", {"metadata": {"name": "x"}})
        assert answer.refused_by(POLICY), answer
