"""Pure: what the exporter's pod tells by its status, and what may be said of it. The messages are made by programs that
read what others wrote, so nothing of them is repeated: codes that are known here, and numbers.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from cloister import names
from cloister.controller.outcome import Ending
from cloister.sidecar import AlertReport, ExporterEnding, ExportReason
from cloister.zones import Component

Object = dict[str, Any]

_WAYS_OUT: Mapping[ExportReason, str] = {
    "AuthorityUnusable": "its entry ca.crt holds no certificates (PEM)",
    "AuthorizationUnusable": "its entry authorization is not one line of ASCII",
    "ExportKeyMissing": "it has no entry key: put the file of `cloister keys generate` there",
    "ExportKeyUnusable": "its entry key is no file of `cloister keys generate`",
    "ExportKeyWrong": "its entry key is not the private half of spec.audit.export.publicKey",
    "SecretUnreadable": "an entry of it can't be read as text",
    "WebhookSecretUnusable": "its entry webhook is not whsec_ and 24 to 64 bytes in base64",
}


def credible(pod: Object, stateful_set: Object | None) -> bool:
    """Whether it is the pod that the StatefulSet controller has made of ours: nobody else may make one in a zone, and
    if the guards were ever away, one that is somebody else's is not believed all the same."""
    metadata = pod["metadata"]
    uid = (stateful_set or {}).get("metadata", {}).get("uid")
    owners = metadata.get("ownerReferences") or ()
    return bool(uid) and any(
        owner.get("controller") is True and owner.get("kind") == "StatefulSet" and owner.get("uid") == uid
        for owner in owners
    )


def totals(pod: Object) -> Mapping[str, dict[str, int]] | None:
    """How many serious alerts there have been, as its teller said last; None where it has said nothing."""
    for ended in _endings(pod, names.TELLER, "initContainerStatuses"):
        try:
            report = AlertReport.model_validate_json(ended.get("message") or "")
        except ValidationError:
            continue
        if ended.get("exitCode") == 0:
            return {
                component: {str(code): count for code, count in of.items()} for component, of in report.totals.items()
            }
    return None


def refusals(pod: Object, secret: str) -> Iterator[Ending]:
    """Why the exporter can't begin, where it can't."""
    name = str(pod["metadata"]["name"])
    for container in (pod.get("status") or {}).get("containerStatuses") or ():
        if container.get("name") != names.EXPORTER or "running" in (container.get("state") or {}):
            continue
        for ended in _endings(pod, names.EXPORTER, "containerStatuses"):
            try:
                reason = ExporterEnding.model_validate_json(ended.get("message") or "").reason
            except ValidationError:
                continue
            if ended.get("exitCode"):
                yield Ending(name, reason, f"Secret {secret}: {_WAYS_OUT[reason]}", names.EXPORTER)
                return


def works(pod: Object) -> bool:
    """Whether everything in it is ready but, perhaps, the teller, which ends to tell something."""
    status = pod.get("status") or {}
    every = [*(status.get("containerStatuses") or ()), *(status.get("initContainerStatuses") or ())]
    ready = {str(one.get("name")): bool(one.get("ready")) for one in every}
    return all(ready.get(name, False) for name in (names.EXPORTER, "gate"))


def as_status(found: Mapping[str, Mapping[str, int]]) -> list[Object]:
    """For status.alerts, in one order."""
    return [
        {"component": component, "code": code, "count": count}
        for component, counts in sorted(found.items())
        for code, count in sorted(counts.items())
    ]


def news(before: list[Object], after: list[Object]) -> list[str]:
    """What has come since, for people: component, code and count of each, of those that are known here."""
    known = {(one.get("component"), one.get("code")): one.get("count", 0) for one in before}
    told = []
    for one in after:
        component, code, count = one["component"], one["code"], one["count"]
        old = known.get((component, code), 0)
        # Fewer than before: the exporter has lost its volume, and counts from 0.
        if more := count - old if count >= old else count:
            told.append(f"{Component(component)}: {code} {more}")
    return told


def _endings(pod: Object, name: str, statuses: str) -> Iterator[Object]:
    """How a container has ended, newest first."""
    for container in (pod.get("status") or {}).get(statuses) or ():
        if container.get("name") == name:
            for state in (container.get("state") or {}, container.get("lastState") or {}):
                if state.get("terminated"):
                    yield state["terminated"]
