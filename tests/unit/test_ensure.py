"""Single objects against a cluster that keeps what a real one keeps: a Job's template can't be changed."""

import asyncio
import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from cloister import names
from cloister.controller import errors, unfinished
from cloister.controller.ensure import Ensurer
from cloister.controller.kinds import POD, Resource
from cloister.controller.observed import Observed
from cloister.controller.outcome import Result, State
from cloister.facts import Facts, Settings
from cloister.render import render
from cloister.spec import parse
from cloister.zones import Component

Object = dict[str, Any]

INPUT = Path(__file__).parents[1] / "cases" / "one-job" / "input.yaml"
BEFORE, AFTER = Settings(), Settings(image="ghcr.io/cloister-dev/cloister:99.0.0")
READY = {"active": 1, "ready": 1}
STARTING = {"active": 1, "ready": 0}


def declared(**training: Any) -> Object:
    raw: Object = yaml.safe_load(INPUT.read_text())
    raw["metadata"]["uid"] = "11111111-1111-1111-1111-111111111111"
    raw["spec"]["training"] |= {"suspend": False} | training
    return raw


def job(raw: Object, settings: Settings) -> Object:
    (found,) = [
        obj
        for obj in render(parse(raw), Facts(), settings)
        if obj["kind"] == "Job" and obj["metadata"]["labels"].get(names.LABEL_COMPONENT) == Component.TRAINING
    ]
    return found


class Kept:
    """Stands for the API server, with one Job and its pods."""

    def __init__(self) -> None:
        self.observed = Observed()
        self.phases: list[str] = []
        """Of the Job's pods."""
        self.deleted = 0
        self._live: Object | None = None
        self._version = 0
        self.ensurer = Ensurer(self, self.observed)  # type: ignore[arg-type]

    @property
    def live(self) -> Object:
        assert self._live
        return self._live

    def set(self, **status: Any) -> None:
        self._keep(self.live | {"status": status})

    async def list(self, resource: Resource, selector: str, namespace: str) -> tuple[list[Object], str]:
        assert (resource, namespace) == (POD, self.live["metadata"]["namespace"])
        assert selector == f"batch.kubernetes.io/controller-uid={self.live['metadata']['uid']}"
        return [{"status": {"phase": phase}} for phase in self.phases], "1"

    async def apply(self, obj: Object) -> tuple[Object, bool]:
        created = self._live is None
        if self._live and self._live["spec"]["template"] != obj["spec"]["template"]:
            raise errors.InvalidError('Job "x" is invalid: spec.template: field is immutable', 422)
        self._keep((self._live or {}) | copy.deepcopy(obj))
        return self.live, created

    async def delete(self, _: Object, propagation: str) -> None:
        assert propagation == "Background"
        self.deleted += 1
        self._live = None

    def ensure(self, raw: Object, settings: Settings) -> Result:
        result, repair = asyncio.run(self.ensurer.ensure(parse(raw), job(raw, settings), may_create=True))
        assert repair is None
        return result

    def _keep(self, obj: Object) -> None:
        self._version += 1
        self._live = obj | {"metadata": obj["metadata"] | {"resourceVersion": str(self._version), "uid": "u"}}
        self.observed.put(self._live)


def image(obj: Object) -> str:
    pod = obj["spec"]["template"]["spec"]
    (found,) = [one["image"] for one in pod["initContainers"] if one["name"] == "auditor"]
    return str(found)


@pytest.fixture
def kept() -> Kept:
    kept = Kept()
    assert kept.ensure(declared(), BEFORE).in_force
    return kept


@pytest.mark.parametrize(
    ("status", "phases"), [(READY, []), (STARTING, ["Running"]), (STARTING, ["Pending", "Failed"])]
)
def test_a_run_that_has_begun_is_left_to_finish(kept: Kept, status: Object, phases: list[str]) -> None:
    kept.set(**status)
    kept.phases = phases
    for _ in range(2):
        result = kept.ensure(declared(), AFTER)
        assert (result.state, result.reason) == (State.IN_FORCE, "Unfinished")
        assert "applies to the next run" in result.message
    assert (kept.deleted, image(kept.live)) == (0, BEFORE.image)


@pytest.mark.parametrize(("status", "phases"), [({}, []), ({"failed": 1}, []), (STARTING, ["Pending"])])
def test_one_that_has_not_is_made_again(kept: Kept, status: Object, phases: list[str]) -> None:
    """Such as one that waits for an image that never comes."""
    kept.set(**status)
    kept.phases = phases
    assert kept.ensure(declared(), AFTER) == Result(State.IN_FORCE)
    assert (kept.deleted, image(kept.live)) == (1, AFTER.image)


def test_suspending_ends_it_all_the_same_and_resuming_begins_anew(kept: Kept) -> None:
    kept.set(**READY)
    kept.ensure(declared(), AFTER)
    for suspend in (True, False, True):
        assert kept.ensure(declared(suspend=suspend), AFTER).reason == "Unfinished"
        assert (kept.live["spec"]["suspend"], kept.deleted) == (suspend, 0)
    kept.set(active=0)  # by the Job's controller
    assert kept.ensure(declared(), AFTER) == Result(State.IN_FORCE)
    assert (kept.deleted, image(kept.live)) == (1, AFTER.image)


def test_what_a_job_knows_its_pods_by_is_never_applied(kept: Kept) -> None:
    """What we apply is ours, and would be taken away when it is not applied again."""
    live = copy.deepcopy(kept.live)
    labels = live["spec"]["template"]["metadata"]["labels"]
    added = {"batch.kubernetes.io/controller-uid": "u", "batch.kubernetes.io/job-name": "j", "controller-uid": "u"}
    labels |= added
    begun = unfinished.as_begun(live, job(declared(), AFTER))
    assert not added.keys() & begun["spec"]["template"]["metadata"]["labels"].keys()
    assert added.items() <= labels.items(), "what is known of the cluster stays as it is"


def test_what_others_have_put_in_its_place_is_never_left(kept: Kept) -> None:
    """Drift is told by what was rendered, however long it has been running."""
    forged = copy.deepcopy(kept.live)
    forged["spec"]["template"]["spec"]["containers"][0]["image"] = "evil"
    kept._keep(forged)
    kept.set(**READY)
    raw = declared()
    result, repair = asyncio.run(kept.ensurer.ensure(parse(raw), job(raw, BEFORE), may_create=True))
    assert result.in_force
    assert repair
    assert kept.deleted == 1
    assert "evil" not in str(kept.live)


def test_a_finished_run_is_never_made_again(kept: Kept) -> None:
    kept.set(conditions=[{"type": "Complete", "status": "True"}])
    assert kept.ensure(declared(), AFTER) == Result(State.IN_FORCE)
    assert (kept.deleted, image(kept.live)) == (0, BEFORE.image)


def test_a_run_is_named_after_what_is_declared_alone() -> None:
    """So a release that brings a field, or another default, does not train again."""
    name = job(declared(), BEFORE)["metadata"]["name"]
    assert job(declared(suspend=True), AFTER)["metadata"]["name"] == name
    assert job(declared(args=[], nodeSelector={}, tolerations=[]), BEFORE)["metadata"]["name"] == name
    assert job(declared(args=["--again"]), BEFORE)["metadata"]["name"] != name
