"""Events that a person can act on. Pure: derived from how status has changed, so each is told once, restarts or not."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cloister import names
from cloister.controller import conditions, reported
from cloister.controller.kinds import EVENT
from cloister.controller.outcome import Repair
from cloister.zones import STORES, Zone

Object = dict[str, Any]

_NAMESPACE = "default"
"""Where Events about cluster-scoped objects lie."""
_MAX_NOTE = 1024
_MAX_REPAIRS = 5
_READ = "Who and why is told by `cloister audit search --type alert`, and by the sinks of spec.audit.export"
_ACTIONABLE = {
    "CertManagerMissing",
    "FlowBlocked",
    "ForeignPolicies",
    "GuardsMissing",
    "JwksUnusable",
    "NamespaceMissing",
    "NoAnswer",
    "NotEnforced",
    "StorageClassNotFound",
    "WaitingForProof",
}
"""Reasons of a condition that somebody should do something about."""


@dataclass(frozen=True)
class Notice:
    """One Event to be."""

    type: str
    reason: str
    note: str


def notices(before: Object, after: Object, repairs: Sequence[Repair]) -> Iterator[Notice]:
    """What has changed between two statuses that is worth telling, and what was repaired between them."""
    for condition in after["conditions"]:
        old = conditions.find({"status": before}, condition["type"]) or {}
        was, now = (old.get("status"), old.get("reason")), (condition["status"], condition["reason"])
        if was == now:
            continue
        if condition["type"] == "Stalled":
            if condition["status"] == "True":
                yield Notice("Warning", condition["reason"], condition["message"])
            elif old.get("status") == "True":
                yield Notice("Normal", "Resumed", "what was in the way is gone")
        elif condition["type"] == "Ready":
            if condition["status"] == "True":
                yield Notice("Normal", "Ready", condition["message"])
        elif condition["reason"] in _ACTIONABLE:
            yield Notice("Warning", condition["reason"], condition["message"])
    yield from _expired(before, after)
    if told := reported.news(before.get("alerts", []), after.get("alerts", [])):
        yield Notice(
            "Warning", "SeriousAlerts", f"alerts in the journal since the last Event: {', '.join(told)}. {_READ}"
        )
    if repairs:
        told = [f"{repair.object} {repair.what}" for repair in repairs[:_MAX_REPAIRS]]
        more = f" and {len(repairs) - _MAX_REPAIRS} more" if len(repairs) > _MAX_REPAIRS else ""
        yield Notice("Normal", "DriftRepaired", f"restored after others had changed it: {'; '.join(told)}{more}")


def _expired(before: Object, after: Object) -> Iterator[Notice]:
    known = {one["control"] for one in before.get("exceptions", ()) if one["expired"]}
    for one in after["exceptions"]:
        if one["expired"] and one["control"] not in known:
            yield Notice(
                "Warning",
                "ExceptionExpired",
                f"the exception for {one['control']} ended on {one['expires']}. Nothing stops: renew or remove it",
            )


def farewell(name: str, retained: bool, cert_manager_namespace: str) -> Notice:
    """What a deleted deployment leaves behind, and how to be rid of it."""
    left = [
        f"CA key Secret {cert_manager_namespace}/{names.ca(name, 1)} and the Secrets of client certificates"
        " (cert-manager keeps them)"
    ]
    if retained:
        keys = ", ".join(names.keyring(store) for store in STORES)
        left.insert(
            0,
            f"namespace {names.namespace(name, Zone.STORAGE)} with its volumes and keyrings ({keys}), by deletionPolicy"
            " Retain: take it back with spec.adopt, or delete the namespace",
        )
    return Notice("Normal", "LeftBehind", "; ".join(left))


def event(deployment: Object, notice: Notice, now: datetime, instance: str) -> Object:
    """The Event object (events.k8s.io/v1)."""
    metadata = deployment["metadata"]
    note = notice.note if len(notice.note) <= _MAX_NOTE else f"{notice.note[: _MAX_NOTE - 3]}..."
    moment = now.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    digest = hashlib.sha256(f"{metadata['uid']}{notice}{moment}".encode()).hexdigest()[:16]
    return {
        "apiVersion": EVENT.api_version,
        "kind": EVENT.kind,
        "metadata": {"name": f"{metadata['name']}.{digest}", "namespace": _NAMESPACE},
        "eventTime": moment,
        "reportingController": f"{names.GROUP}/operator",
        "reportingInstance": instance,
        "action": "Reconcile",
        "type": notice.type,
        "reason": notice.reason,
        "note": note,
        "regarding": {
            "apiVersion": names.API_VERSION,
            "kind": names.KIND,
            "name": metadata["name"],
            "uid": metadata["uid"],
            "resourceVersion": metadata.get("resourceVersion", ""),
        },
    }
