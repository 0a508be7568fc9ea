"""What a lint rule is, and what it finds."""

import datetime as dt
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from cloister.spec import LLMDeployment


class Severity(StrEnum):
    """How bad a finding is."""

    ERROR = "error"
    """It can't work, or it opens what must stay closed."""
    WARNING = "warning"
    """It works, and is probably not what was meant."""
    INFO = "info"
    """Worth knowing."""


@dataclass(frozen=True)
class Hit:
    """One place where a rule applies."""

    field: str
    message: str
    value: Any = None
    """The offending value, if there is one that may be shown."""


@dataclass(frozen=True)
class Rule:
    """One check. Its code never changes its meaning; a rule that goes takes its code with it."""

    code: str
    severity: Severity
    title: str
    fix: str
    """The way out."""
    check: Callable[[LLMDeployment, dt.date], Iterator[Hit]]


@dataclass(frozen=True)
class Finding:
    """A hit together with its rule."""

    code: str
    severity: Severity
    field: str
    message: str
    fix: str
    value: Any = None

    def as_dict(self) -> Mapping[str, Any]:
        """For programs; the value only where there is one."""
        shown = {
            "code": self.code,
            "severity": str(self.severity),
            "field": self.field,
            "message": self.message,
            "fix": self.fix,
        }
        return shown if self.value is None else {**shown, "value": self.value}
