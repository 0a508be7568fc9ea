"""What a node has left behind."""

from __future__ import annotations

from pathlib import Path

import psutil

from tests.cluster.node.machine import Machine


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
