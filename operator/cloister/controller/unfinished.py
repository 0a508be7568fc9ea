"""A training run that has begun is left to finish under the template that it began with.

A Job's template can't be changed, only the Job made again: so every new image of gate and auditor would end a run that
may have taken days, and begin it anew over its checkpoints. What the run itself is to be (spec.training) is in its
Job's name, and so is never left.
"""

import copy
from typing import Any

from cloister import names
from cloister.controller import conditions
from cloister.controller.cluster import Cluster
from cloister.controller.kinds import POD
from cloister.controller.outcome import Result, State, describe
from cloister.names import key
from cloister.render.phases import is_canary

Object = dict[str, Any]

_FIXED = ("template", "podFailurePolicy")
"""Fields of what is rendered that a Job keeps from its beginning to its end (Kubernetes documentation, "Jobs")."""


def finished(job: Object) -> bool:
    """Whether it has done its work, or given up."""
    return conditions.holds(job, "Complete") or conditions.holds(job, "Failed")


async def has_begun(cluster: Cluster, live: Object, obj: Object) -> bool:
    """Whether it is a training run of which something runs; ApiError. A pod that only waits has done no work yet."""
    status = live.get("status") or {}
    if obj["kind"] != "Job" or is_canary(obj) or finished(live) or not status.get("active"):
        return False
    if status.get("ready"):
        return True
    metadata = live["metadata"]
    # Another of its name may have pods that are still ending.
    pods, _ = await cluster.list(POD, f"{names.JOB_UID}={metadata['uid']}", metadata["namespace"])
    return any((pod.get("status") or {}).get("phase", "Pending") != "Pending" for pod in pods)


def as_begun(live: Object, obj: Object) -> Object:
    """The rendered Job, but for what the live one can't change: suspending it still ends it."""
    metadata, spec, begun = obj["metadata"], obj["spec"], live["spec"]
    kept = {name: copy.deepcopy(begun[name]) for name in _FIXED if name in begun}
    # What we apply is ours, and is taken away when it is not applied again: no Job may lose these.
    for label in names.JOB_LABELS:
        kept["template"]["metadata"].get("labels", {}).pop(label, None)
    changing = {name: value for name, value in spec.items() if name not in _FIXED}
    written = live["metadata"].get("annotations", {}).get(names.ANNOTATION_RENDERED, "")
    annotations = metadata["annotations"] | {names.ANNOTATION_RENDERED: written}
    return obj | {"metadata": metadata | {"annotations": annotations}, "spec": changing | kept}


def result(obj: Object) -> Result:
    """In force, and what to know of it."""
    return Result(
        State.IN_FORCE,
        "Unfinished",
        f"{describe(key(obj))} finishes as it began, and what has changed since applies to the next run"
        " (spec.training.suspend ends it, and what is resumed begins anew)",
    )
