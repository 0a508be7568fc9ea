"""The rendered training pod with its own users, groups, mounts and network: what a training program that has been taken
over can reach (ZT-02, ZT-04, ZT-18). All that loopback has for it is the stores' endpoint, by which it is itself."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from cloister import sidecar
from cloister.facts import Facts, Settings
from cloister.render.workloads import training
from cloister.zones import GATE_HEALTH_PORT, GATE_METRICS_PORT, GATE_PORT, HEALTH_PORT, METRICS_PORT, Component
from tests.gate import forged_store
from tests.gate.inhabited import Inhabited, asked, mounted, user
from tests.gate.model import FRONTEND, OUR_CA, spiffe
from tests.gate.pod import pod, unable
from tests.gate.specs import every_kind

pytestmark = pytest.mark.skipif(unable() is not None, reason=unable() or "")

SOCKETS = (sidecar.ADMIN_SOCKET, sidecar.JOURNAL_SOCKET, sidecar.DRAIN_SOCKET, sidecar.STORES_SOCKET)
OWN = spiffe("support-bot-training", "training")
STORE = spiffe("support-bot-storage", "training-data")
STORE_ADDRESS, ELSEWHERE = "127.0.0.2", "127.0.0.3"
FORGED = {
    sidecar.PEER_HEADER: FRONTEND,
    sidecar.API_HEADER: "chat",
    sidecar.CLAIMS_HEADER: "eyJzdWIiOiJhZGEifQ",
    "x-forwarded-client-cert": f"URI={FRONTEND}",
    "authorization": "AWS4-HMAC-SHA256 Credential=none",
}
INSIDE, OUTSIDE = "/training-data/a/corpus.txt", "/training-data/z/corpus.txt"


@pytest.fixture(scope="module")
def running() -> Iterator[Inhabited]:
    deployment = every_kind()["training"]
    facts = Facts(
        cluster_ips=dict.fromkeys(Component, ELSEWHERE) | {Component.TRAINING_DATA: STORE_ADDRESS},
    )
    (job,) = training(deployment, facts, Settings())
    store = OUR_CA.issue(STORE)
    with pod(job["spec"]["template"], mounted(deployment, Component.TRAINING, facts, OWN)) as made:
        found = Inhabited(made, "training", SOCKETS, FORGED)
        pem = store.chain + store.key + OUR_CA.pem
        found.work(forged_store.__file__, STORE_ADDRESS, str(GATE_PORT), pem, "/tmp/seen.jsonl", name="store")
        found.wait("store", sidecar.S3_PORT, INSIDE)
        yield found


def seen(running: Inhabited) -> list[Any]:
    """What the store was asked."""
    path = running.pod.volume("tmp") / "seen.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_the_program_learns_by_the_stores_endpoint(running: Inhabited) -> None:
    """Otherwise every refusal below would mean nothing."""
    found = running.intrude(requests=[[sidecar.S3_PORT, "GET", INSIDE]])
    assert found["asked"][0][-1] == [200, forged_store.BODY.decode()]
    for name, uid in (("gate", sidecar.GATE_UID), ("auditor", sidecar.AUDITOR_UID)):
        (program,) = running.started[name].children()
        assert program.uids() == (uid, uid, uid), name
    assert found["who"][0] == user(running.pod.container("training")) not in (sidecar.GATE_UID, sidecar.AUDITOR_UID)


def test_the_program_meets_no_socket_and_no_file_of_the_others(running: Inhabited) -> None:
    found = running.intrude(directories=["/run", "/etc", "/var/lib"])
    assert set(found["sockets"].values()) == {"FileNotFoundError"}
    assert found["listed"] == {"/run": [], "/etc": [], "/var/lib": []}
    assert found["abstract"] == []


def test_the_sockets_are_there_for_the_auditor(running: Inhabited) -> None:
    auditor = running.pod.container("auditor")
    found = running.intrude(auditor | {"volumeMounts": []}, *auditor["volumeMounts"])["sockets"]
    assert {name for name, result in found.items() if result == "connected"} == {
        sidecar.JOURNAL_SOCKET,
        sidecar.STORES_SOCKET,
    }


def test_loopback_has_the_stores_endpoint_and_nothing_else(running: Inhabited) -> None:
    found = running.intrude(scan=True)
    offered = {GATE_HEALTH_PORT, GATE_METRICS_PORT, HEALTH_PORT, METRICS_PORT}
    assert set(found["ports"]) == offered | {sidecar.S3_PORT}
    writes = [
        [port, method, path]
        for port in offered
        for method in ("POST", "PUT", "DELETE")
        for path in ("/", "/metrics", "/quitquitquit", "/drain_listeners", INSIDE)
    ]
    assert {status for status in asked(running.intrude(requests=writes)) if isinstance(status, int)} <= {403, 404, 405}
    admin = [[port, "GET", path] for port in offered for path in ("/config_dump", "/certs", "/clusters", INSIDE)]
    assert {status for status in asked(running.intrude(requests=admin)) if isinstance(status, int)} <= {400, 403, 404}


def test_what_it_says_of_itself_reaches_no_store(running: Inhabited) -> None:
    """Its certificate is the pod's own, whatever its headers say; and no credential goes along."""
    running.intrude(requests=[[sidecar.S3_PORT, "GET", INSIDE]])
    names, path, headers = seen(running)[-1]
    assert (names, path) == ([["URI", OWN]], INSIDE)
    sent = {name.lower() for name, _ in headers}
    assert not [name for name in sent if name.startswith(sidecar.HEADER_PREFIX)]
    assert not sent & {"authorization", "cookie"}
    assert not [value for _, value in headers if FRONTEND in value]


def test_what_the_store_says_of_itself_does_not_reach_the_program(running: Inhabited) -> None:
    connection = running.ask(sidecar.S3_PORT, "GET", INSIDE)
    assert connection[0] == 200
    assert not [name for name in connection[1] if name.startswith((sidecar.HEADER_PREFIX, "x-envoy-"))]
    assert not connection[1].keys() & {"set-cookie", "alt-svc"}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", OUTSIDE),
        ("GET", "/training-data/a/../z/corpus.txt"),
        ("GET", "/interaction-logs/support-bot-training/training/x"),
        ("PUT", INSIDE),
        ("DELETE", INSIDE),
        ("POST", "/quitquitquit"),
        ("GET", "http://evil.example.com/"),
    ],
)
def test_what_no_flow_allows_goes_nowhere(running: Inhabited, method: str, path: str) -> None:
    before = seen(running)
    (status,) = asked(running.intrude(requests=[[sidecar.S3_PORT, method, path]]))
    assert status in (400, 403, 404, 405, 501)
    assert seen(running) == before
