"""exec-guard: nobody enters a pod of a zone or of the operator, unless the glass is broken, on the record."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.integration.admission.api import Answer, Object, User
from tests.integration.admission.objects import APPS, CLIENTS, CORE, HOME, INFERENCE, pod_spec, token_request
from tests.integration.admission.world import World

POLICY = "exec-guard.cloister.dev"
POD, SERVICE = "some-pod", "some-service"


def account_in(path: str) -> str:
    """Whose token would be worth something: any account's of a zone, and the operator's own."""
    return "cloister" if path.endswith(f"/{HOME}") else "default"


WAYS_IN: dict[str, Callable[[User, str], Answer]] = {
    "exec": lambda user, path: user.connect(f"{path}/pods/{POD}/exec", command="id", container="server"),
    "attach": lambda user, path: user.connect(f"{path}/pods/{POD}/attach", container="server", stdout="true"),
    "portforward": lambda user, path: user.connect(f"{path}/pods/{POD}/portforward", ports="8000"),
    "proxy to a pod": lambda user, path: user.connect(f"{path}/pods/{POD}/proxy"),
    "proxy to a path of a pod": lambda user, path: user.connect(f"{path}/pods/{POD}/proxy/v1/models"),
    "proxy to a port of a pod": lambda user, path: user.connect(f"{path}/pods/{POD}:8000/proxy"),
    "proxy to a service": lambda user, path: user.connect(f"{path}/services/{SERVICE}/proxy"),
    "proxy by GET": lambda user, path: user.get(f"{path}/services/https:{SERVICE}:8443/proxy/v1/models"),
    "ephemeral container": lambda user, path: user.patch(
        f"{path}/pods/{POD}/ephemeralcontainers",
        {"spec": {"ephemeralContainers": [pod_spec()["containers"][0] | {"name": "debug"}]}},
    ),
    "token": lambda user, path: user.create(f"{path}/serviceaccounts/{account_in(path)}/token", token_request()),
}


@pytest.fixture(scope="module", params=[INFERENCE, HOME])
def closed(request: pytest.FixtureRequest, world: World) -> Iterator[str]:
    """The path of a namespace whose pods nobody enters: a zone's, and the operator's own."""
    yield from _namespace_with_pod(world, request.param)


@pytest.fixture(scope="module")
def elsewhere(world: World) -> Iterator[str]:
    """The path of any other namespace."""
    yield from _namespace_with_pod(world, CLIENTS)


def _namespace_with_pod(world: World, namespace: str) -> Iterator[str]:
    path = f"{CORE}/namespaces/{namespace}"
    pod: Object = {"metadata": {"name": POD}, "spec": pod_spec()}
    service = {"metadata": {"name": SERVICE}, "spec": {"selector": {"no": "body"}, "ports": [{"port": 8443}]}}
    pods_by = services_by = world.admin
    if namespace == INFERENCE:  # where each is made only by who is for it
        stateful_sets = f"{APPS}/namespaces/{INFERENCE}/statefulsets"
        owner = {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "model", "controller": True}
        pod["metadata"]["ownerReferences"] = [owner | {"uid": world.first(stateful_sets)["metadata"]["uid"]}]
        pods_by, services_by = world.controller("statefulset-controller"), world.operator
    assert (answer := pods_by.create(f"{path}/pods", pod, real=True)).allowed, answer
    assert (answer := services_by.create(f"{path}/services", service, real=True)).allowed, answer
    yield path
    pods_by.delete(f"{path}/pods/{POD}", real=True, gracePeriodSeconds="0")
    services_by.delete(f"{path}/services/{SERVICE}", real=True)


@pytest.mark.parametrize("enter", WAYS_IN.values(), ids=WAYS_IN)
def test_nobody_enters(world: World, closed: str, enter: Callable[[User, str], Answer]) -> None:
    for user in (world.admin, world.operator, world.controller("statefulset-controller")):
        policies = (POLICY, "operator-guard.cloister.dev")  # the operator is refused by both
        assert (answer := enter(user, closed)).refused_by(*policies), (user.name, answer)


@pytest.mark.parametrize("enter", WAYS_IN.values(), ids=WAYS_IN)
def test_the_break_glass_group_does(world: World, closed: str, enter: Callable[[User, str], Answer]) -> None:
    assert (answer := enter(world.fire_fighter, closed)).allowed, answer


@pytest.mark.parametrize("enter", WAYS_IN.values(), ids=WAYS_IN)
def test_other_namespaces_are_as_before(world: World, elsewhere: str, enter: Callable[[User, str], Answer]) -> None:
    assert (answer := enter(world.admin, elsewhere)).allowed, answer


def test_other_accounts_of_the_operators_namespace_are_as_before(world: World) -> None:
    path = f"{CORE}/namespaces/{HOME}/serviceaccounts/default/token"
    for user in (world.admin, world.controller("daemon-set-controller")):
        assert (answer := user.create(path, token_request())).allowed, answer
    elsewhere = path.replace(HOME, INFERENCE)
    assert (answer := world.admin.create(elsewhere, token_request())).refused_by(POLICY), answer


def test_the_refusal_names_the_way_out(world: World, closed: str) -> None:
    message = WAYS_IN["exec"](world.admin, closed).message
    for text in ("pods/exec of", POD, "kubernetes-admin", "cloister:break-glass", "on the record"):
        assert text in message


def test_the_record_says_who_did_what_and_why(world: World) -> None:
    path = f"{CORE}/namespaces/{INFERENCE}/serviceaccounts/default/token"
    assert (answer := world.fire_fighter.create(path, token_request())).allowed, answer
    texts = ("jane used serviceaccounts/token of", INFERENCE, "reason: ticket 42")
    assert world.audited(f"{POLICY}/break-glass", *texts)


def test_a_refusal_is_on_the_record_too(world: World) -> None:
    path = f"{CORE}/namespaces/{INFERENCE}/serviceaccounts/default/token"
    world.admin.create(path, token_request())
    assert world.audited("validation.policy.admission.k8s.io/validation_failure", POLICY, "kubernetes-admin")


def test_a_kubelet_gets_the_token_of_its_pod_and_no_shell(world: World) -> None:
    path = f"{CORE}/namespaces/{INFERENCE}"
    pod = world.admin.get(f"{path}/pods/{world.bound_pod}").body["metadata"]
    bound = {"apiVersion": "v1", "kind": "Pod", "name": pod["name"], "uid": pod["uid"]}
    request = token_request(boundObjectRef=bound, audiences=["https://kubernetes.default.svc.cluster.local"])
    assert (answer := world.kubelet.create(f"{path}/serviceaccounts/default/token", request)).allowed, answer
    answer = world.kubelet.connect(f"{path}/pods/{world.bound_pod}/exec", command="id", container="server")
    assert answer.refused_by(POLICY), answer
    # The name of a kubelet without its group is nobody.
    pretender = world.server.user(world.kubelet.name)
    assert (answer := pretender.create(f"{path}/serviceaccounts/default/token", request)).refused_by(POLICY), answer
