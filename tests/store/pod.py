"""A store's pod without a kubelet: rclone and the keeper, each started again when it ends."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from cloister import sidecar
from tests.store.running import Mounted, Store, until


class Pod:
    """Both programs, kept running by a thread of its own until :meth:`end`."""

    def __init__(self, mounted: Mounted, **config: object) -> None:
        self.mounted, self.store = mounted, Store(mounted)
        self.keeper: subprocess.Popen[bytes] | None = None
        self.restarts = 0
        rendered = json.loads(mounted.keeper["args"][0])
        self.config = sidecar.Keeper(
            **rendered | config,
            keyring=mounted.path(f"{sidecar.KEYRING_DIR}/keyring.json"),
            data=str(mounted.data),
            keys=mounted.path(sidecar.KEYS_DIR),
            control=mounted.path(sidecar.CONTROL_SOCKET),
            termination_log=str(mounted.root / "termination-log"),
        )
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._supervise, daemon=True)

    def start(self) -> None:
        """As a pod starts: rclone once the keeper has written its configuration."""
        mounted = self.mounted
        conf = mounted.root / sidecar.RCLONE_CONF.lstrip("/")
        conf.unlink(missing_ok=True)
        self.start_keeper()
        until(conf.exists, "the keeper's configuration")
        self.store.launch()
        self._thread.start()
        until(self.store.answers, "the store")

    def kill_keeper(self) -> None:
        """SIGKILL, whatever it does just now."""
        with self._lock:
            if self.keeper:
                self.keeper.kill()

    def kill_store(self) -> None:
        """SIGKILL, whatever it does just now."""
        with self._lock:
            self.store.kill()

    def report(self) -> sidecar.KeeperReport | None:
        """The keeper's last termination message."""
        try:
            return sidecar.KeeperReport.model_validate_json((self.mounted.root / "termination-log").read_text())
        except (OSError, ValueError):
            return None

    def log(self) -> str:
        """What the keeper has written."""
        return (self.mounted.root / "keeper.log").read_text()

    def end(self) -> None:
        """End both."""
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()
        if self.keeper:
            with suppress(ProcessLookupError):
                self.keeper.kill()
            self.keeper.wait()
        self.store.stop()

    def _supervise(self) -> None:
        while not self._over.is_set():
            with self._lock:
                if self.keeper and self.keeper.poll() is not None:
                    self.restarts += 1
                    self.start_keeper()
                if self.store.ended():
                    self.restarts += 1
                    self.store.launch()
            time.sleep(0.05)

    def start_keeper(self) -> None:
        """Start the keeper alone."""
        with (self.mounted.root / "keeper.log").open("ab") as log:
            self.keeper = subprocess.Popen(
                [sys.executable, *self.mounted.keeper["command"][1:], self.config.model_dump_json()],
                stdout=log,
                stderr=log,
            )


@contextmanager
def pod(mounted: Mounted, **config: object) -> Iterator[Pod]:
    """A running pod; ended always."""
    running = Pod(mounted, **config)
    try:
        running.start()
        yield running
    finally:
        running.end()
