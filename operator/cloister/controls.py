"""The controls that Cloister promises, as data: what each means, what enforces it, and which condition reports it.

``enforced`` tells whether this version enforces the control in full. One that it does not is reported Unknown, however
green its family looks: what can't be proved is never True.
"""

from dataclasses import dataclass
from enum import StrEnum


class Family(StrEnum):
    """The condition in `status` that reports a family of controls."""

    ZONES_ISOLATED = "ZonesIsolated"
    ISOLATION_PROVEN = "IsolationProven"
    IDENTITY_ISSUED = "IdentityIssued"
    ACCESS_MINIMAL = "AccessMinimal"
    STORAGE_SEPARATED = "StorageSeparated"
    ENCRYPTED_AT_REST = "EncryptedAtRest"
    AUDIT_RECORDING = "AuditRecording"
    WORKLOADS_READY = "WorkloadsReady"
    READY = "Ready"


@dataclass(frozen=True)
class Control:
    """One row of the catalogue."""

    id: str
    title: str
    condition: Family
    enforced_by: tuple[str, ...]
    """Kinds of objects, or programs, that keep the promise."""
    enforced: bool


_F = Family

CONTROLS: tuple[Control, ...] = (
    Control("ZT-01", "Short-lived machine identities", _F.IDENTITY_ISSUED, ("Certificate", "gate"), True),
    Control("ZT-02", "Mutual TLS on every hop", _F.IDENTITY_ISSUED, ("gate",), True),
    Control("ZT-03", "No default allowance", _F.ZONES_ISOLATED, ("NetworkPolicy", "gate"), True),
    Control("ZT-04", "Attested workloads", _F.IDENTITY_ISSUED, ("ValidatingAdmissionPolicy", "digests"), True),
    Control("ZT-05", "Short-lived tokens, validated per request", _F.ACCESS_MINIMAL, ("gate",), True),
    Control("ZT-06", "Multi-factor sign-in", _F.ACCESS_MINIMAL, ("gate", "auditor"), True),
    Control("ZT-07", "Continuous trust", _F.AUDIT_RECORDING, ("auditor",), True),
    Control("ZT-08", "Role, location and device", _F.ACCESS_MINIMAL, ("gate",), True),
    Control("ZT-09", "Unusual behaviour noticed", _F.AUDIT_RECORDING, ("auditor",), True),
    Control(
        "ZT-10",
        "No administrative command from a model",
        _F.ACCESS_MINIMAL,
        ("pod spec", "NetworkPolicy", "ValidatingAdmissionPolicy"),
        True,
    ),
    Control("ZT-11", "Least privilege", _F.ACCESS_MINIMAL, ("ServiceAccount", "RoleBinding"), True),
    Control("ZT-12", "Training data for training alone", _F.STORAGE_SEPARATED, ("gate", "NetworkPolicy"), True),
    Control("ZT-13", "Journalled data queries", _F.AUDIT_RECORDING, ("auditor",), True),
    Control("ZT-14", "Masked sensitive values", _F.STORAGE_SEPARATED, ("auditor",), True),
    Control("ZT-15", "Three separate zones", _F.ZONES_ISOLATED, ("Namespace", "NetworkPolicy"), True),
    Control("ZT-16", "Encrypted, watched traffic between zones", _F.AUDIT_RECORDING, ("gate",), False),
    Control("ZT-17", "Proven isolation", _F.ISOLATION_PROVEN, ("canary",), True),
    Control("ZT-18", "Sandboxed inference", _F.ZONES_ISOLATED, ("runtime class", "fetch"), True),
    Control("ZT-19", "Approved APIs only", _F.ZONES_ISOLATED, ("gate",), True),
    Control("ZT-20", "Validated input", _F.AUDIT_RECORDING, ("auditor",), True),
    Control("ZT-21", "No record, no answer", _F.AUDIT_RECORDING, ("auditor",), True),
    Control("ZT-22", "Resisted model extraction", _F.AUDIT_RECORDING, ("gate", "auditor"), True),
    Control("ZT-23", "Separate stores", _F.STORAGE_SEPARATED, ("StatefulSet", "PersistentVolumeClaim"), True),
    Control("ZT-24", "Encryption at rest under the user's keys", _F.ENCRYPTED_AT_REST, ("Secret", "store"), True),
    Control("ZT-25", "Rotated keys and certificates", _F.ENCRYPTED_AT_REST, ("Certificate", "keeper"), True),
    Control("ZT-26", "Verified weights", _F.ENCRYPTED_AT_REST, ("fetch",), True),
    Control("ZT-27", "Logged prompts", _F.AUDIT_RECORDING, ("auditor",), True),
    Control("ZT-28", "Audited replies", _F.AUDIT_RECORDING, ("auditor",), True),
    Control("ZT-29", "Drift and misuse alerts", _F.AUDIT_RECORDING, ("auditor",), False),
    Control("ZT-30", "Tamper-evident log", _F.AUDIT_RECORDING, ("auditor", "keeper"), True),
    Control("ZT-31", "Usage and latency", _F.AUDIT_RECORDING, ("auditor",), True),
    Control("ZT-32", "Automatic enforcement", _F.READY, ("operator",), True),
    Control("ZT-33", "Evidence per control", _F.READY, ("status.controls",), False),
)
