"""What every pod has in common: the gate and the auditor beside the workload, and nothing that any of them could abuse.

Gate and auditor are native sidecars (Kubernetes documentation, "Sidecar Containers"): they start before the workload
and stop after it, and a Job ends although they run.
"""

from collections.abc import Sequence
from typing import Any

from cloister import names, sidecar
from cloister.facts import Settings
from cloister.render.auditor import auditor_settings, reads_injection_rules, reads_revocations
from cloister.render.gate.bootstrap import arguments, bootstrap
from cloister.render.meta import Object, digest
from cloister.spec import LLMDeployment
from cloister.zones import GATE_HEALTH_PORT, GATE_METRICS_PORT, GATE_PORT, HEALTH_PORT, METRICS_PORT, Component

DRAIN_SECONDS = 15
"""How long the workload waits at its end while the gate lets requests under way finish."""
GRACE_SECONDS = 60
LINUX = {"kubernetes.io/os": "linux"}
"""Nodes on which the images run. Of those of Windows not all are tainted."""
MASKED_SIZE = "10Gi"
"""Room for masked copies of whole objects; more than sidecar.SCRATCH_BYTES, to which the auditor keeps."""

_MEMORY = {"medium": "Memory", "sizeLimit": "1Mi"}


def pod_template(
    deployment: LLMDeployment,
    component: Component,
    settings: Settings,
    *,
    workload: Object,
    before: Sequence[Object] = (),
    volumes: Sequence[Object] = (),
    **spec: Any,
) -> Object:
    """A pod template: gate, then ``before`` (which may use the gate), then auditor if it has one, then the workload."""
    return {
        "metadata": {
            "labels": names.owner_labels(deployment.name, deployment.uid)
            | names.workload_selector(deployment.name, component)
            | {names.LABEL_ZONE: str(component.zone)},
            "annotations": {names.ANNOTATION_CONFIG: _config_digest(deployment, component)},
        },
        "spec": {
            "serviceAccountName": str(component),
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            # No DNS: recursive resolution is a tunnel out of any network policy. Nothing listens at this address.
            "dnsPolicy": "None",
            "dnsConfig": {"nameservers": ["127.0.0.1"]},
            "securityContext": {
                "runAsNonRoot": True,
                "fsGroup": sidecar.VOLUME_GID,
                "fsGroupChangePolicy": "OnRootMismatch",
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "terminationGracePeriodSeconds": GRACE_SECONDS,
            "nodeSelector": dict(LINUX),
            "initContainers": [
                _gate(deployment, component, settings),
                *before,
                *([_auditor(deployment, component, settings)] if component.audited else ()),
            ],
            "containers": [workload],
            "volumes": [*_shared_volumes(deployment, component), *volumes],
            **spec,
        },
    }


def restricted(uid: int, gid: int) -> Object:
    """Pod Security `restricted`, and a read-only root file system besides."""
    return {
        "runAsNonRoot": True,
        "runAsUser": uid,
        "runAsGroup": gid,
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def resources(cpu: str, memory: str, memory_limit: str) -> Object:
    """Requests, and a limit of memory only: a limit of CPU would add latency without protecting anyone."""
    return {"requests": {"cpu": cpu, "memory": memory}, "limits": {"memory": memory_limit}}


def mount(volume: str, path: str, *, read_only: bool = False) -> Object:
    """A volume mount."""
    return {"name": volume, "mountPath": path} | ({"readOnly": True} if read_only else {})


def scratch(volume: str, size: str) -> Object:
    """An empty directory that is gone with the pod."""
    return {"name": volume, "emptyDir": {"sizeLimit": size}}


def socket_mount(socket: str) -> Object:
    """The volume of a socket, mounted where the socket lies: one volume for each pair that may talk."""
    directory = socket.rsplit("/", 1)[0]
    return mount(socket_volume(socket), directory)


def socket_volume(socket: str) -> str:
    """Name of the volume that holds a socket."""
    return "run-" + socket.rsplit("/", 2)[1]


def probe(port: int, path: str, **timing: int) -> Object:
    """An HTTP probe by the kubelet."""
    return {"httpGet": {"port": port, "path": path}} | timing


def served() -> list[Object]:
    """Ports of a program of ours, by which it says how it is (`cloister.serving`)."""
    return [
        {"name": "health", "containerPort": HEALTH_PORT},
        {"name": "metrics", "containerPort": METRICS_PORT},
    ]


def watched() -> Object:
    """What the kubelet asks at the first of them."""
    return {
        "startupProbe": probe(HEALTH_PORT, "/healthz", periodSeconds=1, failureThreshold=60),
        "readinessProbe": probe(HEALTH_PORT, "/readyz", periodSeconds=5),
        "livenessProbe": probe(HEALTH_PORT, "/healthz", periodSeconds=10, failureThreshold=6),
    }


def _gate(deployment: LLMDeployment, component: Component, settings: Settings) -> Object:
    sockets = _gate_sockets(component)
    if component is Component.INFERENCE and deployment.spec.inference.model:
        sockets.append(sidecar.FETCH_SOCKET)
    return {
        "name": "gate",
        "image": settings.gate_image,
        "restartPolicy": "Always",
        "command": ["envoy"],
        "args": arguments(),
        "ports": [
            {"name": "gate", "containerPort": GATE_PORT},
            {"name": "gate-health", "containerPort": GATE_HEALTH_PORT},
            {"name": "gate-metrics", "containerPort": GATE_METRICS_PORT},
        ],
        "startupProbe": probe(GATE_HEALTH_PORT, "/ready", periodSeconds=1, failureThreshold=60),
        "readinessProbe": probe(GATE_HEALTH_PORT, "/ready", periodSeconds=5),
        "resources": resources("100m", "128Mi", "512Mi"),
        "securityContext": restricted(sidecar.GATE_UID, sidecar.SOCKET_GID),
        "volumeMounts": [
            mount("gate-config", sidecar.GATE_CONFIG_DIR, read_only=True),
            mount("leaf", sidecar.LEAF_DIR, read_only=True),
            mount("trust", sidecar.BUNDLE_DIR, read_only=True),
            *(socket_mount(socket) for socket in sockets),
        ],
    }


def _auditor(deployment: LLMDeployment, component: Component, settings: Settings) -> Object:
    sockets = [sidecar.AUDITOR_SOCKET, sidecar.JOURNAL_SOCKET]
    copies = []
    if component.is_store:
        sockets.append(sidecar.STORE_SOCKET)
        copies.append(mount("masked", sidecar.SCRATCH_DIR))
    lists = [mount("revocations", sidecar.REVOCATIONS.rsplit("/", 1)[0], read_only=True)]
    rules = [mount("injection-rules", sidecar.INJECTION_RULES.rsplit("/", 1)[0], read_only=True)]
    # At once when the pod is to end, and not when the auditor is: a kubelet runs every container's preStop first, and
    # ends sidecars after the workload (Kubernetes documentation, "Termination with sidecars").
    # Also when it is to end alone, since it hangs: so its start takes that back.
    tell = ["python", "-m", "cloister.jobs.drain"]
    drains = {
        "lifecycle": {"preStop": {"exec": {"command": tell}}, "postStart": {"exec": {"command": [*tell, "--over"]}}}
    }
    return {
        "name": "auditor",
        "image": settings.image,
        "restartPolicy": "Always",
        "command": ["python", "-m", "cloister.auditor"],
        "args": [sidecar.AUDITOR_CONFIG],
        "ports": served(),
        **(drains if component is Component.INFERENCE else {}),
        **watched(),
        "resources": resources("100m", "128Mi", "512Mi"),
        "securityContext": restricted(sidecar.AUDITOR_UID, sidecar.SOCKET_GID),
        "volumeMounts": [
            mount("auditor-config", sidecar.AUDITOR_CONFIG.rsplit("/", 1)[0], read_only=True),
            mount("journal", sidecar.JOURNAL_DIR),
            *(lists if reads_revocations(deployment, component) else ()),
            *(rules if reads_injection_rules(deployment, component) else ()),
            *copies,
            *(socket_mount(socket) for socket in sockets),
        ],
    }


def _shared_volumes(deployment: LLMDeployment, component: Component) -> list[Object]:
    lists = [{"name": "revocations", "configMap": {"name": names.REVOCATIONS}}]
    rules = [{"name": "injection-rules", "configMap": {"name": names.INJECTION_RULES}}]
    auditors = [{"name": "auditor-config", "configMap": {"name": names.auditor_config(component)}}]
    return [
        {"name": "gate-config", "configMap": {"name": names.gate_config(component)}},
        *(auditors if component.audited else ()),
        # Readable by the gate's own group through fsGroup; no other container mounts it.
        {"name": "leaf", "secret": {"secretName": names.leaf(component), "defaultMode": 0o440}},
        {"name": "trust", "configMap": {"name": names.TRUST_BUNDLE}},
        *(lists if reads_revocations(deployment, component) else ()),
        *(rules if reads_injection_rules(deployment, component) else ()),
        *([scratch("masked", MASKED_SIZE)] if component.is_store else ()),
        *({"name": socket_volume(socket), "emptyDir": dict(_MEMORY)} for socket in _gate_sockets(component)),
    ]


def _gate_sockets(component: Component) -> list[str]:
    """Sockets that every gate of a component has."""
    if not component.audited:
        return [sidecar.ADMIN_SOCKET, sidecar.EXPORT_SOCKET]
    return [sidecar.ADMIN_SOCKET, sidecar.AUDITOR_SOCKET, sidecar.JOURNAL_SOCKET]


def _config_digest(deployment: LLMDeployment, component: Component) -> str:
    """Changes when something changes that the programs read only at their start, so that pods are replaced.

    Listeners, clusters and certificates are not among it: Envoy follows those files while it runs, and the auditor the
    list of revocations and the rules for prompt injection.
    """
    audited = [auditor_settings(deployment, component).model_dump(mode="json")] if component.audited else []
    return digest([bootstrap(deployment, component), *audited])
