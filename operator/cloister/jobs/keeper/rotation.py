"""Re-encryption: brings every object under the current key, while clients go on reading, writing and deleting.

rclone itself decrypts and encrypts, and only from one remote of its own to another. This program moves files, whose
names and contents it can't read.
"""

import os
import secrets
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath

import structlog

from cloister import keyring
from cloister.jobs.keeper.move import Move
from cloister.jobs.keeper.rclone import Rclone, RcloneAwayError, RcloneError
from cloister.sidecar import BACKEND_MARK

TEMPORARY = ".rclone_temp_"
"""What `serve s3` calls an upload that is not complete; it lists none of them."""
_COPY = f"{TEMPORARY}rotation_"
_MOVES = ".rotation"
_BATCH_OBJECTS = 64
_BATCH_BYTES = 1 << 30
"""Room that copies of one batch may take; one object may take more."""

log = structlog.get_logger(__name__)


class Rotation:
    """From some old keys to the current one."""

    def __init__(self, rclone: Rclone, volume: Path) -> None:
        self._rclone, self._volume = rclone, volume
        self._moves = volume / _MOVES

    def recover(self) -> bool:
        """Finish what an earlier run has left, before anything else is moved. True when there was something."""
        left = sorted(self._moves.iterdir()) if self._moves.exists() else []
        for directory in left:
            Move(directory, self._volume).recover()
        return bool(left)

    def run(self, old: int, current: int) -> bool:
        """Move what lies under the old key. True when nothing is left there; what failed is tried again later.

        Raises:
            RcloneAwayError: rclone has ended. The next run begins with what this one has left.
        """
        if self.recover():
            self._rclone.forget_everything()
        failed = moved = 0
        for directory, files in self._directories(old):
            for batch in self._batches(directory, files):
                done = self._move(old, current, batch)
                moved, failed = moved + done, failed + len(batch) - done
        self._remove_empty(old)
        left = self.left(old)
        log.info("rotation pass", old=old, current=current, moved=moved, failed=failed, left=left)
        return left == 0

    def left(self, old: int) -> int:
        """How many files lie under a key, half-moved ones included."""
        under_key = sum(len(files) for _, _, files in os.walk(self._volume / str(old)))
        half_moved = len(list(self._moves.iterdir())) if self._moves.exists() else 0
        return under_key + half_moved

    def _directories(self, old: int) -> Iterator[tuple[Path, list[str]]]:
        root = self._volume / str(old)
        for directory, _, files in os.walk(root):
            yield Path(directory).relative_to(root), files

    def _batches(self, directory: Path, files: list[str]) -> Iterator[list[str]]:
        for start in range(0, len(files), _BATCH_OBJECTS):
            yield [str(PurePosixPath(directory, name)) for name in files[start : start + _BATCH_OBJECTS]]

    def _move(self, old: int, current: int, sealed: list[str]) -> int:
        """Move some objects of one directory; returns how many of them are no longer there."""
        prepared: list[Move] = []
        gone = size = 0
        parent = ""
        for name in sealed:
            source = self._volume / str(old) / name
            try:
                plain = self._rclone.decode(keyring.remote(old), name)[0]
                if PurePosixPath(plain).name.startswith(TEMPORARY):
                    source.unlink(missing_ok=True)  # an upload that ended with the server that knew only the old key
                    gone += 1
                    continue
                size += source.stat().st_size
                prepared.append(self._prepare(old, current, name, plain))
            except FileNotFoundError:
                gone += 1  # a client's doing
                continue
            except RcloneAwayError:
                raise
            except RcloneError as error:
                if source.exists():
                    log.warning("object not moved", object=name, why=str(error))
                else:
                    gone += 1
                continue
            parent = str(PurePosixPath(plain).parent)
            if size > _BATCH_BYTES:
                gone += self._carry_out(parent, prepared)
                prepared, size = [], 0
        return gone + self._carry_out(parent, prepared)

    def _prepare(self, old: int, current: int, sealed: str, plain: str) -> Move:
        temporary = _COPY + secrets.token_hex(8)
        copy, target = self._rclone.encode(keyring.remote(current), temporary, plain)
        self._rclone.copy(keyring.remote(old), plain, keyring.remote(current), temporary)
        return Move.prepare(
            self._moves / secrets.token_hex(8),
            self._volume,
            f"{old}/{sealed}",
            f"{current}/{target}",
            self._volume / str(current) / copy,
        )

    def _carry_out(self, parent: str, prepared: list[Move]) -> int:
        """The server knows the directory beforehand and looks again afterwards: in the instant between, when an object
        is nowhere, a client may get an error, but is never told that there is no such object."""
        if prepared:
            self._rclone.read_directory(parent)
            published = [move for move in prepared if move.carry_out()]
            self._rclone.forget_directory(parent)
            for move in published:
                move.finish()
        return len(prepared)

    def _remove_empty(self, old: int) -> None:
        for directory, _, _ in os.walk(self._volume / str(old), topdown=False):
            with suppress(OSError):  # not empty
                Path(directory).rmdir()


def unknown_keys(volume: Path, keys: keyring.Keyring) -> list[int]:
    """Keys under which objects lie although the keyring does not have them."""
    known = {str(key.id) for key in keys.keys}
    others = [path for path in volume.iterdir() if path.name.isdecimal() and path.name not in known]
    return sorted(int(path.name) for path in others if any(files for _, _, files in os.walk(path)))


def remove_leftovers(rclone: Rclone, keys: keyring.Keyring, age: str) -> None:
    """Remove copies and uploads that nobody finished, once they are that old (rclone's notation)."""
    rules = {"FilterRule": [f"- {BACKEND_MARK}", f"+ {TEMPORARY}*", "- *"], "MinAge": age}
    rclone.delete((keyring.remote(key.id) for key in keys.keys), rules)
