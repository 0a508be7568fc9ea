"""status-guard: only the operator says how a deployment stands, and its users still change what they declare."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import yaml

from tests.integration.admission.api import Answer, Object, User
from tests.integration.admission.objects import DEPLOYMENTS, EXAMPLE
from tests.integration.admission.world import World

POLICY = "status-guard.cloister.dev"
NAME = "guarded-status"
ONE = f"{DEPLOYMENTS}/{NAME}"
PROVED: Object = {
    "status": {
        "phase": "Ready",
        "conditions": [
            {
                "type": "IsolationProven",
                "status": "True",
                "reason": "Proven",
                "message": "forged",
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            }
        ],
    }
}


@pytest.fixture(scope="module")
def deployment(world: World) -> Iterator[Object]:
    """An LLMDeployment, made by a user as always."""
    body = yaml.safe_load(EXAMPLE.read_text()) | {"metadata": {"name": NAME}}
    answer = world.admin.create(DEPLOYMENTS, body, real=True)
    assert answer.allowed, answer
    yield answer.body
    world.admin.delete(ONE, real=True)


def replaced(user: User) -> Answer:
    return user.replace(f"{ONE}/status", user.get(ONE).body | PROVED)


FORGERIES: dict[str, Callable[[User], Answer]] = {
    "merge patch": lambda user: user.patch(f"{ONE}/status", PROVED),
    "json patch": lambda user: user.patch(
        f"{ONE}/status", [{"op": "add", "path": "/status", "value": PROVED["status"]}], "json"
    ),
    "apply": lambda user: user.patch(
        f"{ONE}/status",
        {"apiVersion": "cloister.dev/v1alpha1", "kind": "LLMDeployment", "metadata": {"name": NAME}} | PROVED,
        "apply",
    ),
    "update": replaced,
    "metadata through status": lambda user: user.patch(f"{ONE}/status", {"metadata": {"annotations": {"note": "x"}}}),
}


@pytest.mark.parametrize("forge", FORGERIES.values(), ids=FORGERIES)
def test_only_the_operator_writes_a_status(world: World, deployment: Object, forge: Callable[[User], Answer]) -> None:
    assert (answer := forge(world.operator)).allowed, answer
    assert (answer := forge(world.fire_fighter)).allowed, answer
    for user in (world.admin, world.cert_manager, world.controller("generic-garbage-collector"), world.kubelet):
        assert (answer := forge(user)).refused_by(POLICY), (user.name, answer)


def test_the_refusal_names_who_what_and_the_way_out(world: World, deployment: Object) -> None:
    message = world.admin.patch(f"{ONE}/status", PROVED).message
    for text in ("llmdeployments/status", NAME, "kubernetes-admin", "Change its spec", "cloister:break-glass"):
        assert text in message


def test_breaking_the_glass_is_on_the_record(world: World, deployment: Object) -> None:
    assert (answer := world.fire_fighter.patch(f"{ONE}/status", PROVED)).allowed, answer
    assert world.audited(f"{POLICY}/break-glass", f"jane wrote the status of {NAME}", "ticket 42")


def test_what_is_declared_is_its_users(world: World, deployment: Object) -> None:
    """And no status comes in with it: the API server takes that by its own subresource alone."""
    note: Object = {"metadata": {"annotations": {"note": "x"}}}
    answer = world.admin.patch(ONE, note | PROVED)
    assert answer.allowed, answer
    assert "forged" not in str(answer.body)
    again = yaml.safe_load(EXAMPLE.read_text()) | {"metadata": {"name": f"{NAME}-new"}} | PROVED
    answer = world.admin.create(DEPLOYMENTS, again)
    assert answer.allowed, answer
    assert "forged" not in str(answer.body)
    assert (answer := world.admin.delete(ONE)).allowed, answer
