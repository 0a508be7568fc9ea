"""One object on its way from the directory of an old key to that of the new one, through any interruption.

It is a directory of its own on the volume:

- `new`: the copy under the new key, complete and on the disk;
- `intent.json`: where the object lies (`source`) and where the copy belongs (`target`), relative to the volume;
- `old`: the object itself, once it is taken away.

Whoever removes the source decides: a client that deletes or overwrites the object removes it (through rclone's union),
and so does the move, by one rename. Only the one who succeeded goes on. A copy is therefore never published of an
object that a client has deleted or replaced; and since old and new never lie side by side, a client that deletes
never has to delete twice.
"""

import ctypes
import errno
import json
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

_SINCE = "user.cloister.since"
_RENAME_NOREPLACE = 1  # linux/fs.h
_AT_FDCWD = -100


class Move:
    """One such directory."""

    def __init__(self, directory: Path, volume: Path) -> None:
        self._directory, self._volume = directory, volume
        self._new, self._old = directory / "new", directory / "old"
        self._intent = directory / "intent.json"

    @classmethod
    def prepare(cls, directory: Path, volume: Path, source: str, target: str, copy: Path) -> "Move":
        """Take over a finished copy, which nothing else refers to."""
        move = cls(directory, volume)
        directory.mkdir(parents=True)
        copy.rename(move._new)
        _set_since(move._new, since(volume / source))
        _sync(move._new)
        draft = directory / "draft"
        draft.write_text(json.dumps({"source": source, "target": target}))
        _sync(draft)
        draft.rename(move._intent)
        _sync(directory)
        return move

    def carry_out(self) -> bool:
        """Take the object away and put the copy in its place. False when a client has removed it before."""
        intent = json.loads(self._intent.read_text())
        target = self._volume / intent["target"]
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            (self._volume / intent["source"]).rename(self._old)
        except FileNotFoundError:
            self._discard()
            return False
        self._publish(target)
        return True

    def finish(self) -> None:
        """Once published for good: the old object is destroyed."""
        with suppress(FileNotFoundError):  # a client has deleted the object since, and rclone the empty directory
            _sync((self._volume / json.loads(self._intent.read_text())["target"]).parent)
        self._discard()

    def recover(self) -> None:
        """Bring what an interruption left to one end or the other."""
        if not self._intent.exists() or not self._old.exists():
            self._discard()
            return
        if self._new.exists():
            self._publish(self._volume / json.loads(self._intent.read_text())["target"])
        self.finish()

    def _publish(self, target: Path) -> None:
        """A name that is taken is a client's newer object."""
        while True:
            try:
                _rename_if_free(self._new, target)
            except FileNotFoundError:
                target.parent.mkdir(parents=True, exist_ok=True)  # rclone removes directories that are empty
            except FileExistsError:
                return
            else:
                return

    def _discard(self) -> None:
        for left in (self._old, self._new, self._directory / "draft", self._intent):
            left.unlink(missing_ok=True)
        self._directory.rmdir()


def since(path: Path) -> float:
    """When an object was written, in seconds since 1970, as no client can set it.

    A client may choose the time of modification; the time of change it can't. A copy under a new key carries that of
    the first, where the file system has room for it; elsewhere it counts as new: it is kept longer, never shorter.
    """
    try:
        return float(os.getxattr(path, _SINCE))
    except (OSError, ValueError):
        return path.stat().st_ctime


def _set_since(path: Path, time: float) -> None:
    try:
        os.setxattr(path, _SINCE, str(time).encode())
    except OSError as error:
        if error.errno not in (errno.ENOTSUP, errno.EPERM, errno.ENOSYS):
            raise


def _sync(path: Path) -> None:
    """rclone leaves it to the kernel when its files reach the disk; before an original is destroyed, they must."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


_renameat2: Callable[..., int] | None = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)


def _rename_if_free(source: Path, target: Path) -> None:
    """Rename, or FileExistsError (renameat2(2), RENAME_NOREPLACE). Some network file systems know only link(2)."""
    if _renameat2 is not None:
        if _renameat2(_AT_FDCWD, os.fsencode(source), _AT_FDCWD, os.fsencode(target), _RENAME_NOREPLACE) == 0:
            return
        code = ctypes.get_errno()
        if code not in (errno.EINVAL, errno.ENOSYS):
            raise OSError(code, os.strerror(code), str(target))
    os.link(source, target)
    source.unlink()
