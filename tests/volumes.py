"""Volumes that can be full: file systems of their own, of a few megabytes."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small(mount: Path, size: str) -> Iterator[None]:
    """A file system of this size (`8m`) at an empty directory. Skips the test where none can be mounted."""
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(mount)], capture_output=True, check=False
    )
    if made.returncode:
        pytest.skip(f"a file system of its own can't be mounted here: {made.stderr.decode()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(mount)], check=True)
