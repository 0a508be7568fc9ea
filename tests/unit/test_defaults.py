"""What an answer to a write may teach: defaults of a newer API server, and nothing that a webhook could do harm by."""

from typing import Any

import pytest

from cloister.controller.defaults import Tolerated, learnable

POD = "spec.template.spec"


@pytest.mark.parametrize(
    ("kind", "path", "value"),
    [
        ("StatefulSet", f"{POD}.containers.*.resizePolicyDefault", "NotRequired"),
        ("Service", "spec.trafficDistribution", "PreferClose"),
        ("Job", "spec.newField", 3),
    ],
)
def test_a_new_default_is_learned(kind: str, path: str, value: Any) -> None:
    assert learnable(kind, path, value)


@pytest.mark.parametrize(
    ("kind", "path", "value"),
    [
        ("NetworkPolicy", "spec.ingress", [{}]),
        ("NetworkPolicy", "spec.new", "x"),
        ("RoleBinding", "subjects", "x"),
        ("ConfigMap", "data.more", "x"),
        ("StatefulSet", f"{POD}.hostNetwork", True),
        ("StatefulSet", f"{POD}.containers.*.securityContext.privileged", True),
        ("StatefulSet", f"{POD}.containers.*.command", ["sh"]),
        ("StatefulSet", f"{POD}.serviceAccountName", "another"),
        ("StatefulSet", f"{POD}.automountServiceAccountToken", True),
        ("StatefulSet", f"{POD}.nodeName", "mine"),
        ("StatefulSet", f"{POD}.shareProcessNamespace", True),
        ("StatefulSet", "spec.template.metadata.annotations.k8s.v1.cni.cncf.io/networks", "another"),
        ("StatefulSet", f"{POD}.containers.*.lifecycle.postStart.httpGet.path", "/"),
        ("PersistentVolumeClaim", "spec.dataSource.name", "another"),
        ("Certificate", "spec.isCA", True),
        ("Service", "spec.externalName", "evil.example.com"),
        ("Service", "spec.ports", [{"port": 1}]),
    ],
)
def test_what_a_webhook_adds_is_not(kind: str, path: str, value: Any) -> None:
    assert not learnable(kind, path, value)


def test_what_is_learned_holds_for_one_value_at_one_place() -> None:
    tolerated = Tolerated()
    tolerated.learn("Service", "spec.new", "x")
    assert tolerated.allows("Service", ("spec", "new"), "x")
    assert not tolerated.allows("Service", ("spec", "new"), "y")
    assert not Tolerated().allows("Service", ("spec", "new"), "x")
