"""Pure: the status of a deployment, from what one pass has found. What can't be proved is Unknown, never True.

`Ready`, `Reconciling` and `Stalled` have the meaning that kstatus (sigs.k8s.io/cli-utils) and so Argo CD and Flux give
them; the other conditions report one family of controls each.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cloister import names
from cloister.controller import conditions, proof, reported
from cloister.controller.families import FAMILIES, Verdict
from cloister.controller.outcome import LISTENERS_AWAITED, PROOF_AWAITED, Outcome, State
from cloister.controller.rotation import KeyringState
from cloister.controls import CONTROLS, Family
from cloister.flows import components, peer
from cloister.names import Key, key
from cloister.spec import LLMDeployment
from cloister.spec.behaviour import BehaviourAction
from cloister.spec.fields import InputVerdict
from cloister.spec.fields import Verdict as OutputVerdict
from cloister.zones import GATE_PORT, Zone

Object = dict[str, Any]

_MAX_CERTIFICATES = 256
_FATAL = {"Conflict", "Invalid", "NotKept", "NotResized"}
"""Refusals that time does not heal."""


@dataclass(frozen=True)
class View:
    """Everything that a status is made of."""

    raw: Object
    deployment: LLMDeployment | None
    """The declaration in force; None when there never was a valid one."""
    rendered: list[Object]
    """Empty when nothing could be written at all."""
    outcome: Outcome
    live: Callable[[Key], Object | None]
    now: datetime

    @property
    def previous(self) -> Object:
        """The status as it was."""
        return self.raw.get("status") or {}

    def settled(self) -> bool:
        """Whether the operator has done all that it can do for now, and cert-manager too."""
        written = all(
            result.in_force or result.reason in (PROOF_AWAITED, LISTENERS_AWAITED)
            for result in self.outcome.results.values()
        )
        certificates = (key(obj) for obj in self.rendered if obj["kind"] == "Certificate")
        issued = all(conditions.is_ready(self.live(found) or {}) for found in certificates)
        return bool(self.rendered) and written and issued


def build(view: View) -> Object:
    """The status, whole."""
    verdicts = _families(view)
    stalled = _stalled(view)
    ready = _ready(view, verdicts, stalled)
    reconciling = _reconciling(view, verdicts, stalled)
    wanted = {Family.READY.value: ready, "Reconciling": reconciling, "Stalled": stalled} | {
        family.value: verdict for family, verdict in verdicts.items()
    }
    status: Object = {
        "observedGeneration": view.raw["metadata"]["generation"],
        "phase": _phase(view, ready, stalled),
        "message": "" if ready.status == "True" else conditions.cut(ready.message),
        "conditions": conditions.merged(
            view.previous.get("conditions", ()),
            [_condition(view, kind, verdict) for kind, verdict in wanted.items()],
            conditions.timestamp(view.now),
        ),
        "exceptions": _exceptions(view),
        "controls": _controls(view, wanted),
    }
    status |= _details(view) if view.rendered else _kept(view, "zones", "endpoints", "certificates")
    if view.outcome.keyring_states:
        status["keyrings"] = [_keyring(one) for one in view.outcome.keyring_states]
    else:
        status |= _kept(view, "keyrings")
    if view.outcome.isolation is None:
        status |= _kept(view, "isolation")
    elif known := proof.as_status(view.outcome.isolation):
        status["isolation"] = known
    if view.outcome.alerts is not None:
        status["alerts"] = reported.as_status(view.outcome.alerts)
    elif view.deployment is None or view.deployment.spec.audit.export:
        status |= _kept(view, "alerts")
    drift = _last_drift(view)
    return status | ({"lastDrift": drift} if drift else {})


def _families(view: View) -> dict[Family, Verdict]:
    """One verdict a family. Where nothing is written, nobody can say any more that what was True still is."""
    verdicts = {}
    for family, judge in FAMILIES.items():
        obstacle = next((one for one in view.outcome.obstacles if one.family is family), None)
        if obstacle:
            verdicts[family] = Verdict("False", obstacle.reason, obstacle.message)
        elif view.deployment and view.rendered:
            verdicts[family] = judge(view.deployment, view.rendered, view.outcome, view.live)
        else:
            verdicts[family] = _before(view, family)
    return verdicts


def _before(view: View, family: Family) -> Verdict:
    known = conditions.find({"status": view.previous}, family)
    if known is None:
        return Verdict("Unknown", "NotApplied", "nothing of this deployment has been applied")
    if known["status"] == "True":
        return Verdict("Unknown", "NotWatched", f"nobody repairs it at the moment; until then: {known['message']}")
    return Verdict(known["status"], known["reason"], known["message"])


def _stalled(view: View) -> Verdict:
    for obstacle in view.outcome.obstacles:
        if obstacle.stalled:
            return Verdict("True", obstacle.reason, obstacle.message)
    for (kind, _, _), result in view.outcome.results.items():
        if result.state is State.FAILED and result.reason in _FATAL:
            reason = "ObjectConflict" if result.reason == "Conflict" else f"{kind}{result.reason}"
            return Verdict("True", reason, result.message)
    return Verdict("False", "NotStalled", "nothing waits for a person")


def _ready(view: View, verdicts: dict[Family, Verdict], stalled: Verdict) -> Verdict:
    if stalled.status == "True":
        return Verdict("False", stalled.reason, stalled.message)
    for wanted in ("False", "Unknown"):
        for family, verdict in verdicts.items():
            if verdict.status == wanted and not (wanted == "Unknown" and _excused(view, family)):
                return Verdict(wanted, verdict.reason, f"{family}: {verdict.message}")
    if expired := [one for one in _exceptions(view) if one["expired"]]:
        said = ", ".join(f"{one['control']} ({one['expires']})" for one in expired)
        way_out = "keep what it excuses, or name another day in spec.exceptions"
        return Verdict("Unknown", "ExceptionExpired", f"an exception has expired: {said}: {way_out}")
    if excepted := [one["control"] for one in _exceptions(view)]:
        return Verdict("True", "InForce", f"everything that was declared is in force, excepting {', '.join(excepted)}")
    return Verdict("True", "InForce", "everything that was declared is in force and proved")


def _excused(view: View, family: Family) -> bool:
    """Whether every control that a family reports has an exception. It is for what could not be proved: what was found
    to be False stays so."""
    controls = [control.id for control in CONTROLS if control.condition is family]
    return bool(controls) and all(_excepted(view, control) for control in controls)


def _excepted(view: View, control: str) -> bool:
    return view.deployment is not None and view.deployment.spec.excused(control, view.now.date())


def _reconciling(view: View, verdicts: dict[Family, Verdict], stalled: Verdict) -> Verdict:
    """True while time alone may change something."""
    if stalled.status == "True":
        return Verdict("False", "Stalled", "waits for a person")
    for family, verdict in verdicts.items():
        if verdict.status == "False":
            return Verdict("True", "Progressing", f"{family}: {verdict.message}")
    return Verdict("False", "Settled", "all that can be done is done")


def _phase(view: View, ready: Verdict, stalled: Verdict) -> str:
    if stalled.status == "True":
        return "Stalled"
    if ready.status == "True":
        return "Ready"
    applied = any(result.in_force for result in view.outcome.results.values())
    return "Progressing" if applied else "Pending"


def _condition(view: View, kind: str, verdict: Verdict) -> Object:
    return {
        "type": kind,
        "status": verdict.status,
        "reason": verdict.reason,
        "message": conditions.cut(verdict.message),
        "observedGeneration": view.raw["metadata"]["generation"],
    }


def _exceptions(view: View) -> list[Object]:
    today = view.now.date()
    return [
        {
            "control": one.control,
            "expires": one.expires.isoformat(),
            "expired": one.expires < today,
            "reason": one.reason,
        }
        for one in (view.deployment.spec.exceptions if view.deployment else ())
    ]


def _controls(view: View, verdicts: dict[str, Verdict]) -> list[Object]:
    """One line a control. One that this version does not enforce in full is Unknown, however green its family is."""
    lines = []
    for control in CONTROLS:
        status = verdicts[control.condition].status
        if "ValidatingAdmissionPolicy" in control.enforced_by and status == "True" and view.outcome.guards != ():
            status = verdicts[Family.ACCESS_MINIMAL].status
        if _excepted(view, control.id):
            status = "Excepted"
        elif status == "True" and (not control.enforced or control.id in _switched_off(view.deployment)):
            status = "Unknown"
        lines.append({"id": control.id, "status": status, "condition": control.condition.value})
    return lines


def _switched_off(deployment: LLMDeployment | None) -> frozenset[str]:
    """Controls of which the resource itself has turned a part off, or leaves one out."""
    if deployment is None:
        return frozenset()
    inference, training = deployment.spec.inference, deployment.spec.training
    guard, model = inference.guard, inference.model
    keys = [store.encryption for store in deployment.spec.storage.by_component().values()]
    off = {
        "ZT-07": inference.behaviour.action is BehaviourAction.OFF,
        "ZT-09": inference.behaviour.action is BehaviourAction.OFF,
        "ZT-14": training is not None and training.mask == (),
        "ZT-20": InputVerdict.OFF in (guard.prompt_injection, guard.request_schema),
        "ZT-22": guard.extraction is InputVerdict.OFF,
        "ZT-25": not all(encryption and encryption.rotate_every for encryption in keys),
        "ZT-26": model is None or model.public_key is None,
        "ZT-28": guard.sensitive_output is OutputVerdict.OFF,
    }
    return frozenset(control for control, is_off in off.items() if is_off)


def _details(view: View) -> Object:
    assert view.deployment is not None
    return {
        "zones": list(_zones(view)),
        "endpoints": list(_endpoints(view, view.deployment)),
        "certificates": list(_certificates(view))[:_MAX_CERTIFICATES],
    }


def _kept(view: View, *fields: str) -> Object:
    return {name: view.previous[name] for name in fields if name in view.previous}


def _zones(view: View) -> Iterable[Object]:
    assert view.deployment is not None
    for zone in Zone:
        namespace = names.namespace(view.deployment.name, zone)
        needed: tuple[Key, ...] = (("Namespace", "", namespace), ("NetworkPolicy", namespace, names.DENY_ALL))
        ready = all(one in view.outcome.results and view.outcome.results[one].in_force for one in needed)
        yield {"name": zone.value, "namespace": namespace, "ready": ready}


def _endpoints(view: View, deployment: LLMDeployment) -> Iterable[Object]:
    for component in components(deployment):
        end = peer(deployment, component)
        service = view.live(("Service", end.namespace, component.value))
        address = (service or {}).get("spec", {}).get("clusterIP")
        if address:
            yield {
                "component": component.value,
                "address": f"[{address}]:{GATE_PORT}" if ":" in address else f"{address}:{GATE_PORT}",
                "identity": end.identity,
            }


def _certificates(view: View) -> Iterable[Object]:
    for obj in view.rendered:
        if obj["kind"] != "Certificate":
            continue
        live = view.live(key(obj)) or {}
        line = {
            "name": obj["metadata"]["name"],
            "namespace": obj["metadata"]["namespace"],
            "ready": conditions.is_ready(live),
        }
        times = {name: (live.get("status") or {}).get(name) for name in ("notAfter", "renewalTime")}
        yield line | {name: value for name, value in times.items() if value}


def _keyring(one: KeyringState) -> Object:
    known: Object = {"store": one.store.value, "secret": one.secret}
    if one.current is None or one.created is None:
        return known
    return known | {"current": one.current, "old": list(one.old), "created": conditions.timestamp(one.created)}


def _last_drift(view: View) -> Object | None:
    if not view.outcome.repairs:
        known: Object | None = view.previous.get("lastDrift")
        return known
    repair = view.outcome.repairs[-1]
    return {
        "object": repair.object,
        "what": conditions.cut(repair.what),
        "time": conditions.timestamp(view.now),
    }
