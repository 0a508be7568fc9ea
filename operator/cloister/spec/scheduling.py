"""What a pod asks of the scheduler: resources and tolerations.

Not every API server looks at a StatefulSet's template (kubernetes/kubernetes#108904): one that no pod can be made of
would take away the pod that runs, and bring none in its place. So what is refused of a pod is refused here.
"""

import re
from collections.abc import Iterator
from typing import Annotated

from pydantic import Field

from cloister.spec.fields import LABEL_KEY_PATTERN, LabelValue, Model, Quantity, milli

_PLAIN = re.compile(r"cpu|memory|ephemeral-storage|hugepages-[1-9][0-9]*(Ki|Mi|Gi)")
"""Resources that Kubernetes itself knows."""
_KEY = re.compile(LABEL_KEY_PATTERN)

ResourceList = Annotated[dict[Annotated[str, Field(max_length=63)], Quantity], Field(max_length=16)]


class Resources(Model):
    """Requests and limits of a container, as in any pod."""

    requests: ResourceList = Field(default_factory=dict, description="What the scheduler sets aside.")
    limits: ResourceList = Field(default_factory=dict, description="What the container may use at most.")

    def problems(self, field: str) -> Iterator[tuple[str, str]]:
        """What no container can have, by field (Kubernetes, "Resource Management for Pods and Containers")."""
        for kind, amounts in (("requests", self.requests), ("limits", self.limits)):
            for name, amount in amounts.items():
                if not _PLAIN.fullmatch(name) and not ("/" in name and _KEY.fullmatch(name)):
                    known = "cpu, memory, ephemeral-storage, hugepages-<size>, or a device's full name"
                    yield f"{field}.{kind}.{name}", f"is no resource: {known}, such as nvidia.com/gpu"
                elif _whole(name) and milli(amount) % 1000:
                    yield f"{field}.{kind}.{name}", f"{amount!r}: devices and huge pages come whole"
        for name, amount in self.requests.items():
            limit = self.limits.get(name)
            if limit is not None and milli(amount) > milli(limit):
                yield f"{field}.requests.{name}", f"{amount!r} is more than its limit, {limit!r}"
            elif _whole(name) and (limit is None or milli(amount) != milli(limit)):
                yield f"{field}.limits.{name}", f"must be what is requested, {amount!r}: these are not overcommitted"


def _whole(name: str) -> bool:
    return "/" in name or name.startswith("hugepages-")


class Toleration(Model):
    """A toleration, as in any pod."""

    key: Annotated[str, Field(max_length=317, pattern=f"({LABEL_KEY_PATTERN})|^$")] = Field(
        "", description="Taint key; empty with Exists means all."
    )
    operator: Annotated[str, Field(pattern="^(Exists|Equal)$", max_length=6)] = Field(
        "Equal", description="Exists or Equal."
    )
    value: LabelValue = Field("", description="Taint value.")
    effect: Annotated[str, Field(pattern="^(NoSchedule|PreferNoSchedule|NoExecute)?$", max_length=16)] = Field(
        "", description="Taint effect; empty means all."
    )
    toleration_seconds: Annotated[int, Field(ge=0, le=86400)] | None = Field(
        None, description="How long a NoExecute taint is tolerated."
    )

    def problems(self, field: str) -> Iterator[tuple[str, str]]:
        """What the API server refuses of a pod."""
        if not self.key and self.operator != "Exists":
            yield f"{field}.operator", "must be Exists where there is no key, which tolerates every taint"
        if self.operator == "Exists" and self.value:
            yield f"{field}.value", f"{self.value!r}: with operator Exists a value means nothing: leave it out"
        if self.toleration_seconds is not None and self.effect != "NoExecute":
            yield f"{field}.tolerationSeconds", "is for effect NoExecute alone"
