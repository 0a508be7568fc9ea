"""The Go program that is both ends of the path: built on first use, into the cache."""

import hashlib
import os
import subprocess
import tempfile
from functools import cache
from pathlib import Path

from tests.cluster import gotoolchain
from tests.cluster.catalogue import BUILD_ENVIRONMENT, cache_root

SOURCES = Path(__file__).parent / "go"


@cache
def program() -> Path:
    """The executable; its name changes with its sources, so a stale one is never run."""
    digest = hashlib.sha256()
    for source in sorted(SOURCES.iterdir()):
        digest.update(hashlib.sha256(source.read_bytes()).digest())
    target = cache_root() / f"datapath-{digest.hexdigest()[:12]}"
    if not target.exists():
        _build(target)
    return target


def _build(target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".building-", dir=target.parent) as staging:
        output = Path(staging, "datapath")
        command = [str(gotoolchain.go()), "build", "-trimpath", "-o", str(output), "."]
        environment = {**os.environ, **BUILD_ENVIRONMENT}
        done = subprocess.run(command, cwd=SOURCES, env=environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr}")
        output.rename(target)
