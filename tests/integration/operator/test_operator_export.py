"""The exporter as the operator sees it: by its pod's status alone, on a real API server (ZT-16, ZT-29)."""

import json
from typing import Any

from cloister import names
from cloister.names import Key
from tests.installed import operator_kubeconfig, start_operator, stop_operator
from tests.integration.operator.world import Object, World, minimal, until

MOMENT = "2026-01-01T00:00:00Z"


def exporting(name: str) -> Object:
    """The smallest example, with Events alone."""
    resource = minimal(name)
    resource["spec"]["audit"]["export"] = {
        "publicKey": "cloister-pub-x25519:8gkfu-kjExpcG5Hf7rXP6Gr_nlrTAFJAU9CV3NSvjUc",
        "secretRef": {"name": "export-keys"},
    }
    return resource


def container(name: str, *, ready: bool, last: Object | None = None) -> Object:
    """What a kubelet says of one."""
    state = {"running": {"startedAt": MOMENT}} if ready else {"waiting": {"reason": "CrashLoopBackOff"}}
    found = {"name": name, "image": "cloister", "imageID": "", "ready": ready, "restartCount": 1, "state": state}
    return found | ({"lastState": {"terminated": last}} if last else {})


def ended(message: str, code: int = 0) -> Object:
    return {"exitCode": code, "message": message, "startedAt": MOMENT, "finishedAt": MOMENT, "reason": "Completed"}


def say(world: World, pod: Key, message: str) -> None:
    """What the kubelet writes when the teller has ended."""
    tell(
        world,
        pod,
        initContainerStatuses=[container("gate", ready=True), container("teller", ready=False, last=ended(message))],
        containerStatuses=[container("exporter", ready=True)],
    )


def tell(world: World, pod: Key, **status: Any) -> None:
    answer = world.admin.patch(world.path(pod, "status"), {"status": status}, real=True)
    assert answer.code == 200, str(answer)


def report(**totals: int) -> str:
    counts = {code.replace("_", "."): count for code, count in totals.items()}
    return json.dumps({"version": 1, "totals": {"inference": counts}})


def notes(world: World, name: str) -> list[str]:
    """Of Events about serious alerts, oldest first."""
    found = [event for event in world.events_about(name) if event["reason"] == "SeriousAlerts"]
    assert all(event["type"] == "Warning" for event in found)
    return [event["note"] for event in sorted(found, key=lambda event: str(event["eventTime"]))]


def counted(world: World, name: str) -> list[tuple[str, str, int]]:
    alerts = world.deployment(name).get("status", {}).get("alerts", [])
    return [(one["component"], one["code"], one["count"]) for one in alerts]


def test_serious_alerts_become_events_once_and_in_the_operators_own_words(world: World) -> None:
    name = world.converge(exporting("exporting"))
    pod = ("Pod", f"{name}-storage", "exporter-0")
    until(lambda: world.find(pod), "the exporter's pod is made")
    assert counted(world, name) == []
    say(world, pod, report(behaviour_end=2))
    until(lambda: counted(world, name) == [("inference", "behaviour.end", 2)], "status tells of it")
    until(lambda: len(notes(world, name)) == 1, "an Event")
    assert "inference: behaviour.end 2." in notes(world, name)[0]

    # Nothing that stands there but codes and numbers is repeated, and a restart does not tell it again.
    say(world, pod, json.dumps({"version": 1, "totals": {"inference": {"call 555-0100": 7}}}))
    stop_operator(world.plane)
    start_operator(world.plane, operator_kubeconfig(world.plane))
    say(world, pod, report(behaviour_end=2))
    say(world, pod, report(behaviour_end=3))
    until(lambda: counted(world, name) == [("inference", "behaviour.end", 3)], "status tells of one more")
    until(lambda: len(notes(world, name)) == 2, "another Event")
    assert "inference: behaviour.end 1." in notes(world, name)[1]
    assert not [event for event in world.events_about(name) if "call 555" in json.dumps(event)]
    # That the teller has ended makes the pod unready, and nothing else of it.
    assert "exporter" not in world.condition(name, "WorkloadsReady")["message"]

    failed = container("exporter", ready=False, last=ended(json.dumps({"reason": "ExportKeyMissing"}), 3))
    tell(world, pod, containerStatuses=[failed])
    said = world.until_condition(name, "WorkloadsReady", "False", "ExportKeyMissing")
    assert f"Secret {name}-storage/export-keys: it has no entry key" in said["message"]
    world.delete((names.KIND, "", name))


def test_the_exporter_goes_when_it_is_no_longer_declared(world: World) -> None:
    name = world.converge(exporting("quiet"))
    server = ("StatefulSet", f"{name}-storage", "exporter")
    assert world.get(server)["spec"]["template"]["spec"]["automountServiceAccountToken"] is False
    policies = [("NetworkPolicy", f"{name}-storage", f"exporter-{way}") for way in ("egress", "ingress")]
    assert [world.find(policy) is not None for policy in policies] == [True, False]  # nobody reaches it
    world.declare(minimal(name))
    world.until_gone(server)
    for gone in (*policies, ("ServiceAccount", f"{name}-storage", "exporter")):
        world.until_gone(gone)
    world.delete((names.KIND, "", name))
