"""The admission policies that guard zones, identities and the operator: which there must be, and which fail.

What a policy says depends on the chart's values, so the chart gives the operator a digest of each that it has rendered
(helper `cloister.guards`). What the cluster holds is compared with those: a policy that was emptied and a binding that
was narrowed are found like ones that are gone.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Object = dict[str, Any]
Digests = Mapping[str, Mapping[str, str]]
"""`policies` and `bindings` -> name -> digest of its spec."""

GUARD_SUFFIX = "-guard.cloister.dev"
"""How the names of all policies end."""
EXEC = f"exec{GUARD_SUFFIX}"
POLICIES = tuple(
    f"{name}{GUARD_SUFFIX}"
    for name in (
        "namespace", "zone", "exec", "certificate", "request", "signing", "issuer", "ca", "home", "operator",
        "status",
    )
)  # fmt: skip
"""The policies of the chart."""
BINDINGS = dict(zip(POLICIES, POLICIES, strict=True)) | {"exec-guard-operator.cloister.dev": EXEC}
"""Its bindings, each with the policy that it puts in force."""

WAY_OUT = "upgrade the chart with admission.enabled=true, the default, and change guards by its values alone"
_DEFAULTS = (("matchPolicy", "Equivalent"), ("scope", "*"))
"""What the API server adds to what was left out, besides empty selectors."""


@dataclass(frozen=True)
class Failing:
    """A policy or a binding that is not in force as it was installed."""

    policy: str
    """The policy that does not guard for this reason."""
    name: str
    what: str

    def __str__(self) -> str:
        return f"{self.name} {self.what}"


def digest(spec: Any) -> str:
    """What the chart's `toRawJson | sha256sum | trunc 32` gives for the same spec, whatever the API server added."""
    plain = json.dumps(_plain(spec), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(plain.encode()).hexdigest()[:32]


def failing(policies: Iterable[Object], bindings: Iterable[Object], digests: Digests | None) -> tuple[Failing, ...]:
    """Everything that is not in force, policies first. What has no digest was not installed with the operator; without
    any (None) nothing is said of what policies and bindings contain."""
    return (*failing_policies(policies, digests), *failing_bindings(bindings, digests))


def failing_policies(policies: Iterable[Object], digests: Digests | None) -> Iterator[Failing]:
    """Policies of the chart that are not there, or not as they were installed."""
    there = _by_name(policies)
    for name in POLICIES:
        found = there.get(name)
        if found is not None and found["spec"].get("failurePolicy", "Fail") != "Fail":
            yield Failing(name, name, "lets everything through that it can't judge (failurePolicy)")
        elif what := _judged(found, name, None if digests is None else digests.get("policies", {})):
            yield Failing(name, name, what)


def failing_bindings(bindings: Iterable[Object], digests: Digests | None) -> Iterator[Failing]:
    """Bindings of the chart that are not there, do not deny, or are not as they were installed."""
    there = _by_name(bindings)
    for name, policy in BINDINGS.items():
        found = there.get(name)
        if found is not None and "Deny" not in (found["spec"].get("validationActions") or ()):
            yield Failing(policy, f"binding {name}", "does not deny")
        elif what := _judged(found, name, None if digests is None else digests.get("bindings", {})):
            yield Failing(policy, f"binding {name}", what)


def _judged(found: Object | None, name: str, wanted: Mapping[str, str] | None) -> str:
    """What is wrong with it, or nothing."""
    if found is None:
        return "is not installed"
    if wanted is None or wanted.get(name) == digest(found["spec"]):
        return ""
    return "is not what was installed with the operator" + ("" if name in wanted else ", which was told of none")


def _by_name(objects: Iterable[Object]) -> dict[str, Object]:
    return {str(one["metadata"]["name"]): one for one in objects}


def _plain(value: Any) -> Any:
    """Without what the API server fills in."""
    if isinstance(value, dict):
        return {
            name: inner
            for name, inner in ((name, _plain(inner)) for name, inner in value.items())
            if inner not in (None, {}, []) and (name, inner) not in _DEFAULTS
        }
    return [_plain(inner) for inner in value] if isinstance(value, list) else value
