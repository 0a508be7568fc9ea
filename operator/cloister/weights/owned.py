"""Files in the making, in folders where others may write too: what somebody else has put there is never taken for ours.

Whoever could have us go on in a file of theirs would choose the key under which we seal, keep what we unseal open for
reading, or have us write over another file by a link.
"""

import os
import stat
from pathlib import Path


def opened(path: Path, flags: int, mode: int) -> int | None:
    """A descriptor of what lies there, if a former run of this user can have left it; None for anything else.

    That is a regular file of this user's, under this one name, that gives nobody more than `mode` does. `flags` are
    those of open(2). Where modes can't be kept (some network file systems) it is always None.
    """
    try:
        # A pipe of somebody's would have us wait.
        descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    found = os.fstat(descriptor)
    ours = stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid() and found.st_nlink == 1
    if ours and not stat.S_IMODE(found.st_mode) & ~mode:
        return descriptor
    os.close(descriptor)
    return None


def made(path: Path, mode: int) -> int:
    """A descriptor of a new file, for reading and writing, in place of whatever had its name; OSError."""
    path.unlink(missing_ok=True)
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
