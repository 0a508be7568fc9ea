"""The exporter: reads what is journalled, and tells declared systems of it. The only program that has both a key to the
journal and a way out, so it has nothing else: one store to read, the declared addresses, and no program beside it that
could use either.
"""

from collections.abc import Iterator

from cloister import names, sidecar
from cloister.facts import Facts, Settings
from cloister.flows import bucket_path, components, peer
from cloister.render.meta import Object
from cloister.render.pods import mount, pod_template, resources, restricted, scratch, served, socket_mount, watched
from cloister.render.storage import claim_spec, single
from cloister.spec import Export, LLMDeployment
from cloister.zones import HEALTH_PORT, METRICS_PORT, Component

STATE_SIZE = "1Gi"
"""Far more than it writes: the least that every storage class has."""
_SECRETS, _STATE, _SEGMENTS, _TOLD = "export-keys", "state", "segments", "told"
"""Volumes."""


def exporter(deployment: LLMDeployment, facts: Facts, settings: Settings) -> Iterator[Object]:
    """Its workload, where an export is declared; like the stores' it goes with the resource also under Retain."""
    component, export = Component.EXPORTER, deployment.spec.audit.export
    if not export:
        return
    template = pod_template(
        deployment,
        component,
        settings,
        workload=_exporter(deployment, export, settings),
        before=[_teller(settings)],
        volumes=[_secret(export), scratch(_SEGMENTS, "512Mi"), scratch(_TOLD, "1Mi")],
    )
    claim = {"metadata": {"name": _STATE}, "spec": claim_spec(STATE_SIZE, deployment.spec.storage.interaction_logs)}
    # One that is not ready, since its teller has ended or its Secret is wrong, must not stay as it is.
    yield single(deployment, component, template, claim, podManagementPolicy="Parallel")


def exporter_settings(deployment: LLMDeployment, export: Export) -> sidecar.Exporter:
    """What it reads, and where it may tell of it."""
    writers = (peer(deployment, component) for component in components(deployment) if component.audited)
    return sidecar.Exporter(
        deployment=deployment.name,
        public_key=export.public_key,
        bucket=bucket_path(Component.INTERACTION_LOGS).strip("/"),
        writers={writer.service_account: f"{writer.namespace}/{writer.service_account}/" for writer in writers},
        records=tuple(map(str, export.records)),
        per_minute=export.records_per_minute,
        sinks={
            name: sidecar.Sink(url=sink.url, addresses=sink.addresses)  # type: ignore[misc]  # names of fields
            for name, sink in export.sinks().items()
        },
        health_port=HEALTH_PORT,
        metrics_port=METRICS_PORT,
    )


def _secret(export: Export) -> Object:
    """Readable through fsGroup; no other container mounts it. Missing, the exporter says so, where a pod that can't
    mount it would only wait."""
    name = export.secret_ref.name
    return {"name": _SECRETS, "secret": {"secretName": name, "defaultMode": 0o440, "optional": True}}


def _exporter(deployment: LLMDeployment, export: Export, settings: Settings) -> Object:
    config = exporter_settings(deployment, export)
    return {
        "name": names.EXPORTER,
        "image": settings.image,
        "command": ["python", "-m", "cloister.jobs.exporter"],
        "args": [config.model_dump_json(exclude_defaults=True)],
        "ports": served(),
        **watched(),
        "resources": resources("50m", "96Mi", "1Gi"),
        "securityContext": restricted(sidecar.EXPORTER_UID, sidecar.SOCKET_GID),
        "volumeMounts": [
            mount(_SECRETS, sidecar.EXPORT_DIR, read_only=True),
            mount(_STATE, sidecar.EXPORT_STATE),
            mount(_SEGMENTS, sidecar.EXPORT_SCRATCH),
            mount(_TOLD, sidecar.TOLD_DIR),
            socket_mount(sidecar.EXPORT_SOCKET),
        ],
    }


def _teller(settings: Settings) -> Object:
    """Ends when there is something to tell: its termination message gets to the operator, which has no route to the
    pod. The kubelet's back-off bounds how often. It has no socket, no key and no journal."""
    return {
        "name": names.TELLER,
        "image": settings.image,
        "restartPolicy": "Always",
        "command": ["python", "-m", "cloister.jobs.teller"],
        "args": [sidecar.Teller().model_dump_json(exclude_defaults=True)],
        "resources": resources("10m", "32Mi", "128Mi"),
        "securityContext": restricted(sidecar.TELLER_UID, sidecar.TELLER_UID),
        "volumeMounts": [mount(_TOLD, sidecar.TOLD_DIR)],
    }
