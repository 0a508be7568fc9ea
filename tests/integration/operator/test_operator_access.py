"""What `spec.access` grants to people on a real API server, and all that it does not (ZT-11)."""

import pytest

from tests.integration.admission.api import Answer, User
from tests.integration.operator.world import World, full


@pytest.fixture(scope="module")
def name(world: World) -> str:
    """A deployment whose example grants `view` of inference to sre, and `logs` of training to ml-engineers."""
    return world.converge(full("peopled"))


def somebody(world: World, *groups: str) -> User:
    return User(world.admin.server, "ada", groups, master=False)


READ = ("pods", "services", "events", "persistentvolumeclaims")


@pytest.mark.parametrize(("group", "zone"), [("sre", "inference"), ("ml-engineers", "training")])
def test_a_role_reads_its_zone_and_no_other(world: World, name: str, group: str, zone: str) -> None:
    ada = somebody(world, group)
    for place in ("training", "inference", "storage", "canary"):
        answers = [ada.get(f"api/v1/namespaces/{name}-{place}/{what}") for what in READ]
        answers.append(ada.get(f"apis/apps/v1/namespaces/{name}-{place}/statefulsets"))
        if place == zone:
            assert [answer.code for answer in answers] == [200] * 5
        else:
            assert all(answer.refused_by_rbac for answer in answers), place
    assert ada.get("api/v1/pods").refused_by_rbac


@pytest.mark.parametrize(("group", "zone"), [("sre", "inference"), ("ml-engineers", "training")])
def test_no_role_changes_anything_enters_a_pod_or_reads_what_is_secret(
    world: World, name: str, group: str, zone: str
) -> None:
    ada, core = somebody(world, group), f"api/v1/namespaces/{name}-{zone}"
    refused: dict[str, Answer] = {
        "secrets": ada.get(f"{core}/secrets"),
        "a secret": ada.get(f"{core}/secrets/tls-{zone}"),
        "config maps": ada.get(f"{core}/configmaps"),
        "exec": ada.connect(f"{core}/pods/{zone}-0/exec", command="id"),
        "attach": ada.connect(f"{core}/pods/{zone}-0/attach"),
        "port-forward": ada.connect(f"{core}/pods/{zone}-0/portforward"),
        "proxy": ada.get(f"{core}/services/{zone}/proxy"),
        "a debugger": ada.patch(f"{core}/pods/{zone}-0/ephemeralcontainers", {}),
        "a token": ada.create(f"{core}/serviceaccounts/{zone}/token", {}),
        "patch": ada.patch(f"apis/apps/v1/namespaces/{name}-{zone}/statefulsets/{zone}", {"spec": {"replicas": 0}}),
        "delete": ada.delete(f"{core}/pods/{zone}-0"),
        "create": ada.create(f"{core}/pods", {}),
        "policies": ada.delete(f"apis/networking.k8s.io/v1/namespaces/{name}-{zone}/networkpolicies/deny-all"),
        "more power": ada.create(f"apis/rbac.authorization.k8s.io/v1/namespaces/{name}-{zone}/rolebindings", {}),
    }
    assert {what: str(answer) for what, answer in refused.items() if not answer.refused_by_rbac} == {}


def test_only_the_role_logs_reads_logs(world: World, name: str) -> None:
    path = f"api/v1/namespaces/{name}-{{}}/pods/nobody/log"
    assert somebody(world, "sre").get(path.format("inference")).refused_by_rbac
    # Allowed, and then there is no such pod.
    assert somebody(world, "ml-engineers").get(path.format("training")).code == 404


def test_whoever_is_in_no_group_sees_nothing(world: World, name: str) -> None:
    assert somebody(world).get(f"api/v1/namespaces/{name}-inference/pods").refused_by_rbac
