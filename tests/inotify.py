"""Room for everything that watches files: control planes and Envoys of several workers at once."""

import fcntl
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from tests.cluster.catalogue import cache_root

LIMIT = Path("/proc/sys/fs/inotify/max_user_instances")
ENOUGH = 1024
"""Linux allows a user 128. A control plane takes 8 and an Envoy some 10, and three workers run a dozen of each."""


def make_room(limit: Path = LIMIT, memory: Path | None = None) -> Callable[[], None] | None:
    """Raises the limit, and says how to put it back; None where it is high enough, or only root may change it.

    Of runs at the same time the last one puts it back: each holds ``memory``, a file with what it was before.
    """
    memory = memory or cache_root() / ".inotify"
    with ExitStack() as stack:
        try:
            memory.parent.mkdir(parents=True, exist_ok=True)
            held = stack.enter_context(memory.open("a"))
            fcntl.flock(held, fcntl.LOCK_SH)
            before = limit.read_text()
            if int(before) < ENOUGH:
                limit.write_text(f"{ENOUGH}\n")
                memory.write_text(before)
            elif int(before) > ENOUGH or not memory.read_text():
                return None  # nobody of ours has raised it
        except OSError:
            return None
        stack.pop_all()

    def put_back() -> None:
        with held:
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return
            limit.write_text(memory.read_text())
            memory.write_text("")

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
