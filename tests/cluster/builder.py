"""Builds what `binaries` lists: one at a time, into the cache, atomically, and only what is missing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from tests.cluster import gotoolchain
from tests.cluster.catalogue import BUILD_ENVIRONMENT, Binary, ModuleFiles, cache_root, cached, provided
from tests.cluster.progress import watch


class BuildError(RuntimeError):
    """`go` refused; the message ends with what it said."""


def build(wanted: Iterable[Binary]) -> dict[str, Path]:
    """The path of each program by its name; those neither provided nor cached are built first."""
    wanted = list(wanted)
    missing = [binary for binary in wanted if not provided(binary) and not cached(binary).exists()]
    for number, binary in enumerate(missing, start=1):
        _build_once(binary, label=f"[{number}/{len(missing)}] {binary.name} {binary.version}")
    return {binary.name: provided(binary) or cached(binary) for binary in wanted}


def fetch(files: ModuleFiles) -> Path:
    """Return the cached copy of a module's data files, downloading the module if need be."""
    target = cached(files)
    if target.exists():
        return target
    with _lock():
        if not target.exists():
            source = _module_source(files)
            with _staging(target) as staging:
                for folder in files.folders:
                    shutil.copytree(source / folder, Path(staging, files.name, folder), copy_function=shutil.copyfile)
                _make_writable(Path(staging))  # the module cache, whose modes copytree keeps, is read-only
                Path(staging, files.name).rename(target)
    return target


def _build_once(binary: Binary, label: str) -> None:
    """Under one lock for all: two builders only slow each other down, and the second finds the work done."""
    target = cached(binary)
    with _lock():
        if target.exists():
            return
        with _staging(target) as staging:
            output = Path(staging, binary.name)
            command = [
                str(gotoolchain.go()),
                "build",
                *binary.build_arguments[:-1],
                "-o",
                str(output),
                binary.package,
            ]
            with tempfile.TemporaryFile("w+") as log:
                process = subprocess.Popen(
                    command,
                    cwd=binary.module_directory,
                    env=_environment(),
                    stdout=log,
                    stderr=subprocess.STDOUT,
                )
                code = watch(process, label, binary.expected_seconds)
                if code != 0:
                    log.seek(0)
                    raise BuildError(f"{' '.join(command)} failed with {code}:\n{''.join(log.readlines()[-30:])}")
            output.rename(target)


def _module_source(files: ModuleFiles) -> Path:
    """Where Go keeps the module, downloaded and verified against go.sum."""
    _go(files, "mod", "download", files.go_module)
    return Path(_go(files, "list", "-m", "-f", "{{.Dir}}", files.go_module).strip())


def _go(files: ModuleFiles, *arguments: str) -> str:
    command = [str(gotoolchain.go()), *arguments]
    done = subprocess.run(
        command, cwd=files.module_directory, env=_environment(), capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise BuildError(f"{' '.join(command)} failed with {done.returncode}:\n{done.stderr}")
    return done.stdout


def _environment() -> dict[str, str]:
    return {**os.environ, **BUILD_ENVIRONMENT}


def _staging(target: Path) -> tempfile.TemporaryDirectory[str]:
    """A folder on the target's file system: the rename is atomic, so there is never half a program."""
    target.parent.mkdir(parents=True, exist_ok=True)
    return tempfile.TemporaryDirectory(prefix=".building-", dir=target.parent)


def _make_writable(folder: Path) -> None:
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)


@contextmanager
def _lock() -> Iterator[None]:
    root = cache_root()
    root.mkdir(parents=True, exist_ok=True)
    lock = FileLock(root / ".lock")
    try:
        lock.acquire(blocking=False)
    except Timeout:
        print("waiting for another build to finish", file=sys.stderr, flush=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
