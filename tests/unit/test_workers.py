"""Tests that share a cluster stay in one worker. A version of pytest and one of xdist were found that do not agree on
how: nothing failed, but every worker started everything."""

import subprocess
import sys
from pathlib import Path

GROUPED = """
import pytest

@pytest.mark.xdist_group("shared")
@pytest.mark.parametrize("number", range(8))
def test(number, worker_id):
    print(f"ran by {worker_id}.")
"""


def test_a_group_is_run_by_one_worker(tmp_path: Path) -> None:
    (tmp_path / "test_grouped.py").write_text(GROUPED)
    command = [sys.executable, "-m", "pytest", "-n", "2", "--dist", "loadgroup", "-rP", "--rootdir", str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "8 passed" in done.stdout, done.stdout + done.stderr
    assert {name for name in ("gw0", "gw1") if f"ran by {name}." in done.stdout} in ({"gw0"}, {"gw1"})
