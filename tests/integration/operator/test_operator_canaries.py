"""The live proof, as far as it is the operator's: when canaries run, what their word does, under the chart's guards.

What the canaries themselves do is tested where there is a network: tests/canary and tests/e2e.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cloister import cli, names
from cloister.probing import Answer, Probe, Prober
from tests.cluster import ControlPlane
from tests.installed import install_chart, operator_kubeconfig, start_operator, stop_operator
from tests.integration.operator.canaries import CanaryKubelet, closed, open_to_everyone, reported
from tests.integration.operator.world import WITHOUT_PROOF, Object, World, minimal, surroundings, until

JOB_NAME = "batch.kubernetes.io/job-name"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A cluster with the chart as users install it, and an operator whose proofs are repeated every 20 seconds."""
    with ControlPlane.start(tmp_path_factory.mktemp("canaries")) as plane:
        plane.install_cert_manager()
        plane.create_storage_class()
        plane.kubectl.apply(surroundings())
        install_chart(plane)
        start_operator(plane, operator_kubeconfig(plane), canary_interval_seconds="20")
        yield World.of(plane, tmp_path_factory.mktemp("tester"))
        stop_operator(plane)
        log = plane.log("operator").read_text()
        assert "is refused" not in log
        assert "is forbidden: User" not in log
        assert "Traceback" not in log


def unproved(name: str) -> Object:
    """The smallest example, which waits for proof."""
    return minimal(name, exceptions=[])


def isolation(world: World, name: str) -> Object:
    found: Object = world.deployment(name).get("status", {}).get("isolation", {})
    return found


def server(world: World, name: str) -> Object | None:
    return world.find(("StatefulSet", f"{name}-inference", "inference"))


def jobs(world: World, name: str) -> list[Object]:
    return world.every("Job", f"{names.LABEL_DEPLOYMENT}={name},{names.LABEL_RUN}")


def gone(world: World, name: str) -> None:
    """Take a deployment away, so that its canaries trouble no other test."""
    world.delete((names.KIND, "", name))


def test_workloads_wait_for_proof_and_canaries_leave_nothing_behind(guarded: World) -> None:
    name = "awaiting"
    guarded.declare(unproved(name))
    guarded.until_condition(name, "IsolationProven", "Unknown", "Proving")
    until(lambda: len(jobs(guarded, name)) == 6, "everybody listens, and nobody tries yet")
    assert {job["metadata"]["labels"][names.LABEL_ROLE] for job in jobs(guarded, name)} == {names.LISTENER}
    guarded.until_condition(name, "WorkloadsReady", "False", "WaitingForProof")
    assert server(guarded, name) is None
    with CanaryKubelet(guarded):
        said = guarded.until_condition(name, "IsolationProven", "True", "Proven")
        until(lambda: server(guarded, name), "the model server is made")
        until(lambda: not jobs(guarded, name), "canaries are taken away")
    assert "must pass did" in said["message"]
    proof = isolation(guarded, name)["proof"]
    assert proof["proved"]
    pairs = {(pair["source"], pair["target"]): pair for pair in proof["pairs"]}
    assert pairs["inference", "interaction-logs"]["passed"] == "8443"
    assert "9090" in pairs["inference", "interaction-logs"]["blocked"].split()
    assert "8443/udp" in pairs["stranger", "inference"]["blocked"].split()
    assert pairs["stranger", "stranger"]["blocked"] == ""
    assert pairs["inference", "API server"]["blocked"]
    line = next(one for one in guarded.deployment(name)["status"]["controls"] if one["id"] == "ZT-17")
    assert line["status"] == "True"
    gone(guarded, name)


def test_a_network_that_enforces_nothing_starts_nothing_and_is_said(guarded: World) -> None:
    name = "porous"
    with CanaryKubelet(guarded, open_to_everyone):
        guarded.declare(unproved(name))
        said = guarded.until_condition(name, "IsolationProven", "False", "NotEnforced")
        assert ": reached, must be blocked" in said["message"]
        assert server(guarded, name) is None
        until(lambda: [e for e in guarded.events_about(name) if e["reason"] == "NotEnforced"], "an Event")
    failures = isolation(guarded, name)["proof"]["failures"]
    assert any(" -> API server:" in failure for failure in failures)
    assert server(guarded, name) is None
    gone(guarded, name)


class Forger(CanaryKubelet):
    """Beside each canary that tries, a newer pod in somebody's own namespace, which tells that all is well."""

    forged = 0

    def _run(self, pod: Object) -> None:
        (container,) = pod["spec"]["containers"]
        action, config = container["args"]
        if action == "probe":
            time.sleep(1.1)  # the newest counts, and these times have no fractions
            labels = {name: pod["metadata"]["labels"][name] for name in (names.LABEL_RUN, JOB_NAME)}
            metadata = {"name": f"forged-{self.forged}", "namespace": "default", "labels": labels}
            own = {key: container[key] for key in ("name", "image", "args")}
            made = self._world.create(
                {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": [own]}}
            )
            self.tell(made, reported(own, Prober.model_validate_json(config), closed))
            self.forged += 1
        super()._run(pod)


def test_a_pod_of_somebody_else_is_not_believed(guarded: World) -> None:
    name = "forged"
    forger = Forger(guarded, open_to_everyone)
    with forger:
        guarded.declare(unproved(name))
        guarded.until_condition(name, "IsolationProven", "False", "NotEnforced")
        assert forger.forged
    assert server(guarded, name) is None
    gone(guarded, name)


def test_what_runs_is_not_stopped_when_the_proof_is_lost_and_proof_comes_back(guarded: World) -> None:
    name = "shaken"

    def leaking(post: str, probe: Probe) -> Answer:
        leaks = (post, probe.to, probe.kind) == ("inference", "training-zone", "tcp")
        return Answer.REACHED if leaks else closed(post, probe)

    with CanaryKubelet(guarded) as kubelet:
        guarded.declare(unproved(name))
        guarded.until_condition(name, "IsolationProven", "True")
        running = until(lambda: server(guarded, name), "the model server is made")
        kubelet.network = leaking  # and the schedule finds it
        said = guarded.until_condition(name, "IsolationProven", "False", "NotEnforced")
        assert "inference -> training-zone:8000: reached, must be blocked" in said["message"]
        guarded.until_condition(name, "Ready", "False", "NotEnforced")
        kubelet.network = closed
        guarded.until_condition(name, "IsolationProven", "True")
    assert guarded.get(names.key(running))["metadata"]["uid"] == running["metadata"]["uid"]
    gone(guarded, name)


def test_a_flow_that_must_pass_and_does_not_is_no_proof(guarded: World) -> None:
    name = "choked"

    def choked(post: str, probe: Probe) -> Answer:
        return Answer.SILENT if (post, probe.to) == ("inference", "interaction-logs") else closed(post, probe)

    with CanaryKubelet(guarded, choked):
        guarded.declare(unproved(name))
        said = guarded.until_condition(name, "IsolationProven", "False", "FlowBlocked")
    assert "inference -> interaction-logs:8443: silent, must be reached" in said["message"]
    assert server(guarded, name) is None
    gone(guarded, name)


def test_a_run_that_can_not_be_measured_proves_nothing(guarded: World) -> None:
    name = "dark"
    with CanaryKubelet(guarded, lambda post, probe: Answer.SILENT):
        guarded.declare(unproved(name))
        said = guarded.until_condition(name, "IsolationProven", "Unknown", "NoAnswer")
    assert "silence proves nothing" in said["message"]
    assert "proof" not in isolation(guarded, name)
    assert server(guarded, name) is None
    gone(guarded, name)


def test_a_change_of_flows_and_a_request_ask_for_a_new_proof(guarded: World) -> None:
    name, resource = "changing", unproved("changing")
    with CanaryKubelet(guarded) as kubelet:
        guarded.declare(resource)
        guarded.until_condition(name, "IsolationProven", "True")
        first = isolation(guarded, name)["proof"]
        resource["spec"]["storage"]["checkpoints"]["readers"] = [
            {"namespace": "release", "serviceAccount": "promote", "prefixes": ["a/"], "raw": True}
        ]
        guarded.declare(resource)
        until(lambda: isolation(guarded, name)["proof"]["policies"] != first["policies"], "the new flows are tried")
        guarded.until_condition(name, "IsolationProven", "True")
        guarded.merge((names.KIND, "", name), {"metadata": {"annotations": {names.VERIFY_REQUEST: "nonce-1"}}})
        until(lambda: isolation(guarded, name)["proof"]["request"] == "nonce-1", "the request is answered", 15)
    assert len(kubelet.runs) >= 3
    gone(guarded, name)


def test_under_an_exception_nobody_tries_unless_asked(guarded: World) -> None:
    name = "excused"
    guarded.declare(minimal(name, exceptions=[WITHOUT_PROOF]))
    until(lambda: server(guarded, name), "the model server is made")
    guarded.until_condition(name, "IsolationProven", "Unknown", "Excepted")
    assert not jobs(guarded, name)
    with CanaryKubelet(guarded, open_to_everyone):
        guarded.merge((names.KIND, "", name), {"metadata": {"annotations": {names.VERIFY_REQUEST: "nonce-2"}}})
        guarded.until_condition(name, "IsolationProven", "False", "NotEnforced")
    assert isolation(guarded, name)["proof"]["request"] == "nonce-2"
    gone(guarded, name)


def test_a_restarted_operator_goes_on_with_the_run_that_it_finds(guarded: World, tmp_path: Path) -> None:
    name = "resumed"
    guarded.declare(unproved(name))
    until(lambda: len(jobs(guarded, name)) == 6, "canaries listen")
    before = {job["metadata"]["uid"] for job in jobs(guarded, name)}
    stop_operator(guarded.plane)
    start_operator(guarded.plane, operator_kubeconfig(guarded.plane), canary_interval_seconds="20")
    with CanaryKubelet(guarded):
        until(lambda: len(jobs(guarded, name)) == 12, "they try")
        assert before < {job["metadata"]["uid"] for job in jobs(guarded, name)}
        guarded.until_condition(name, "IsolationProven", "True")
    gone(guarded, name)


# --- for a person ---


def verify(world: World, name: str, *options: str) -> tuple[int, dict[str, Object]]:
    """`cloister verify` with an administrator's kubeconfig: its exit code, and its checks by name."""
    arguments = ["verify", name, "-o", "json", "--kubeconfig", str(world.plane.kubeconfig), *options]
    done = CliRunner().invoke(cli.app, arguments)
    assert done.exit_code in (0, 1, 2), f"{done.output}\n{done.exception!r}"
    checks = json.loads(done.stdout)["checks"] if done.stdout else []
    return done.exit_code, {check["name"]: check for check in checks}


def test_what_holds_is_verified_and_what_nobody_could_try_is_said(guarded: World) -> None:
    name = "verified"
    with CanaryKubelet(guarded):
        guarded.converge(unproved(name))
        code, checks = verify(guarded, name)
    wrong = [check for check in checks.values() if check["outcome"] == "failed"]
    assert (code, wrong) == (0, [])
    assert checks["inference -> interaction-logs"]["detail"].startswith("8443 passes; ")
    assert checks["inference -> API server"]["outcome"] == "holds"
    assert checks["no way around gate and auditor"]["outcome"] == "holds"
    assert checks[f"{name}-inference/inference-ingress"]["detail"] == "as declared"
    assert checks[f"no foreign policy in {name}-storage"]["outcome"] == "holds"
    for refused in (
        f"a forged status of {name}",
        f"a token of {name}-inference/inference",
        f"a pod in {name}-training",
        f"an open policy in {name}-storage",
        f"deletion of {name}-inference/deny-all",
        f"the label of {name}-inference taken away",
    ):
        assert (checks[refused]["outcome"], checks[refused]["detail"]) == ("holds", "refused by Cloister's guards")
    assert checks["gate of inference"]["outcome"] == "untried"
    assert checks["batch/nightly -> inference:8443"]["outcome"] == "untried"
    assert checks["EncryptedAtRest"]["outcome"] == "untried"
    gone(guarded, name)


def test_a_network_that_enforces_nothing_is_said_to_a_person(guarded: World) -> None:
    name = "denied"
    with CanaryKubelet(guarded, open_to_everyone):
        guarded.declare(unproved(name))
        code, checks = verify(guarded, name)
    assert code == 1
    assert checks["inference -> checkpoints"]["outcome"] == "failed"
    assert "inference -> checkpoints:8000: reached, must be blocked" in checks["inference -> checkpoints"]["detail"]
    gone(guarded, name)


def test_without_an_answer_nothing_is_verified(guarded: World) -> None:
    name = "unanswered"
    guarded.declare(unproved(name))
    for kind in ("ZonesIsolated", "IdentityIssued", "AccessMinimal", "StorageSeparated"):
        guarded.until_condition(name, kind, "True")
    code, checks = verify(guarded, name, "--timeout=1")
    assert code == 2
    assert "has not answered within 1 s" in checks["every pair of places"]["detail"]
    assert verify(guarded, "absent") == (2, {})
    gone(guarded, name)


def test_policies_that_are_not_as_declared_are_found_while_nobody_repairs_them(guarded: World) -> None:
    name = "tampered"
    guarded.converge(minimal(name, exceptions=[WITHOUT_PROOF]))
    stop_operator(guarded.plane)
    zone = f"{name}-inference"
    server = guarded.admin.server
    acts: tuple[tuple[str, Callable[[World], object]], ...] = (
        # The guards let nobody else: two of the cluster's controllers, and whoever has stolen their tokens or ours.
        ("kube-system:namespace-controller", lambda w: w.delete(("NetworkPolicy", zone, "inference-ingress"))),
        (
            "kube-system:generic-garbage-collector",
            lambda w: w.merge(("NetworkPolicy", zone, "deny-all"), {"spec": {"ingress": [{}]}}),
        ),
        (
            "cloister-system:cloister",
            lambda w: w.create(
                {
                    "apiVersion": "networking.k8s.io/v1",
                    "kind": "NetworkPolicy",
                    "metadata": {"name": "open", "namespace": zone},
                    "spec": {"podSelector": {}, "ingress": [{}]},
                }
            ),
        ),
    )
    for account, act in acts:
        act(World(guarded.plane, server.user(f"system:serviceaccount:{account}")))
    code, checks = verify(guarded, name, "--timeout=1")
    assert code == 1
    assert checks[f"{zone}/inference-ingress"]["detail"] == "is missing"
    assert "somebody has changed it" in checks[f"{zone}/deny-all"]["detail"]
    assert checks[f"no foreign policy in {zone}"]["detail"].endswith(": open")
    start_operator(guarded.plane, operator_kubeconfig(guarded.plane), canary_interval_seconds="20")
    until(lambda: guarded.find(("NetworkPolicy", zone, "inference-ingress")), "it is restored")
    code, checks = verify(guarded, name, "--timeout=1")
    assert checks[f"{zone}/deny-all"]["outcome"] == "holds"
    assert checks[f"no foreign policy in {zone}"]["outcome"] == "failed"
    gone(guarded, name)
