"""Each fuzz target for a bounded number of runs, from the corpus that is kept beside it."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
RUNS = 30_000
TARGETS = sorted(path.stem for path in HERE.glob("fuzz_*.py"))


@pytest.mark.parametrize("target", TARGETS)
def test_nothing_gets_out(target: str, tmp_path: Path) -> None:
    """What is found new stays in the temporary folder; a finding belongs into the corpus, with its mend."""
    corpus = tmp_path / "corpus"
    shutil.copytree(HERE / "corpus" / target.removeprefix("fuzz_"), corpus)
    command = [sys.executable, "-m", f"tests.fuzz.{target}", f"-runs={RUNS}", "-max_len=2048", "-rss_limit_mb=2048"]
    command += ["-timeout=20", f"-artifact_prefix={tmp_path}/", str(corpus)]
    done = subprocess.run(command, cwd=HERE.parents[1], capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    assert "Done" in done.stderr
