"""A mounted file that changes while the program runs."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

_T = TypeVar("_T")


class MountedFile:
    """Of a ConfigMap: the kubelet swaps a symlink above the file, so the inode changes with every update."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._taken: tuple[int, ...] | None = None

    def fresh(self, parse: Callable[[bytes], _T]) -> _T | None:
        """What it says, if that is not what was taken last; None otherwise. What can't be read or parsed is not taken,
        so it is tried again: OSError, and whatever `parse` raises."""
        state = self.path.stat()
        seen = (state.st_dev, state.st_ino, state.st_mtime_ns, state.st_size)
        if seen == self._taken:
            return None
        found = parse(self.path.read_bytes())
        self._taken = seen
        return found
