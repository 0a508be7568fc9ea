"""Pods of a component, read when something must be known of them: they are not watched."""

from typing import Any

import structlog

from cloister import names
from cloister.controller import errors
from cloister.controller.cluster import Cluster
from cloister.controller.kinds import POD
from cloister.spec import LLMDeployment
from cloister.zones import Component

Object = dict[str, Any]

log = structlog.get_logger(__name__)


async def pods_of(deployment: LLMDeployment, component: Component, cluster: Cluster) -> list[Object]:
    """Those of its workload. Empty where they can't be read: not knowing them spoils nothing else."""
    labels = names.workload_selector(deployment.name, component)
    selector = ",".join(f"{name}={value}" for name, value in sorted(labels.items()))
    try:
        pods, _ = await cluster.list(POD, selector, names.namespace(deployment.name, component.zone))
    except errors.ApiError as error:
        log.warning("pods can't be read", deployment=deployment.name, error=error.message)
        return []
    return pods
