"""Pure: what must be in force before an object may be written. Deny comes first, workloads last.

A hold on *creation* leaves what runs up to date: holding back an update would loosen nothing, but would keep an old
policy's workload from its new configuration.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from cloister import names
from cloister.controller.conditions import is_ready
from cloister.controller.observed import Object
from cloister.controller.outcome import LISTENERS_AWAITED, PROOF_AWAITED, Outcome, Result, State, describe
from cloister.facts import Facts
from cloister.flows import components
from cloister.names import Key, key
from cloister.render.phases import Phase, phase, within
from cloister.spec import LLMDeployment
from cloister.zones import PLACES, STORES, Component

PROOF = "ZT-17"

_FOUNDATION = {"Namespace", "ResourceQuota", "NetworkPolicy", "ServiceAccount"}
"""If one of these can't be put in force, nothing that stands on it is written. On what people may read nothing does."""


@dataclass(frozen=True)
class Hold:
    """Why an object is not written now."""

    reason: str
    message: str
    creation_only: bool = False

    def result(self) -> Result:
        """The hold as the object's result."""
        return Result(State.HELD, self.reason, self.message)


def hold(
    deployment: LLMDeployment,
    obj: Object,
    outcome: Outcome,
    facts: Facts,
    observed: Callable[[Key], Object | None],
) -> Hold | None:
    """The first thing that this object still waits for."""
    at = phase(obj)
    # Nothing that is missing elsewhere may keep inside who was shut out since: by a gate's rules, or by the list.
    config = obj["kind"] == "ConfigMap"
    list_of_revoked = config and obj["metadata"]["name"] == names.REVOCATIONS
    if at > Phase.DENY and (broken := _broken_foundation(outcome)):
        return Hold("PoliciesFirst", f"waits for {broken}", creation_only=config)
    if at is Phase.PROOF:
        return _canary(deployment, obj, facts)
    if obj["kind"] == "PersistentVolumeClaim" and not outcome.keyrings:
        return Hold(
            "KeysFirst", "waits for the stores' keyrings: a volume never exists before its keys", creation_only=True
        )
    if obj["kind"] == "Certificate" and at is Phase.STORAGE and not _issuer_ready(deployment, facts, observed):
        # cert-manager would try, fail and back off for each of them.
        return Hold("AuthorityFirst", "waits for the deployment's CA", creation_only=True)
    if at >= Phase.CONFIG and (missing_facts := missing(deployment, facts)):
        return Hold("WaitingForFacts", f"waits for {', '.join(missing_facts)}", creation_only=list_of_revoked)
    if at >= Phase.STORES:
        return _workload(deployment, obj, at, outcome, observed)
    return None


def receivers(deployment: LLMDeployment) -> tuple[Component, ...]:
    """Components with a Service: whatever others reach."""
    return tuple(component for component in components(deployment) if component.receives)


def missing(deployment: LLMDeployment, facts: Facts) -> list[str]:
    """What gate and auditor configurations need and nobody has answered yet."""
    wanted = []
    if facts.trust_bundle is None:
        wanted.append("the deployment's CA certificate")
    wanted += [
        f"the address of Service {component}"
        for component in receivers(deployment)
        if component not in facts.cluster_ips
    ]
    return wanted


def _workload(
    deployment: LLMDeployment, obj: Object, at: Phase, outcome: Outcome, observed: Callable[[Key], Object | None]
) -> Hold | None:
    config = _not_in_force(outcome, lambda found: found[0] == "ConfigMap")
    if config:
        return Hold("ConfigurationFirst", f"waits for {config}")
    if not outcome.keyrings:
        return Hold("KeysFirst", "waits for the stores' keyrings", creation_only=True)
    component = Component(obj["metadata"]["labels"][names.LABEL_COMPONENT])
    leaf = observed(("Certificate", obj["metadata"]["namespace"], names.leaf(component)))
    if leaf is None or not is_ready(leaf):
        return Hold("CertificateFirst", f"waits for the certificate of {component}", creation_only=True)
    if at is Phase.COMPUTE:
        stores = _not_in_force(outcome, lambda found: found[0] == "StatefulSet" and found[2] in STORES)
        if stores:
            return Hold("StoresFirst", f"waits for {stores}", creation_only=True)
        # An exception is for what could not be proved, and never for what was refuted.
        excused = deployment.spec.excused(PROOF, outcome.today) and outcome.standing.status != "False"
        if not excused and not outcome.standing.proved:
            return Hold(
                PROOF_AWAITED,
                f"waits for proof that its zone is isolated ({outcome.standing.message}). {_without_proof(outcome)}",
                creation_only=True,
            )
    return None


def _without_proof(outcome: Outcome) -> str:
    if outcome.standing.status == "False":
        return "It was refuted: no exception starts it"
    return f"An exception for {PROOF} in spec.exceptions that has not expired would start it without proof"


def _canary(deployment: LLMDeployment, obj: Object, facts: Facts) -> Hold | None:
    """What tries is made when everything listens: before, silence would say nothing."""
    listening = facts.canary and facts.canary.listeners
    if obj["metadata"]["labels"][names.LABEL_ROLE] == names.PROBER and not listening:
        return Hold(LISTENERS_AWAITED, "waits for the canaries that listen")
    return None


def _issuer_ready(deployment: LLMDeployment, facts: Facts, observed: Callable[[Key], Object | None]) -> bool:
    issuer = observed(("ClusterIssuer", "", names.ca(deployment.name, facts.ca_generation)))
    return issuer is not None and is_ready(issuer)


def _broken_foundation(outcome: Outcome) -> str | None:
    return _not_in_force(outcome, lambda found: found[0] in _FOUNDATION)


def _not_in_force(outcome: Outcome, among: Callable[[Key], bool]) -> str | None:
    broken = (found for found, result in outcome.results.items() if among(found) and not result.in_force)
    return next((describe(found) for found in broken), None)


def by_phase(rendered: Iterable[Object]) -> dict[Phase, list[list[Object]]]:
    """The objects of each phase, in batches that may be written at the same time."""
    phases: dict[Phase, list[list[Object]]] = {at: [[], []] for at in Phase}
    for obj in rendered:
        phases[phase(obj)][within(obj)].append(obj)
    return phases


def prunable(deployment: LLMDeployment, obj: Object, wanted: set[Key]) -> bool:
    """Whether an object is ours, is not wanted any more, and may go. Data, keys and whole zones never do; nor does what
    others make elsewhere with our labels."""
    metadata = obj["metadata"]
    mine = {deployment.uid} | ({deployment.spec.adopt} if deployment.spec.adopt else set())
    return (
        key(obj) not in wanted
        and obj["kind"] not in ("Namespace", "PersistentVolumeClaim", "Secret", "CertificateRequest")
        and metadata["labels"].get(names.LABEL_OWNER) in mine
        and (_in_zone(deployment, metadata) or _lies_outside(obj))
        and "deletionTimestamp" not in metadata
        # What a controller has made of ours (the Jobs of a CronJob) carries our labels and is its business.
        and not any(
            owner.get("controller") and owner.get("uid") not in mine for owner in metadata.get("ownerReferences", ())
        )
    )


def _in_zone(deployment: LLMDeployment, metadata: Object) -> bool:
    return metadata.get("namespace") in {names.namespace(deployment.name, place) for place in PLACES}


def _lies_outside(obj: Object) -> bool:
    """What is ours outside the zones, which is little."""
    return obj["kind"] in ("Certificate", "ClusterIssuer") and obj["metadata"]["name"].startswith("cloister-")
