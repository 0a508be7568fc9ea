"""CK6nn: the admission policies that guard zones, identities and the operator."""

import json
from collections.abc import Iterator

from cloister.check.answer import Answer, Check, error, ok, unknown, warning
from cloister.check.installation import OPERATORS, VERSION_LABEL, operators
from cloister.check.view import Object, View, labels
from cloister.guards import (
    BINDINGS,
    POLICIES,
    WAY_OUT,
    Digests,
    failing,
    failing_bindings,
    failing_policies,
)

POLICIES_PATH = "apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"
BINDINGS_PATH = "apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings"
_VARIABLE = "CLOISTER_GUARDS"
"""Of the operator's container: what the chart has rendered."""
_UNTOLD = "no operator tells what they must be; that they are there is all that is known"

_SEE_OPERATOR = "see CK502"


def _installed(view: View) -> Iterator[Answer]:
    there, digests = _by_name(view, POLICIES_PATH), _digests(view)
    wrong = {one.policy: one.what for one in failing_policies(there.values(), digests)}
    for name in POLICIES:
        if name in wrong:
            yield error(name, wrong[name])
        elif warnings := (there[name].get("status", {}).get("typeChecking") or {}).get("expressionWarnings"):
            yield warning(name, f"the API server warns of {warnings[0].get('fieldRef', 'an expression')}")
        else:
            yield ok(name, "is installed, and refuses what it can't judge")
    if digests is None and len(wrong) < len(POLICIES):
        yield unknown("", _UNTOLD, _SEE_OPERATOR)


def _bound(view: View) -> Iterator[Answer]:
    there, digests = _by_name(view, POLICIES_PATH), _digests(view)
    wrong = {one.name: str(one) for one in failing_bindings(view.all(BINDINGS_PATH), digests)}
    for binding, policy in BINDINGS.items():
        if policy not in there:
            continue  # CK601 says it
        if found := wrong.get(f"binding {binding}"):
            yield error(policy, found)
        else:
            yield ok(policy, f"is bound by {binding}")
    if not there.keys() & set(POLICIES):
        yield error("", "there is nothing to bind")


def _versions(view: View) -> Iterator[Answer]:
    wanted = {labels(found).get(VERSION_LABEL, "") for found in operators(view)}
    installed = [one for name, one in _by_name(view, POLICIES_PATH).items() if name in POLICIES]
    found: dict[str, list[str]] = {}
    for one in installed:
        found.setdefault(labels(one).get(VERSION_LABEL, ""), []).append(one["metadata"]["name"])
    for version, policies in sorted(found.items()):
        if {version} == wanted:
            yield ok(f"{len(policies)} policies", f"are of version {version}, as the operator")
        else:
            text = f"are of version {version or 'unknown'}, the operator of {', '.join(sorted(wanted)) or 'none'}"
            yield warning(", ".join(policies), text)
    if not found:
        yield error("", "no policy is installed")


def is_bound(view: View, name: str) -> bool:
    """Whether a policy of the chart is in force, wherever it is bound."""
    return name not in {one.policy for one in failing(view.all(POLICIES_PATH), view.all(BINDINGS_PATH), _digests(view))}


def _digests(view: View) -> Digests | None:
    """What the operator was installed with; None where no operator is seen, or none that can be read."""
    found = operators(view)
    if not found:
        return None
    containers = found[0]["spec"]["template"]["spec"].get("containers") or ()
    values = {one["name"]: one.get("value") for container in containers for one in container.get("env") or ()}
    try:
        told = json.loads(values.get(_VARIABLE) or "{}")
        return {kind: {str(name): str(text) for name, text in of.items()} for kind, of in told.items()}
    except (ValueError, AttributeError):
        return None


def _by_name(view: View, path: str) -> dict[str, Object]:
    return {found["metadata"]["name"]: found for found in view.all(path)}


GUARDS = (
    Check("CK601", "The guards are installed", WAY_OUT, _installed, asks=(POLICIES_PATH,), helped_by=(OPERATORS,)),
    Check(
        "CK602",
        "The guards are bound",
        WAY_OUT,
        _bound,
        asks=(POLICIES_PATH, BINDINGS_PATH),
        helped_by=(OPERATORS,),
    ),
    Check(
        "CK603",
        "The guards' version",
        "upgrade the chart as a whole: the guards know what the operator of their version does",
        _versions,
        asks=(POLICIES_PATH, OPERATORS),
    ),
)
