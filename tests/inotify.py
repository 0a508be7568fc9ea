"""Room for everything that watches files: control planes and Envoys of several workers at once."""

from collections.abc import Callable
from pathlib import Path

LIMIT = Path("/proc/sys/fs/inotify/max_user_instances")
ENOUGH = 1024
"""Linux allows a user 128. A control plane takes 8 and an Envoy some 10, and three workers run a dozen of each."""


def make_room(limit: Path = LIMIT) -> Callable[[], None] | None:
    """Raises the limit, and says how to put it back; None where it is high enough, or only root may change it."""
    try:
        before = int(limit.read_text())
        if before >= ENOUGH:
            return None
        limit.write_text(f"{ENOUGH}\n")
    except OSError:
        return None

    def put_back() -> None:
        limit.write_text(f"{before}\n")

    return put_back


def shortage(limit: Path = LIMIT) -> str | None:
    """What to do where there is too little room."""
    try:
        found = int(limit.read_text())
    except OSError:
        return None
    if found >= ENOUGH:
        return None
    return f"{limit} is {found}: servers may fail to start. As root: sysctl fs.inotify.max_user_instances={ENOUGH}"
