"""home-guard: only the operator's Deployment runs as the operator, and upgrades go on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.cluster.controlplane import ControlPlane
from tests.cluster.external import ExternalCluster
from tests.integration.admission.api import Object
from tests.integration.admission.objects import (
    APPS,
    BATCH,
    CLIENTS,
    CORE,
    HOME,
    cron_job,
    job,
    operator_pod,
    pod_spec,
    template,
)  # fmt: skip
from tests.integration.admission.world import CONTROLLER, VALUES, World, eventually, render_policies

POLICY = "home-guard.cloister.dev"
DEPLOYMENTS = f"{APPS}/namespaces/{HOME}/deployments"
INSTALLER = "system:serviceaccount:argocd:argocd-application-controller"


def workload(name: str, account: str = "cloister", **spec: Any) -> Object:
    labels = {"app": "posing"}
    found = {"selector": {"matchLabels": labels}, "template": template(labels, serviceAccountName=account)}
    return {"metadata": {"name": name}, "spec": found | spec}


def with_account(body: Object, *path: str) -> Object:
    at = body
    for key in path:
        at = at[key]
    at["serviceAccountName"] = "cloister"
    return body | {"metadata": {"name": body["metadata"]["name"]}}


POSES: dict[str, tuple[str, Object]] = {
    "a pod": (f"{CORE}/namespaces/{HOME}/pods", operator_pod()),
    "a replication controller": (
        f"{CORE}/namespaces/{HOME}/replicationcontrollers",
        workload("x") | {"spec": workload("x")["spec"] | {"selector": {"app": "posing"}}},
    ),
    "a pod template": (
        f"{CORE}/namespaces/{HOME}/podtemplates",
        {"metadata": {"name": "x"}, "template": template({"app": "x"}, serviceAccountName="cloister")},
    ),
    "another Deployment": (DEPLOYMENTS, workload("other")),
    "a ReplicaSet": (f"{APPS}/namespaces/{HOME}/replicasets", workload("x")),
    "a StatefulSet": (f"{APPS}/namespaces/{HOME}/statefulsets", workload("x", serviceName="x")),
    "a DaemonSet": (f"{APPS}/namespaces/{HOME}/daemonsets", workload("x")),
    "a Job": (f"{BATCH}/namespaces/{HOME}/jobs", with_account(job("x", HOME), "spec", "template", "spec")),
    "a CronJob": (
        f"{BATCH}/namespaces/{HOME}/cronjobs",
        with_account(cron_job("x", HOME), "spec", "jobTemplate", "spec", "template", "spec"),
    ),
}


@pytest.mark.parametrize(("path", "body"), POSES.values(), ids=POSES)
def test_nothing_else_runs_as_the_operator(world: World, path: str, body: Object) -> None:
    for user in (world.admin, world.fire_fighter):
        assert (answer := user.create(path, body)).refused_by(POLICY), answer
    elsewhere = path.replace(HOME, CLIENTS)
    if "pods" not in path:  # a pod of an account that does not exist is refused by Kubernetes
        assert (answer := world.admin.create(elsewhere, body)).allowed, answer


def test_an_account_of_another_name_is_as_before(world: World) -> None:
    assert (answer := world.admin.create(DEPLOYMENTS, workload("other", "default"))).allowed, answer
    body = {"metadata": {"name": "pod"}, "spec": pod_spec()}
    assert (answer := world.admin.create(f"{CORE}/namespaces/{HOME}/pods", body)).allowed, answer


def test_a_workload_is_not_turned_into_the_operator(world: World, deployment: str) -> None:
    other = f"{DEPLOYMENTS}/other"
    world.admin.create(DEPLOYMENTS, workload("other", "default", replicas=0), real=True)
    change = {"spec": {"template": {"spec": {"serviceAccountName": "cloister"}}}}
    assert (answer := world.admin.patch(other, change)).refused_by(POLICY), answer
    world.admin.delete(other, real=True)


@pytest.fixture
def deployment(world: World) -> Iterator[str]:
    """The operator's Deployment, as Helm installs it."""
    answer = world.admin.create(DEPLOYMENTS, workload("cloister", replicas=1), real=True)
    assert answer.allowed, answer
    yield f"{DEPLOYMENTS}/cloister"
    world.admin.delete(f"{DEPLOYMENTS}/cloister", real=True)
    eventually(lambda: _gone(world), LookupError, "the end of the operator's pods")


def _gone(world: World) -> None:
    if world.admin.get(f"{CORE}/namespaces/{HOME}/pods").body["items"]:
        raise LookupError


def test_install_upgrade_and_uninstall_go_on(world: World, deployment: str) -> None:
    """With the real Deployment and ReplicaSet controllers: the pod that runs as the operator is there."""
    pods = f"{CORE}/namespaces/{HOME}/pods"
    first = world.first(pods, lambda item: item["spec"]["serviceAccountName"] == "cloister")
    image = "registry.example/image@sha256:" + "1" * 64
    upgrade = [{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": image}]
    assert (answer := world.admin.patch(deployment, upgrade, "json", real=True)).allowed, answer
    world.first(pods, lambda item: item["spec"]["containers"][0]["image"] == image)
    scale = world.admin.patch(f"{deployment}/scale", {"spec": {"replicas": 2}}, real=True)
    assert scale.allowed, scale
    assert (answer := world.admin.delete(f"{pods}/{first['metadata']['name']}")).code in {200, 404}, answer


def test_a_lasting_token_of_the_operator_is_refused(world: World) -> None:
    path = f"{CORE}/namespaces/{HOME}/secrets"

    def token(account: str) -> Object:
        annotations = {"kubernetes.io/service-account.name": account}
        metadata = {"name": "t", "annotations": annotations}
        return {"metadata": metadata, "type": "kubernetes.io/service-account-token"}

    assert (answer := world.admin.create(path, token("cloister"))).refused_by(POLICY), answer
    assert (answer := world.admin.create(path, token("default"))).allowed, answer


@pytest.fixture
def installers(world: World, cluster: ControlPlane | ExternalCluster, deployment: str) -> Iterator[str]:
    """The policy as a chart with admission.installers has it."""
    values = {"admission": VALUES["admission"] | {"installers": [INSTALLER]}}
    own = [policy for policy in render_policies(values) if policy["metadata"]["name"] == POLICY]
    before = [policy for policy in render_policies(VALUES) if policy["metadata"]["name"] == POLICY]
    patch = {"metadata": {"annotations": {"note": "x"}}}

    def until(wanted: Callable[[], bool]) -> None:
        def look() -> None:
            if not wanted():
                raise LookupError

        eventually(look, LookupError, "the changed policy")

    cluster.kubectl.apply(own)
    until(lambda: world.admin.patch(deployment, patch).refused_by(POLICY))
    yield deployment
    cluster.kubectl.apply(before)
    until(lambda: world.admin.patch(deployment, patch).allowed)


def test_only_installers_touch_the_deployment_where_they_are_named(world: World, installers: str) -> None:
    note = {"metadata": {"annotations": {"note": "x"}}}
    for user in (world.admin, world.fire_fighter, world.operator):
        policies = (POLICY, "operator-guard.cloister.dev")
        assert (answer := user.patch(installers, note)).refused_by(*policies), (user.name, answer)
        assert (answer := user.delete(installers)).refused_by(*policies), (user.name, answer)
        scale = user.patch(f"{installers}/scale", {"spec": {"replicas": 0}})
        assert scale.refused_by(*policies), (user.name, scale)
    installer = world.server.user(INSTALLER)
    assert (answer := installer.patch(installers, note)).allowed, answer
    assert (answer := installer.delete(installers)).allowed, answer
    manager = world.server.user(f"{CONTROLLER}deployment-controller")
    assert (answer := manager.patch(installers, note)).allowed, answer
