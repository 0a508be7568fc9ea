"""Guards as the operator sees them: what was installed with it is in force, whatever else is told (ZT-04, ZT-10)."""

import copy
import json
from collections.abc import Callable
from typing import Any, cast

import pytest

from cloister.controller import errors
from cloister.controller.cluster import Cluster
from cloister.controller.guards import Guards
from cloister.controller.kinds import GUARDS, Resource
from cloister.controller.observed import Observed
from cloister.guards import BINDINGS, POLICIES, Failing, digest, failing
from tests.clusters import installed

Object = dict[str, Any]
POLICY, BINDING = (resource.kind for resource in GUARDS)


def told() -> dict[str, dict[str, str]]:
    """What the chart gives the operator with its defaults."""
    (operator,) = installed("operator.yaml", "Deployment")
    (container,) = operator["spec"]["template"]["spec"]["containers"]
    (text,) = [one["value"] for one in container["env"] if one["name"] == "CLOISTER_GUARDS"]
    digests: dict[str, dict[str, str]] = json.loads(text)
    return digests


def test_what_the_chart_tells_is_what_it_installs() -> None:
    """As the API server keeps it, with what it fills in."""
    policies, bindings = installed("admission.yaml", POLICY), installed("admission.yaml", BINDING)
    assert failing(policies, bindings, told()) == ()
    assert set(told()["policies"]) == set(POLICIES)
    assert set(told()["bindings"]) == set(BINDINGS)


def test_what_the_api_server_fills_in_changes_no_digest_and_all_else_does() -> None:
    spec: Object = {"matchConstraints": {"resourceRules": [{"resources": ["pods"]}]}, "validations": [{"reason": "ä"}]}
    filled: Object = {
        "matchConstraints": {
            "matchPolicy": "Equivalent",
            "namespaceSelector": {},
            "objectSelector": {},
            "resourceRules": [{"scope": "*", "resources": ["pods"]}],
        },
        "validations": spec["validations"],
    }
    assert digest(spec) == digest(filled)
    for part, value in (("matchPolicy", "Exact"), ("objectSelector", {"matchLabels": {"a": "b"}})):
        assert digest(filled | {"matchConstraints": filled["matchConstraints"] | {part: value}}) != digest(spec)
    narrowed = [{"scope": "Cluster", "resources": ["pods"]}]
    assert digest(filled | {"matchConstraints": {"resourceRules": narrowed}}) != digest(spec)


class Kept:
    """An API server with the chart's policies and bindings, and somebody else's."""

    def __init__(self) -> None:
        self.objects = {kind: copy.deepcopy(installed("admission.yaml", kind)) for kind in (POLICY, BINDING)}
        self.objects[POLICY].append({"kind": POLICY, "metadata": {"name": "somebody-elses"}, "spec": {}})
        self.version = 0
        self.error: errors.ApiError | None = None

    async def list(self, resource: Resource) -> tuple[list[Object], str]:
        if self.error:
            raise self.error
        self.version += 1
        for one in self.objects[resource.kind]:
            one["metadata"]["resourceVersion"] = str(self.version)
        return copy.deepcopy(self.objects[resource.kind]), str(self.version)

    def one(self, kind: str, name: str) -> Object:
        return next(one for one in self.objects[kind] if one["metadata"]["name"] == name)


@pytest.fixture
def kept() -> Kept:
    return Kept()


def guards_of(kept: Kept, digests: dict[str, dict[str, str]] | None = None) -> tuple[Guards, Observed]:
    observed = Observed()
    return Guards(cast(Cluster, kept), observed, told() if digests is None else digests), observed


async def test_all_in_force(kept: Kept) -> None:
    guards, _ = guards_of(kept)
    assert guards.failing is None, "nothing is known before anybody has looked"
    await guards.look()
    assert guards.failing == ()


async def test_an_operator_that_was_told_of_none_vouches_for_none(kept: Kept) -> None:
    guards, _ = guards_of(kept, {})
    await guards.look()
    assert {one.policy for one in guards.failing or ()} == set(POLICIES)


CHANGES: dict[str, tuple[Callable[[Kept], Any], str]] = {
    "a policy deleted": (
        lambda kept: kept.objects[POLICY].remove(kept.one(POLICY, "zone-guard.cloister.dev")),
        "zone-guard.cloister.dev is not installed",
    ),
    "a policy emptied": (
        lambda kept: kept.one(POLICY, "zone-guard.cloister.dev")["spec"].update(validations=[{"expression": "true"}]),
        "zone-guard.cloister.dev is not what was installed",
    ),
    "a policy disarmed": (
        lambda kept: kept.one(POLICY, "ca-guard.cloister.dev")["spec"].update(failurePolicy="Ignore"),
        "ca-guard.cloister.dev lets everything through that it can't judge",
    ),
    "one of two bindings deleted": (
        lambda kept: kept.objects[BINDING].remove(kept.one(BINDING, "exec-guard.cloister.dev")),
        "binding exec-guard.cloister.dev is not installed",
    ),
    "a binding narrowed": (
        lambda kept: kept.one(BINDING, "exec-guard.cloister.dev")["spec"].update(
            matchResources={"namespaceSelector": {"matchLabels": {"no": "where"}}}
        ),
        "binding exec-guard.cloister.dev is not what was installed",
    ),
    "a binding that only warns": (
        lambda kept: kept.one(BINDING, "exec-guard.cloister.dev")["spec"].update(validationActions=["Warn"]),
        "binding exec-guard.cloister.dev does not deny",
    ),
}


@pytest.mark.parametrize(("change", "said"), CHANGES.values(), ids=CHANGES)
async def test_whatever_is_not_in_force_is_named(kept: Kept, change: Callable[[Kept], Any], said: str) -> None:
    guards, _ = guards_of(kept)
    await guards.look()
    change(kept)
    await guards.look()
    (found,) = guards.failing or ()
    assert str(found).startswith(said)


async def test_a_watch_event_is_news_when_it_changes_what_is_in_force(kept: Kept) -> None:
    guards, observed = guards_of(kept)
    await guards.look()
    gone = copy.deepcopy(kept.one(BINDING, "zone-guard.cloister.dev"))
    gone["metadata"]["resourceVersion"] = "1000"
    observed.remove(gone)
    assert guards.judge()
    name = "zone-guard.cloister.dev"
    assert list(guards.failing or ()) == [Failing(name, f"binding {name}", "is not installed")]
    assert not guards.judge()
    gone["metadata"]["resourceVersion"] = "1001"
    observed.put(gone)
    assert guards.judge()
    assert list(guards.failing or ()) == []


async def test_what_may_not_be_read_is_not_known(kept: Kept) -> None:
    guards, _ = guards_of(kept)
    await guards.look()
    kept.error = errors.ForbiddenError("no")
    await guards.look()
    assert guards.failing is None
    kept.error = errors.UnavailableError("away")
    with pytest.raises(errors.UnavailableError):
        await guards.look()
