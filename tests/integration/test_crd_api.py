"""What the API server itself makes of the CRD: it takes the rules, refuses what we refuse, and names the field."""

import copy
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from kubernetes import client, config

from cloister import names
from cloister.crd import crd
from tests import malformed
from tests.backends import BACKEND, backed
from tests.cluster import ControlPlane
from tests.cluster.external import ExternalCluster
from tests.edits import REMOVED, edited, example

pytestmark = pytest.mark.timeout(600)

CLIENTS = 8


class Resources:
    """LLMDeployments of one cluster."""

    def __init__(self, api: client.CustomObjectsApi) -> None:
        self._api = api
        self._where: dict[str, Any] = {"group": names.GROUP, "version": names.VERSION, "plural": names.PLURAL}

    def refusal(self, raw: Any) -> str | None:
        """What the API server says to the creation of a resource; None if it takes it. Nothing is stored."""
        try:
            self._api.create_cluster_custom_object(
                **self._where, body=raw, dry_run="All", field_validation="Strict", _request_timeout=30
            )
        except client.ApiException as error:
            return _message(error)
        return None

    def create(self, raw: dict[str, Any]) -> None:
        """Store a resource."""
        self._api.create_cluster_custom_object(**self._where, body=raw)

    def refusal_of_change(self, raw: dict[str, Any]) -> str | None:
        """What the API server says to a change of a stored resource."""
        name = raw["metadata"]["name"]
        stored: Any = self._api.get_cluster_custom_object(**self._where, name=name)
        raw = copy.deepcopy(raw)
        raw["metadata"]["resourceVersion"] = stored["metadata"]["resourceVersion"]
        try:
            self._api.replace_cluster_custom_object(**self._where, name=name, body=raw, dry_run="All")
        except client.ApiException as error:
            return _message(error)
        return None

    def delete(self, name: str) -> None:
        """Delete a resource."""
        self._api.delete_cluster_custom_object(**self._where, name=name)


def _message(error: client.ApiException) -> str:
    assert error.status in (400, 422), f"{error.status}: {error.body}"
    message: str = json.loads(error.body or "{}")["message"]
    return message


@pytest.fixture(scope="module")
def resources(cluster: ControlPlane | ExternalCluster) -> Resources:
    # Applying fails if a rule's estimated cost is over the API server's limit, or if the schema is not structural.
    cluster.kubectl.apply([crd()])
    cluster.kubectl.wait_until_served(f"{names.PLURAL}.{names.GROUP}")
    settings = client.Configuration()
    settings.connection_pool_maxsize = CLIENTS
    load: Callable[..., None] = config.load_kube_config
    load(str(cluster.kubectl.kubeconfig), client_configuration=settings)
    return Resources(client.CustomObjectsApi(client.ApiClient(settings)))


@pytest.fixture
def stored(resources: Resources) -> Iterator[dict[str, Any]]:
    """A resource in the cluster; this control plane runs no operator, so nothing comes of it."""
    raw = edited(example()).set("metadata.name", "crd-api-test").raw
    resources.create(raw)
    yield raw
    resources.delete("crd-api-test")


def test_the_schema_is_structural_and_its_rules_are_affordable(
    resources: Resources, cluster: ControlPlane | ExternalCluster
) -> None:
    found = cluster.kubectl.get("crd", f"{names.PLURAL}.{names.GROUP}")
    conditions = {condition["type"]: condition["status"] for condition in found["status"]["conditions"]}
    assert conditions["Established"] == "True"
    assert conditions["NamesAccepted"] == "True"
    assert "NonStructuralSchema" not in conditions


@pytest.mark.parametrize("path", malformed.EXAMPLES, ids=lambda path: path.stem)
def test_no_false_alarm(resources: Resources, path: Any) -> None:
    assert resources.refusal(malformed.example(path)) is None


def test_the_api_server_refuses_what_we_refuse_and_names_the_field(resources: Resources) -> None:
    cases = [case for case in malformed.cases() if case.api]
    assert len(cases) >= 1000
    with ThreadPoolExecutor(CLIENTS) as pool:
        answers = list(pool.map(resources.refusal, (case.raw for case in cases)))
    accepted = [case.id for case, answer in zip(cases, answers, strict=True) if answer is None]
    assert not accepted
    # A map's key or a list's index closes some paths: the last name of a field is what every message has.
    unnamed = [
        f"{case.id}: {answer}"
        for case, answer in zip(cases, answers, strict=True)
        if answer and case.field.rpartition(".")[2].partition("[")[0] not in answer
    ]
    assert not unnamed


RULES: dict[str, tuple[dict[str, Any], str]] = {
    "the CA of another deployment": (
        {"spec.identity.issuerRef": {"name": "cloister-ca-other-g1"}},
        "is the CA of a deployment",
    ),
    "a size below nothing": ({"spec.storage.checkpoints.size": -5}, "greater than or equal to 0"),
    "a tag": ({"spec.inference.image": "a:v1"}, "spec.inference.image must end in @sha256:<digest>"),
    "a tag for training": ({"spec.training.image": "a:v1"}, "spec.training.image must end in @sha256:<digest>"),
    "no second factor": ({"spec.identity.users.mfa.required": False}, "needs an exception for ZT-06"),
    "an API of a client": ({"spec.inference.clients[1].apis": ["x"]}, "spec.inference.clients[].apis names an API"),
    "an API of a rule": ({"spec.identity.users.rules[0].apis": ["x"]}, "spec.identity.users.rules[].apis names an API"),
    "a port of ours": ({"spec.inference.port": 8443}, "port is taken by gate and auditor"),
    "no exception": (
        {"spec.exceptions": [{"control": "ZT-01", "reason": "lab cluster", "expires": "2026-12-31"}]},
        "no exception is possible for this control",
    ),
    "a long name": ({"metadata.name": "a" * 41}, "metadata.name must be a DNS label"),
    "a name with a dot": ({"metadata.name": "a.b"}, "metadata.name must be a DNS label"),
    "a client twice": (
        {"spec.inference.clients[+]": {"namespace": "web", "serviceAccount": "frontend"}},
        "Duplicate value",
    ),
    "a volume beside a backend": (
        {"spec.storage.checkpoints.backend": copy.deepcopy(BACKEND)},
        "either size, for a volume, or backend",
    ),
    "no place for objects": ({"spec.storage.checkpoints.size": REMOVED}, "either size, for a volume, or backend"),
    "an account of S3": (backed(account="ourdata"), "account is for type Azure"),
    "a port that nothing opens": (
        backed(endpoint="https://s3.example.com:9000"),
        "endpoint has a port other than 443, and no other is open",
    ),
    "keys that would move objects in a backend": (
        backed() | {"spec.storage.checkpoints.encryption": {"rotateEvery": "720h"}},
        "objects in an object store are not moved to a new key",
    ),
    "a client in our zone": (
        {"spec.inference.clients[0].namespace": "support-bot-inference"},
        "spec.inference.clients[].namespace is one of this deployment's own",
    ),
    "a reader in our zone": (
        {"spec.storage.interactionLogs.readers[0].namespace": "support-bot-storage"},
        "spec.storage.interactionLogs.readers[].namespace is one of this deployment's own",
    ),
}


@pytest.mark.parametrize(("changes", "message"), RULES.values(), ids=RULES)
def test_a_rule_of_the_schema_refuses(resources: Resources, changes: dict[str, Any], message: str) -> None:
    edit = edited(example())
    for path, value in changes.items():
        edit.set(path, value)
    assert message in (resources.refusal(edit.raw) or "(accepted)")


@pytest.mark.parametrize(
    "changes",
    [
        {
            "spec.inference.image": "a:v1",
            "spec.exceptions": [{"control": "ZT-04", "reason": "lab cluster", "expires": "2026-12-31"}],
        },
        {
            "spec.identity.users.mfa.required": False,
            "spec.exceptions": [{"control": "ZT-06", "reason": "lab cluster", "expires": "2026-12-31"}],
        },
        {"spec.identity": {}},
        {"spec.training": REMOVED},
        {"spec.storage.checkpoints.size": 10**12},
        {"spec.inference.clients": []},
        {"metadata.name": "a" * 40},
        backed(),
        backed(endpoint="https://s3.example.com:443/a:9000/"),
    ],
    ids=[
        "tag",
        "second factor",
        "no identity",
        "no training",
        "size in bytes",
        "no clients",
        "longest name",
        "backend",
        "backend's port",
    ],
)
def test_a_rule_of_the_schema_permits(resources: Resources, changes: dict[str, Any]) -> None:
    edit = edited(example())
    for path, value in changes.items():
        edit.set(path, value)
    assert resources.refusal(edit.raw) is None


CHANGES: dict[str, tuple[str, Any, str]] = {
    "another trust domain": ("spec.identity.trustDomain", "example.com", "trustDomain can't change"),
    "a storage class": ("spec.storage.trainingData.storageClassName", "fast", "storageClassName can't change"),
}


@pytest.mark.parametrize(("path", "value", "message"), CHANGES.values(), ids=CHANGES)
def test_what_would_lose_data_can_not_change(
    resources: Resources, stored: dict[str, Any], path: str, value: Any, message: str
) -> None:
    assert message in (resources.refusal_of_change(edited(stored).set(path, value).raw) or "(accepted)")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("spec.storage.checkpoints.size", "1Ti"),
        ("spec.storage.checkpoints.size", "100Gi"),  # the way back, where a volume did not grow
        ("spec.inference.replicas", 5),
        ("spec.identity.trustDomain", REMOVED),  # it is the default, so nothing changes
        ("spec.inference.clients", []),
        ("spec.deletionPolicy", "Delete"),
    ],
)
def test_everything_else_can(resources: Resources, stored: dict[str, Any], path: str, value: Any) -> None:
    assert resources.refusal_of_change(edited(stored).set(path, value).raw) is None


def test_leaving_out_the_whole_block_is_no_way_around(resources: Resources) -> None:
    raw = edited(example("minimal")).set("metadata.name", "crd-api-domain").set("spec.identity", {}).raw
    resources.create(raw)
    try:
        changed = edited(raw).set("spec.identity.trustDomain", "example.com").raw
        assert "trustDomain can't change" in (resources.refusal_of_change(changed) or "(accepted)")
    finally:
        resources.delete("crd-api-domain")
