"""Configuration of the auditor of each component, in the model that the auditor reads."""

from collections.abc import Iterable, Iterator

from cloister import names, sidecar
from cloister.facts import Facts, Settings
from cloister.flows import Flow, bucket_path, components, gated, peer
from cloister.render.meta import Object, child, compact
from cloister.spec import LLMDeployment, seconds
from cloister.spec.behaviour import BehaviourAction
from cloister.spec.fields import InputVerdict, Verdict
from cloister.spec.replies import MachinesBudget, PersonsBudget
from cloister.zones import HEALTH_PORT, METRICS_PORT, Component, Verb

SHIPPING_SECONDS = 20
"""How long a pod waits at its end for its last records to be stored; what is left waits on its volume."""
TRAINING_SHIPPING_SECONDS = 570
"""The same for a pod of training, whose volume nobody else reads until the next run (render/workloads.py: grace)."""


def auditor_configs(deployment: LLMDeployment, facts: Facts, settings: Settings) -> Iterator[Object]:
    """One ConfigMap a component."""
    for component in filter(lambda one: one.audited, components(deployment)):
        config = child(
            deployment,
            "v1",
            "ConfigMap",
            names.auditor_config(component),
            zone=component.zone,
            component=component,
        )
        document = auditor_settings(deployment, component).model_dump(mode="json", exclude_none=True)
        yield config | {"data": {"auditor.json": compact(document)}}


def revocations(deployment: LLMDeployment, facts: Facts, settings: Settings) -> Iterator[Object]:
    """The list of those who are no longer admitted. As long as it is not known the auditor finds no file, and admits no
    person. Mounted whole, without subPath, so that a running pod sees every change."""
    if reads_revocations(deployment, Component.INFERENCE):
        config = child(deployment, "v1", "ConfigMap", names.REVOCATIONS, zone=Component.INFERENCE.zone)
        file = sidecar.REVOCATIONS.rsplit("/", 1)[1]
        yield config if facts.revocations is None else config | {"data": {file: facts.revocations}}


def reads_revocations(deployment: LLMDeployment, component: Component) -> bool:
    """Whether a component's auditor has a list of revocations."""
    users = deployment.spec.identity.users
    return component is Component.INFERENCE and users is not None and users.revocations is not None


def injection_rules(deployment: LLMDeployment, facts: Facts, settings: Settings) -> Iterator[Object]:
    """The user's rules for prompt injection. As long as they are not known the pod is not ready."""
    if reads_injection_rules(deployment, Component.INFERENCE):
        config = child(deployment, "v1", "ConfigMap", names.INJECTION_RULES, zone=Component.INFERENCE.zone)
        file = sidecar.INJECTION_RULES.rsplit("/", 1)[1]
        yield config if facts.injection_rules is None else config | {"data": {file: facts.injection_rules}}


def reads_injection_rules(deployment: LLMDeployment, component: Component) -> bool:
    """Whether a component's auditor has rules of the user's."""
    return component is Component.INFERENCE and deployment.spec.inference.guard.injection_rules is not None


def auditor_settings(deployment: LLMDeployment, component: Component) -> sidecar.Auditor:
    """What one auditor stands between, and where its record goes."""
    base = sidecar.Auditor(
        deployment=deployment.name,
        component=str(component),
        identity=peer(deployment, component).identity,
        listen=None if component is Component.TRAINING else sidecar.AUDITOR_SOCKET,
        journal=_journal(deployment, component),
        health_port=HEALTH_PORT,
        metrics_port=METRICS_PORT,
    )
    return base.model_copy(update=_upstream(deployment, component))


def _journal(deployment: LLMDeployment, component: Component) -> sidecar.Journal:
    own, audit = peer(deployment, component), deployment.spec.audit
    # The auditor of the logs themselves puts its segments straight into the store behind it.
    socket = sidecar.STORE_SOCKET if component is Component.INTERACTION_LOGS else sidecar.JOURNAL_SOCKET
    return sidecar.Journal(
        recipients=audit.sealed_for(),
        content=audit.content.value,
        upstream=f"unix:{socket}",
        path=bucket_path(Component.INTERACTION_LOGS, f"{own.namespace}/{own.service_account}/"),
        last_shipping_seconds=TRAINING_SHIPPING_SECONDS if component is Component.TRAINING else SHIPPING_SECONDS,
    )


def _upstream(deployment: LLMDeployment, component: Component) -> Object:
    match component:
        case Component.INFERENCE:
            return _model_server(deployment)
        case Component.TRAINING:
            return {
                "s3_listen": f"127.0.0.1:{sidecar.S3_PORT}",
                "s3_upstream": f"unix:{sidecar.STORES_SOCKET}",
                "buckets": _used(deployment, component),
            }
        case _:
            served = tuple(flow for flow in gated(deployment) if flow.target.component is component)
            return {
                "upstream": sidecar.Upstream(kind="s3", address=f"unix:{sidecar.STORE_SOCKET}"),
                "buckets": (_bucket(component, served, masking=True),),
                "scratch_directory": sidecar.SCRATCH_DIR,
            }


def _used(deployment: LLMDeployment, component: Component) -> tuple[sidecar.Bucket, ...]:
    """What a component may do in the stores. They mask; here nothing is masked a second time."""
    used: dict[Component, list[Flow]] = {}
    for flow in gated(deployment):
        if flow.source.component is component and flow.target.component and Verb.APPEND not in flow.rule.verbs:
            used.setdefault(flow.target.component, []).append(flow)
    return tuple(_bucket(store, through, masking=False) for store, through in sorted(used.items()))


def _bucket(store: Component, through: Iterable[Flow], *, masking: bool) -> sidecar.Bucket:
    """The rights in a store, by identity, that flows give."""
    holders: dict[str, list[Flow]] = {}
    for flow in through:
        holders.setdefault(flow.source.identity, []).append(flow)
    access = (_access(store, identity, given, masking=masking) for identity, given in sorted(holders.items()))
    return sidecar.Bucket(name=str(store), access=tuple(access))


def _access(store: Component, identity: str, given: list[Flow], *, masking: bool) -> sidecar.Access:
    root = bucket_path(store)
    reads: list[sidecar.Read] = []
    rights: dict[Verb, list[str]] = {Verb.WRITE: [], Verb.APPEND: []}
    for flow in given:
        for grant in flow.grants:
            prefixes = tuple(path.removeprefix(root) for path in grant.prefixes)
            if Verb.READ in flow.rule.verbs:
                objects = tuple(path.removeprefix(root) for path in grant.paths)
                masked = grant.masked if masking else ()
                reads.append(sidecar.Read(prefixes=prefixes, objects=objects, masked=masked))
            for verb in rights.keys() & set(flow.rule.verbs):
                rights[verb].extend(prefixes)
    return sidecar.Access(
        identity=identity,
        reads=tuple(reads),
        writes=tuple(dict.fromkeys(rights[Verb.WRITE])),
        appends=tuple(dict.fromkeys(rights[Verb.APPEND])),
    )


def _model_server(deployment: LLMDeployment) -> Object:
    inference = deployment.spec.inference
    return {
        "upstream": sidecar.Upstream(
            kind="http", address=f"127.0.0.1:{inference.port}", health_path=inference.health.path
        ),
        "apis": tuple(
            sidecar.ApiAllowed(name=name, methods=tuple(map(str, api.methods)), paths=api.paths)
            for name, api in sorted(inference.apis.items())
        ),
        "people": _people(deployment),
        "behaviour": _behaviour(deployment),
        "limits": sidecar.Limits(
            max_body_bytes=inference.limits.max_body_bytes,
            max_output_bytes=inference.limits.max_output_bytes,
            concurrent=inference.limits.concurrent,
        ),
        "request_schema": inference.guard.request_schema.value,
        "output": _output(deployment),
        "guard": sidecar.Guard(
            prompt_injection=inference.guard.prompt_injection.value,
            threshold=inference.guard.injection_threshold,
            rules=sidecar.INJECTION_RULES if inference.guard.injection_rules else None,
        ),
        "extraction": _extraction(deployment),
    }


def _output(deployment: LLMDeployment) -> sidecar.Output | None:
    guard = deployment.spec.inference.guard
    if guard.sensitive_output is Verdict.OFF:
        return None
    return sidecar.Output.model_validate(
        {
            "action": guard.sensitive_output.value,
            "kinds": tuple(kind.value for kind in guard.output_kinds),
            "patterns": guard.patterns,
            "dictionaries": guard.dictionaries,
            "canaries": guard.canaries,
        }
    )


def _behaviour(deployment: LLMDeployment) -> sidecar.Behaviour | None:
    wanted = deployment.spec.inference.behaviour
    if wanted.action is BehaviourAction.OFF:
        return None
    return sidecar.Behaviour(
        enforced=wanted.action is BehaviourAction.ENFORCE,
        flag=wanted.flag_at,
        step_up=wanted.step_up_at,
        end=wanted.end_at,
        half_life_seconds=60 * wanted.half_life_minutes,
        travel_seconds=60 * wanted.travel_minutes,
    )


def _extraction(deployment: LLMDeployment) -> sidecar.Extraction | None:
    guard = deployment.spec.inference.guard
    if guard.extraction is InputVerdict.OFF:
        return None
    budgets = {"people": _budget(guard.budgets.people), "machines": _budget(guard.budgets.machines)}
    return sidecar.Extraction.model_validate({"action": guard.extraction.value, **budgets})


def _budget(budget: PersonsBudget | MachinesBudget) -> sidecar.Budget:
    return sidecar.Budget(
        similar=budget.similar_prompts,
        tokens=budget.output_tokens,
        logprobs=budget.logprobs,
        embeddings=budget.embeddings,
        repetitions=budget.repetitions,
    )


def _people(deployment: LLMDeployment) -> sidecar.People:
    users = deployment.spec.identity.users
    if users is None:
        return sidecar.People()
    return sidecar.People(
        claims=sidecar.Claims(**users.claims.paths()),
        max_session_seconds=seconds(users.max_session_age) if users.max_session_age else None,
        acr_values=users.mfa.acr,
        revocations=sidecar.REVOCATIONS if users.revocations else None,
    )
