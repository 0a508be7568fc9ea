"""Environments of programs that the project runs in tests and benches: no dependency of theirs is one of its own."""

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock

from tests.cluster.catalogue import cache_root

ROOT = Path(__file__).parents[1]


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
            uv("venv", "--python", sys.executable, str(home))
            uv("pip", "install", "--python", str(home), "--requirement", str(requirements), *options)
            (home / ".complete").touch()
    return home / "bin" / "python"


def cloister(python: Path, folder: Path) -> Path:
    """Installs the project's own package for that Python into a folder, without what it depends on."""
    uv("pip", "install", "--python", str(python), "--no-deps", "--target", str(folder), str(ROOT))
    return folder


def answered(python: Path, program: str, given: Any) -> Any:
    """What a program prints when it is given this: both are JSON."""
    command = [str(python), "-c", program]
    done = subprocess.run(command, input=json.dumps(given), capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"a program of {python.parents[1].name} failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout)


def contents(requirements: Path, package: str) -> Path:
    """The directory with what one package of such a list brings, installed on first use. Its dependencies are not: it
    is read, not run."""
    requirement = f"{package}=={pinned(requirements, package)}"
    home = cache_root().parent / f"{requirements.parent.name}-{requirements.stem}" / requirement
    if not (home / ".complete").exists():
        shutil.rmtree(home, ignore_errors=True)
        print(f"installing {requirement}", file=sys.stderr, flush=True)
        uv("pip", "install", "--python", sys.executable, "--no-deps", "--target", str(home), requirement)
        (home / ".complete").touch()
    return home


def pinned(requirements: Path, package: str) -> str:
    """The version of one of the packages in such a list."""
    lines = requirements.read_text().splitlines()
    return next(line.split("==")[1].split()[0] for line in lines if line.startswith(f"{package}=="))


def uv(*arguments: str) -> None:
    """Runs it: the one on PATH, or the one that `make` fetched."""
    program = shutil.which("uv") or str(max(cache_root().parent.glob("uv-*/bin/uv")))
    done = subprocess.run([program, "--quiet", *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"uv {' '.join(arguments)} failed:\n{done.stderr[-5000:]}")
