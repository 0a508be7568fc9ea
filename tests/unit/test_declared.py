"""The last good declaration comes back as it was, and only from where nobody else can put it (docs/adr/0029)."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given

from cloister import names
from cloister.controller.declared import last_good
from cloister.facts import Facts, Settings
from cloister.names import Key, key
from cloister.render import render
from cloister.render.phases import Phase, phase
from cloister.spec import LLMDeployment
from tests import strategies
from tests.edits import deployment

Object = dict[str, Any]


def cluster(declared: LLMDeployment) -> dict[Key, Object]:
    """What of a deployment the answer depends on, as it lies in a cluster."""
    made = {key(obj): copy.deepcopy(obj) for obj in render(declared, Facts(), Settings())}
    zone, kept = places(declared)
    return {zone: made[zone], kept: made[kept]}


def places(declared: LLMDeployment) -> tuple[Key, Key]:
    namespace = f"{declared.name}-storage"
    return ("Namespace", "", namespace), ("ConfigMap", namespace, "declaration")


def unusable(declared: LLMDeployment) -> Object:
    metadata = {"name": declared.name, "uid": declared.uid, "generation": declared.generation}
    return {"metadata": metadata, "spec": {"deletionPolicy": "Never"}}


@given(strategies.deployments())
def test_a_declaration_comes_back_as_it_was(declared: LLMDeployment) -> None:
    assert last_good(unusable(declared), cluster(declared).get) == declared


def test_it_is_written_before_anything_is_allowed() -> None:
    first, *_ = (obj for obj in render(deployment({}), Facts(), Settings()) if phase(obj) is Phase.IDENTITY)
    assert first["metadata"]["name"] == "declaration"


def relabelled(found: int, label: str) -> Callable[[list[Object]], None]:
    def change(objects: list[Object]) -> None:
        objects[found]["metadata"]["labels"][label] = "another"

    return change


def says(data: Object | None) -> Callable[[list[Object]], None]:
    def change(objects: list[Object]) -> None:
        objects[1]["data"] = data

    return change


NOT_BELIEVED = {
    "a namespace of somebody else's": relabelled(0, names.LABEL_MANAGED_BY),
    "a namespace kept for a resource that is gone": relabelled(0, names.LABEL_OWNER),
    "an object of a resource that is gone": relabelled(1, names.LABEL_OWNER),
    "an object of another deployment": relabelled(1, names.LABEL_DEPLOYMENT),
    "no data": says(None),
    "another file": says({"other.json": "{}"}),
    "no JSON": says({"spec.json": "{"}),
    "no mapping": says({"spec.json": "[]"}),
    "too deep": says({"spec.json": "[" * 100_000}),
    "what this version refuses": says({"spec.json": '{"deletionPolicy":"Never"}'}),
}


@pytest.mark.parametrize("change", NOT_BELIEVED.values(), ids=NOT_BELIEVED)
def test_what_is_not_surely_its_own_is_not_believed(change: Callable[[list[Object]], None]) -> None:
    declared = deployment({})
    found = cluster(declared)
    change(list(found.values()))
    assert last_good(unusable(declared), found.get) is None


@pytest.mark.parametrize("missing", [0, 1])
def test_where_there_is_none_there_is_none(missing: int) -> None:
    declared = deployment({})
    found = cluster(declared)
    del found[places(declared)[missing]]
    assert last_good(unusable(declared), found.get) is None


def test_a_declaration_that_no_configmap_can_hold_is_not_kept() -> None:
    """And so an older one goes, too: what is surplus is pruned."""
    words = ["w" * 4096] * 64
    fields = ("spec.inference.command", "spec.inference.args", "spec.training.command", "spec.training.args")
    for count, kept in ((3, True), (4, False)):
        declared = deployment(dict.fromkeys(fields[:count], words))
        made = {key(obj) for obj in render(declared, Facts(), Settings())}
        assert (places(declared)[1] in made) is kept
