"""Ends a control plane when the process that started it is gone, however it went.

Its standard input is a pipe whose other end only the starting process holds, and which the kernel closes even
after a SIGKILL. PR_SET_PDEATHSIG would be shorter, but it fires when the starting *thread* ends, and a
control plane may well be started from a worker thread.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from tests.cluster.node.machine import sweep
from tests.cluster.processes import ProcessTable


class Watchdog:
    """Held by the starting process; `release()` when the control plane has been stopped in good order."""

    def __init__(self, directory: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", "from tests.cluster import watchdog; watchdog.main()", str(directory)],
            cwd=Path(__file__).parents[2],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,  # an interrupt from the terminal must not end the watchdog first
        )

    def release(self) -> None:
        """Let the watchdog end, which finds nothing left to do."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def main() -> None:
    """Wait for the end of standard input, then end what still runs and remove its state."""
    sys.stdin.buffer.read()
    directory = Path(sys.argv[1])
    table = ProcessTable(directory)
    if table.running():
        table.stop_all()
        sweep(directory)
        shutil.rmtree(directory / "etcd", ignore_errors=True)  # logs and audit stay, to explain a crash
