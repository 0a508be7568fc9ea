"""What is explained: the layers on a way, and what they do."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from cloister.explain.ends import End
from cloister.flows import Flow
from cloister.zones import FlowRule


class Verdict(StrEnum):
    """What a layer does."""

    THROUGH = "pass"
    ASKS = "ask"
    """Lets pass who shows what it asks for."""
    DENIES = "deny"


@dataclass(frozen=True)
class Layer:
    """One thing on the way."""

    verdict: Verdict
    name: str
    says: str


@dataclass(frozen=True)
class Explanation:
    """Whether one end may open a connection to another, and what is on the way."""

    deployment: str
    source: End
    target: End
    port: int | None
    """None: whatever port there is."""
    allowed: bool
    flows: tuple[Flow, ...]
    """The flows by which it may; none where it may not."""
    layers: tuple[Layer, ...]
    declare: tuple[str, ...] = ()
    """What would have to be declared to allow it."""
    remark: str = ""
    """Why nothing can be."""

    @property
    def rules(self) -> tuple[FlowRule, ...]:
        """The rows of the flow table that these flows are of, each once."""
        return tuple(dict.fromkeys(flow.rule for flow in self.flows))

    def as_dict(self) -> Mapping[str, Any]:
        """For programs."""
        return {
            "deployment": self.deployment,
            "from": str(self.source),
            "to": str(self.target),
            "port": self.port,
            "allowed": self.allowed,
            "rules": [rule.id for rule in self.rules],
            "layers": [
                {"verdict": str(layer.verdict), "layer": layer.name, "says": layer.says} for layer in self.layers
            ],
            "declare": list(self.declare),
            "remark": self.remark,
        }
