"""CK6nn: the admission policies that guard zones, identities and the operator."""

from collections.abc import Iterator

from cloister.check.answer import Answer, Check, error, ok, warning
from cloister.check.installation import OPERATORS, VERSION_LABEL, operators
from cloister.check.view import Object, View, labels

POLICIES_PATH = "apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"
BINDINGS_PATH = "apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings"

GUARD_SUFFIX = "-guard.cloister.dev"
"""How the names of all of them end."""
POLICIES = tuple(
    f"{name}{GUARD_SUFFIX}"
    for name in (
        "namespace", "zone", "exec", "certificate", "request", "signing", "issuer", "ca", "home", "operator",
        "status",
    )
)  # fmt: skip
"""The policies of the chart."""
EXEC = f"exec{GUARD_SUFFIX}"


def _installed(view: View) -> Iterator[Answer]:
    there = _by_name(view, POLICIES_PATH)
    for name in POLICIES:
        found = there.get(name)
        if found is None:
            yield error(name, "is not installed")
        elif found["spec"].get("failurePolicy", "Fail") != "Fail":
            yield error(name, "lets everything through that it can't judge (failurePolicy)")
        elif warnings := (found.get("status", {}).get("typeChecking") or {}).get("expressionWarnings"):
            yield warning(name, f"the API server warns of {warnings[0].get('fieldRef', 'an expression')}")
        else:
            yield ok(name, "is installed, and refuses what it can't judge")


def _bound(view: View) -> Iterator[Answer]:
    there = _by_name(view, POLICIES_PATH)
    for name in POLICIES:
        bindings = [one for one in view.all(BINDINGS_PATH) if one["spec"].get("policyName") == name]
        if name not in there:
            continue  # CK601 says it
        if in_force := [one for one in bindings if _denies(one)]:
            yield ok(name, f"is bound by {', '.join(one['metadata']['name'] for one in in_force)}")
        elif bindings:
            yield error(name, f"is bound by {bindings[0]['metadata']['name']}, which does not deny")
        else:
            yield error(name, "is bound by nothing: it refuses nothing")
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
    """Whether a policy of the chart is there and denies."""
    bindings = [one for one in view.all(BINDINGS_PATH) if one["spec"].get("policyName") == name]
    return name in _by_name(view, POLICIES_PATH) and any(map(_denies, bindings))


def _denies(binding: Object) -> bool:
    return "Deny" in (binding["spec"].get("validationActions") or ())


def _by_name(view: View, path: str) -> dict[str, Object]:
    return {found["metadata"]["name"]: found for found in view.all(path)}


_UPGRADE = "upgrade the chart with admission.enabled=true, the default"

GUARDS = (
    Check("CK601", "The guards are installed", _UPGRADE, _installed, asks=(POLICIES_PATH,)),
    Check("CK602", "The guards are bound", _UPGRADE, _bound, asks=(POLICIES_PATH, BINDINGS_PATH)),
    Check(
        "CK603",
        "The guards' version",
        "upgrade the chart as a whole: the guards know what the operator of their version does",
        _versions,
        asks=(POLICIES_PATH, OPERATORS),
    ),
)
