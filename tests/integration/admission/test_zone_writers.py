"""zone-guard and the cluster's own controllers: each writes what it is for, by files/zone-writers.yaml."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import yaml

from tests.integration.admission.api import Answer, Object, User
from tests.integration.admission.objects import (
    APPS,
    BATCH,
    CERT_MANAGER,
    CILIUM,
    CORE,
    INFERENCE,
    NODE,
    STORAGE,
    autoscaler,
    certificate_request,
    claim,
    custom_object,
    job,
    pod_spec,
    stateful_set,
)  # fmt: skip
from tests.integration.admission.world import CHART, CONTROLLER, EXTERNAL_SECRETS, World

POLICY = "zone-guard.cloister.dev"
ALSO = ("certificate-guard.cloister.dev", "request-guard.cloister.dev")
"""What may answer first where two policies refuse."""
WRITERS: dict[str, dict[str, list[str]]] = yaml.safe_load((CHART / "files" / "zone-writers.yaml").read_text())
ZONE = f"namespaces/{INFERENCE}"
NOTE = {"metadata": {"annotations": {"note": "x"}}}

Request = Callable[[World, User], Answer]


def owned_pod(kind: str) -> Object:
    owner = {"apiVersion": "apps/v1", "kind": kind, "name": "model", "uid": "1", "controller": True}
    return {"metadata": {"name": "new", "ownerReferences": [owner]}, "spec": pod_spec()}


def create(path: str, body: Object) -> Request:
    return lambda world, user: user.create(f"{path}", body)


def update(path: str, patch: Any = NOTE) -> Request:
    return lambda world, user: user.patch(path.format(pod=world.bound_pod), patch)


def delete(path: str) -> Request:
    return lambda world, user: user.delete(path.format(pod=world.bound_pod))


def bind(path: str) -> Request:
    target = {"kind": "Node", "name": NODE}
    return lambda world, user: user.create(
        path.format(pod=world.pending_pod), {"metadata": {"name": world.pending_pod}, "target": target}
    )


def on_first(collection: str, send: Callable[[User, str], Answer]) -> Request:
    def request(world: World, user: User) -> Answer:
        name = world.first(collection)["metadata"]["name"]
        return send(user, f"{collection}/{name}")

    return request


def _create_pod(world: World, user: User) -> Answer:
    return user.create(f"{CORE}/{ZONE}/pods", owned_pod("Job" if "job" in user.name else "StatefulSet"))


SLICES = f"apis/discovery.k8s.io/v1/{ZONE}/endpointslices"
REVISIONS = f"{APPS}/{ZONE}/controllerrevisions"
PODS, CLAIMS, JOBS = f"{CORE}/{ZONE}/pods", f"{CORE}/{ZONE}/persistentvolumeclaims", f"{BATCH}/{ZONE}/jobs"
CERTIFICATES, REQUESTS = f"{CERT_MANAGER}/{ZONE}/certificates", f"{CERT_MANAGER}/{ZONE}/certificaterequests"
BUDGETS = f"apis/policy/v1/{ZONE}/poddisruptionbudgets"

# Every (operation, resource) that a row may name, as a request that succeeds for whoever may.
REQUESTS_OF_ROWS: dict[tuple[str, str], Request] = {
    ("CREATE", "pods"): _create_pod,
    ("UPDATE", "pods"): update(f"{PODS}/{{pod}}"),
    ("DELETE", "pods"): delete(f"{PODS}/{{pod}}"),
    ("UPDATE", "pods/status"): update(f"{PODS}/{{pod}}/status", {"status": {"message": "x"}}),
    ("CREATE", "pods/binding"): bind(f"{PODS}/{{pod}}/binding"),
    ("CREATE", "bindings"): bind(f"{CORE}/{ZONE}/bindings"),
    ("CREATE", "persistentvolumeclaims"): create(CLAIMS, claim("new", INFERENCE)),
    ("UPDATE", "persistentvolumeclaims"): update(f"{CLAIMS}/claim"),
    ("DELETE", "persistentvolumeclaims"): delete(f"{CLAIMS}/claim"),
    ("UPDATE", "persistentvolumeclaims/status"): update(
        f"{CLAIMS}/claim/status", {"status": {"capacity": {"storage": "1Gi"}}}
    ),
    ("CREATE", "apps/controllerrevisions"): create(REVISIONS, {"metadata": {"name": "new"}, "revision": 1, "data": {}}),
    ("UPDATE", "apps/controllerrevisions"): on_first(REVISIONS, lambda user, path: user.patch(path, NOTE)),
    ("DELETE", "apps/controllerrevisions"): on_first(REVISIONS, lambda user, path: user.delete(path)),
    ("UPDATE", "apps/statefulsets/status"): update(f"{APPS}/{ZONE}/statefulsets/model/status"),
    ("UPDATE", "apps/statefulsets/scale"): update(f"{APPS}/{ZONE}/statefulsets/model/scale", {"spec": {"replicas": 2}}),
    ("CREATE", "batch/jobs"): create(JOBS, job("new", INFERENCE)),
    ("UPDATE", "batch/jobs"): update(f"{JOBS}/job"),
    ("DELETE", "batch/jobs"): delete(f"{JOBS}/job"),
    ("UPDATE", "batch/jobs/status"): update(f"{JOBS}/job/status"),
    ("UPDATE", "batch/cronjobs"): update(f"{BATCH}/{ZONE}/cronjobs/cron"),
    ("UPDATE", "batch/cronjobs/status"): update(f"{BATCH}/{ZONE}/cronjobs/cron/status"),
    ("UPDATE", "autoscaling/horizontalpodautoscalers/status"): update(
        f"apis/autoscaling/v2/{ZONE}/horizontalpodautoscalers/model/status"
    ),
    ("UPDATE", "policy/poddisruptionbudgets/status"): update(f"{BUDGETS}/model/status"),
    ("CREATE", "endpoints"): create(f"{CORE}/{ZONE}/endpoints", {"metadata": {"name": "new"}, "subsets": []}),
    ("UPDATE", "endpoints"): on_first(f"{CORE}/{ZONE}/endpoints", lambda user, path: user.patch(path, NOTE)),
    ("DELETE", "endpoints"): on_first(f"{CORE}/{ZONE}/endpoints", lambda user, path: user.delete(path)),
    ("CREATE", "discovery.k8s.io/endpointslices"): create(
        SLICES,
        {"metadata": {"name": "new"}, "addressType": "IPv4", "endpoints": [{"addresses": ["198.51.100.1"]}]},
    ),
    ("UPDATE", "discovery.k8s.io/endpointslices"): on_first(SLICES, lambda user, path: user.patch(path, NOTE)),
    ("DELETE", "discovery.k8s.io/endpointslices"): on_first(SLICES, lambda user, path: user.delete(path)),
    ("CREATE", "serviceaccounts"): create(f"{CORE}/{ZONE}/serviceaccounts", {"metadata": {"name": "default"}}),
    ("CREATE", "configmaps"): create(f"{CORE}/{ZONE}/configmaps", {"metadata": {"name": "kube-root-ca.crt"}}),
    ("UPDATE", "configmaps"): update(f"{CORE}/{ZONE}/configmaps/kube-root-ca.crt"),
    ("UPDATE", "resourcequotas/status"): update(f"{CORE}/{ZONE}/resourcequotas/quota/status"),
    ("CREATE", "cilium.io/ciliumendpoints"): create(
        f"{CILIUM}/{ZONE}/ciliumendpoints", custom_object("CiliumEndpoint", "new")
    ),
    ("UPDATE", "cilium.io/ciliumendpoints"): update(f"{CILIUM}/{ZONE}/ciliumendpoints/endpoint"),
    ("DELETE", "cilium.io/ciliumendpoints"): delete(f"{CILIUM}/{ZONE}/ciliumendpoints/endpoint"),
    ("UPDATE", "cilium.io/ciliumendpoints/status"): update(
        f"{CILIUM}/{ZONE}/ciliumendpoints/endpoint/status", {"status": {"id": 1}}
    ),
    ("CREATE", "secrets"): create(f"{CORE}/{ZONE}/secrets", {"metadata": {"name": "cloister-new"}}),
    ("UPDATE", "secrets"): on_first(f"{CORE}/{ZONE}/secrets", lambda user, path: user.patch(path, NOTE)),
    ("DELETE", "secrets"): on_first(f"{CORE}/{ZONE}/secrets", lambda user, path: user.delete(path)),
    ("UPDATE", "cert-manager.io/certificates/status"): update(f"{CERTIFICATES}/cloister-inference/status"),
    ("CREATE", "cert-manager.io/certificaterequests"): create(REQUESTS, certificate_request("new", "any", INFERENCE)),
    ("UPDATE", "cert-manager.io/certificaterequests"): update(f"{REQUESTS}/plain"),
    ("DELETE", "cert-manager.io/certificaterequests"): delete(f"{REQUESTS}/plain"),
    ("UPDATE", "cert-manager.io/certificaterequests/status"): update(
        f"{REQUESTS}/plain/status", {"status": {"failureTime": "2026-01-01T00:00:00Z"}}
    ),
}
CERT_MANAGER_ROWS = [row for row in REQUESTS_OF_ROWS if "cert-manager" in row[1] or row[1] == "secrets"]


def rows() -> list[Any]:
    """(user, operation, resource) for every cell of the table; `*` is tried on a ConfigMap."""
    return [
        pytest.param(user, operation, resource, id=f"{user.removeprefix(CONTROLLER)} {operation} {resource}")
        for user, resources in WRITERS.items()
        for resource, operations in resources.items()
        if resource != "*"
        for operation in operations
    ]


@pytest.mark.parametrize(("user", "operation", "resource"), rows())
def test_a_controller_writes_what_it_is_for(world: World, user: str, operation: str, resource: str) -> None:
    answer = REQUESTS_OF_ROWS[operation, resource](world, world.named(user))
    assert answer.allowed, answer


@pytest.mark.parametrize(("operation", "resource"), REQUESTS_OF_ROWS, ids=map(" ".join, REQUESTS_OF_ROWS))
def test_the_same_request_is_refused_to_anyone_else(world: World, operation: str, resource: str) -> None:
    send = REQUESTS_OF_ROWS[operation, resource]
    assert (answer := send(world, world.admin)).refused_by(POLICY, *ALSO), answer
    # A controller of another kind is anyone else, and so is a kubelet's name without a kubelet's group.
    assert (answer := send(world, world.controller("deployment-controller"))).refused_by(POLICY, *ALSO), answer
    assert (answer := send(world, world.server.user("system:node:x"))).refused_by(POLICY, *ALSO), answer


@pytest.mark.parametrize(("operation", "resource"), CERT_MANAGER_ROWS, ids=map(" ".join, CERT_MANAGER_ROWS))
def test_cert_manager_writes_certificates_secrets(world: World, operation: str, resource: str) -> None:
    answer = REQUESTS_OF_ROWS[operation, resource](world, world.cert_manager)
    assert answer.allowed, answer


def test_the_cluster_cleans_up(world: World) -> None:
    path = f"{CORE}/{ZONE}/configmaps"
    for name in ("namespace-controller", "generic-garbage-collector"):
        assert (answer := world.controller(name).delete(f"{path}/trust-bundle")).allowed, answer
    assert (answer := world.controller("namespace-controller").delete(path)).allowed, answer
    for name in ("generic-garbage-collector", "storage-version-migrator-controller"):
        assert (answer := world.controller(name).patch(f"{path}/trust-bundle", NOTE)).allowed, answer
        assert (answer := world.controller(name).create(path, {"metadata": {"name": "x"}})).refused_by(POLICY), answer
    answer = world.controller("namespace-controller").patch(f"{path}/trust-bundle", NOTE)
    assert answer.refused_by(POLICY), answer


def test_an_extra_writer_of_the_chart_writes_only_its_resource(world: World) -> None:
    writer = world.server.user(EXTERNAL_SECRETS)
    body = {"metadata": {"name": "keys-from-vault"}}
    assert (answer := writer.create(f"{CORE}/{ZONE}/secrets", body)).allowed, answer
    assert (answer := writer.create(f"{CORE}/{ZONE}/configmaps", body)).refused_by(POLICY), answer


def test_an_extra_writer_takes_no_identity_and_changes_no_key(world: World) -> None:
    writer, path = world.server.user(EXTERNAL_SECRETS), f"{CORE}/{ZONE}/secrets"
    keyring = f"{CORE}/namespaces/{STORAGE}/secrets/keyring-checkpoints"
    other: Object = {"stringData": {"k": "mine"}}
    world.first(path, lambda item: bool(item["metadata"]["name"] == "cloister-inference"))
    for answer in (
        writer.create(path, {"metadata": {"name": "cloister-training"}}),
        writer.patch(f"{path}/cloister-inference", other),
        writer.delete(f"{path}/cloister-inference"),
        writer.patch(keyring, other),
        writer.delete(keyring),
    ):
        assert answer.refused_by(POLICY), answer
    # One that is lost comes back from a backup, and in place of another on the record only.
    lost = {"metadata": {"name": "keyring-training-data"}, "stringData": {"k": "v"}}
    assert (answer := writer.create(f"{CORE}/namespaces/{STORAGE}/secrets", lost)).allowed, answer
    restorer = world.server.user(EXTERNAL_SECRETS, "cloister:break-glass", **{"cloister.dev/reason": "ticket 43"})
    assert (answer := restorer.patch(keyring, other)).allowed, answer
    assert world.audited(f"{POLICY}/break-glass", f"wrote keyring {STORAGE}/keyring-checkpoints", "ticket 43")
    assert (answer := restorer.patch(f"{path}/cloister-inference", other)).refused_by(POLICY), answer
    assert (answer := world.fire_fighter.patch(keyring, other)).refused_by(POLICY), answer


# --- what a controller may not, although it may write the resource ---


@pytest.mark.parametrize(
    ("user", "body"),
    [
        ("statefulset-controller", {"metadata": {"name": "new"}, "spec": pod_spec()}),
        ("statefulset-controller", owned_pod("Job")),
        ("job-controller", owned_pod("StatefulSet")),
    ],
)
def test_pods_are_created_only_for_their_own_kind_of_owner(world: World, user: str, body: Object) -> None:
    assert (answer := world.controller(user).create(PODS, body)).refused_by(POLICY), answer


def with_container(part: str, name: str, image: str, *, instead: bool = False) -> Object:
    """A StatefulSet's pod as a webhook leaves it behind: with one container more, or with another one."""
    body = owned_pod("StatefulSet")
    more = body["spec"]["containers"][0] | {"name": name, "image": image}
    body["spec"][part] = [more] if instead else [*body["spec"].get(part, ()), more]
    return body


OWN, GATE = "ghcr.io/cloister-dev/cloister", "docker.io/envoyproxy/envoy"
MADE_BY_CLOISTER: dict[str, Object] = {
    "a gate": with_container("initContainers", "gate", f"{GATE}:distroless-v1.40.0"),
    "a gate by digest": with_container("initContainers", "gate", f"{GATE}@sha256:{'0' * 64}"),
    "an auditor of the next version": with_container("initContainers", "auditor", f"{OWN}:9.9.9"),
    "a trainer of the user's": with_container("containers", "training", "registry.example/trainer:1", instead=True),
}
INJECTED: dict[str, Object] = {
    "a mesh's proxy": with_container("containers", "istio-proxy", "docker.io/istio/proxyv2:1"),
    "a mesh's native sidecar": with_container("initContainers", "linkerd-proxy", "cr.l5d.io/linkerd/proxy:1"),
    "a gate of somebody else's": with_container("initContainers", "gate", "evil.example/envoyproxy/envoy:1"),
    "a gate of a similar name": with_container("initContainers", "gate", f"{GATE}-next:1"),
    "a gate where none is": with_container("containers", "gate", f"{GATE}:1"),
    "a store of somebody else's": with_container("containers", "store", "evil.example/rclone:1", instead=True),
}


@pytest.mark.parametrize("body", MADE_BY_CLOISTER.values(), ids=MADE_BY_CLOISTER)
def test_a_pod_has_the_containers_that_cloister_makes(world: World, body: Object) -> None:
    assert (answer := world.controller("statefulset-controller").create(PODS, body)).allowed, answer


@pytest.mark.parametrize("body", INJECTED.values(), ids=INJECTED)
def test_no_webhook_puts_another_container_into_a_pod(world: World, body: Object) -> None:
    answer = world.controller("statefulset-controller").create(PODS, body)
    assert answer.refused_by(POLICY), answer
    assert "none that Cloister makes" in answer.message


def test_a_pod_keeps_its_images(world: World) -> None:
    other = [{"op": "replace", "path": "/spec/containers/0/image", "value": "registry.example/other:1"}]
    answer = world.controller("statefulset-controller").patch(f"{PODS}/{world.pending_pod}", other, "json")
    assert answer.refused_by(POLICY), answer


@pytest.mark.parametrize(
    ("user", "path", "body"),
    [
        (f"{CONTROLLER}root-ca-cert-publisher", f"{CORE}/{ZONE}/configmaps", {"metadata": {"name": "trust"}}),
        (
            f"{CONTROLLER}service-account-controller",
            f"{CORE}/{ZONE}/serviceaccounts",
            {"metadata": {"name": "x"}},
        ),
        (
            "system:serviceaccount:cert-manager:cert-manager",
            f"{CORE}/namespaces/{STORAGE}/secrets",
            {"metadata": {"name": "keyring-training-data"}},
        ),
    ],
    ids=["root-ca-cert-publisher", "service-account-controller", "cert-manager"],
)
def test_a_controller_writes_only_its_own_names(world: World, user: str, path: str, body: Object) -> None:
    assert (answer := world.server.user(user).create(path, body)).refused_by(POLICY), answer


def test_a_kubelet_makes_no_mirror_pod(world: World) -> None:
    annotations = {"kubernetes.io/config.mirror": "1", "kubernetes.io/config.source": "file"}
    node = {"apiVersion": "v1", "kind": "Node", "name": NODE, "controller": True}
    node["uid"] = world.admin.get(f"{CORE}/nodes/{NODE}").body["metadata"]["uid"]
    mirror = {"name": "new", "annotations": annotations, "ownerReferences": [node]}
    body = {"metadata": mirror, "spec": pod_spec(nodeName=NODE)}
    assert (answer := world.kubelet.create(PODS, body)).refused_by(POLICY), answer


def test_an_autoscaler_scales_the_model_and_no_store(world: World) -> None:
    path = f"apis/autoscaling/v2/{ZONE}/horizontalpodautoscalers"
    assert (answer := world.admin.create(path, autoscaler("other", INFERENCE))).allowed, answer
    assert (answer := world.admin.patch(f"{path}/model", {"spec": {"maxReplicas": 4}})).allowed, answer
    for target in ("model", "exporter", ""):
        answer = world.admin.create(path, autoscaler("other", INFERENCE, target=target))
        assert not answer.allowed, answer
    elsewhere = {"spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "model"}}}
    assert (answer := world.admin.patch(f"{path}/model", elsewhere)).refused_by(POLICY), answer
    assert (answer := world.admin.delete(f"{path}/model")).allowed, answer
    world.operator.create(f"{APPS}/namespaces/{STORAGE}/statefulsets", stateful_set("store", STORAGE), real=True)
    scale = f"{APPS}/namespaces/{STORAGE}/statefulsets/store/scale"
    answer = world.controller("horizontal-pod-autoscaler").patch(scale, {"spec": {"replicas": 2}})
    assert answer.refused_by(POLICY), answer
