"""Whether a live object is what was rendered: pure, and by content alone."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloister import names
from cloister.controller import drift
from cloister.controller.defaults import Tolerated

Object = dict[str, Any]


def rendered(kind: str = "NetworkPolicy", **content: Any) -> Object:
    metadata = {
        "name": "x",
        "namespace": "y",
        "labels": {names.LABEL_DEPLOYMENT: "d"},
        "annotations": {names.ANNOTATION_RENDERED: "1"},
    }
    return {"apiVersion": "v1", "kind": kind, "metadata": metadata, **content}


def live(obj: Object, **content: Any) -> Object:
    found = copy.deepcopy(obj)
    found["metadata"] |= {"uid": "u", "resourceVersion": "7", "creationTimestamp": "2026-01-01T00:00:00Z"}
    return found | content


DENY = rendered(spec={"podSelector": {}, "policyTypes": ["Ingress", "Egress"]})
QUOTA = rendered("ResourceQuota", spec={"hard": {"cpu": "1000m"}})
STATEFUL = rendered(
    "StatefulSet",
    spec={
        "template": {
            "spec": {
                "automountServiceAccountToken": False,
                "containers": [{"name": "a", "image": "i", "env": []}, {"name": "b", "image": "j"}],
                "volumes": [{"name": "v", "emptyDir": {}}],
            }
        }
    },
)


def pod(obj: Object) -> Object:
    found: Object = obj["spec"]["template"]["spec"]
    return found


def test_a_missing_object_differs() -> None:
    assert drift.differs(None, DENY, Tolerated()) == "is missing"


@pytest.mark.parametrize("obj", [DENY, QUOTA, STATEFUL], ids=lambda obj: obj["kind"])
def test_an_object_as_rendered_does_not_differ(obj: Object) -> None:
    assert drift.differs(live(obj), obj, Tolerated()) is None


def test_defaults_of_the_api_server_are_no_difference() -> None:
    found = live(STATEFUL)
    found["status"] = {"replicas": 1}
    found["spec"] |= {"replicas": 3, "podManagementPolicy": "OrderedReady", "revisionHistoryLimit": 10}
    pod(found).update(restartPolicy="Always", dnsPolicy="ClusterFirst", securityContext={}, nodeSelector=None)
    for container in pod(found)["containers"]:
        container |= {"terminationMessagePath": "/dev/termination-log", "imagePullPolicy": "IfNotPresent"}
        container.pop("env", None)  # empty lists are dropped
    assert drift.differs(found, STATEFUL, Tolerated()) is None


@pytest.mark.parametrize(
    ("wanted", "found", "same"),
    [
        ("1000m", "1", True),
        ("1Gi", "1024Mi", True),
        ("0.5", "500m", True),
        ("1", 1, True),
        ("1", "2", False),
        ("1G", "1Gi", False),
        ("many", "1", False),
    ],
)
def test_quantities_are_numbers(wanted: str, found: Any, same: bool) -> None:
    obj = rendered("ResourceQuota", spec={"hard": {"cpu": wanted}})
    difference = drift.differs(live(obj, spec={"hard": {"cpu": found}}), obj, Tolerated())
    assert (difference is None) == same


def test_elsewhere_a_number_is_not_a_string() -> None:
    obj = rendered("Service", spec={"ports": [{"port": 8443, "targetPort": 8443}]})
    found = live(obj, spec={"ports": [{"port": 8443, "targetPort": "8443"}]})
    assert drift.differs(found, obj, Tolerated()) == "spec.ports.0.targetPort is '8443' instead of 8443"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda o: o["spec"].update(ingress=[{}]), "spec.ingress was added"),
        (
            lambda o: o["spec"].update(podSelector={"matchLabels": {"a": "b"}}),
            "spec.podSelector.matchLabels.a was added",
        ),
        (lambda o: o["spec"]["policyTypes"].pop(), "spec.policyTypes has 1 items instead of 2"),
        (lambda o: o["spec"].update(policyTypes=["Egress", "Ingress"]), "spec.policyTypes.0 is 'Egress'"),
        (lambda o: o["metadata"]["labels"].clear(), f"label {names.LABEL_DEPLOYMENT} is None"),
        (lambda o: o["metadata"].update(ownerReferences=[{"uid": "x"}]), "ownerReferences differ"),
        (lambda o: o["metadata"]["annotations"].clear(), "annotation cloister.dev/rendered is None"),
    ],
)
def test_tampering_with_a_policy(change: Any, said: str) -> None:
    found = live(DENY)
    change(found)
    assert (drift.differs(found, DENY, Tolerated()) or "").startswith(said)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda p: p.update(hostNetwork=True), "spec.template.spec.hostNetwork was added"),
        (lambda p: p.update(dnsPolicy="Default"), "spec.template.spec.dnsPolicy was added"),
        (lambda p: p["containers"].append({"name": "c"}), "spec.template.spec.containers.2 was added"),
        (lambda p: p["containers"].insert(0, {"name": "c"}), "spec.template.spec.containers.0.name is 'c'"),
        (lambda p: p["containers"].reverse(), "spec.template.spec.containers.0.name is 'b'"),
        (lambda p: p["containers"][1].update(args=["-x"]), "spec.template.spec.containers.*.args was added"),
        (
            lambda p: p["volumes"][0].update(hostPath={"path": "/"}),
            "spec.template.spec.volumes.*.hostPath.path was added",
        ),
        (
            lambda p: p.pop("automountServiceAccountToken"),
            "spec.template.spec.automountServiceAccountToken was removed",
        ),
        (lambda p: p.update(tolerations=[{"operator": "Exists"}]), "spec.template.spec.tolerations was added"),
    ],
)
def test_tampering_with_a_pod(change: Any, said: str) -> None:
    found = live(STATEFUL)
    change(pod(found))
    assert (drift.differs(found, STATEFUL, Tolerated()) or "").startswith(said)
    assert drift.differs(drift.repaired(found, STATEFUL, Tolerated()), STATEFUL, Tolerated()) is None


def test_foreign_labels_stay_except_those_that_weaken_a_namespace() -> None:
    zone = rendered("Namespace")
    found = live(zone)
    found["metadata"]["labels"]["team"] = "a"
    assert drift.differs(found, zone, Tolerated()) is None
    found["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] = "privileged"
    assert drift.differs(found, zone, Tolerated()) == "label pod-security.kubernetes.io/enforce was added"
    assert drift.repaired(found, zone, Tolerated())["metadata"]["labels"]["team"] == "a"


def test_a_repair_keeps_what_belongs_to_the_cluster() -> None:
    service = rendered("Service", spec={"ports": [{"port": 1}]})
    found = live(service, spec={"ports": [{"port": 2}], "clusterIP": "10.0.0.1", "externalIPs": ["203.0.113.7"]})
    found["metadata"]["finalizers"] = ["a"]
    fixed = drift.repaired(found, service, Tolerated())
    assert fixed["spec"] == {"ports": [{"port": 1}], "clusterIP": "10.0.0.1"}
    assert fixed["metadata"]["resourceVersion"] == "7"
    assert fixed["metadata"]["finalizers"] == ["a"]


def test_an_unknown_default_is_tolerated_once_learned_with_that_value_only() -> None:
    tolerated = Tolerated()
    found = live(DENY)
    found["spec"]["newField"] = {"mode": "Strict"}
    ((path, value),) = drift.surplus(found, DENY, tolerated)
    tolerated.learn("NetworkPolicy", path, value)
    assert drift.differs(found, DENY, tolerated) is None
    found["spec"]["newField"]["mode"] = "Open"
    assert drift.differs(found, DENY, tolerated) == "spec.newField.mode was added"


def test_drift_is_told_from_a_change_of_ours() -> None:
    assert drift.drifted(live(DENY), DENY)
    newer = copy.deepcopy(DENY)
    newer["metadata"]["annotations"][names.ANNOTATION_RENDERED] = "2"
    assert not drift.drifted(live(DENY), newer)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text("ab", max_size=2),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("xyz", min_size=1, max_size=2), inner, max_size=3)
    ),
    max_leaves=12,
)
SPECS = st.dictionaries(st.text("xyz", min_size=1, max_size=2), JSON, max_size=3)


@given(SPECS, SPECS)
def test_a_repair_always_ends_the_difference_and_changes_no_argument(wanted: Object, found: Object) -> None:
    obj = rendered("ResourceQuota", spec=wanted)
    tampered = live(obj, spec=found)
    before = copy.deepcopy((obj, tampered))
    fixed = drift.repaired(tampered, obj, Tolerated())
    assert drift.differs(fixed, obj, Tolerated()) is None
    assert (obj, tampered) == before
