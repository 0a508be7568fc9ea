"""CK711: webhooks and policies that may change a zone's pods on their way into the cluster."""

from collections.abc import Iterable, Iterator, Mapping

from cloister import names
from cloister.check.answer import MAY_NOT_READ, Answer, Check, ok, unknown, warning
from cloister.check.grants import ZONES
from cloister.check.view import Object, View, labels
from cloister.render.namespaces import POD_SECURITY
from cloister.zones import PLACES, Component

_ADMISSION = "apis/admissionregistration.k8s.io"
MUTATING_WEBHOOKS = f"{_ADMISSION}/v1/mutatingwebhookconfigurations"
MUTATING_POLICIES = (f"{_ADMISSION}/v1/mutatingadmissionpolicies", f"{_ADMISSION}/v1beta1/mutatingadmissionpolicies")

Labels = Mapping[str, str | None]
"""A label that has a value of the deployment's own is None."""


def _webhooks(view: View) -> Iterator[Answer]:
    zones = [{**labels(one), names.LABEL_NAMESPACE_NAME: one["metadata"]["name"]} for one in view.all(ZONES)]
    found = 0
    for configuration in view.all(MUTATING_WEBHOOKS):
        for webhook in configuration.get("webhooks") or ():
            if _matches(webhook, webhook.get("rules"), zones or _ZONES):
                found += 1
                yield warning(f"{configuration['metadata']['name']} ({webhook['name']})", "may change pods of zones")
    for path in MUTATING_POLICIES:
        if refusal := view.refused.get(path):
            found += 1
            yield unknown("mutating admission policies", refusal, MAY_NOT_READ)
        for policy in view.all(path):
            constraints = policy["spec"].get("matchConstraints") or {}
            if _matches(constraints, constraints.get("resourceRules"), zones or _ZONES):
                found += 1
                yield warning(f"MutatingAdmissionPolicy {policy['metadata']['name']}", "may change pods of zones")
    if not found:
        yield ok("", "no webhook changes pods of zones")


def _matches(scope: Object, rules: Iterable[Object] | None, zones: Iterable[Labels]) -> bool:
    """Whether pods of a zone are among what it is asked about."""
    return (
        any(map(_takes_pods, rules or ()))
        and any(_selects(scope.get("namespaceSelector"), zone) for zone in zones)
        and any(_selects(scope.get("objectSelector"), pod) for pod in _PODS)
    )


def _takes_pods(rule: Object) -> bool:
    return (
        bool({"", "*"} & set(rule.get("apiGroups") or ()))
        and bool({"pods", "*", "*/*"} & set(rule.get("resources") or ()))
        and bool({"CREATE", "UPDATE", "*"} & set(rule.get("operations") or ()))
        and rule.get("scope") != "Cluster"
    )


def _selects(selector: Object | None, known: Labels) -> bool:
    """Whether a label selector takes what has these labels; where that depends on a deployment's own, it may."""
    wanted = (selector or {}).get("matchLabels") or {}
    if any(name not in known or known[name] not in (None, value) for name, value in wanted.items()):
        return False
    return all(_meets(one, known) for one in (selector or {}).get("matchExpressions") or ())


def _meets(expression: Object, known: Labels) -> bool:
    name, values = expression["key"], expression.get("values") or ()
    match expression["operator"]:
        case "Exists":
            return name in known
        case "DoesNotExist":
            return name not in known
        case "In":
            return name in known and (known[name] is None or known[name] in values)
        case _:
            return name not in known or known[name] is None or known[name] not in values


_OURS: Labels = {names.LABEL_MANAGED_BY: names.FIELD_MANAGER, names.LABEL_DEPLOYMENT: None, names.LABEL_OWNER: None}
_ZONES: tuple[Labels, ...] = tuple(
    {**_OURS, **POD_SECURITY, names.LABEL_ZONE: place, names.LABEL_NAMESPACE_NAME: names.namespace("*", place)}
    for place in PLACES
)
"""Zones to be, where there are none yet: nobody has named them."""
_CONTROLLERS: tuple[Labels, ...] = (
    {
        "apps.kubernetes.io/pod-index": None,
        "controller-revision-hash": None,
        "statefulset.kubernetes.io/pod-name": None,
    },
    dict.fromkeys(names.JOB_LABELS),
)
"""What the StatefulSet and the Job controller add."""
_PODS: tuple[Labels, ...] = tuple(
    {**_OURS, **more, names.LABEL_COMPONENT: component, names.LABEL_ZONE: component.zone, names.LABEL_ROLE: None}
    for component in Component
    for more in _CONTROLLERS
)

WEBHOOKS = (
    Check(
        "CK711",
        "Who may change pods of zones on their way in",
        "have it leave zones out (namespaceSelector: cloister.dev/zone DoesNotExist): zone-guard refuses a container"
        " that it adds, and nobody sees what else it changes",
        _webhooks,
        asks=(MUTATING_WEBHOOKS, ZONES),
        sometimes=MUTATING_POLICIES,
    ),
)
