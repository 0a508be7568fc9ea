"""What may be told of a record: its metadata, field by field. What people and models said is never among it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cloister.journal.records import Line

_WHO = {"exchange", "request_id", "peer", "user.id", "session.id", "token.id", "roles", "country", "device"} | {
    *("device.id", "acr", "amr", "auth_time", "api", "method", "path", "bytes")
}
_GEN_AI = {f"gen_ai.{name}" for name in ("operation.name", "request.model", "request.max_tokens", "request.stream")}
_WHAT = {"operation", "bucket", "key"}
_FOUND = {"verdicts", "risk"}
_START = "schema", "version", "deployment", "component", "identity", "content", "recipients"
_REPLY = "response.id", "response.model", "response.finish_reasons", "usage.input_tokens", "usage.output_tokens"
_DONE = {"exchange", "status", "outcome", "code", "bytes", "duration_us"}

FIELDS: Mapping[str, frozenset[str]] = {
    kind: frozenset(names)
    for kind, names in {
        "alert": {"code", "severity", "message", "exchange", "peer", "user.id", "session.id", "api"},
        "start": {f"cloister.{name}" for name in _START},
        "stop": set[str](),
        "request": _WHO | _GEN_AI | _FOUND,
        "refusal": _WHO | _GEN_AI | _WHAT | _FOUND | {"status", "code"},
        "reply": _DONE | {"parts"} | {f"gen_ai.{name}" for name in _REPLY} | _FOUND,
        "query": _WHO | _WHAT | {"prefix", "range", "upload", "part", "masked"},
        "result": _DONE | {"masked"},
    }.items()
}
"""Type of record -> fields that may leave the zones. Whatever is not named here stays."""
MOST_CHARACTERS, MOST_OF_A_MESSAGE = 256, 1024
"""Of any text, for a model server chooses some of them and nobody's id is longer; and of an alert's own words."""
MOST_ITEMS = 32
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f]+")

_CRITICAL, _OTHER_ALERTS, _REST = "critical", "alert", "record"


@dataclass(frozen=True, slots=True)
class Told:
    """One record, as it is told."""

    id: str
    """The same each time that it is told."""
    component: str
    type: str
    time: str
    """RFC 3339."""
    severity: str
    """`info`, `warning` or `critical`."""
    fields: Mapping[str, Any] = field(default_factory=dict)
    """By their names in the journal."""

    @property
    def kind(self) -> str:
        """What it is limited together with: a flood of refusals must not hide an alert."""
        if self.type != "alert":
            return _REST
        return _CRITICAL if self.severity == "critical" else _OTHER_ALERTS

    def document(self) -> dict[str, Any]:
        """For a webhook."""
        head = {"id": self.id, "component": self.component, "type": self.type, "time": self.time}
        return head | {"severity": self.severity} | dict(self.fields)


def told(stream: str, component: str, line: Line) -> Told:
    """What may be told of a line."""
    record = line.record.model_dump(by_alias=True, exclude_none=True)
    kept = {name: _bounded(value) for name, value in record.items() if name in FIELDS.get(record["type"], ())}
    if "message" in kept:
        kept["message"] = _text(record["message"], MOST_OF_A_MESSAGE)
    severity = kept.get("severity") or ("warning" if record["type"] == "refusal" else "info")
    return Told(f"{stream}/{line.seq}", component, record["type"], record["time"], severity, kept)


def alert(id_: str, component: str, time: str, code: str, severity: str, message: str) -> Told:
    """An alert of the exporter's own."""
    fields = {"code": code, "severity": severity, "message": _text(message, MOST_OF_A_MESSAGE)}
    return Told(id_, component, "alert", time, severity, fields)


def _bounded(value: Any) -> Any:
    match value:
        case str():
            return _text(value)
        case list() | tuple():
            return [_bounded(item) for item in value[:MOST_ITEMS]]
        case dict():
            return {_text(key): _bounded(item) for key, item in list(value.items())[:MOST_ITEMS]}
        case _:
            return value


def _text(text: str, most: int = MOST_CHARACTERS) -> str:
    return _UNPRINTABLE.sub(" ", text)[:most]
