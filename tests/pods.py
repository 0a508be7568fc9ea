"""A cluster as those see it who read pods."""

from typing import Any

from cloister.controller import errors
from cloister.controller.kinds import Resource

Object = dict[str, Any]


class Pods:
    """A cluster that has these pods, or an error."""

    def __init__(self, *pods: Object, error: errors.ApiError | None = None) -> None:
        self.pods = list(pods)
        self.error = error
        self.asked: list[tuple[str, str, str]] = []

    async def list(self, resource: Resource, selector: str, namespace: str) -> tuple[list[Object], str]:
        self.asked.append((resource.plural, selector, namespace))
        if self.error:
            raise self.error
        return self.pods, "1"
