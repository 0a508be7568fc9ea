"""Removes objects when their time is over. By the times that no client can set, so never earlier."""

import os
from pathlib import Path

from cloister.jobs.keeper.move import since


def remove_expired(volume: Path, keys: list[int], before: float) -> int:
    """Remove every object that was written before that moment (seconds since 1970); returns how many."""
    removed = 0
    for key in keys:
        for directory, _, files in os.walk(volume / str(key)):
            for name in files:
                path = Path(directory, name)
                try:
                    if since(path) < before:
                        path.unlink()
                        removed += 1
                except FileNotFoundError:
                    continue  # a client's doing, or moved to another key
    return removed
