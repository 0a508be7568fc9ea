"""The model server and the training program, each between the gate and auditor of its own pod."""

from collections.abc import Iterator
from typing import Any

from cloister import names, sidecar
from cloister.facts import Facts, Settings
from cloister.flows import bucket_path
from cloister.render.auditor import TRAINING_SHIPPING_SECONDS
from cloister.render.meta import Object, child, digest
from cloister.render.pods import (
    DRAIN_SECONDS,
    LINUX,
    mount,
    pod_template,
    probe,
    resources,
    restricted,
    scratch,
    socket_mount,
    socket_volume,
)
from cloister.render.storage import journal_claim
from cloister.spec import LLMDeployment, PodShape, Training, UnsealKey, WeightsModel, milli, seconds
from cloister.zones import HEALTH_PORT, Component

_PROBE_SECONDS = 10
_UNSEAL_ENTRY = "key"
"""Entry of the Secret that spec.inference.model.unsealKeyRef names."""
_TEMPORARY = "/tmp"  # noqa: S108 - a volume of its own


def inference(deployment: LLMDeployment, facts: Facts, settings: Settings) -> Iterator[Object]:
    """The model server: a StatefulSet, because every replica keeps its own records until they are shipped."""
    component, spec = Component.INFERENCE, deployment.spec.inference
    workload = _workload("server", spec) | {
        "startupProbe": probe(
            HEALTH_PORT,
            "/workload",
            periodSeconds=_PROBE_SECONDS,
            failureThreshold=-(-spec.health.startup_seconds // _PROBE_SECONDS),
        ),
        "readinessProbe": probe(HEALTH_PORT, "/workload", periodSeconds=5),
        # The gate stops after the workload; until then it lets requests under way finish.
        "lifecycle": {"preStop": {"sleep": {"seconds": DRAIN_SECONDS}}},
    }
    before: list[Object] = []
    volumes = _volumes(spec)
    if spec.model:
        workload["volumeMounts"].append(mount("model", spec.model.mount_path, read_only=True))
        before.append(_fetch(spec.model, settings))
        volumes += [
            _model_volume(spec.model),
            *([_unseal_volume(spec.model.unseal_key_ref)] if spec.model.unseal_key_ref else ()),
            {
                "name": socket_volume(sidecar.FETCH_SOCKET),
                "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"},
            },
        ]
    template = pod_template(
        deployment,
        component,
        settings,
        workload=workload,
        before=before,
        volumes=volumes,
        **placement(spec),
    )
    if _replicated(deployment):
        template["spec"]["topologySpreadConstraints"] = [
            {
                "maxSkew": 1,
                "topologyKey": "kubernetes.io/hostname",
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": names.workload_selector(deployment.name, component)},
            }
        ]
    stateful_set = child(deployment, "apps/v1", "StatefulSet", str(component), zone=component.zone, component=component)
    # Left out, the number of replicas belongs to an autoscaler.
    replicas = {} if spec.replicas is None else {"replicas": spec.replicas}
    yield stateful_set | {
        "spec": replicas
        | {
            "serviceName": str(component),
            "podManagementPolicy": "Parallel",
            "selector": {"matchLabels": names.workload_selector(deployment.name, component)},
            "template": template,
            "volumeClaimTemplates": [journal_claim(deployment)],
        }
    }


def disruption_budgets(deployment: LLMDeployment, facts: Facts, settings: Settings) -> Iterator[Object]:
    """One replica at a time, where there are several. A budget over a single pod would only block node drains."""
    if _replicated(deployment):
        component = Component.INFERENCE
        budget = child(
            deployment,
            "policy/v1",
            "PodDisruptionBudget",
            str(component),
            zone=component.zone,
            component=component,
        )
        yield budget | {
            "spec": {
                "maxUnavailable": 1,
                "selector": {"matchLabels": names.workload_selector(deployment.name, component)},
            }
        }


def training(deployment: LLMDeployment, facts: Facts, settings: Settings) -> Iterator[Object]:
    """A CronJob with a schedule; without one, a Job that is named after its content, so each change runs once."""
    component, spec = Component.TRAINING, deployment.spec.training
    if not spec:
        return
    workload = _workload("training", spec)
    workload["env"] = _once([*_s3_environment(), *workload["env"]])
    template = pod_template(
        deployment,
        component,
        settings,
        workload=workload,
        volumes=[*_volumes(spec), {"name": "journal", "persistentVolumeClaim": {"claimName": "journal"}}],
        restartPolicy="Never",
        # Not complete before its records are stored.
        terminationGracePeriodSeconds=TRAINING_SHIPPING_SECONDS + DRAIN_SECONDS + 15,
        **placement(spec),
    )
    job_spec: Object = {
        "backoffLimit": 2,
        # A node that is drained, or a pod that makes room for another, is no failure of the program.
        "podFailurePolicy": {
            "rules": [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}]
        },
        "template": template,
    }
    if spec.deadline:
        job_spec["activeDeadlineSeconds"] = seconds(spec.deadline)
    if spec.schedule:
        cron_job = child(deployment, "batch/v1", "CronJob", str(component), zone=component.zone, component=component)
        yield cron_job | {
            "spec": {
                "schedule": spec.schedule,
                "timeZone": "Etc/UTC",
                "suspend": spec.suspend,
                "concurrencyPolicy": "Forbid",
                # A run that could not start for an hour is left to the next one.
                "startingDeadlineSeconds": 3600,
                "successfulJobsHistoryLimit": 3,
                "failedJobsHistoryLimit": 3,
                "jobTemplate": {"spec": job_spec},
            }
        }
    else:
        job = child(deployment, "batch/v1", "Job", _job_name(spec), zone=component.zone, component=component)
        yield job | {"spec": {**job_spec, "suspend": spec.suspend}}


def _job_name(spec: Training) -> str:
    """Of what is declared alone: a field that a later release brings, or its default, is no change of what runs, and
    nor is suspending."""
    declared = spec.model_dump(mode="json", exclude={"suspend"}, exclude_defaults=True)
    return f"{Component.TRAINING}-{digest(declared, 8)}"


def _workload(name: str, spec: PodShape) -> Object:
    """The user's program: no key, no token, no root, no writable root file system, no network of its own."""
    mounts = [mount("tmp", _TEMPORARY)]
    if spec.shared_memory:
        mounts.append(mount("shared-memory", "/dev/shm"))  # noqa: S108 - a volume of its own
    if spec.scratch:
        mounts.append(mount("scratch", spec.scratch.path))
    container: Object = {
        "name": name,
        "image": spec.image,
        "env": _once(
            [
                {"name": "HOME", "value": _TEMPORARY},
                *({"name": e.name, "value": e.value} for e in spec.env),
            ]
        ),
        "resources": {
            kind: dict(amounts)
            for kind, amounts in (("requests", spec.resources.requests), ("limits", spec.resources.limits))
            if amounts
        },
        "securityContext": restricted(spec.run_as_user, spec.run_as_user),
        "volumeMounts": mounts,
    }
    container |= {"command": list(spec.command)} if spec.command else {}
    container |= {"args": list(spec.args)} if spec.args else {}
    return container


def _volumes(spec: PodShape) -> list[Object]:
    volumes = [scratch("tmp", "1Gi")]
    if spec.shared_memory:
        volumes.append({"name": "shared-memory", "emptyDir": {"medium": "Memory", "sizeLimit": spec.shared_memory}})
    if spec.scratch:
        volumes.append(scratch("scratch", spec.scratch.size))
    return volumes


def placement(spec: PodShape) -> dict[str, Any]:
    """Where the pod may run, and by what."""
    placement: Object = {
        "runtimeClassName": spec.runtime_class_name,
        "nodeSelector": LINUX | spec.node_selector,
        "tolerations": [
            {name: value for name, value in t.model_dump(mode="json", by_alias=True).items() if value not in ("", None)}
            for t in spec.tolerations
        ],
        "imagePullSecrets": [{"name": secret.name} for secret in spec.image_pull_secrets],
    }
    return {name: value for name, value in placement.items() if value}


def _model_volume(model: WeightsModel) -> Object:
    if model.memory:
        return {"name": "model", "emptyDir": {"medium": "Memory", "sizeLimit": model.size}}
    return scratch("model", model.size)


def _unseal_volume(reference: UnsealKey) -> Object:
    path = sidecar.UNSEAL_KEY.rsplit("/", 1)[1]
    # Readable through fsGroup; no other container mounts it. Missing, fetch says so, where a pod that can't mount it
    # would only wait.
    return {
        "name": "unseal-key",
        "secret": {
            "secretName": reference.name,
            "items": [{"key": _UNSEAL_ENTRY, "path": path}],
            "defaultMode": 0o440,
            "optional": True,
        },
    }


def _fetch(model: WeightsModel, settings: Settings) -> Object:
    """Brings the weights before the server starts; when it has ended, nobody in the pod can reach the store."""
    wanted = sidecar.Fetch(
        path=bucket_path(Component.CHECKPOINTS, model.object),
        sha256=model.sha256,
        target=f"{sidecar.MODEL_DIR}/{model.file.rsplit('/', 1)[1]}",
        size=milli(model.size) // 1000,
        signed=sidecar.Signed(path=bucket_path(Component.CHECKPOINTS, model.signature), public_key=model.public_key)
        if model.signature and model.public_key
        else None,
        unseal_key=sidecar.UNSEAL_KEY if model.unseal_key_ref else None,
    )
    unseal_key = [mount("unseal-key", sidecar.UNSEAL_KEY.rsplit("/", 1)[0], read_only=True)]
    return {
        "name": names.FETCH,
        "image": settings.image,
        "command": ["python", "-m", "cloister.jobs.fetch"],
        "args": [wanted.model_dump_json(exclude_none=True)],
        "resources": resources("100m", *_fetch_memory(model)),
        "securityContext": restricted(sidecar.FETCH_UID, sidecar.SOCKET_GID),
        "volumeMounts": [
            mount("model", sidecar.MODEL_DIR),
            *(unseal_key if model.unseal_key_ref else ()),
            socket_mount(sidecar.FETCH_SOCKET),
        ],
    }


def _fetch_memory(model: WeightsModel) -> tuple[str, str]:
    """Request and limit. Files in memory count for the container that writes them."""
    if not model.memory:
        return "64Mi", "256Mi"
    size = -(-milli(model.size) // 1000)
    return str(size + (64 << 20)), str(size + (256 << 20))


def _once(variables: list[Object]) -> list[Object]:
    """Each variable once, the last one given, as a kubelet has it: server-side apply refuses a list with doubles."""
    return list({variable["name"]: variable for variable in variables}.values())


def _s3_environment() -> list[Object]:
    """Variables by which boto3, s3fs and `aws s3` find the endpoint in their own pod. The auditor that answers there
    needs no credentials, but S3 clients refuse to start without any."""
    return [
        {"name": "AWS_ENDPOINT_URL", "value": f"http://127.0.0.1:{sidecar.S3_PORT}"},
        {"name": "AWS_REGION", "value": "us-east-1"},
        {"name": "AWS_ACCESS_KEY_ID", "value": "none"},
        {"name": "AWS_SECRET_ACCESS_KEY", "value": "none"},
        {"name": "AWS_EC2_METADATA_DISABLED", "value": "true"},
    ]


def _replicated(deployment: LLMDeployment) -> bool:
    return (deployment.spec.inference.replicas or 1) > 1
