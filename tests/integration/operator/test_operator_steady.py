"""What has converged costs nothing: neither a resync nor a restart writes, and of two operators one alone does."""

import os
import signal
import time

import pytest

from cloister import names
from tests.cluster import ControlPlane
from tests.cluster.processes import ProcessTable
from tests.installed import operator_kubeconfig, start_operator, stop_operator
from tests.integration.operator.world import World, full, minimal, until

LEASE = ("Lease", "cloister-system", "cloister")


def holder(world: World) -> str:
    path = "apis/coordination.k8s.io/v1/namespaces/cloister-system/leases/cloister"
    return str(world.admin.get(path).body.get("spec", {}).get("holderIdentity", ""))


def test_a_resync_and_a_restart_write_nothing(own_world: World) -> None:
    kubeconfig = operator_kubeconfig(own_world.plane)
    start_operator(own_world.plane, kubeconfig, resync_seconds="2")
    name = own_world.converge(full("steady"))
    before, start = own_world.quiet(name, 12), own_world.mark()
    time.sleep(7)  # three resyncs
    assert own_world.operator_writes(start) == []
    stop_operator(own_world.plane)
    start_operator(own_world.plane, kubeconfig, resync_seconds="2")
    until(lambda: holder(own_world), "the new process leads")
    time.sleep(7)
    assert own_world.operator_writes(start) == []
    assert own_world.versions(name) == before
    stop_operator(own_world.plane)


def test_what_changed_while_no_operator_ran_is_put_right(own_world: World) -> None:
    kubeconfig = operator_kubeconfig(own_world.plane)
    start_operator(own_world.plane, kubeconfig)
    name, leaving = own_world.converge(minimal("absent")), own_world.converge(minimal("leaving"))
    stop_operator(own_world.plane)

    deny = ("NetworkPolicy", f"{name}-inference", "deny-all")
    own_world.delete(deny)
    own_world.delete((names.KIND, "", leaving))
    # The cluster's own controllers clear up, with nobody's help.
    for zone in ("training", "inference"):
        own_world.until_gone(("Namespace", "", f"{leaving}-{zone}"))
    own_world.until_gone(("ClusterIssuer", "", f"cloister-ca-{leaving}-g1"))
    own_world.until_gone(("StatefulSet", f"{leaving}-storage", "checkpoints"))
    assert own_world.find(("NetworkPolicy", f"{leaving}-storage", "deny-all"))
    assert own_world.find(deny) is None

    start_operator(own_world.plane, kubeconfig)
    until(lambda: own_world.find(deny), "the policy is back")
    stop_operator(own_world.plane)


def test_what_is_deleted_while_nothing_is_watched_comes_back(own_world: World) -> None:
    """The API server dies, and the operator is slow to come back to it: no event tells it what went meanwhile."""
    plane = own_world.plane
    start_operator(plane, operator_kubeconfig(plane))
    name = own_world.converge(minimal("unseen"))
    deny = ("NetworkPolicy", f"{name}-training", "deny-all")
    operator = plane.pid("operator")
    os.kill(operator, signal.SIGSTOP)
    try:
        own_world.plane.restart_apiserver()
        own_world.delete(deny)
        own_world.until_gone(deny)
    finally:
        os.kill(operator, signal.SIGCONT)
    until(lambda: own_world.find(deny), "the policy is back", 30)
    stop_operator(plane)


def test_a_restart_in_the_middle_goes_on(own_world: World) -> None:
    kubeconfig = operator_kubeconfig(own_world.plane)
    start_operator(own_world.plane, kubeconfig)
    name = own_world.declare(full("broken-off"))["metadata"]["name"]
    until(lambda: own_world.find(("NetworkPolicy", f"{name}-storage", "deny-all")), "it has begun")
    os.kill(own_world.plane.pid("operator"), signal.SIGKILL)
    until(lambda: "operator" not in own_world.plane.running(), "it is dead")
    start_operator(own_world.plane, kubeconfig)
    own_world.until_converged(name)
    stop_operator(own_world.plane)


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL], ids=["ended", "killed"])
def test_two_operators_have_one_leader(own_world: World, end: signal.Signals) -> None:
    plane: ControlPlane = own_world.plane
    kubeconfig = operator_kubeconfig(plane)
    start_operator(plane, kubeconfig, "operator-a")
    first = until(lambda: holder(own_world), "one leads")
    start_operator(plane, kubeconfig, "operator-b")
    start = own_world.mark()
    name = own_world.converge(minimal(f"led-{end.name.lower()}"))
    assert holder(own_world) == first
    # Everything was created once: a second writer would have applied again.
    created = [e["objectRef"] for e in own_world.operator_writes(start, name) if e["responseStatus"]["code"] == 201]
    ids = [(ref["resource"], ref.get("namespace"), ref["name"]) for ref in created if ref["resource"] != "events"]
    assert len(ids) == len(set(ids))

    os.kill(plane.pid("operator-a"), end)
    until(lambda: holder(own_world) not in ("", first), "the other leads")
    deny = ("NetworkPolicy", f"{name}-storage", "deny-all")
    own_world.delete(deny)
    until(lambda: own_world.find(deny), "the other repairs")
    for operator in ("operator-a", "operator-b"):
        stop_operator(plane, operator)


def test_a_leader_that_loses_its_lease_ends(own_world: World) -> None:
    """Last: the thief keeps it."""
    plane = own_world.plane
    start_operator(plane, operator_kubeconfig(plane))
    until(lambda: holder(own_world), "it leads")
    path = "apis/coordination.k8s.io/v1/namespaces/cloister-system/leases/cloister"
    thief = {"spec": {"holderIdentity": "thief", "leaseDurationSeconds": 3600}}
    assert own_world.admin.patch(path, thief, real=True).code == 200
    until(lambda: "operator" not in plane.running(), "it has ended")
    assert "lease lost" in plane.log("operator").read_text()
    assert holder(own_world) == "thief"
    ProcessTable(plane.directory).stop("operator", 0)
