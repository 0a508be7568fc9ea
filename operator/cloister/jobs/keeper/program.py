"""What the keeper does, again and again: follow the keyring, rotate, remove what is past its time."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog

from cloister import keyring
from cloister.jobs.keeper.bucket import Bucket
from cloister.jobs.keeper.rclone import Rclone, RcloneError
from cloister.jobs.keeper.retention import remove_expired
from cloister.jobs.keeper.rotation import Rotation, remove_leftovers, unknown_keys
from cloister.keyring import Keyring, KeyringError
from cloister.sidecar import RCLONE_CONF, Keeper, KeeperReport

_LOOK_SECONDS = 1.0
"""How often it looks whether the keyring has changed; the kubelet takes up to two minutes to bring a change."""
_RETRY_SECONDS = 5.0
_FAILED_SECONDS = 60.0
_BUCKET_SECONDS = 3600.0
"""How often it looks whether an old key's objects are gone from a backend: each look lists all of them."""
_REPORT_SECONDS = 600.0
"""After which a report is left once more, while the old key is still in the keyring: the kubelet keeps the message of
the last end alone, and the operator may have been away."""
_RETENTION_SECONDS = 3600.0
_LEFTOVER_SECONDS = 86400.0
_LEFTOVER_AGE = "48h"
"""Twice the time after which rclone gives an idle upload up."""

log = structlog.get_logger(__name__)


class Program:
    """The keeper."""

    def __init__(self, config: Keeper) -> None:
        self._config = config
        self._volume = Path(config.data)
        self._conf = Path(config.keys) / Path(RCLONE_CONF).name
        self._reported = Path(config.keys) / "reported.json"
        self._rclone = Rclone(Path(config.control))
        self._rotation = Rotation(self._rclone, self._volume)
        self._bucket = Bucket(self._rclone) if config.backend else None
        self._ended = threading.Event()
        self._due: dict[str, float] = {}
        self._fault = ""

    def run(self) -> int:
        """Go on until told to end, or until there is something to report: then it ends, with a termination message."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._ended.set())
        if not self._bucket:
            self._rotation.recover()  # before rclone gets a configuration, and serves
        while not self._ended.is_set():
            if self._round():
                return 0
            self._ended.wait(_LOOK_SECONDS)
        return 0

    def _round(self) -> bool:
        """One look at everything; True when a report was left."""
        try:
            keys = keyring.parse(Path(self._config.keyring).read_bytes())
            self._configure(keys)
            if self._rclone.serves() != [keyring.served(keys)]:
                return False
            with self._every("leftovers", _LEFTOVER_SECONDS) as due:
                if due:
                    remove_leftovers(self._rclone, keys, _LEFTOVER_AGE)
            with self._every("retention", _RETENTION_SECONDS) as due:
                if due:
                    self._retain(keys)
            reported = False
            if keys.old:
                with self._every("rotation", _BUCKET_SECONDS if self._bucket else _RETRY_SECONDS) as due:
                    reported = due and self._rotate(keys)
        except (OSError, KeyringError, RcloneError) as error:
            if str(error) != self._fault:
                self._fault = str(error)
                log.warning("will be tried again", why=self._fault)
            return False
        self._fault = ""
        return reported

    def _configure(self, keys: Keyring) -> None:
        """Have rclone serve what the keyring says; never a part of what is there as if it were all."""
        # Of a backend rclone's own container makes sure, since it alone has the credentials.
        if not self._bucket and (unknown := unknown_keys(self._volume, keys)):
            raise KeyringError(f"objects lie under keys that the keyring does not have: {unknown}. Restore it")
        wanted = keyring.rclone_conf(keys, self._config.backend or self._config.data)
        if not self._conf.exists() or self._conf.read_text() != wanted:
            draft = self._conf.with_suffix(".draft")
            draft.touch(mode=0o600)
            draft.write_text(wanted)
            draft.rename(self._conf)
            log.info("keyring", current=keys.current, old=keys.old)
        served = self._rclone.serves()
        if served and served != [keyring.served(keys)]:
            self._rclone.quit()

    def _retain(self, keys: Keyring) -> None:
        if self._config.retention_seconds is None:
            return
        if self._bucket:
            self._bucket.remove_expired(keys, self._config.retention_seconds)
            return
        before = time.time() - self._config.retention_seconds
        if removed := remove_expired(self._volume, [key.id for key in keys.keys], before):
            self._rclone.forget_everything()
            log.info("removed after their retention", objects=removed)

    def _rotate(self, keys: Keyring) -> bool:
        """Move everything under the current key, where it can be moved. Report when under some old key nothing is left,
        and again for as long as nobody acts on it."""
        emptied = tuple(sorted(old for old in keys.old if self._emptied(old, keys.current)))
        report = KeeperReport(store=self._config.store, current=keys.current, emptied=emptied).model_dump_json()
        if not emptied or self._just_reported(report):
            return False
        Path(self._config.termination_log).write_text(report)
        self._reported.write_text(report)
        log.info("nothing lies under old keys", current=keys.current, emptied=emptied)
        return True

    def _just_reported(self, report: str) -> bool:
        try:
            age = time.time() - self._reported.stat().st_mtime
            return self._reported.read_text() == report and 0 <= age < _REPORT_SECONDS
        except FileNotFoundError:
            return False

    def _emptied(self, old: int, current: int) -> bool:
        return self._bucket.emptied(old) if self._bucket else self._rotation.run(old, current)

    @contextmanager
    def _every(self, what: str, seconds: float) -> Iterator[bool]:
        """Whether it is due. Once it has succeeded it is not for so many seconds; a failure is tried again soon, and
        what comes after it has its turn meanwhile."""
        now = time.monotonic()
        if now < self._due.get(what, now):
            yield False
            return
        self._due[what] = now + min(seconds, _FAILED_SECONDS)
        yield True
        self._due[what] = time.monotonic() + seconds
