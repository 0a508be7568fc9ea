"""What outlives the command that has started it: where it lies."""

import os
from pathlib import Path


def state(name: str) -> Path:
    """The directory of something that goes on running, in the user's folder for state (XDG base directories)."""
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "cloister" / name
