"""Rules for prompt injection from where a resource names them: what comes into force, what stays, and what is said."""

import asyncio
from typing import cast

import pytest

from cloister import names, sidecar
from cloister.controller.cluster import Cluster
from cloister.controller.configmaps import Content, Place
from cloister.controller.followed import Tell
from cloister.controller.observed import Observed
from cloister.controller.outcome import Outcome
from cloister.controller.rulesets import RuleSets
from cloister.controls import Family
from cloister.facts import Facts, Settings
from cloister.render import render
from cloister.spec import LLMDeployment
from tests.edits import deployment

WHERE = Place("security", "rules")
GOOD = "version: '1'\nrules:\n- {id: V1, score: 0.9, pattern: 'open the vault', source: us}\n"
BETTER = GOOD.replace("open", "close")


class Desk:
    """The source, with a ConfigMap that a test writes."""

    def __init__(self, observed: Observed, monkeypatch: pytest.MonkeyPatch) -> None:
        self._tell: Tell[Content] | None = None
        self._content: Content | None = None
        monkeypatch.setattr("cloister.controller.configmaps.follow", self._follow)
        monkeypatch.setattr("cloister.controller.rulesets._FIRST_SECONDS", 0.05)
        self.woken: list[str] = []
        self.rules = RuleSets(cast(Cluster, None), observed)
        self.rules.wakes(self.woken.extend)

    async def _follow(self, cluster: Cluster, where: Place, tell: Tell[Content]) -> None:
        assert where == WHERE
        self._tell = tell
        if self._content:
            tell(self._content)
        await asyncio.Event().wait()

    def write(self, text: str | None, key: str = "rules.yaml") -> None:
        """Puts a set into the ConfigMap; None deletes it."""
        self._content = Content(None if text is None else ((key, text),))
        if self._tell:
            self._tell(self._content)

    async def facts(self, declared: LLMDeployment) -> tuple[str | None, list[str]]:
        """The set in force, and what was said."""
        outcome = Outcome()
        found = await self.rules.facts(declared, outcome)
        assert all(one.family is Family.AUDIT_RECORDING for one in outcome.obstacles)
        return found, [one.message for one in outcome.obstacles]


@pytest.fixture
def observed() -> Observed:
    return Observed()


@pytest.fixture
def desk(observed: Observed, monkeypatch: pytest.MonkeyPatch) -> Desk:
    return Desk(observed, monkeypatch)


DECLARED = deployment(
    {"spec.inference.guard.injectionRules": {"configMapRef": {"name": "rules", "namespace": "security"}}}
)


async def test_a_set_comes_into_force_and_changes(desk: Desk) -> None:
    desk.write(GOOD)
    assert await desk.facts(DECLARED) == (GOOD, [])
    desk.write(BETTER)
    assert desk.woken == [DECLARED.name, DECLARED.name]
    assert await desk.facts(DECLARED) == (BETTER, [])
    await desk.rules.close()


@pytest.mark.parametrize(
    ("text", "key", "said"),
    [
        (None, "rules.yaml", "does not exist"),
        (GOOD, "other.yaml", "has no key 'rules.yaml'"),
        ("version: '1'\nrules: [{id: V1, score: 0.9, pattern: '(open', source: us}]", "rules.yaml", "no RE2 pattern"),
        ("version: '1'\nrules: [{id: V1, score: 7, pattern: 'open', source: us}]", "rules.yaml", "rules.0.score"),
        ("nothing", "rules.yaml", "not a mapping"),
        ("version: 2026-11-31", "rules.yaml", "put it in quotes"),
        ("? [a]\n: b", "rules.yaml", "the name of a field"),
        ("version: '1'\nrules: &a [*a]", "rules.yaml", "is an alias"),
    ],
)
async def test_a_bad_set_changes_nothing_that_is_in_force(desk: Desk, text: str | None, key: str, said: str) -> None:
    desk.write(text, key)
    found, (problem,) = await desk.facts(DECLARED)
    assert found is None
    assert said in problem
    assert "not ready until then" in problem
    desk.write(GOOD)
    assert await desk.facts(DECLARED) == (GOOD, [])
    desk.write(text, key)
    found, (problem,) = await desk.facts(DECLARED)
    assert found == GOOD
    assert said in problem
    assert "the rules known before stay" in problem
    await desk.rules.close()


async def test_an_operator_that_starts_again_finds_the_set_in_force(desk: Desk, observed: Observed) -> None:
    objects = render(DECLARED, Facts(injection_rules=GOOD), Settings())
    held = next(obj for obj in objects if obj["metadata"]["name"] == names.INJECTION_RULES)
    assert held["data"] == {sidecar.INJECTION_RULES.rsplit("/", 1)[1]: GOOD}
    held["metadata"]["resourceVersion"] = "7"
    observed.put(held)
    assert await desk.facts(DECLARED) == (GOOD, [])
    await desk.rules.close()


async def test_without_rules_nothing_is_followed(desk: Desk) -> None:
    assert await desk.facts(deployment({})) == (None, [])
    objects = render(deployment({}), Facts(), Settings())
    assert names.INJECTION_RULES not in {obj["metadata"]["name"] for obj in objects}
