"""The chart's admission policies on a real API server, in force."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest
import yaml

from tests.cluster.controlplane import ControlPlane
from tests.cluster.external import ExternalCluster
from tests.cluster.fixtures import cluster, control_plane
from tests.integration.admission import objects as o
from tests.integration.admission.api import Answer, Server
from tests.integration.admission.world import VALUES, World, render_policies

__all__ = ["cluster", "control_plane"]


@pytest.fixture(scope="session")
def world(cluster: ControlPlane | ExternalCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Policies in force, three zones, one of everything in them."""
    server = Server(cluster.kubeconfig, tmp_path_factory.mktemp("administrator"))
    found = World(server, getattr(cluster, "audit_log", None))
    policies = render_policies(VALUES)
    try:
        found.make_surroundings()
        cluster.kubectl.apply(policies)
        wait_until_refused(_outside_zones(found))
        found.make_zones()
        wait_until_refused(_in_zones(found))
        found.fill_zones()
        yield found
    finally:
        found.tear_down()
        cluster.kubectl.delete(policies)


Probes = dict[str, Callable[[], Answer]]


def wait_until_refused(probes: Probes, seconds: float = 60) -> None:
    """Policies are enforced some time after they are created: ask each until it refuses what it must."""
    deadline = time.monotonic() + seconds
    for policy, probe in probes.items():
        while not (answer := probe()).refused_by(policy):
            assert time.monotonic() < deadline, f"{policy} does not refuse: {answer}"
            time.sleep(0.1)


def _outside_zones(world: World) -> Probes:
    admin, clients = world.admin, f"{o.CERT_MANAGER}/namespaces/{o.CLIENTS}"
    authority = "cloister-ca-other-g1"
    return {
        "namespace-guard.cloister.dev": lambda: admin.create(f"{o.CORE}/namespaces", o.zone("training")),
        "certificate-guard.cloister.dev": lambda: admin.create(
            f"{clients}/certificates", o.certificate("x", o.CLIENTS, authority)
        ),
        "request-guard.cloister.dev": lambda: admin.create(
            f"{clients}/certificaterequests", o.certificate_request("x", authority)
        ),
        "signing-guard.cloister.dev": lambda: admin.create(
            o.SIGNING_REQUESTS, o.signing_request(f"clusterissuers.cert-manager.io/{authority}")
        ),
        "issuer-guard.cloister.dev": lambda: admin.create(
            f"{o.CERT_MANAGER}/clusterissuers", o.issuer(authority, {"selfSigned": {}})
        ),
        "ca-guard.cloister.dev": lambda: admin.create(
            f"{o.CORE}/namespaces/cert-manager/secrets", {"metadata": {"name": authority}}
        ),
        "home-guard.cloister.dev": lambda: admin.create(f"{o.CORE}/namespaces/{o.HOME}/pods", o.operator_pod()),
        "exec-guard.cloister.dev": lambda: admin.create(
            f"{o.CORE}/namespaces/{o.HOME}/serviceaccounts/cloister/token", o.token_request()
        ),
        "operator-guard.cloister.dev": lambda: world.operator.create(
            f"{o.CORE}/namespaces/default/configmaps", {"metadata": {"name": "x"}}
        ),
        "status-guard.cloister.dev": lambda: _status_of_a_new_deployment(world),
    }


def _status_of_a_new_deployment(world: World) -> Answer:
    """Somebody writes a status. Only of what is there anything is asked of admission."""
    body = yaml.safe_load(o.EXAMPLE.read_text()) | {"metadata": {"name": "guarded-first"}}
    made = world.admin.create(o.DEPLOYMENTS, body, real=True)
    assert made.allowed, made
    one = f"{o.DEPLOYMENTS}/guarded-first"
    answer = world.admin.patch(f"{one}/status", {"status": {"phase": "Ready"}})
    world.admin.delete(one, real=True)
    return answer


def _in_zones(world: World) -> Probes:
    path = f"{o.CORE}/namespaces/{o.TRAINING}"
    return {
        "zone-guard.cloister.dev": lambda: world.admin.create(f"{path}/configmaps", {"metadata": {"name": "x"}}),
        "exec-guard.cloister.dev": lambda: world.admin.create(
            f"{path}/serviceaccounts/default/token", o.token_request()
        ),
    }
