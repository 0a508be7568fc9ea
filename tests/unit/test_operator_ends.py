"""The leader's end, and a change that comes while status is written."""

import asyncio
import copy
from typing import Any

import pytest

from cloister import names
from cloister.controller import leader, metrics
from cloister.controller.observed import Observed
from cloister.controller.reporter import Reporter
from cloister.controller.status import View
from tests.unit.test_status import NOW, Scene


async def test_the_lease_is_given_up_when_nothing_is_written_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the next leader and this one would write at once, two versions of the operator in every upgrade."""
    said: list[str] = []
    begun = asyncio.Event()

    class Lock(leader._Lock):
        """Held at once, as a cluster would have it."""

        async def get(self, name: str, namespace: str) -> tuple[bool, Any]:
            return True, None

        async def update(self, *_: Any) -> bool:
            return True

        async def release(self) -> None:
            said.append("released")

    async def work() -> None:
        try:
            said.append("working")
            begun.set()
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.05)  # a write that is under way
            said.append("ended")

    monkeypatch.setattr(leader, "_Lock", Lock)
    leading = asyncio.create_task(leader.lead(None, "ns", work))  # type: ignore[arg-type] # asked by Lock alone
    await begun.wait()
    leading.cancel()
    await asyncio.gather(leading, return_exceptions=True)
    assert said == ["working", "ended", "released"]


class Api:
    """Answers a patch of status with the newest object, as the API server does."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self._spec = spec

    async def patch_status(self, raw: dict[str, Any], status: dict[str, Any]) -> dict[str, Any]:
        written = copy.deepcopy(raw)
        generation = raw["metadata"]["generation"] + bool(self._spec)
        written["metadata"] |= {"generation": generation, "resourceVersion": "12"}
        return written | {"spec": raw["spec"] | self._spec, "status": status}

    async def post_event(self, event: dict[str, Any]) -> None:
        """Nobody reads it."""


@pytest.mark.parametrize(("spec", "again"), [({"deletionPolicy": "Delete"}, 0.0), ({}, None)])
async def test_a_change_that_the_answer_tells_first_is_not_lost(spec: dict[str, Any], again: float | None) -> None:
    """Its watch event will be no news any more."""
    scene, observed = Scene(), Observed()
    scene.raw |= {"kind": names.KIND, "apiVersion": "cloister.dev/v1alpha1"}
    scene.raw["metadata"]["resourceVersion"] = "10"
    observed.put(scene.raw)
    reporter = Reporter(Api(spec), observed)  # type: ignore[arg-type] # its two methods are all that is used
    view = View(scene.raw, scene.deployment, scene.rendered, scene.outcome, scene.live.get, NOW)
    assert await reporter.report(view) == again


async def test_conditions_are_told_to_prometheus_also_where_nothing_is_written() -> None:
    def told() -> dict[str, float]:
        return {
            sample.labels["type"]: sample.value
            for family in metrics.CONDITION.collect()
            for sample in family.samples
            if sample.labels["deployment"] == scene.raw["metadata"]["name"] and sample.labels["status"] == "True"
        }

    scene = Scene()
    scene.raw["status"] = scene.status()
    reporter = Reporter(Api({}), Observed())  # type: ignore[arg-type] # nothing is written
    assert (
        await reporter.report(View(scene.raw, scene.deployment, scene.rendered, scene.outcome, scene.live.get, NOW))
        is None
    )
    assert told()["AccessMinimal"] == 1
    assert told()["Ready"] == 0
    reporter.forget(scene.raw["metadata"]["uid"], scene.raw["metadata"]["name"])
    assert told() == {}
