"""Status from what a pass has found: pure, honest, and quiet when nothing has changed."""

import copy
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from cloister import names
from cloister.controller import conditions, events, status
from cloister.controller.holds import hold, prunable
from cloister.controller.outcome import IN_FORCE, Obstacle, Outcome, Repair, Result, State
from cloister.controller.proof import Standing
from cloister.controller.status import View
from cloister.controls import CONTROLS, Family
from cloister.crd import schema
from cloister.facts import Facts, Settings
from cloister.guards import Failing
from cloister.names import Key, key
from cloister.render import render
from cloister.sealing import Kind, generate
from cloister.spec import LLMDeployment, parse
from cloister.zones import STORES, Component

Object = dict[str, Any]

EXAMPLE = Path(__file__).parents[2] / "manifests" / "examples" / "support-bot.yaml"
NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
EXCEPTION = {"control": "ZT-17", "reason": "no kubelet here", "expires": "2026-06-01"}


def resource(**spec: Any) -> Object:
    raw: Object = yaml.safe_load(EXAMPLE.read_text())
    raw["metadata"] |= {"uid": "11111111-1111-1111-1111-111111111111", "generation": 3, "resourceVersion": "1"}
    raw["spec"] |= spec
    return raw


def running(obj: Object) -> Object:
    """A rendered object as it is when all is well."""
    ready = [{"type": "Ready", "status": "True"}]
    match obj["kind"]:
        case "Certificate" | "ClusterIssuer":
            extra: Object = {"status": {"conditions": ready, "notAfter": "2026-07-01T00:00:00Z"}}
        case "StatefulSet":
            extra = {"status": {"readyReplicas": obj["spec"].get("replicas", 1)}}
        case "Service":
            extra = {"spec": obj["spec"] | {"clusterIP": "10.0.0.1"}}
        case _:
            extra = {}
    return copy.deepcopy(obj) | extra


class Scene:
    """A deployment whose every object is in force, to be spoilt."""

    def __init__(self, **spec: Any) -> None:
        self.raw = resource(**spec)
        self.deployment: LLMDeployment | None = parse(self.raw)
        self.rendered = render(self.deployment, Facts(), Settings())
        self.live = {key(obj): running(obj) for obj in self.rendered}
        self.outcome = Outcome(today=NOW.date(), results=dict.fromkeys(self.live, IN_FORCE), keyrings=True, guards=())

    def status(self, now: datetime = NOW) -> Object:
        self.outcome.today = now.date()
        return status.build(View(self.raw, self.deployment, self.rendered, self.outcome, self.live.get, now))

    def condition(self, kind: str) -> tuple[str, str]:
        found = conditions.find({"status": self.status()}, kind)
        assert found
        return found["status"], found["reason"]

    def find(self, kind: str, name: str) -> Key:
        (found,) = [one for one in self.live if one[0] == kind and one[2] == name]
        return found


def test_what_an_exporter_told_stays_as_long_as_one_is_declared() -> None:
    told = [{"component": "inference", "code": "behaviour.end", "count": 2}]
    export = {
        "publicKey": str(generate(Kind.X25519).public),
        "secretRef": {"name": "export-keys"},
        "webhook": {"url": "https://hooks.example.com/take", "addresses": ["203.0.113.7"]},
    }
    audit = {field: value for field, value in resource()["spec"]["audit"].items() if field != "export"}
    without = Scene(audit=audit)
    declared = Scene(audit=audit | {"export": export})
    for scene in (declared, without):
        scene.raw["status"] = {"alerts": told}
    assert declared.status()["alerts"] == told
    assert "alerts" not in without.status()
    without.deployment, without.rendered = None, []  # what is declared is not known while it can't be read
    assert without.status()["alerts"] == told


def test_a_deployment_is_ready_when_all_is_proved_and_not_before() -> None:
    scene = Scene()
    for family in set(Family) - {Family.ISOLATION_PROVEN, Family.READY}:
        assert scene.condition(family)[0] == "True", family
    for family in (Family.ISOLATION_PROVEN, Family.READY):
        assert scene.condition(family)[0] == "Unknown"
    assert scene.condition("Reconciling")[0] == "False"
    assert scene.condition("Stalled")[0] == "False"
    scene.outcome.standing = Standing("True", "Proven", "tried")
    assert scene.condition("Ready") == ("True", "InForce")
    assert scene.status()["phase"] == "Ready"


def test_encryption_is_vouched_for_by_stores_that_serve_alone() -> None:
    scene = Scene()
    assert scene.condition("EncryptedAtRest") == ("True", "Encrypted")
    store = scene.live[scene.find("StatefulSet", "checkpoints")]
    store["status"] = {"readyReplicas": 0}
    assert scene.condition("EncryptedAtRest") == ("Unknown", "NoReport")
    scene.outcome.keyrings = False
    assert scene.condition("EncryptedAtRest") == ("False", "KeysFirst")


def unknown(**spec: Any) -> set[str]:
    """Controls of which nothing is known although all is well."""
    return {one["id"] for one in Scene(**spec).status()["controls"] if one["status"] == "Unknown"}


def test_a_control_that_is_not_enforced_is_never_true() -> None:
    lines = {line["id"]: line["status"] for line in Scene().status()["controls"]}
    assert set(lines) == {control.id for control in CONTROLS}
    for control in CONTROLS:
        if not control.enforced:
            assert lines[control.id] != "True", control.id
    assert lines["ZT-03"] == "True"


@pytest.mark.parametrize(
    ("part", "fields", "controls"),
    [
        ("inference", {"guard": {"promptInjection": "Flag", "extraction": "Flag", "sensitiveOutput": "Flag"}}, set()),
        ("inference", {"behaviour": {"action": "Flag"}}, set()),
        ("inference", {"guard": {"promptInjection": "Off"}}, {"ZT-20"}),
        ("inference", {"guard": {"schema": "Off"}}, {"ZT-20"}),
        ("inference", {"guard": {"extraction": "Off"}}, {"ZT-22"}),
        ("inference", {"guard": {"sensitiveOutput": "Off"}}, {"ZT-28"}),
        ("inference", {"behaviour": {"action": "Off"}}, {"ZT-07", "ZT-09"}),
        ("training", {"mask": []}, {"ZT-14"}),
        ("training", {"mask": ["email"]}, set()),
    ],
)
def test_a_control_that_the_resource_turns_off_is_never_true(part: str, fields: Object, controls: set[str]) -> None:
    assert unknown(**{part: resource()["spec"][part] | fields}) - unknown() == controls


def test_what_the_resource_does_not_ask_for_is_never_true() -> None:
    spec = resource()["spec"]
    storage = {name: store | {"encryption": {"rotateEvery": "90d"}} for name, store in spec["storage"].items()}
    signed = {"model": spec["inference"]["model"] | {"publicKey": "cloister-pub-ed25519:" + "A" * 43}}
    assert {"ZT-25", "ZT-26"} & unknown(storage=storage, inference=spec["inference"] | signed) == set()
    del storage["checkpoints"]["encryption"]
    del signed["model"]["publicKey"]
    assert {"ZT-25", "ZT-26"} <= unknown(storage=storage, inference=spec["inference"] | signed)


def test_records_are_vouched_for_by_ready_auditors_alone() -> None:
    scene = Scene()
    said = conditions.find({"status": scene.status()}, "AuditRecording")
    assert said
    assert said["status"] == "True"
    assert "content Redacted, sealed for 1 recipient and the exporter, whose key opens all of it," in said["message"]
    scene.live[scene.find("StatefulSet", "checkpoints")]["status"] = {"readyReplicas": 0}
    said = conditions.find({"status": scene.status()}, "AuditRecording")
    assert said
    assert (said["status"], said["reason"]) == ("Unknown", "NoReport")
    assert "checkpoints has 0 of 1 pods ready" in said["message"]
    scene.outcome.results[scene.find("ConfigMap", "auditor-inference")] = Result(State.FAILED, "Forbidden", "no")
    assert scene.condition("AuditRecording") == ("False", "Forbidden")


def test_an_exception_shows_and_expires_without_stopping_anything() -> None:
    scene = Scene(exceptions=[EXCEPTION])
    before, after = scene.status(), scene.status(NOW + timedelta(days=1))
    assert (control(before, "ZT-17"), control(after, "ZT-17")) == ("Excepted", "Unknown")
    assert [status["exceptions"][0]["expired"] for status in (before, after)] == [False, True]
    assert (verdict(before, "Ready")[0], verdict(after, "Ready")[0]) == ("True", "Unknown")
    (notice,) = events.notices(before, after, [])
    assert (notice.type, notice.reason) == ("Warning", "ExceptionExpired")


@pytest.mark.parametrize("excused", ["ZT-04", "ZT-06", "ZT-24"])
def test_ready_is_unknown_from_the_day_after_an_exception(excused: str) -> None:
    scene = ready(exceptions=[EXCEPTION | {"control": excused}])
    assert verdict(scene.status(), "Ready") == ("True", "InForce")
    assert f"excepting {excused}" in said(scene.status())
    after = scene.status(NOW + timedelta(days=1))
    assert verdict(after, "Ready") == ("Unknown", "ExceptionExpired")
    assert f"{excused} (2026-06-01)" in said(after)
    assert control(after, excused) == "True"


def test_an_exception_excuses_what_could_not_be_proved_and_never_what_was_refuted() -> None:
    scene = ready(exceptions=[EXCEPTION])
    assert verdict(scene.status(), "Ready") == ("True", "InForce")
    scene.outcome.standing = Standing("Unknown", "NotTried", "nothing was tried")
    assert verdict(scene.status(), "Ready") == ("True", "InForce")
    assert held(scene, "StatefulSet", "inference") is None
    scene.outcome.standing = Standing("False", "NotEnforced", "training reached the internet")
    assert verdict(scene.status(), "Ready") == ("False", "NotEnforced")
    assert held(scene, "StatefulSet", "inference") == "WaitingForProof"


def test_what_waits_for_proof_waits_again_when_the_exception_has_expired() -> None:
    scene = Scene(exceptions=[EXCEPTION])
    assert held(scene, "StatefulSet", "inference") is None
    scene.outcome.today += timedelta(days=1)
    assert held(scene, "StatefulSet", "inference") == "WaitingForProof"


def ready(**spec: Any) -> Scene:
    """Of which nothing is left to say."""
    scene = Scene(**spec)
    scene.outcome.standing = Standing("True", "Proven", "tried")
    return scene


def control(status: Object, wanted: str) -> str:
    found: str = next(line["status"] for line in status["controls"] if line["id"] == wanted)
    return found


def said(status: Object) -> str:
    found = conditions.find({"status": status}, "Ready")
    assert found
    return str(found["message"])


def verdict(status: Object, kind: str) -> tuple[str, str]:
    found = conditions.find({"status": status}, kind)
    assert found
    return found["status"], found["reason"]


def test_the_same_scene_gives_the_same_status_later() -> None:
    scene = Scene()
    scene.raw["status"] = scene.status()
    assert scene.status(NOW + timedelta(hours=1)) == scene.raw["status"]


def test_a_transition_time_changes_only_when_status_flips() -> None:
    scene = Scene()
    scene.raw["status"] = scene.status()
    scene.outcome.foreign_policies.append("support-bot-inference/x")
    later = scene.status(NOW + timedelta(hours=1))
    times = {one["type"]: one["lastTransitionTime"] for one in later["conditions"]}
    assert times["ZonesIsolated"] == "2026-06-01T13:00:00Z"
    assert times["IdentityIssued"] == "2026-06-01T12:00:00Z"


def test_a_foreign_policy_spoils_isolation_and_is_named() -> None:
    scene = Scene()
    scene.outcome.foreign_policies.append("support-bot-inference/open")
    assert scene.condition("ZonesIsolated") == ("False", "ForeignPolicies")
    assert scene.condition("Ready")[0] == "False"
    assert "support-bot-inference/open" in scene.status()["message"]


def test_without_its_guards_access_is_not_minimal_and_what_they_enforce_does_not_hold() -> None:
    scene = Scene()
    scene.outcome.standing = Standing("True", "Proven", "tried")
    scene.outcome.guards = (Failing("zone-guard.cloister.dev", "binding zone-guard.cloister.dev", "does not deny"),)
    assert scene.condition("AccessMinimal") == ("False", "GuardsMissing")
    assert scene.condition("IdentityIssued")[0] == "True"
    assert scene.condition("Ready") == ("False", "GuardsMissing")
    assert "binding zone-guard.cloister.dev does not deny" in scene.status()["message"]
    assert "admission.enabled=true" in scene.status()["message"]
    lines = {line["id"]: line["status"] for line in scene.status()["controls"]}
    assert lines["ZT-04"] == lines["ZT-10"] == "False"
    assert lines["ZT-01"] == "True"
    scene.outcome.guards = None
    assert scene.condition("AccessMinimal") == ("Unknown", "GuardsUnknown")
    lines = {line["id"]: line["status"] for line in scene.status()["controls"]}
    assert lines["ZT-04"] == lines["ZT-10"] == "Unknown"
    scene.outcome.guards = ()
    assert scene.condition("Ready") == ("True", "InForce")
    assert {line["id"]: line["status"] for line in scene.status()["controls"]}["ZT-04"] == "True"


def test_what_spoils_access_besides_is_said_first() -> None:
    scene = Scene()
    scene.outcome.guards = (Failing("zone-guard.cloister.dev", "zone-guard.cloister.dev", "is not installed"),)
    scene.outcome.results[scene.find("ServiceAccount", "inference")] = Result(State.FAILED, "Forbidden", "no")
    assert scene.condition("AccessMinimal") == ("False", "Forbidden")


@pytest.mark.parametrize(
    ("kind", "name", "family"),
    [
        ("NetworkPolicy", "inference-ingress", "ZonesIsolated"),
        ("ServiceAccount", "inference", "AccessMinimal"),
        ("ConfigMap", "gate-inference", "AccessMinimal"),
        ("PersistentVolumeClaim", "checkpoints", "StorageSeparated"),
        ("ClusterIssuer", "cloister-ca-support-bot-g1", "IdentityIssued"),
        ("CronJob", "training", "WorkloadsReady"),
    ],
)
def test_an_object_that_is_refused_spoils_its_family(kind: str, name: str, family: str) -> None:
    scene = Scene()
    scene.outcome.results[scene.find(kind, name)] = Result(State.FAILED, "Forbidden", "no")
    assert scene.condition(family) == ("False", "Forbidden")
    assert scene.condition("Stalled")[0] == "False"
    scene.outcome.results[scene.find(kind, name)] = Result(State.FAILED, "Conflict", "not ours")
    assert scene.condition("Stalled") == ("True", "ObjectConflict")
    assert scene.status()["phase"] == "Stalled"


DUE, BEFORE, AFTER = "2026-06-01T02:00:00Z", "2026-05-31T03:00:00Z", "2026-06-01T03:00:00Z"


@pytest.mark.parametrize(
    ("said", "failed"),
    [
        ({}, False),
        ({"lastScheduleTime": DUE}, True),
        ({"lastScheduleTime": DUE, "lastSuccessfulTime": BEFORE}, True),
        ({"lastScheduleTime": DUE, "lastSuccessfulTime": AFTER}, False),
        ({"lastScheduleTime": DUE, "lastSuccessfulTime": BEFORE, "active": [{"name": "training-1"}]}, False),
    ],
)
def test_a_scheduled_run_that_has_failed_is_told_until_another_succeeds(said: Object, failed: bool) -> None:
    scene = Scene()
    cron_job = scene.live[scene.find("CronJob", "training")]
    cron_job["status"] = said
    assert scene.condition("WorkloadsReady") == (("False", "RunFailed") if failed else ("True", "Running"))
    assert scene.condition("Stalled")[0] == "False"
    cron_job["spec"]["suspend"] = True  # no other begins: there is nothing to wait for
    assert scene.condition("WorkloadsReady") == ("True", "Running")


def test_a_run_that_has_failed_and_one_that_goes_on_are_told() -> None:
    training = {name: value for name, value in resource()["spec"]["training"].items() if name != "schedule"}
    scene = Scene(training=training)
    (job,) = [found for found in scene.live if found[0] == "Job"]
    scene.outcome.results[job] = Result(State.IN_FORCE, "Unfinished", "it goes on")
    said = conditions.find({"status": scene.status()}, "WorkloadsReady")
    assert said
    assert (said["status"], said["message"]) == ("True", "every workload runs; it goes on")
    scene.live[job]["status"] = {"conditions": [{"type": "Failed", "status": "True", "message": "too many retries"}]}
    assert scene.condition("WorkloadsReady") == ("False", "RunFailed")
    assert "too many retries" in scene.status()["message"]


def test_one_certificate_that_is_not_issued_is_named() -> None:
    scene = Scene()
    found = scene.find("Certificate", "cloister-checkpoints")
    scene.live[found]["status"] = {"conditions": [{"type": "Ready", "status": "False", "message": "no issuer"}]}
    assert scene.condition("IdentityIssued") == ("False", "Issuing")
    assert "support-bot-storage/cloister-checkpoints (no issuer)" in scene.status()["message"]


def test_an_invalid_declaration_that_nobody_repairs_is_vouched_for_no_more() -> None:
    """As after a restart: what was valid before is not known to this process, so nothing is watched."""
    scene = Scene()
    (store,) = (found for found in scene.live if found[0] == "StatefulSet" and found[2] == Component.CHECKPOINTS)
    scene.outcome.results[store] = Result(State.FAILED, "Invalid", "no such class")
    scene.raw["status"] = scene.status()
    before = {family: scene.condition(family) for family in Family}
    scene.deployment, scene.rendered, scene.outcome = None, [], Outcome()
    scene.outcome.obstacles.append(Obstacle(Family.READY, "InvalidSpec", "spec.x: wrong", stalled=True))
    assert scene.condition("Stalled") == ("True", "InvalidSpec")
    assert before[Family.ZONES_ISOLATED][0] == "True"
    assert scene.condition("ZonesIsolated") == ("Unknown", "NotWatched")
    bad = [family for family, (status, _) in before.items() if status == "False" and family is not Family.READY]
    assert bad
    assert all(scene.condition(family) == before[family] for family in bad)
    again = Scene()
    again.raw["status"], again.deployment, again.rendered = scene.status(), None, []
    again.outcome = scene.outcome
    assert again.status()["conditions"] == scene.status()["conditions"], "it is said once"
    assert scene.status()["zones"] == scene.raw["status"]["zones"]
    assert scene.status()["message"] == "spec.x: wrong"
    notices = list(events.notices(scene.raw["status"], scene.status(), []))
    assert [(one.type, one.reason) for one in notices] == [("Warning", "InvalidSpec")]


def test_a_status_is_never_larger_than_its_schema_allows() -> None:
    scene = Scene()
    scene.deployment, scene.rendered, scene.outcome = None, [], Outcome()
    scene.outcome.obstacles.append(Obstacle(Family.READY, "InvalidSpec", "x" * 40_000, stalled=True))
    scene.outcome.repairs.append(Repair(("NetworkPolicy", "a", "b"), "y" * 40_000))
    found = scene.status()
    assert max(len(found["message"]), len(found["lastDrift"]["what"])) == 2048
    assert found["message"].endswith("...")


def test_a_first_status_of_an_invalid_declaration_proves_nothing() -> None:
    scene = Scene()
    scene.deployment, scene.rendered, scene.outcome = None, [], Outcome()
    scene.outcome.obstacles.append(Obstacle(Family.READY, "InvalidSpec", "wrong", stalled=True))
    assert {scene.condition(family)[0] for family in Family if family is not Family.READY} == {"Unknown"}
    assert scene.status()["observedGeneration"] == 3


def test_repairs_are_told_once() -> None:
    scene = Scene()
    before = scene.status()
    repair = Repair(scene.find("NetworkPolicy", "inference-ingress"), "was deleted")
    scene.outcome.repairs.append(repair)
    after = scene.status()
    assert after["lastDrift"]["object"] == "NetworkPolicy support-bot-inference/inference-ingress"
    (notice,) = events.notices(before, after, scene.outcome.repairs)
    assert "inference-ingress was deleted" in notice.note
    scene.raw["status"], scene.outcome.repairs = after, []
    assert scene.status()["lastDrift"] == after["lastDrift"]
    assert list(events.notices(after, scene.status(), [])) == []


def test_status_has_no_field_that_its_schema_lacks() -> None:
    scene = Scene(exceptions=[EXCEPTION])
    scene.outcome.repairs.append(Repair(("Service", "a", "b"), "was deleted"))

    def check(value: Any, node: Object, at: str) -> None:
        if isinstance(value, dict):
            assert set(value) <= set(node["properties"]), at
            assert set(node.get("required", ())) <= set(value), at
            for name, child in value.items():
                check(child, node["properties"][name], f"{at}.{name}")
        elif isinstance(value, list):
            assert len(value) <= node["maxItems"], at
            for item in value:
                check(item, node["items"], f"{at}[]")
        elif isinstance(value, str):
            assert len(value) <= node["maxLength"], at

    check(scene.status(), schema()["properties"]["status"], "status")


def test_an_event_says_whom_it_is_about() -> None:
    notice = events.Notice("Warning", "Reason", "n" * 5000)
    event = events.event(resource(), notice, NOW, "pod")
    assert event["metadata"]["namespace"] == "default"
    assert event["regarding"]["uid"] == "11111111-1111-1111-1111-111111111111"
    assert len(event["note"]) == 1024


# --- what waits for what ---


KNOWN = Facts(
    trust_bundle="a certificate",
    cluster_ips=dict.fromkeys((Component.INFERENCE, *STORES), "10.0.0.1"),
    jwks="{}",
)


def held(scene: Scene, kind: str, name: str, facts: Facts = KNOWN) -> str | None:
    assert scene.deployment
    found = scene.find(kind, name)
    obj = next(one for one in scene.rendered if key(one) == found)
    answer = hold(scene.deployment, obj, scene.outcome, facts, scene.live.get)
    return answer.reason if answer else None


def test_nothing_waits_when_all_is_well_but_for_proof() -> None:
    assert held(Scene(), "StatefulSet", "checkpoints") is None
    assert held(Scene(), "StatefulSet", "inference") == "WaitingForProof"
    assert held(Scene(exceptions=[EXCEPTION]), "StatefulSet", "inference") is None
    assert held(Scene(), "CronJob", "training") == "WaitingForProof"


def test_without_deny_nothing_is_written() -> None:
    scene = Scene()
    deny = next(one for one in scene.live if one[2] == names.DENY_ALL)
    scene.outcome.results[deny] = Result(State.FAILED, "Forbidden", "no")
    for kind, name in (
        ("NetworkPolicy", "inference-ingress"),
        ("Service", "checkpoints"),
        ("StatefulSet", "checkpoints"),
    ):
        assert held(scene, kind, name) == "PoliciesFirst"


def test_configuration_waits_for_facts_and_stores_for_keys_and_certificates() -> None:
    scene = Scene()
    for facts in (replace(KNOWN, trust_bundle=None), replace(KNOWN, cluster_ips={})):
        assert held(scene, "ConfigMap", "gate-checkpoints", facts) == "WaitingForFacts"
        assert held(scene, "Service", "checkpoints", facts) is None
    scene.live[scene.find("Certificate", "cloister-checkpoints")].pop("status")
    assert held(scene, "StatefulSet", "checkpoints") == "CertificateFirst"
    assert held(scene, "StatefulSet", "training-data") is None
    scene.outcome.keyrings = False
    assert held(scene, "StatefulSet", "training-data") == "KeysFirst"
    assert held(scene, "PersistentVolumeClaim", "training-data") == "KeysFirst"


def test_without_keys_the_gates_are_made_all_the_same_and_admit_no_person() -> None:
    assert held(Scene(), "ConfigMap", "gate-inference", replace(KNOWN, jwks=None)) is None


def test_a_list_of_revocations_that_is_there_waits_for_nothing() -> None:
    identity = resource()["spec"]["identity"]
    identity["users"]["revocations"] = {"configMapRef": {"name": "a", "namespace": "b"}}
    scene = Scene(identity=identity)
    assert scene.deployment
    found = scene.find("ConfigMap", names.REVOCATIONS)
    obj = next(one for one in scene.rendered if key(one) == found)
    deny = next(one for one in scene.live if one[2] == names.DENY_ALL)
    for facts, result in (
        (replace(KNOWN, trust_bundle=None), IN_FORCE),
        (KNOWN, Result(State.FAILED, "Forbidden", "no")),
    ):
        scene.outcome.results[deny] = result
        answer = hold(scene.deployment, obj, scene.outcome, facts, scene.live.get)
        assert answer
        assert answer.creation_only


@pytest.mark.parametrize(
    ("kind", "metadata", "goes"),
    [
        ("NetworkPolicy", {}, True),
        (
            "Certificate",
            {"ownerReferences": [{"uid": "11111111-1111-1111-1111-111111111111", "controller": True}]},
            True,
        ),
        ("Namespace", {}, False),
        ("PersistentVolumeClaim", {}, False),
        ("Secret", {}, False),
        ("Job", {"ownerReferences": [{"uid": "a-cronjob", "controller": True}]}, False),
        ("ConfigMap", {"deletionTimestamp": "2026-01-01T00:00:00Z"}, False),
        ("ConfigMap", {"labels": {names.LABEL_DEPLOYMENT: "support-bot", names.LABEL_OWNER: "another"}}, False),
        ("ConfigMap", {"labels": {names.LABEL_DEPLOYMENT: "support-bot"}}, False),
        # Somebody else's, with our labels: outside the zones they prove nothing.
        ("ConfigMap", {"namespace": "web"}, False),
        ("NetworkPolicy", {"namespace": "other-inference"}, False),
        ("Certificate", {"namespace": "web"}, False),
        ("Certificate", {"namespace": "web", "name": "cloister-support-bot.old"}, True),
    ],
)
def test_only_what_is_ours_and_no_data_is_pruned(kind: str, metadata: Object, goes: bool) -> None:
    deployment = parse(resource())
    labels = names.owner_labels(deployment.name, deployment.uid)
    obj = {"kind": kind, "metadata": {"name": "old", "namespace": "support-bot-inference", "labels": labels} | metadata}
    assert prunable(deployment, obj, set()) == goes
    assert not prunable(deployment, obj, {key(obj)})
