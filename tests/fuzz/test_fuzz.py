"""Each fuzz target for a bounded number of runs, from the corpus that is kept beside it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
RUNS = {"fuzz_events": 30_000, "fuzz_http": 4_000, "fuzz_journal": 3_000}
"""Some ten seconds each. For longer: `python -m tests.fuzz.fuzz_http -max_total_time=3600 FOLDER`."""
TARGETS = sorted(path.stem for path in HERE.glob("fuzz_*.py"))


@pytest.mark.parametrize("target", TARGETS)
def test_nothing_gets_out(target: str, tmp_path: Path) -> None:
    """What is found new stays in the temporary folder; a finding belongs into the corpus, with its mend."""
    corpus = tmp_path / "corpus"
    shutil.copytree(HERE / "corpus" / target.removeprefix("fuzz_"), corpus)
    options = [f"-runs={RUNS[target]}", "-max_len=2048", "-rss_limit_mb=2048", "-timeout=20"]
    command = [sys.executable, "-m", f"tests.fuzz.{target}", *options, f"-artifact_prefix={tmp_path}/", str(corpus)]
    # libFuzzer leaves without cleaning up, so what a target writes goes where pytest cleans up.
    env, root = os.environ | {"TMPDIR": str(tmp_path)}, HERE.parents[1]
    done = subprocess.run(command, cwd=root, env=env, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    assert "Done" in done.stderr
