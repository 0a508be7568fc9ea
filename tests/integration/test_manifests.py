"""What users apply with kubectl alone, on a real API server: the same installation as by helm."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cluster import ControlPlane
from tests.cluster.kubectl import KubectlError
from tests.cluster.processes import wait_until
from tests.installed import NAMESPACE, RELEASE

MANIFESTS = Path(__file__).parents[2] / "manifests"
ZONE = {
    "apiVersion": "v1",
    "kind": "Namespace",
    "metadata": {"name": "mine", "labels": {"cloister.dev/zone": "storage"}},
}


@pytest.mark.parametrize("source", [("-f", "install.yaml"), ("-k", "kustomize")], ids=["install.yaml", "kustomize"])
def test_kubectl_alone_installs_crd_operator_and_guards(
    start_control_plane: Callable[[], ControlPlane], source: tuple[str, str]
) -> None:
    kubectl = start_control_plane().kubectl
    option, path = source
    kubectl("apply", "--server-side", option, str(MANIFESTS / path))
    # Applying again changes nothing: that is what GitOps tools do all day.
    kubectl("diff", "--server-side", option, str(MANIFESTS / path))

    kubectl("wait", "--for=condition=Established", "crd/llmdeployments.cloister.dev", "--timeout=30s")
    assert kubectl.get("deployment", RELEASE, "-n", NAMESPACE)["spec"]["template"]["spec"]["containers"]
    example = MANIFESTS / "examples" / "support-bot.yaml"
    assert "support-bot" in kubectl("apply", "--server-side", "--dry-run=server", "-f", str(example))

    def zone_is_refused() -> bool:
        try:
            kubectl("create", "--dry-run=server", "-f", "-", stdin=json.dumps(ZONE))
        except KubectlError as error:
            return "is refused" in str(error)
        return False

    assert wait_until(zone_is_refused, 30), "the guards are not in force"
