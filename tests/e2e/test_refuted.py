"""Isolation refuted where the network enforces nothing (ZT-17): the reference plugins, which know no policy. And a node
whose starter is killed: it leaves nothing behind.

Last, when the other node is gone: Cilium turns the addresses of Services into those of pods for every process of the
machine, and so for the pods of a second node too.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.node import images
from tests.cluster.node.node import Node
from tests.cluster.processes import wait_until
from tests.e2e.conftest import timed
from tests.e2e.leftovers import left_behind
from tests.e2e.life import NAME, Life
from tests.e2e.test_isolation import isolation, verify

pytestmark = pytest.mark.timeout(1800)

_START = """
import sys, time
from pathlib import Path
from tests.cluster.node.node import Node
node = Node.start(Path(sys.argv[1]), network="bridge")
node.install_cert_manager()
print("up", flush=True)
time.sleep(3600)
"""
Starter = subprocess.Popen[str]


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the node is."""
    return (tmp_path_factory.mktemp("porous") / "node").resolve()


@pytest.fixture(scope="module")
def starter(directory: Path) -> Iterator[Starter]:
    """Who has started a node whose network enforces nothing, and holds it."""
    process = subprocess.Popen([sys.executable, "-c", _START, str(directory)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        assert process.stdout.readline() == "up\n"
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def porous(starter: Starter, directory: Path) -> Life:
    """The example on that node, as far as it comes there."""
    # No workload gets as far as its image.
    life = Life(Node.open(directory), directory.parent / "life", images.PRODUCT)
    life.load_images()
    life.install()
    life.prepare()
    life.kubectl.apply([life.resource])
    return life


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


def test_a_killed_run_leaves_nothing(starter: Starter, directory: Path) -> None:
    """With all those pods running."""
    assert len(left_behind(directory)) > 10
    starter.send_signal(signal.SIGKILL)
    starter.wait()
    assert wait_until(lambda: left_behind(directory) == [], 60), left_behind(directory)
    Node.open(directory).remove()
    assert not directory.exists()
