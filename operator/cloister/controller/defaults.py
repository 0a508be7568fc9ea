"""What live objects have beyond what was rendered without anybody having tampered with them.

Defaults of the API server with the very value that is harmless (Kubernetes API reference), and the few fields that
controllers of the cluster fill in. A default of an API server newer than this table is learned from the answer to our
own write, which nobody else has touched.
"""

from typing import Any, Final

from cloister import names

ANY: Final = object()
"""Whatever value: the field belongs to the cluster."""

Path = tuple[str, ...]
Table = dict[str, Any]
"""Dotted path, `*` for any item of a list -> the value, a tuple of values, or :data:`ANY`."""


def _under(prefix: str, table: Table) -> Table:
    return {f"{prefix}.{path}": value for path, value in table.items()}


_PROBE: Table = {
    "timeoutSeconds": 1,
    "periodSeconds": 10,
    "successThreshold": 1,
    "failureThreshold": 3,
    "httpGet.scheme": "HTTP",
    "httpGet.path": "/",
}
_CONTAINER: Table = {
    "imagePullPolicy": ("Always", "IfNotPresent"),
    "terminationMessagePath": "/dev/termination-log",
    "terminationMessagePolicy": "File",
    "ports.*.protocol": "TCP",
    "env.*.valueFrom.fieldRef.apiVersion": "v1",
    "lifecycle.preStop.httpGet.scheme": "HTTP",
    # Requests default to limits.
    "resources.requests.cpu": ANY,
    "resources.requests.memory": ANY,
    **_under("livenessProbe", _PROBE),
    **_under("readinessProbe", _PROBE),
    **_under("startupProbe", _PROBE),
}
_POD: Table = {
    "restartPolicy": "Always",
    "dnsPolicy": "ClusterFirst",
    "schedulerName": "default-scheduler",
    "terminationGracePeriodSeconds": 30,
    "enableServiceLinks": True,
    # The old name of serviceAccountName, which the API server keeps equal to it.
    "serviceAccount": ANY,
    "volumes.*.secret.defaultMode": 420,
    "volumes.*.configMap.defaultMode": 420,
    "volumes.*.projected.defaultMode": 420,
    "volumes.*.downwardAPI.defaultMode": 420,
    "volumes.*.downwardAPI.items.*.fieldRef.apiVersion": "v1",
    **_under("containers.*", _CONTAINER),
    **_under("initContainers.*", _CONTAINER),
}
_CLAIM: Table = {
    "volumeMode": "Filesystem",
    "volumeName": ANY,
    # The cluster's default class, where none was asked for.
    "storageClassName": ANY,
}
_JOB: Table = {
    "backoffLimit": 6,
    "completionMode": "NonIndexed",
    "completions": 1,
    "manualSelector": False,
    "parallelism": 1,
    "podReplacementPolicy": ("TerminatingOrFailed", "Failed"),
    "suspend": False,
    "selector.matchLabels": ANY,
    **dict.fromkeys(map("template.metadata.labels.{}".format, names.JOB_LABELS), ANY),
    **_under("template.spec", _POD),
}

DEFAULTS: dict[str, Table] = {
    "Namespace": {"spec.finalizers": ANY},
    "NetworkPolicy": {},
    "PersistentVolumeClaim": _under("spec", _CLAIM),
    "Service": {
        "spec.clusterIP": ANY,
        "spec.clusterIPs": ANY,
        "spec.ipFamilies": ANY,
        "spec.ipFamilyPolicy": "SingleStack",
        "spec.internalTrafficPolicy": "Cluster",
        "spec.sessionAffinity": "None",
        "spec.type": "ClusterIP",
        "spec.ports.*.protocol": "TCP",
    },
    "StatefulSet": {
        "spec.podManagementPolicy": "OrderedReady",
        "spec.revisionHistoryLimit": 10,
        "spec.updateStrategy.type": "RollingUpdate",
        "spec.updateStrategy.rollingUpdate.partition": 0,
        "spec.updateStrategy.rollingUpdate.maxUnavailable": 1,
        "spec.persistentVolumeClaimRetentionPolicy.whenDeleted": "Retain",
        "spec.persistentVolumeClaimRetentionPolicy.whenScaled": "Retain",
        # An autoscaler's, where the deployment names no number.
        "spec.replicas": ANY,
        "spec.volumeClaimTemplates.*.apiVersion": "v1",
        "spec.volumeClaimTemplates.*.kind": "PersistentVolumeClaim",
        "spec.volumeClaimTemplates.*.status.phase": "Pending",
        **_under("spec.volumeClaimTemplates.*.spec", _CLAIM),
        **_under("spec.template.spec", _POD),
        # `kubectl rollout restart`.
        "spec.template.metadata.annotations.kubectl.kubernetes.io/restartedAt": ANY,
    },
    "Job": _under("spec", _JOB),
    "CronJob": {
        "spec.concurrencyPolicy": "Allow",
        "spec.suspend": False,
        "spec.successfulJobsHistoryLimit": 3,
        "spec.failedJobsHistoryLimit": 1,
        **_under("spec.jobTemplate.spec", _JOB),
    },
}


_WITH_DEFAULTS = ("PersistentVolumeClaim", "Service", "StatefulSet", "Job", "CronJob", "Certificate", "ClusterIssuer")
"""Kinds to which API servers add fields. The others mean what they say, and nothing besides."""
_NEVER = frozenset(
    (
        *("securityContext", "env", "command", "args", "image", "volumes", "volumeMounts", "volumeDevices"),
        *("lifecycle", "metadata", "labels", "annotations", "selector", "dataSource", "dataSourceRef", "isCA"),
    )
)
_NEVER_BEGUN = (
    "host",
    "serviceAccount",
    "automount",
    "share",
    "external",
    "loadBalancer",
    "node",
    "priority",
    "runtimeClass",
)
"""What decides over what a pod may do, where it runs, and who reaches it."""


def learnable(kind: str, dotted: str, value: Any) -> bool:
    """Whether a value that is not in the table may be a default of a newer API server."""
    parts = dotted.split(".")
    return (
        kind in _WITH_DEFAULTS
        and isinstance(value, str | int | float | bool)
        and _NEVER.isdisjoint(parts)
        and not any(part.startswith(_NEVER_BEGUN) for part in parts)
    )


class Tolerated:
    """The table, and what was learned of one object in the life of this process."""

    def __init__(self) -> None:
        self._learned: dict[tuple[str, str], list[Any]] = {}

    def allows(self, kind: str, path: Path, value: Any) -> bool:
        """Whether this value at this path, not rendered, is nobody's tampering."""
        dotted = ".".join(path)
        expected = DEFAULTS.get(kind, {}).get(dotted, _NOTHING)
        if expected is ANY or _is(expected, value):
            return True
        return any(_is(known, value) for known in self._learned.get((kind, dotted), ()))

    def learn(self, kind: str, dotted: str, value: Any) -> None:
        """A value that the API server itself put there."""
        self._learned.setdefault((kind, dotted), []).append(value)


_NOTHING: Final = object()


def _is(expected: Any, value: Any) -> bool:
    if isinstance(expected, tuple):
        return any(_is(one, value) for one in expected)
    return type(expected) is type(value) and bool(expected == value)
