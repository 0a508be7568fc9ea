"""The three stores: each its own volume, service, keys and StatefulSet; rclone's S3 server behind gate and auditor."""

from collections.abc import Iterator

from cloister import names, sidecar
from cloister.facts import Facts, Settings
from cloister.flows import components
from cloister.keyring import SERVED
from cloister.render import backend
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
from cloister.spec import Backend, LLMDeployment, Store
from cloister.spec.fields import seconds
from cloister.zones import GATE_PORT, STORES, Component

JOURNAL_SIZE = "5Gi"
"""Room for records that are not shipped yet."""

_START = """
umask 007
ended=
trap 'ended=1; kill "$served" || true' TERM
while :; do
  rm -f $SOCKETS
  rclone mkdir "$BUCKET"
  [ -z "$ended" ] || exit 0
  rclone "$@" &
  served=$!
  code=0
  wait "$served" || code=$?
  if [ "$ended" ]; then wait "$served" || true; exit 0; fi
  [ "$code" = 0 ] || exit "$code"
done
"""
"""rclone knows no mode for its sockets, and does not replace one that a killed predecessor left; the bucket is a
directory, which `serve s3` expects to be there.

The keeper has it end when the keys have turned. It goes on here at once: the kubelet would start a container that ends
for the second time only after ten seconds, and later each time.
"""


_ALWAYS = {"publishNotReadyAddresses": True}
"""A store has one pod, and no other could answer in its place. The keeper ends to tell of its work, and nobody is to be
turned away while it starts again."""


def volumes(deployment: LLMDeployment, facts: Facts, settings: Settings) -> Iterator[Object]:
    """A claim a store that has no backend, and one for the records of training, whose pods come and go."""
    for component, store in deployment.spec.storage.by_component().items():
        if store.size is None:
            continue
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
    for component in filter(lambda one: one.receives, components(deployment)):
        service = child(deployment, "v1", "Service", str(component), zone=component.zone, component=component)
        yield service | {
            "spec": {
                "type": "ClusterIP",
                "selector": names.workload_selector(deployment.name, component),
                "ports": [{"name": "gate", "port": GATE_PORT, "targetPort": GATE_PORT, "protocol": "TCP"}],
                **(_ALWAYS if component in STORES else {}),
            }
        }


def stores(deployment: LLMDeployment, facts: Facts, settings: Settings) -> Iterator[Object]:
    """The stores' workloads. Under Retain these, and nothing else of the storage zone, go with the resource."""
    for component in STORES:
        template = pod_template(
            deployment,
            component,
            settings,
            workload=_store(deployment, component, settings),
            before=[_keeper(deployment, component, settings)],
            volumes=[
                _place(deployment, component),
                {
                    "name": "keyring",
                    "secret": {"secretName": keyring_name(deployment, component), "defaultMode": 0o440},
                },
                {"name": "run-keys", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
                {"name": socket_volume(sidecar.CONTROL_SOCKET), "emptyDir": {"sizeLimit": "1Mi"}},
                {"name": socket_volume(sidecar.STORE_SOCKET), "emptyDir": {"sizeLimit": "1Mi"}},
                scratch("tmp", "1Gi"),
            ],
            **(backend.dns() if _backend(deployment, component) else {}),
        )
        yield single(deployment, component, template, journal_claim(deployment))


def single(deployment: LLMDeployment, component: Component, template: Object, claim: Object, **spec: str) -> Object:
    """A StatefulSet with one pod and a claim of its own. Under Retain it goes with the resource; its claim stays."""
    stateful_set = child(
        deployment,
        "apps/v1",
        "StatefulSet",
        str(component),
        zone=component.zone,
        component=component,
        owned=retains_storage(deployment),
    )
    return stateful_set | {
        "spec": {
            "replicas": 1,
            **spec,
            "serviceName": str(component),
            "selector": {"matchLabels": names.workload_selector(deployment.name, component)},
            "template": template,
            "volumeClaimTemplates": [claim],
        }
    }


def _backend(deployment: LLMDeployment, component: Component) -> Backend | None:
    return deployment.spec.storage.by_component()[component].backend


def _place(deployment: LLMDeployment, component: Component) -> Object:
    """The volume with the objects, or with what opens the place where they are."""
    place = _backend(deployment, component)
    return backend.volume(place) if place else {"name": "data", "persistentVolumeClaim": {"claimName": str(component)}}


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


def keyring_name(deployment: LLMDeployment, store: Component) -> str:
    """Name of the Secret that a store's pod takes its keyring from."""
    encryption = deployment.spec.storage.by_component()[store].encryption
    return encryption.key_ref.name if encryption and encryption.key_ref else names.keyring(store)


def _keeper(deployment: LLMDeployment, component: Component, settings: Settings) -> Object:
    """Beside rclone, as the same user: turns the keyring into its configuration, moves objects to a new key, removes
    what is past its retention. The only container that the keyring is mounted into."""
    logs = deployment.spec.storage.interaction_logs
    retention = logs.retention if component is Component.INTERACTION_LOGS else None
    place = _backend(deployment, component)
    config = sidecar.Keeper(
        store=str(component),
        backend=backend.root(place) if place else None,
        retention_seconds=seconds(retention) if retention else None,
    )
    return {
        "name": "keeper",
        "image": settings.image,
        "restartPolicy": "Always",
        "command": ["python", "-m", "cloister.jobs.keeper"],
        "args": [config.model_dump_json(exclude_defaults=True)],
        # The store must not start before its configuration is there.
        "startupProbe": {"exec": {"command": ["test", "-s", sidecar.RCLONE_CONF]}, "periodSeconds": 1}
        | {"failureThreshold": 600},
        "resources": resources("20m", "64Mi", "256Mi"),
        "securityContext": restricted(sidecar.STORE_UID, sidecar.SOCKET_GID),
        "volumeMounts": [
            *([] if place else [mount("data", sidecar.DATA_DIR)]),
            mount("keyring", sidecar.KEYRING_DIR, read_only=True),
            mount("run-keys", sidecar.KEYS_DIR),
            socket_mount(sidecar.CONTROL_SOCKET),
        ],
    }


def _store(deployment: LLMDeployment, component: Component, settings: Settings) -> Object:
    """rclone's S3 server over its encrypting remotes, on a socket that only the auditor reaches."""
    place = _backend(deployment, component)
    return {
        "name": names.STORE,
        "image": settings.store_image,
        "command": ["sh", "-ec", backend.START if place else _START, "store"],
        "args": [
            "serve",
            "s3",
            f"{SERVED}:",
            "--addr",
            f"unix://{sidecar.STORE_SOCKET}",
            "--rc",
            "--rc-addr",
            f"unix://{sidecar.CONTROL_SOCKET}",
            "--rc-no-auth",
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
            "256",
            # What a job that crashed has left open takes room from the others (auditor/s3/uploads.py).
            "--multipart-expiry",
            "2h",
        ],
        "env": [
            {"name": "BUCKET", "value": f"{SERVED}:{component}"},
            {"name": "SOCKETS", "value": f"{sidecar.STORE_SOCKET} {sidecar.CONTROL_SOCKET}"},
            {"name": "RCLONE_CONFIG", "value": sidecar.RCLONE_CONF},
            {"name": "RCLONE_CACHE_DIR", "value": "/tmp"},  # noqa: S108 - a volume of its own
            {"name": "GOMEMLIMIT", "value": "900MiB"},
            *(backend.environment(component, place) if place else ()),
        ],
        "resources": resources("100m", "128Mi", "1Gi"),
        "securityContext": restricted(sidecar.STORE_UID, sidecar.SOCKET_GID),
        "volumeMounts": [
            backend.mounted() if place else mount("data", sidecar.DATA_DIR),
            mount("run-keys", sidecar.KEYS_DIR, read_only=True),
            mount("tmp", "/tmp"),  # noqa: S108 - a volume of its own
            socket_mount(sidecar.STORE_SOCKET),
            socket_mount(sidecar.CONTROL_SOCKET),
        ],
    } | (backend.supervision() if place else {})
