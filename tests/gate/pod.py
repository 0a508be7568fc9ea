"""A pod as a kubelet would set it up: one network namespace, a UID for each container, volumes with their fsGroup.

Needs root, for the namespace and the UIDs. What a container does not mount is simply not there for it in a pod; here
all paths are there, so that file modes have to stand alone where they are said to.
"""

import ctypes
import encodings.idna  # noqa: F401 (the socket module asks for it; a container may not read where it lies)
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cloister import sidecar
from tests.gate.running import until

_CLONE_NEWNET = 0x40000000
EMPTY_DIR = 0o2777
"""An emptyDir is 0777, and an fsGroup makes it setgid (kubernetes/kubernetes, pkg/volume/volume_linux.go)."""


@dataclass(frozen=True)
class Container:
    """As whom a container runs, by its rendered security context."""

    uid: int
    gid: int
    mounts: tuple[str, ...]
    """Names of its volumes."""

    @classmethod
    def of(cls, rendered: Mapping[str, Any]) -> "Container":
        """From a container of a rendered pod."""
        context = rendered["securityContext"]
        return cls(context["runAsUser"], context["runAsGroup"], tuple(m["name"] for m in rendered["volumeMounts"]))


class Pod:
    """The shared network namespace."""

    def __init__(self, holder: int) -> None:
        self._namespace = f"/proc/{holder}/ns/net"

    def start(self, container: Container, command: Sequence[str | Path], log: Path) -> subprocess.Popen[bytes]:
        """A program of a container, in the background."""
        # It may read what is installed for root alone; to write, to connect and to change owners it has no right.
        readable = "--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search"
        whom = f"--reuid={container.uid}", f"--regid={container.gid}", f"--groups={sidecar.VOLUME_GID}"
        enter = "nsenter", f"--net={self._namespace}", "setpriv", *whom, *readable, "--no-new-privs", "--"
        with log.open("ab") as output:
            return subprocess.Popen([*enter, *command], stdout=output, stderr=output, start_new_session=True)

    def inside(self, container: Container | None, work: Callable[[], Any]) -> Any:
        """What a function answers that runs in the pod, as a container without a single capability; None is root.

        Forked, so that it needs nothing that only root can read.
        """
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            self._work_and_exit(container, work, write)
        os.close(write)
        with os.fdopen(read) as pipe:
            said = pipe.read()
        os.waitpid(child, 0)
        assert said, "the function has failed: see its traceback"
        return json.loads(said)

    def _work_and_exit(self, container: Container | None, work: Callable[[], Any], answer: int) -> None:
        code = 1
        try:
            namespace = os.open(self._namespace, os.O_RDONLY)
            assert ctypes.CDLL(None, use_errno=True).setns(namespace, _CLONE_NEWNET) == 0, ctypes.get_errno()
            if container:
                os.setgroups([sidecar.VOLUME_GID])
                os.setresgid(container.gid, container.gid, container.gid)
                os.setresuid(container.uid, container.uid, container.uid)
            os.write(answer, json.dumps(work()).encode())
            code = 0
        except BaseException:  # noqa: BLE001 (nothing may get past here: this is a copy of the whole test run)
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(code)


@contextmanager
def network() -> Iterator[Pod]:
    """A namespace with nothing but loopback, which ends with the test."""
    holder = subprocess.Popen(
        ["unshare", "--net", "sh", "-c", "ip link set lo up && echo up && exec sleep 3600"], stdout=subprocess.PIPE
    )
    try:
        assert holder.stdout
        assert holder.stdout.readline() == b"up\n"
        yield Pod(holder.pid)
    finally:
        holder.kill()
        holder.wait()


def volumes(root: Path, *paths: str) -> None:
    """Each of these directories as an emptyDir of a pod with an fsGroup."""
    root.chmod(0o755)
    for path in paths:
        directory = Path(f"{root}{path}")
        directory.mkdir(parents=True, exist_ok=True)
        os.chown(directory, 0, sidecar.VOLUME_GID)
        directory.chmod(EMPTY_DIR)


def ended(process: subprocess.Popen[bytes]) -> None:
    """End a program of a pod; nobody waits for what it would still ship."""
    process.kill()
    process.wait()


def there(path: str) -> None:
    """Wait for a socket."""
    until(lambda: Path(path).is_socket(), path)
