"""What a raw resource may hold at all: JSON as Kubernetes stores it. Checked before the models see it."""

import datetime as dt
import json
import math
from collections.abc import Mapping
from typing import Any

MAX_DEPTH = 24
"""The resource itself needs nine. Deeper than a parser can follow is an attack, not a mistake."""
MAX_NODES = 20_000
"""The API server stores at most 1.5 MiB, but a few lines of YAML aliases unfold to gigabytes."""
_INT64 = 2**63


class Document:
    """A copy of a raw value in plain JSON types, and every place where it is not JSON."""

    def __init__(self, raw: object, at: str) -> None:
        self.problems: list[tuple[str, str]] = []
        """(field, message)."""
        self._nodes = 0
        self.value = self._plain(raw, at, 0)

    def _plain(self, value: object, at: str, depth: int) -> Any:
        self._nodes += 1
        if depth > MAX_DEPTH or self._nodes > MAX_NODES:
            if self._nodes <= MAX_NODES + 1:
                self._refuse(at, "is nested too deeply" if depth > MAX_DEPTH else "is too large")
            return None
        match value:
            case Mapping():
                return self._mapping(value, at, depth)
            case list() | tuple():
                return [self._plain(item, f"{at}[{index}]", depth + 1) for index, item in enumerate(value)]
            case dt.date():
                return value.isoformat()  # to kubectl, a YAML date is a string
            case bool():
                return value
            case str() if not _is_unicode(value):
                self._refuse(at, f"{value!a} is not valid Unicode")
            case int() if not -_INT64 <= value < _INT64:
                self._refuse(at, "is larger than any number that Kubernetes stores")
            case float() if not math.isfinite(value):
                self._refuse(at, f"{value} is not a number in JSON")
            case str() | int() | float():
                return value
            case None:
                # In a file it is a field whose value was forgotten; the API server stores none.
                self._refuse(at, "is null: give it a value, or leave the field out if it is not required")
            case _:
                self._refuse(at, f"a {type(value).__name__} has no place in a Kubernetes object")
        return None

    def _mapping(self, value: Mapping[Any, Any], at: str, depth: int) -> dict[str, Any]:
        result = {}
        for key, item in value.items():
            if not isinstance(key, str) or not _is_unicode(key):
                self._refuse(f"{at}.{ascii(key)[:80]}", "the name of a field must be a string: put it in quotes")
            else:
                result[key] = self._plain(item, f"{at}.{key}", depth + 1)
        return result

    def _refuse(self, at: str, message: str) -> None:
        self.problems.append((at, message))


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


def short(value: object) -> str:
    """A value as a message shows it: JSON, cut to one line."""
    text = json.dumps(value, default=str)
    return text if len(text) <= 80 else f"{text[:77]}..."
