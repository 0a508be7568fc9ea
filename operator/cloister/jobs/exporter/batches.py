"""Pure: a batch of records as each kind of sink takes it."""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from typing import Any

import orjson

from cloister import __version__
from cloister.jobs.exporter.told import Told

WEBHOOK_SECRET_PREFIX = "whsec_"  # noqa: S105 - the prefix alone
_SEVERITIES = {"info": (9, "INFO"), "warning": (13, "WARN"), "critical": (18, "ERROR2")}
"""OpenTelemetry, "Logs Data Model", appendix B: syslog's severities."""
_SEMANTIC = {"method": "http.request.method", "path": "url.path", "status": "http.response.status_code"}
_SECRET_BYTES = range(24, 65)
"""Standard Webhooks, "Signature scheme"."""


class SecretError(ValueError):
    """A secret that nothing can be signed with. The message has nothing of it."""


def otlp(deployment: str, batch: Sequence[Told], observed: float) -> bytes:
    """ExportLogsServiceRequest as JSON (OpenTelemetry Protocol Specification, "JSON Protobuf Encoding").

    ``observed``: seconds since 1970.
    """
    moment = str(int(observed * 1e9))
    by_component = groupby(sorted(batch, key=lambda one: one.component), key=lambda one: one.component)
    return orjson.dumps(
        {
            "resourceLogs": [
                {
                    "resource": {
                        "attributes": _attributes({"service.namespace": deployment, "service.name": component})
                    },
                    "scopeLogs": [
                        {
                            "scope": {"name": "cloister.exporter", "version": __version__},
                            "logRecords": [_log_record(one, moment) for one in records],
                        }
                    ],
                }
                for component, records in by_component
            ]
        }
    )


def _log_record(one: Told, observed: str) -> dict[str, Any]:
    number, text = _SEVERITIES[one.severity]
    fields = dict(one.fields)
    body = fields.pop("message", None) or fields.get("code") or one.type
    fields.pop("severity", None)
    named = {_SEMANTIC.get(name) or (name if "." in name else f"cloister.{name}"): fields[name] for name in fields}
    return {
        "timeUnixNano": _nanoseconds(one.time),
        "observedTimeUnixNano": observed,
        "severityNumber": number,
        "severityText": text,
        "eventName": f"cloister.{one.type}",
        "body": {"stringValue": body},
        "attributes": _attributes({"log.record.uid": one.id, **named}),
    }


def _nanoseconds(time: str) -> str:
    moment = datetime.fromisoformat(time)
    return str(int(moment.replace(microsecond=0).timestamp()) * 10**9 + moment.microsecond * 1000)


def _attributes(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"key": key, "value": _value(value)} for key, value in values.items()]


def _value(value: Any) -> dict[str, Any]:
    match value:
        case bool():
            return {"boolValue": value}
        case int():
            return {"intValue": str(value)}  # 64 bits are more than JSON's numbers hold
        case list():
            return {"arrayValue": {"values": [_value(item) for item in value]}}
        case dict():
            return {"kvlistValue": {"values": _attributes(value)}}
        case _:
            return {"stringValue": str(value)}


def webhook(deployment: str, batch: Sequence[Told]) -> bytes:
    """The payload of a webhook, in the form that Standard Webhooks recommend."""
    document = {
        "type": "cloister.records",
        "timestamp": max(one.time for one in batch),
        "data": {"deployment": deployment, "records": [one.document() for one in batch]},
    }
    return orjson.dumps(document)


def identifier(batch: Sequence[Told]) -> str:
    """Names a batch, and is the same when the same records are sent again."""
    digest = hashlib.sha256("\n".join(one.id for one in batch).encode()).hexdigest()
    return f"msg_{digest[:32]}"


def signed(id_: str, timestamp: int, body: bytes, secrets: Iterable[bytes]) -> dict[str, str]:
    """The headers of Standard Webhooks: one signature for each secret, so that a receiver may change its own."""
    content = f"{id_}.{timestamp}.".encode() + body
    signatures = (base64.b64encode(hmac.new(secret, content, hashlib.sha256).digest()).decode() for secret in secrets)
    return {
        "webhook-id": id_,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }


def webhook_secrets(text: str) -> list[bytes]:
    """One secret a line, `whsec_` and base64; SecretError."""
    found = []
    for line in filter(None, map(str.strip, text.splitlines())):
        try:
            raw = base64.b64decode(line.removeprefix(WEBHOOK_SECRET_PREFIX), validate=True)
        except (binascii.Error, ValueError):
            raw = b""
        if not line.startswith(WEBHOOK_SECRET_PREFIX) or len(raw) not in _SECRET_BYTES:
            raise SecretError(f"not a secret of a webhook: {WEBHOOK_SECRET_PREFIX}, then 24 to 64 bytes in base64")
        found.append(raw)
    if not found:
        raise SecretError("it is empty")
    return found
