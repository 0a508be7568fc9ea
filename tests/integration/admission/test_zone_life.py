"""A zone lives and dies under all the policies, by the hands of the cluster's real controllers."""

from __future__ import annotations

from tests.integration.admission.api import Object
from tests.integration.admission.objects import (
    APPS,
    BATCH,
    CERT_MANAGER,
    CORE,
    INFERENCE,
    certificate,
    cron_job,
    job,
    meta,
    service,
    stateful_set,
    zone,
)  # fmt: skip
from tests.integration.admission.world import World

ZONE = f"namespaces/{INFERENCE}"


def test_the_controllers_did_their_work(world: World) -> None:
    """What fill_zones made has been acted on: claims, pods, revisions, endpoints, quota, budgets, secrets."""
    expected = {
        f"{CORE}/{ZONE}/persistentvolumeclaims": "journal-model-0",
        f"{CORE}/{ZONE}/pods": "model-0",
        f"{CORE}/{ZONE}/endpoints": "model",
        f"{CORE}/{ZONE}/configmaps": "kube-root-ca.crt",
        f"{CORE}/{ZONE}/serviceaccounts": "default",
        f"{CORE}/{ZONE}/secrets": "cloister-inference",
        f"{CERT_MANAGER}/{ZONE}/certificaterequests": "cloister-inference-",
    }
    for path, name in expected.items():
        assert world.first(path, lambda item, name=name: str(item["metadata"]["name"]).startswith(name))  # type: ignore[misc]
    world.first(f"apis/discovery.k8s.io/v1/{ZONE}/endpointslices")
    world.first(f"{APPS}/{ZONE}/controllerrevisions")
    world.first(f"{APPS}/{ZONE}/statefulsets", lambda item: item["status"].get("currentRevision") is not None)
    world.first(f"{CORE}/{ZONE}/resourcequotas", lambda item: int(item["status"]["used"].get("pods", 0)) > 0)
    budgets = f"apis/policy/v1/{ZONE}/poddisruptionbudgets"
    world.first(budgets, lambda item: item["status"].get("observedGeneration") == 1)


def test_a_zone_ends_with_its_owner(world: World) -> None:
    """The garbage collector deletes the zone, and the namespace controller everything in it."""
    owners, name = "apis/scheduling.k8s.io/v1/priorityclasses", "ending-training"
    owner = {"metadata": {"name": "guarded-owner"}, "value": 1}
    made = world.admin.create(owners, owner, real=True)
    assert made.allowed, made
    body = zone("training", "ending")
    reference = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "name": "guarded-owner"}
    body["metadata"]["ownerReferences"] = [reference | {"uid": made.body["metadata"]["uid"]}]
    inside: list[tuple[str, Object]] = [
        (f"{CORE}/namespaces", body),
        (f"{CORE}/namespaces/{name}/services", service("model", name)),
        (f"{APPS}/namespaces/{name}/statefulsets", stateful_set("model", name)),
        (f"{BATCH}/namespaces/{name}/jobs", job("job", name)),
        (f"{BATCH}/namespaces/{name}/cronjobs", cron_job("cron", name)),
        (f"{CORE}/namespaces/{name}/configmaps", {"metadata": meta("trust-bundle")}),
        (f"{CERT_MANAGER}/namespaces/{name}/certificates", certificate("cloister-x", name, "cloister-ca-x-g1")),
    ]
    for path, each in inside:
        assert (answer := world.operator.create(path, each, real=True)).allowed, answer
    world.first(f"{CORE}/namespaces/{name}/pods")
    world.admin.delete(f"{owners}/guarded-owner", real=True)
    world.gone(f"{CORE}/namespaces/{name}")


def test_a_job_of_the_zone_runs_and_is_removed(world: World) -> None:
    """The job controller's finalizers, under the policies: nothing stays behind."""
    path = f"{BATCH}/{ZONE}/jobs"
    assert (answer := world.operator.create(path, job("short", INFERENCE), real=True)).allowed, answer
    pods = f"{CORE}/{ZONE}/pods"
    pod = world.first(pods, lambda item: item["metadata"].get("labels", {}).get("job-name") == "short")
    answer = world.operator.delete(f"{path}/short", real=True, propagationPolicy="Foreground")
    assert answer.allowed, answer
    world.gone(f"{path}/short")
    world.gone(f"{pods}/{pod['metadata']['name']}")
