"""The node itself: it leaves nothing behind, however it ends."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.cluster.node.machine import Machine
from tests.cluster.node.node import Node
from tests.cluster.processes import wait_until

pytestmark = pytest.mark.timeout(1800)

_START = """
import sys, time
from pathlib import Path
from tests.cluster.node.node import Node
node = Node.start(Path(sys.argv[1]))
node.wait_for_pods("kube-system")
print("up", flush=True)
time.sleep(3600)
"""


def left_behind(directory: Path) -> list[str]:
    """What somebody could still find of a node: processes, network devices, control groups, mounts."""
    machine = Machine(directory)
    found = [str(group) for group in machine.groups if group.exists()]
    found += [machine.device] if Path("/sys/class/net", machine.device).exists() else []
    found += [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if str(directory) in line]
    ours = {psutil.Process().pid, *(process.pid for process in psutil.Process().parents())}
    for process in psutil.process_iter(["pid", "cmdline"]):
        words = " ".join(process.info["cmdline"] or ())
        if str(directory) in words and process.pid not in ours:
            found.append(f"process {process.pid}: {words[:100]}")
    return found


def test_the_holder_alone_takes_everything_with_it(request: pytest.FixtureRequest, node: Node) -> None:
    """The node of all the tests before: every pod, every network and every mount of it."""
    if request.config.getoption("--node"):
        pytest.skip("this node is to be kept")
    assert len(left_behind(node.directory)) > 10
    node.kill("machine")
    assert wait_until(lambda: node.running() == [], 60), node.running()
    node.stop()
    assert left_behind(node.directory) == []


def test_a_killed_run_leaves_nothing(tmp_path: Path) -> None:
    """Whoever started the node is killed, with pods running."""
    directory = (tmp_path / "killed").resolve()
    starter = subprocess.Popen([sys.executable, "-c", _START, str(directory)], stdout=subprocess.PIPE, text=True)
    assert starter.stdout is not None
    assert starter.stdout.readline() == "up\n"
    assert len(left_behind(directory)) > 10
    starter.send_signal(signal.SIGKILL)
    starter.wait()
    assert wait_until(lambda: left_behind(directory) == [], 60), left_behind(directory)
    Node.open(directory).remove()
    assert not directory.exists()
