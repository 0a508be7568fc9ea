"""Configuration of the auditor of each component, in the model that the auditor reads."""

from collections.abc import Iterator

from cloister import names, sidecar
from cloister.facts import Facts, Settings
from cloister.flows import bucket_path, components, peer
from cloister.render.meta import Object, child, compact
from cloister.spec import LLMDeployment
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


def auditor_settings(deployment: LLMDeployment, component: Component) -> sidecar.Auditor:
    """What one auditor stands between, and where its record goes."""
    own = peer(deployment, component)
    base = sidecar.Auditor(
        deployment=deployment.name,
        component=str(component),
        identity=own.identity,
        listen=None if component is Component.TRAINING else sidecar.AUDITOR_SOCKET,
        # The auditor of the logs themselves puts its segments straight into the store behind it.
        journal_upstream=f"unix:{sidecar.STORE_SOCKET if _keeps_logs(component) else sidecar.JOURNAL_SOCKET}",
        journal_path=bucket_path(Component.INTERACTION_LOGS, f"{own.namespace}/{own.service_account}/"),
        health_port=HEALTH_PORT,
        metrics_port=METRICS_PORT,
    )
    return base.model_copy(update=_upstream(deployment, component))


def _upstream(deployment: LLMDeployment, component: Component) -> Object:
    inference = deployment.spec.inference
    match component:
        case Component.INFERENCE:
            return {
                "upstream": sidecar.Upstream(
                    kind="http", address=f"127.0.0.1:{inference.port}", health_path=inference.health.path
                ),
                "apis": tuple(
                    sidecar.ApiAllowed(name=name, methods=tuple(map(str, api.methods)), paths=api.paths)
                    for name, api in sorted(inference.apis.items())
                ),
                "max_body_bytes": inference.limits.max_body_bytes,
            }
        case Component.TRAINING:
            return {
                "s3_listen": f"127.0.0.1:{sidecar.S3_PORT}",
                "s3_upstream": f"unix:{sidecar.STORES_SOCKET}",
            }
        case _:
            return {"upstream": sidecar.Upstream(kind="s3", address=f"unix:{sidecar.STORE_SOCKET}")}


def _keeps_logs(component: Component) -> bool:
    return component is Component.INTERACTION_LOGS
