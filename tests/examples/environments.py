"""Environments of the examples' programs, as their images have them: no dependency of theirs is one of the project."""

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from filelock import FileLock

from tests.cluster.catalogue import cache_root

ROOT = Path(__file__).parents[2]


def environment(name: str, requirements: Path, options: Sequence[str] = ()) -> Path:
    """The Python of an environment with these packages; made on first use, and anew when the list changes.

    ``options``: of `uv pip install`, as in the image's Dockerfile. By these, not by variables, uv keeps what it
    compiles.
    """
    content = requirements.read_bytes() + repr((*options, sys.version_info[:2])).encode()
    home = cache_root().parent / f"{name}-{hashlib.sha256(content).hexdigest()[:12]}"
    home.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(home.with_name(f".{home.name}.lock")):
        if not (home / ".complete").exists():
            shutil.rmtree(home, ignore_errors=True)
            _run("venv", "--python", sys.executable, str(home))
            _run("pip", "install", "--python", str(home), "--requirement", str(requirements), *options)
            (home / ".complete").touch()
    return home / "bin" / "python"


def cloister(python: Path, folder: Path) -> Path:
    """Installs the project's own package for that Python into a folder, without what it depends on."""
    _run("pip", "install", "--python", str(python), "--no-deps", "--target", str(folder), str(ROOT))
    return folder


def _run(*arguments: str) -> None:
    uv = shutil.which("uv") or str(max(cache_root().parent.glob("uv-*/bin/uv")))
    done = subprocess.run([uv, "--quiet", *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"uv {' '.join(arguments)} failed:\n{done.stderr[-5000:]}")
