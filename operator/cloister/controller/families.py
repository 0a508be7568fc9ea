"""Pure: what each family's condition says, from the objects that keep its promise."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from cloister import names
from cloister.controller import conditions
from cloister.controller.holds import PROOF
from cloister.controller.outcome import Outcome, Result, State, describe
from cloister.controls import Family
from cloister.guards import WAY_OUT
from cloister.names import Key, key
from cloister.render.phases import is_canary
from cloister.spec import LLMDeployment
from cloister.zones import STORES, Component, Zone

Object = dict[str, Any]
Live = Callable[[Key], Object | None]


@dataclass(frozen=True)
class Verdict:
    """Status, reason and message of a condition."""

    status: str
    reason: str
    message: str


Judge = Callable[[LLMDeployment, list[Object], Outcome, Live], Verdict]


def _zones(deployment: LLMDeployment, rendered: list[Object], outcome: Outcome, live: Live) -> Verdict:
    kinds = {"Namespace", "ResourceQuota", "NetworkPolicy"}
    policies = [found for found in outcome.results if found[0] in kinds]
    if outcome.foreign_policies:
        return Verdict(
            "False",
            "ForeignPolicies",
            f"NetworkPolicies that are not Cloister's may widen a zone: {_list(outcome.foreign_policies)}."
            " Delete them, or declare the flow in the LLMDeployment",
        )
    return _unless(outcome, policies) or Verdict(
        "True", "Enforced", f"{len(policies)} objects deny everything but the declared flows, both ways, in three zones"
    )


def _identity(deployment: LLMDeployment, rendered: list[Object], outcome: Outcome, live: Live) -> Verdict:
    made = [
        found
        for found in outcome.results
        if found[0] in ("ClusterIssuer", "Certificate") or (found[0] == "ConfigMap" and found[2] == names.TRUST_BUNDLE)
    ]
    missing = sorted(outcome.missing_namespaces)
    if missing:
        return Verdict(
            "False",
            "NamespaceMissing",
            f"declared clients have no namespace to live in: create {_list(missing)}, or remove the clients",
        )
    refused = _unless(outcome, [found for found in made if outcome.results[found].state is State.FAILED])
    certificates = [key(obj) for obj in rendered if obj["kind"] == "Certificate"]
    waiting = [found for found in certificates if not conditions.is_ready(live(found) or {})]
    if refused is None and waiting:
        _, namespace, name = waiting[0]
        said = conditions.find(live(waiting[0]) or {}, "Ready") or {}
        why = f" ({said['message']})" if said.get("message") else ""
        return Verdict(
            "False",
            "Issuing",
            f"{len(certificates) - len(waiting)} of {len(certificates)} certificates are issued;"
            f" the first that is not: {namespace}/{name}{why}",
        )
    return (
        refused
        or _unless(outcome, made)
        or Verdict("True", "Issued", f"all {len(certificates)} certificates are issued by the deployment's own CA")
    )


def _access(deployment: LLMDeployment, rendered: list[Object], outcome: Outcome, live: Live) -> Verdict:
    made = [
        found
        for found in outcome.results
        if found[0] in ("ServiceAccount", "RoleBinding") or (found[0] == "ConfigMap" and found[2] != names.TRUST_BUNDLE)
    ]
    return (
        _unless(outcome, made)
        or _unguarded(outcome)
        or Verdict("True", "Minimal", "no workload has a token or a role, and gates admit exactly who is declared")
    )


def _unguarded(outcome: Outcome) -> Verdict | None:
    """Where admission policies are not in force, access is what the cluster's RBAC makes of it."""
    if outcome.guards is None:
        return Verdict(
            "Unknown", "GuardsUnknown", "the admission policies that guard zones and identities can't be read"
        )
    if not outcome.guards:
        return None
    return Verdict(
        "False",
        "GuardsMissing",
        "whoever RBAC lets write in a zone, or ask for a certificate, can be any workload of it:"
        f" {_list([str(one) for one in outcome.guards])}. To have the guards, {WAY_OUT}",
    )


def _storage(deployment: LLMDeployment, rendered: list[Object], outcome: Outcome, live: Live) -> Verdict:
    storage = [
        key(obj)
        for obj in rendered
        if obj["kind"] == "PersistentVolumeClaim"
        or (obj["kind"] in ("Service", "StatefulSet") and obj["metadata"]["labels"][names.LABEL_ZONE] == Zone.STORAGE)
    ]
    return _unless(outcome, storage) or Verdict(
        "True", "Separated", "three stores, each with its own place, identity, policy and keys"
    )


def _encryption(deployment: LLMDeployment, rendered: list[Object], outcome: Outcome, live: Live) -> Verdict:
    """A store's pod is ready only with a keyring, and serves nothing but what it encrypts under it."""
    if not outcome.keyrings:
        return Verdict("False", "KeysFirst", "the stores' keyrings are not made yet")
    unknown = sorted(name for name, encrypted in outcome.storage_classes.items() if not encrypted)
    classes = (
        f" Storage class {_list(unknown)} is not known to encrypt as well: mark it with the annotation"
        f" {names.GROUP}/encrypted=true if it does"
        if unknown
        else ""
    )
    stores = [key(obj) for obj in rendered if obj["kind"] == "StatefulSet" and obj["metadata"]["name"] in STORES]
    what = f"encrypted under its own keys{_rotations(outcome)}"
    if silent := [pending for found in stores for pending in _pods(found, live(found))]:
        said = f"every store is to serve what it has {what}; not all are known to serve: {_list(silent)}.{classes}"
        return Verdict("Unknown", "NoReport", said)
    return Verdict("True", "Encrypted", f"every store serves, and keeps all of it {what}.{classes}")


def _rotations(outcome: Outcome) -> str:
    moving = [
        f"{one.store} (from {', '.join(map(str, one.old))} to {one.current})"
        for one in outcome.keyring_states
        if one.old
    ]
    return f"; objects are being moved to a new key in {_list(moving)}" if moving else ""


def _audit(deployment: LLMDeployment, rendered: list[Object], outcome: Outcome, live: Live) -> Verdict:
    """An auditor is ready only while its records become durable, and a pod only with its auditor: so the kubelet's
    word for the pods is theirs for the record. Where it can't be had, nothing is known."""
    configs = [found for found in outcome.results if found[0] == "ConfigMap" and found[2].startswith("auditor-")]
    audit = deployment.spec.audit
    readers = len(audit.recipients)
    too = " and the exporter, whose key opens all of it," if audit.export else ","
    what = (
        f"content {audit.content.value}, sealed for {readers} {'recipient' if readers == 1 else 'recipients'}{too}"
        " before anything passes"
    )
    servers = [
        key(obj) for obj in rendered if obj["kind"] == "StatefulSet" and obj["metadata"]["name"] != Component.EXPORTER
    ]
    silent = [pending for found in servers for pending in _pods(found, live(found))]
    if refused := _unless(outcome, configs):
        return refused
    if silent:
        return Verdict(
            "Unknown", "NoReport", f"auditors are told to record {what}; not all are known to do so: {_list(silent)}"
        )
    return Verdict("True", "Recording", f"every auditor is ready, and so records {what}")


def _proof(deployment: LLMDeployment, rendered: list[Object], outcome: Outcome, live: Live) -> Verdict:
    """What canaries have found. Under an exception nobody asks them, but what they once refuted stays refuted."""
    found = outcome.standing
    if deployment.spec.excused(PROOF, outcome.today) and found.status == "Unknown":
        return Verdict("Unknown", "Excepted", f"workloads start without proof, by the exception for {PROOF}")
    return Verdict(found.status, found.reason, found.message)


def _workloads(deployment: LLMDeployment, rendered: list[Object], outcome: Outcome, live: Live) -> Verdict:
    workloads = [
        key(obj) for obj in rendered if obj["kind"] in ("StatefulSet", "Job", "CronJob") and not is_canary(obj)
    ]
    pending = [
        what
        for found in workloads
        # Its pod is not ready whenever its teller has ended to tell something.
        if not (found[2] == Component.EXPORTER and outcome.exports)
        for what in _pods(found, live(found))
    ]
    return (
        _unless(outcome, workloads)
        or _ended(outcome)
        or (Verdict("False", "PodsNotReady", _list(pending)) if pending else None)
        or _failed(workloads, live)
        or Verdict("True", "Running", "; ".join(["every workload runs", *_noted(outcome, workloads)]))
    )


def _failed(workloads: list[Key], live: Live) -> Verdict | None:
    """False where the last training run has failed, until another succeeds."""
    for kind, namespace, name in workloads:
        found = live((kind, namespace, name)) or {}
        if kind == "Job" and conditions.holds(found, "Failed"):
            said = (conditions.find(found, "Failed") or {}).get("message")
            return Verdict("False", "RunFailed", f"{name} has failed" + (f": {said}" if said else ""))
        if kind == "CronJob" and (due := _failed_at(found)):
            return Verdict("False", "RunFailed", f"the run of {name} that was due at {due} has failed")
    return None


def _failed_at(cron_job: Object) -> str | None:
    """When the last run was due, if it has ended and not succeeded. Where no other run may begin, nobody waits for one
    that succeeds."""
    status = cron_job.get("status") or {}
    due: str | None = status.get("lastScheduleTime")
    if due is None or status.get("active") or cron_job.get("spec", {}).get("suspend"):
        return None
    return due if (status.get("lastSuccessfulTime") or "") < due else None  # RFC 3339 in UTC, to the second


def _noted(outcome: Outcome, found: Iterable[Key]) -> list[str]:
    """What there is to know of objects that are in force all the same."""
    return [outcome.results[one].message for one in found if one in outcome.results and outcome.results[one].message]


def _ended(outcome: Outcome) -> Verdict | None:
    """False where fetch has refused the weights: nobody serves others instead. Or where a backend can't be used,
    nothing can be exported, or a training run does not start."""
    if not outcome.endings:
        return None
    first, *others = outcome.endings
    more = f" (and {len(others)} more pods)" if others else ""
    return Verdict("False", first.reason, f"{first.pod}: {first.container}: {first.message}{more}")


FAMILIES: dict[Family, Judge] = {
    Family.ZONES_ISOLATED: _zones,
    Family.ISOLATION_PROVEN: _proof,
    Family.IDENTITY_ISSUED: _identity,
    Family.ACCESS_MINIMAL: _access,
    Family.STORAGE_SEPARATED: _storage,
    Family.ENCRYPTED_AT_REST: _encryption,
    Family.AUDIT_RECORDING: _audit,
    Family.WORKLOADS_READY: _workloads,
}


def _unless(outcome: Outcome, found: Iterable[Key]) -> Verdict | None:
    """False as long as one of these objects is not in force; a refusal is said before a wait."""
    results: list[tuple[Key, Result]] = [(one, outcome.results[one]) for one in found if one in outcome.results]
    open_ones = [(one, result) for one, result in results if not result.in_force]
    for one, result in sorted(open_ones, key=lambda pair: pair[1].state is not State.FAILED):
        where = describe(one)
        return Verdict(
            "False", result.reason, result.message if where in result.message else f"{where}: {result.message}"
        )
    return None


def _pods(found: Key, live: Object | None) -> Iterator[str]:
    """What of a workload does not run yet."""
    kind, _, name = found
    status = (live or {}).get("status") or {}
    if kind == "StatefulSet":
        wanted = (live or {}).get("spec", {}).get("replicas", 1)
        ready = status.get("readyReplicas", 0)
        if ready < wanted:
            yield f"{name} has {ready} of {wanted} pods ready"
        elif status.get("updateRevision") != status.get("currentRevision"):
            yield f"{name} is being updated"


def _list(items: list[str], most: int = 5) -> str:
    shown = ", ".join(items[:most])
    return shown if len(items) <= most else f"{shown} and {len(items) - most} more"
