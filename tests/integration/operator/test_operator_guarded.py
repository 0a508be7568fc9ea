"""The operator under the chart's own guards, as users install it: it needs nothing that they refuse."""

from collections.abc import Callable
from pathlib import Path

from cloister import names
from tests.cluster import ControlPlane
from tests.installed import install_chart, operator_kubeconfig, start_operator, stop_operator
from tests.integration.operator.world import Key, World, full, surroundings, until

ADMISSION = "apis/admissionregistration.k8s.io/v1"
POLICIES, BINDINGS = f"{ADMISSION}/validatingadmissionpolicies", f"{ADMISSION}/validatingadmissionpolicybindings"


def test_a_whole_life_passes_the_guards(start_control_plane: Callable[[], ControlPlane], tmp_path: Path) -> None:
    plane = start_control_plane()
    plane.install_cert_manager()
    plane.create_storage_class()
    plane.kubectl.apply(surroundings())
    install_chart(plane)
    start_operator(plane, operator_kubeconfig(plane))
    world = World.of(plane, tmp_path)

    resource = full("guarded")
    name = world.converge(resource)
    deny: Key = ("NetworkPolicy", f"{name}-inference", "deny-all")
    gate: Key = ("ConfigMap", f"{name}-inference", "gate-inference")
    before = world.get(gate)["data"]
    # The guards let nobody else tamper: these two controllers, for their work, and so whoever has stolen their tokens.
    deletes, changes = (
        World(plane, world.admin.server.user(f"system:serviceaccount:kube-system:{controller}"))
        for controller in ("namespace-controller", "generic-garbage-collector")
    )
    deletes.delete(deny)
    until(lambda: world.find(deny), "what is deleted comes back")
    changes.merge(gate, {"data": {"evil": "x"}})
    until(lambda: world.get(gate)["data"] == before, "what is added is taken away")

    # Whoever may take a guard away is told of it everywhere, within the blink of a watch, until it is back.
    world.admin.delete(f"{BINDINGS}/signing-guard.cloister.dev", real=True)
    said = world.until_condition(name, "AccessMinimal", "False", "GuardsMissing")
    assert "binding signing-guard.cloister.dev is not installed" in said["message"]
    controls = {line["id"]: line["status"] for line in world.deployment(name)["status"]["controls"]}
    assert controls["ZT-04"] == controls["ZT-10"] == "False"
    install_chart(plane)
    world.until_access(name)
    emptied = {"spec": {"validations": [{"expression": "true"}]}}
    assert world.admin.patch(f"{POLICIES}/signing-guard.cloister.dev", emptied, real=True).code == 200
    said = world.until_condition(name, "AccessMinimal", "False", "GuardsMissing")
    assert "signing-guard.cloister.dev is not what was installed" in said["message"]
    world.admin.delete(f"{POLICIES}/signing-guard.cloister.dev", real=True)
    install_chart(plane)
    world.until_access(name)

    resource["spec"]["inference"]["clients"] = resource["spec"]["inference"]["clients"][:1]
    world.declare(resource)
    until(lambda: not [key for key in world.owned(name) if key[1] == "batch"], "what is not wanted is pruned")
    world.until_converged(name)
    world.delete((names.KIND, "", name))
    for zone in ("training", "inference"):
        world.until_gone(("Namespace", "", f"{name}-{zone}"))
    until(lambda: [e for e in world.events_about(name) if e["reason"] == "LeftBehind"], "an Event")
    stop_operator(plane)
    log = plane.log("operator").read_text()
    assert "is refused" not in log
    assert "is forbidden: User" not in log
    assert "Traceback" not in log
