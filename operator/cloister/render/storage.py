"""The three stores: each its own volume, service, keys and StatefulSet; rclone's S3 server behind gate and auditor."""

from collections.abc import Iterator

from cloister import names, sidecar
from cloister.facts import Facts, Settings
from cloister.render.keys import SERVED
from cloister.render.meta import Object, child, retains_storage
from cloister.render.pods import (
    mount,
    pod_template,
    resources,
    restricted,
    scratch,
    socket_mount,
    socket_volume,
)
from cloister.spec import LLMDeployment, Store
from cloister.zones import GATE_PORT, STORES, Component

JOURNAL_SIZE = "5Gi"
"""Room for records that are not shipped yet."""

_START = 'umask 007; rm -f $SOCKETS; rclone mkdir "$BUCKET"; exec rclone "$@"'
"""rclone knows no mode for its sockets, and does not replace one that a killed predecessor left; the bucket is a
directory, which `serve s3` expects to be there."""


def volumes(deployment: LLMDeployment, facts: Facts, settings: Settings) -> Iterator[Object]:
    """A claim a store, and one for the records of training, whose pods come and go."""
    for component, store in deployment.spec.storage.by_component().items():
        claim = child(
            deployment,
            "v1",
            "PersistentVolumeClaim",
            str(component),
            zone=component.zone,
            component=component,
        )
        yield claim | {"spec": claim_spec(store.size, store)}
    if deployment.spec.training:
        component = Component.TRAINING
        claim = child(deployment, "v1", "PersistentVolumeClaim", "journal", zone=component.zone, component=component)
        yield claim | {"spec": claim_spec(JOURNAL_SIZE, deployment.spec.storage.interaction_logs)}


def services(deployment: LLMDeployment, facts: Facts, settings: Settings) -> Iterator[Object]:
    """A cluster-internal address for each component that receives flows. It leads to the gate, never behind it."""
    for component in (Component.INFERENCE, *STORES):
        service = child(deployment, "v1", "Service", str(component), zone=component.zone, component=component)
        yield service | {
            "spec": {
                "type": "ClusterIP",
                "selector": names.pod_selector(deployment.name, component),
                "ports": [{"name": "gate", "port": GATE_PORT, "targetPort": GATE_PORT, "protocol": "TCP"}],
            }
        }


def stores(deployment: LLMDeployment, facts: Facts, settings: Settings) -> Iterator[Object]:
    """The stores' workloads. Under Retain these, and nothing else of the storage zone, go with the resource."""
    for component in STORES:
        stateful_set = child(
            deployment,
            "apps/v1",
            "StatefulSet",
            str(component),
            zone=component.zone,
            component=component,
            owned=retains_storage(deployment),
        )
        yield stateful_set | {
            "spec": {
                "replicas": 1,
                "serviceName": str(component),
                "selector": {"matchLabels": names.pod_selector(deployment.name, component)},
                "template": pod_template(
                    deployment,
                    component,
                    facts,
                    settings,
                    workload=_store(component, settings),
                    volumes=[
                        {"name": "data", "persistentVolumeClaim": {"claimName": str(component)}},
                        {
                            "name": "keyring",
                            "secret": {"secretName": names.keyring(component), "defaultMode": 0o440},
                        },
                        {"name": socket_volume(sidecar.STORE_SOCKET), "emptyDir": {"sizeLimit": "1Mi"}},
                        scratch("tmp", "1Gi"),
                    ],
                ),
                "volumeClaimTemplates": [journal_claim(deployment)],
            }
        }


def claim_spec(size: str, store: Store) -> Object:
    """Spec of a claim for one writer."""
    spec: Object = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}}
    return spec | ({"storageClassName": store.storage_class_name} if store.storage_class_name else {})


def journal_claim(deployment: LLMDeployment) -> Object:
    """The claim of each replica for records that are not shipped yet, in the storage class of the logs."""
    return {
        "metadata": {"name": "journal"},
        "spec": claim_spec(JOURNAL_SIZE, deployment.spec.storage.interaction_logs),
    }


def _store(component: Component, settings: Settings) -> Object:
    """rclone's S3 server over its encrypting remotes, on a socket that only the auditor reaches."""
    return {
        "name": "store",
        "image": settings.store_image,
        "command": ["sh", "-ec", _START, "store"],
        "args": [
            "serve",
            "s3",
            f"{SERVED}:",
            "--addr",
            f"unix://{sidecar.STORE_SOCKET}",
            # A whole transfer, not a pause: an upload of many gigabytes takes longer than the default of an hour.
            "--server-read-timeout",
            "24h",
            "--server-write-timeout",
            "24h",
            # Parts of a multipart upload go straight to the volume, but for those that come before their turn.
            "--multipart-streaming-buffer-limit",
            "128M",
            "--multipart-streaming-buffer-total",
            "512M",
            "--multipart-max-uploads",
            "100",
        ],
        "env": [
            {"name": "BUCKET", "value": f"{SERVED}:{component}"},
            {"name": "SOCKETS", "value": sidecar.STORE_SOCKET},
            {"name": "RCLONE_CONFIG", "value": f"{sidecar.KEYRING_DIR}/rclone.conf"},
            {"name": "RCLONE_CACHE_DIR", "value": "/tmp"},  # noqa: S108 - a volume of its own
            {"name": "GOMEMLIMIT", "value": "900MiB"},
        ],
        "resources": resources("100m", "128Mi", "1Gi"),
        "securityContext": restricted(sidecar.STORE_UID, sidecar.SOCKET_GID),
        "volumeMounts": [
            mount("data", sidecar.DATA_DIR),
            mount("keyring", sidecar.KEYRING_DIR, read_only=True),
            mount("tmp", "/tmp"),  # noqa: S108 - a volume of its own
            socket_mount(sidecar.STORE_SOCKET),
        ],
    }
