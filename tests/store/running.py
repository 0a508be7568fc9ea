"""A store's rclone with exactly the command and the configuration that are rendered; only paths are replaced.

with mounted_store(Component.CHECKPOINTS) as mounted, serving(mounted) as store:
    store.ask("PUT", "/checkpoints/a/b", body=b"...")      # over store.socket, as the auditor would
"""

import http.client
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from cloister import keyring, sidecar
from cloister.facts import Facts, Settings
from cloister.jobs.unixhttp import UnixConnection
from cloister.keyring import Keyring, KeyVersion
from cloister.render.storage import stores
from cloister.spec import LLMDeployment
from cloister.zones import Component
from tests.cluster import binaries
from tests.gate import specs


@dataclass(frozen=True)
class Reply:
    """An answer; names of headers in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


class Mounted:
    """The volumes of one store, below a temporary directory."""

    def __init__(self, root: Path, component: Component, subject: LLMDeployment | None = None) -> None:
        self.root, self.component = root, component
        self.replaced: dict[str, str] = {}
        """Variables of the container with other values than the rendered ones: addresses of servers on this machine."""
        sockets = [str(Path(socket).parent) for socket in (sidecar.STORE_SOCKET, sidecar.CONTROL_SOCKET)]
        volumes = (sidecar.DATA_DIR, sidecar.KEYRING_DIR, sidecar.KEYS_DIR, sidecar.CREDENTIALS_DIR, "/tmp")
        for directory in (*volumes, *sockets):
            Path(self.path(directory)).mkdir(parents=True, exist_ok=True)
        subject = subject or specs.deployment(specs.example("minimal"))
        pod = next(
            workload["spec"]["template"]["spec"]
            for workload in stores(subject, Facts(), Settings())
            if workload["metadata"]["name"] == component
        )
        (self.container,) = pod["containers"]
        self.keeper = next(each for each in pod["initContainers"] if each["name"] == "keeper")
        self.backend = sidecar.Keeper.model_validate_json(self.keeper["args"][0]).backend
        self.keys = Keyring(current=1, keys=(key(1),))
        self.turn(self.keys)
        self.configure()

    def turn(self, keys: Keyring) -> None:
        """Mount another keyring, as the kubelet brings a Secret that has changed; a keeper follows it."""
        self.keys = keys
        self._write(sidecar.KEYRING_DIR, keyring.FILE, keys.model_dump_json())

    def configure(self) -> None:
        """rclone's configuration, as the keeper writes it."""
        conf = keyring.rclone_conf(self.keys, self.backend or str(self.data))
        self._write(sidecar.KEYS_DIR, "rclone.conf", conf)

    def give(self, credentials: Mapping[str, str]) -> None:
        """Mount the credentials of a backend."""
        for name, value in credentials.items():
            self._write(sidecar.CREDENTIALS_DIR, name, value)

    def path(self, path: str) -> str:
        """Where a production path lies here."""
        return str(self.root) + path

    @property
    def data(self) -> Path:
        """The volume."""
        return Path(self.path(sidecar.DATA_DIR))

    @property
    def socket(self) -> Path:
        """rclone's socket."""
        return Path(self.path(sidecar.STORE_SOCKET))

    def here(self, text: str) -> str:
        """A rendered text with the paths of this machine."""
        if text == "/tmp" or text.startswith("/tmp/"):
            return self.path(text)
        for production in ("/etc/cloister/", "/run/cloister/", "/var/lib/cloister/"):
            text = text.replace(production, self.path(production))
        return text

    def command(self) -> list[str]:
        """What the container runs."""
        return [self.here(word) for word in (*self.container["command"], *self.container["args"])]

    def environment(self) -> dict[str, str]:
        """Its environment, and nothing else of this machine's; rclone is first on the path, as in its image."""
        path = f"{binaries.path('rclone').parent}:/usr/bin:/bin"
        rendered = {each["name"]: self.here(each["value"]) for each in self.container["env"]}
        return {"PATH": path, "HOME": "/nonexistent", **rendered, **self.replaced}

    def rclone(self, *arguments: str) -> str:
        """Run another rclone with the same configuration, and return what it prints."""
        command = [str(binaries.path("rclone")), *arguments]
        return subprocess.run(command, env=self.environment(), capture_output=True, text=True, check=True).stdout

    def _write(self, directory: str, name: str, text: str) -> None:
        draft = Path(self.path(directory), f".{name}")
        draft.write_text(text)
        draft.rename(Path(self.path(directory), name))


def key(number: int) -> KeyVersion:
    """A key of that version."""
    created = datetime(2026, 1, number, tzinfo=UTC)
    return KeyVersion(id=number, created=created, password=f"password {number}" * 4, salt=f"salt {number}" * 9)


class Store:
    """A running rclone."""

    def __init__(self, mounted: Mounted) -> None:
        self.mounted, self.socket = mounted, mounted.socket
        self._log = mounted.root / "rclone.log"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Of the server, which the container's shell has started."""
        assert self.process
        children = psutil.Process(self.process.pid).children()
        return next(child.pid for child in children if "serve" in child.cmdline())

    def log(self) -> str:
        """Everything that it has written so far."""
        return self._log.read_text()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self.launch()
        until(lambda: self.answers() or self.ended(), "the store")
        if self.ended():
            raise AssertionError(f"rclone ended:\n{self.log()[-3000:]}")

    def launch(self) -> None:
        """Start it, as the kubelet starts a container."""
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                self.mounted.command(),
                env=self.mounted.environment(),
                stdout=log,
                stderr=log,
                cwd="/",
                start_new_session=True,
            )

    def kill(self) -> None:
        """End all of it without notice, as a container ends with its first process."""
        if self.process and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def stop(self) -> None:
        """End it as the kubelet does."""
        if self.process and self.process.poll() is None:
            self.process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(30)
                return
            self.kill()

    def connection(self, timeout: float = 60) -> UnixConnection:
        """To its socket."""
        return UnixConnection(str(self.socket), "store", timeout=timeout)

    def ask(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str] | None = None,
        body: Any = None,
        timeout: float = 60,
    ) -> Reply:
        """One request on a connection of its own. ``body``: bytes, or an iterable with a content-length header."""
        connection = self.connection(timeout)
        try:
            connection.request(method, target, body=body, headers=dict(headers or {}))
            answer = connection.getresponse()
            return Reply(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def answers(self) -> bool:
        """Whether it serves."""
        try:
            return self.ask("GET", "/").status == 200
        except (OSError, http.client.HTTPException):
            return False

    def ended(self) -> bool:
        """Whether its process is gone, or was never there."""
        return self.process is None or self.process.poll() is not None


def until(condition: Callable[[], bool], what: str, seconds: float = 60) -> None:
    """Wait for something that happens soon; how soon is nobody's promise."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"in vain waited for {what}")
        time.sleep(0.02)


@contextmanager
def mounted_store(component: Component, subject: LLMDeployment | None = None) -> Iterator[Mounted]:
    """Volumes for a store, gone afterwards. Not pytest's own: paths of sockets must stay below 108 characters."""
    root = Path(tempfile.mkdtemp(prefix="store-"))
    try:
        yield Mounted(root, component, subject)
    finally:
        shutil.rmtree(root, ignore_errors=True)


@contextmanager
def serving(mounted: Mounted) -> Iterator[Store]:
    """rclone on these volumes; ended always."""
    store = Store(mounted)
    try:
        store.start()
        yield store
    finally:
        store.stop()
