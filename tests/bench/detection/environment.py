"""The packages that the corpora come in, each in a directory of its own: none is a dependency of the project."""

import shutil
import sys
from pathlib import Path

from tests.cluster.catalogue import cache_root
from tests.environments import uv

REQUIREMENTS = Path(__file__).with_name("corpora.txt")
"""Every package, by version. Their dependencies are not installed: they are read, not run."""


def corpora(package: str) -> Path:
    """The directory with one of them; installed on first use."""
    requirement = next(line for line in REQUIREMENTS.read_text().split() if line.partition("==")[0] == package)
    home = cache_root().parent / "detection-corpora" / requirement
    if not (home / ".complete").exists():
        shutil.rmtree(home, ignore_errors=True)
        print(f"installing {requirement}", file=sys.stderr, flush=True)
        uv("pip", "install", "--python", sys.executable, "--no-deps", "--target", str(home), requirement)
        (home / ".complete").touch()
    return home
