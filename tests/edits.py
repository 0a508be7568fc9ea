"""Small changes of the examples, for tests that start from a resource that is right."""

import copy
import re
from pathlib import Path
from typing import Any

import yaml

from cloister.spec import LLMDeployment, parse

EXAMPLES = Path(__file__).parents[1] / "manifests" / "examples"
REMOVED = object()
"""The value that takes a field away."""
UNEXPORTED = {"spec.audit.export": REMOVED}
"""Changes of the example support-bot: nothing is told outside the cluster."""


def example(name: str = "support-bot") -> dict[str, Any]:
    """The raw resource of an example."""
    raw: dict[str, Any] = yaml.safe_load((EXAMPLES / f"{name}.yaml").read_text())
    return raw


def edited(raw: dict[str, Any]) -> "Edit":
    """Start changing a copy of a resource."""
    return Edit(copy.deepcopy(raw))


class Edit:
    """Changes fields by their paths, as messages write them."""

    def __init__(self, raw: dict[str, Any]) -> None:
        self.raw = raw

    def set(self, path: str, value: Any) -> "Edit":
        """Put a value; mappings on the way are made, `[+]` appends to a list."""
        *way, last = [int(part) if part.isdigit() else part for part in re.findall(r"[^.\[\]]+", path)]
        node: Any = self.raw
        for part in way:
            node = node[part] if isinstance(part, int) else node.setdefault(part, {})
        if value is REMOVED:
            del node[last]
        elif last == "+":
            node.append(value)
        else:
            node[last] = value
        return self

    def parsed(self) -> LLMDeployment:
        """The model."""
        return parse(self.raw)


def deployment(changes: dict[str, Any] | None = None, name: str = "support-bot") -> LLMDeployment:
    """An example with some fields changed."""
    edit = edited(example(name))
    for path, value in (changes or {}).items():
        edit.set(path, value)
    return edit.parsed()
