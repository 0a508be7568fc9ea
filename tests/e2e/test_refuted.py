"""Isolation refuted where the network enforces nothing (ZT-17): the reference plugins, which know no policy.

Last, when the other node is gone: Cilium turns the addresses of Services into those of pods for every process of the
machine, and so for the pods of a second node too.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.node import images
from tests.cluster.node.node import Node
from tests.cluster.processes import wait_until
from tests.e2e.conftest import timed
from tests.e2e.life import NAME, Life
from tests.e2e.test_isolation import isolation, verify


@pytest.fixture
def porous(tmp_path: Path) -> Iterator[Life]:
    """The example on a node whose network enforces nothing, as far as it comes there."""
    node = Node.start(tmp_path / "node", network="bridge")
    try:
        node.install_cert_manager()
        life = Life(node, tmp_path / "life", images.PRODUCT)  # no workload gets as far as its image
        life.load_images()
        life.install()
        life.prepare()
        life.kubectl.apply([life.resource])
        yield life
    finally:
        node.stop()
        for heavy in ("containerd", "kubelet", "volumes"):
            shutil.rmtree(node.directory / heavy, ignore_errors=True)


def test_nothing_is_started_where_the_network_enforces_nothing(porous: Life) -> None:
    with timed("kubectl apply to a network that is found out"):
        assert wait_until(lambda: isolation(porous).get("status") == "False", 180), isolation(porous)
    said = isolation(porous)
    assert said["reason"] == "NotEnforced"
    failures = porous.kubectl.get("llmd", NAME)["status"]["isolation"]["proof"]["failures"]
    assert {failure.split(" -> ")[0] for failure in failures} >= {"inference", "training", "stranger"}
    for zone, kind in (("inference", "statefulset"), ("training", "job")):
        made = porous.kubectl.get(kind, "-n", f"{NAME}-{zone}")["items"]
        assert [
            one["metadata"]["name"] for one in made if "cloister.dev/canary-run" not in one["metadata"]["labels"]
        ] == []
    code, checks = verify(porous)
    assert code == 1
    assert checks["stranger -> inference"]["detail"].endswith(": reached, must be blocked")
    events = porous.kubectl.get("events", "-n", "default")["items"]
    assert any(event["reason"] == "NotEnforced" for event in events)
