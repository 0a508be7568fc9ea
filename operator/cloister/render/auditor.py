"""Configuration of the auditor of each component, in the model that the auditor reads."""

from collections.abc import Iterator

from cloister import names, sidecar
from cloister.facts import Facts, Settings
from cloister.flows import bucket_path, components, peer
from cloister.render.meta import Object, child, compact
from cloister.spec import LLMDeployment, seconds
from cloister.zones import HEALTH_PORT, METRICS_PORT, Component


def auditor_configs(deployment: LLMDeployment, facts: Facts, settings: Settings) -> Iterator[Object]:
    """One ConfigMap a component."""
    for component in components(deployment):
        config = child(
            deployment,
            "v1",
            "ConfigMap",
            names.auditor_config(component),
            zone=component.zone,
            component=component,
        )
        document = auditor_settings(deployment, component).model_dump(mode="json", exclude_none=True)
        yield config | {"data": {"auditor.json": compact(document)}}


def revocations(deployment: LLMDeployment, facts: Facts, settings: Settings) -> Iterator[Object]:
    """The list of those who are no longer admitted. As long as it is not known the auditor finds no file, and admits no
    person. Mounted whole, without subPath, so that a running pod sees every change."""
    if reads_revocations(deployment, Component.INFERENCE):
        config = child(deployment, "v1", "ConfigMap", names.REVOCATIONS, zone=Component.INFERENCE.zone)
        file = sidecar.REVOCATIONS.rsplit("/", 1)[1]
        yield config if facts.revocations is None else config | {"data": {file: facts.revocations}}


def reads_revocations(deployment: LLMDeployment, component: Component) -> bool:
    """Whether a component's auditor has a list of revocations."""
    users = deployment.spec.identity.users
    return component is Component.INFERENCE and users is not None and users.revocations is not None


def auditor_settings(deployment: LLMDeployment, component: Component) -> sidecar.Auditor:
    """What one auditor stands between, and where its record goes."""
    base = sidecar.Auditor(
        deployment=deployment.name,
        component=str(component),
        identity=peer(deployment, component).identity,
        listen=None if component is Component.TRAINING else sidecar.AUDITOR_SOCKET,
        journal=_journal(deployment, component),
        health_port=HEALTH_PORT,
        metrics_port=METRICS_PORT,
    )
    return base.model_copy(update=_upstream(deployment, component))


def _journal(deployment: LLMDeployment, component: Component) -> sidecar.Journal:
    own, audit = peer(deployment, component), deployment.spec.audit
    # The auditor of the logs themselves puts its segments straight into the store behind it.
    socket = sidecar.STORE_SOCKET if component is Component.INTERACTION_LOGS else sidecar.JOURNAL_SOCKET
    return sidecar.Journal(
        recipients=audit.recipients,
        content=audit.content.value,
        upstream=f"unix:{socket}",
        path=bucket_path(Component.INTERACTION_LOGS, f"{own.namespace}/{own.service_account}/"),
    )


def _upstream(deployment: LLMDeployment, component: Component) -> Object:
    match component:
        case Component.INFERENCE:
            return _model_server(deployment)
        case Component.TRAINING:
            return {
                "s3_listen": f"127.0.0.1:{sidecar.S3_PORT}",
                "s3_upstream": f"unix:{sidecar.STORES_SOCKET}",
            }
        case _:
            return {"upstream": sidecar.Upstream(kind="s3", address=f"unix:{sidecar.STORE_SOCKET}")}


def _model_server(deployment: LLMDeployment) -> Object:
    inference = deployment.spec.inference
    return {
        "upstream": sidecar.Upstream(
            kind="http", address=f"127.0.0.1:{inference.port}", health_path=inference.health.path
        ),
        "apis": tuple(
            sidecar.ApiAllowed(name=name, methods=tuple(map(str, api.methods)), paths=api.paths)
            for name, api in sorted(inference.apis.items())
        ),
        "people": _people(deployment),
        "limits": sidecar.Limits(
            max_body_bytes=inference.limits.max_body_bytes,
            max_output_bytes=inference.limits.max_output_bytes,
            concurrent=inference.limits.concurrent,
        ),
        "request_schema": inference.guard.request_schema.value,
    }


def _people(deployment: LLMDeployment) -> sidecar.People:
    users = deployment.spec.identity.users
    if users is None:
        return sidecar.People()
    return sidecar.People(
        claims=sidecar.Claims(**users.claims.paths()),
        max_session_seconds=seconds(users.max_session_age) if users.max_session_age else None,
        acr_values=users.mfa.acr,
        revocations=sidecar.REVOCATIONS if users.revocations else None,
    )
