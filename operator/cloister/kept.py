"""A file with what is to be known after a restart."""

import os
import threading
from pathlib import Path
from typing import BinaryIO


class KeptFile:
    """Replaced as a whole, so that a crash leaves the old content or the new one; nobody but its owner reads it."""

    def __init__(self, path: Path, mode: int = 0o600) -> None:
        self.path, self._mode = path, mode
        self._replacing = threading.Lock()
        """The last content is written when the program ends, while the one before may still be under way."""

    def read(self) -> bytes:
        """What it says; FileNotFoundError before the first time, and any other OSError."""
        return self.path.read_bytes()

    def replace(self, content: bytes) -> None:
        """Durable on return; OSError. It takes a while, and may run in a thread."""
        with self._replacing:
            fresh = self.path.with_suffix(".new")
            with private(fresh, self._mode) as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(self.path)


def private(path: Path, mode: int = 0o600) -> BinaryIO:
    """Opens a file for writing that its owner alone may read, or its group too."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, mode), "wb")
