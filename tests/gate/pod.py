"""A rendered pod on this machine, as a kubelet and a container runtime would make it: one network namespace for all,
for each container namespaces of mounts, with only its own volumes, and of processes; the rendered users and groups, and
no capability.

Paths, ports, users and files are production's own; nothing is rewritten. It needs root and util-linux.
"""

import ctypes
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from cloister import sidecar
from tests.gate.mounted import write_as_kubelet

TOOLS = ("unshare", "nsenter", "setpriv", "mount", "ip")
_NEWNET = 0x40000000
_HIDDEN = ("/etc", "/run", "/var/lib", "/tmp", "/root")
"""Where a container sees nothing but its volumes."""
_PROGRAMS = {
    "python": f"{sys.base_prefix}/bin/python{sysconfig.get_python_version()}",
    "envoy": "/mnt/packages/envoy/_bin/envoy",
}
Object = dict[str, Any]


def unable() -> str | None:
    """Why no pod can be made here."""
    missing = [tool for tool in TOOLS if not shutil.which(tool)]
    if os.name != "posix" or sys.platform != "linux" or os.geteuid() != 0:
        return "namespaces of the network and of mounts need root on Linux"
    return f"there is no {', '.join(missing)} here" if missing else None


class Pod:
    """Volumes and a network that containers come into."""

    def __init__(self, root: Path, template: Object, holder: int) -> None:
        self.spec: Object = template["spec"]
        self.root, self._holder = root, holder
        self._started: list[subprocess.Popen[bytes]] = []

    def volume(self, name: str) -> Path:
        """Where a volume lies on the machine."""
        return self.root / name

    def make_volumes(self, files: Mapping[str, Mapping[str, str]]) -> None:
        """Empty directories and claims, and ``files`` in what comes from the API server; owners and modes as a kubelet
        sets them for an fsGroup (kubernetes/kubernetes, pkg/volume/volume_linux.go)."""
        for volume in [*self.spec["volumes"], {"name": "journal", "persistentVolumeClaim": {}}]:
            directory = self.volume(volume["name"])
            directory.mkdir(exist_ok=True)
            if "configMap" in volume or "secret" in volume:
                write_as_kubelet(directory, files[volume["name"]])
                mode = volume["secret"]["defaultMode"] if "secret" in volume else 0o644
                for path in directory.glob("..[0-9]*/*"):
                    path.chmod(mode | 0o440)
                    os.chown(path, 0, sidecar.VOLUME_GID)
            os.chown(directory, 0, sidecar.VOLUME_GID)
            directory.chmod(0o2777 if "emptyDir" in volume else 0o2775)

    def container(self, name: str) -> Object:
        """A container of the template."""
        (found,) = [c for c in (*self.spec["initContainers"], *self.spec["containers"]) if c["name"] == name]
        return dict(found)

    def start(self, container: Object, mounts: Sequence[Object] = ()) -> subprocess.Popen[bytes]:
        """A container, with its own volumes and ``mounts``."""
        with (self.root / f"{container['name']}.log").open("ab") as log:
            process = subprocess.Popen(
                self._command(container, mounts),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._started.append(process)
        return process

    def run(self, container: Object, mounts: Sequence[Object] = ()) -> str:
        """A container that ends; what it printed."""
        return subprocess.run(
            self._command(container, mounts), check=True, capture_output=True, text=True, timeout=300
        ).stdout

    def log(self, name: str) -> str:
        """What a container has said."""
        return (self.root / f"{name}.log").read_text()

    def connection(self, port: int) -> socket.socket:
        """A TCP connection to the pod, from inside its network."""
        found: list[socket.socket | OSError] = []

        def connect() -> None:
            # Only this thread's network; the socket keeps it.
            with open(f"/proc/{self._holder}/ns/net") as network:  # noqa: PTH123 - its descriptor is what counts
                if ctypes.CDLL(None, use_errno=True).setns(network.fileno(), _NEWNET):
                    found.append(OSError(ctypes.get_errno(), "setns"))
                    return
            try:
                found.append(socket.create_connection(("127.0.0.1", port), timeout=30))
            except OSError as error:
                found.append(error)

        thread = threading.Thread(target=connect)
        thread.start()
        thread.join()
        if isinstance(found[0], OSError):
            raise found[0]
        return found[0]

    def _command(self, container: Object, more: Sequence[Object]) -> list[str]:
        mounts = [*container["volumeMounts"], *more]
        security = container["securityContext"]
        program, *rest = container["command"]
        as_rendered = [
            "setpriv",
            f"--reuid={security['runAsUser']}",
            f"--regid={security['runAsGroup']}",
            f"--groups={sidecar.VOLUME_GID}",
            "--inh-caps=-all",
            "--bounding-set=-all",
            "--no-new-privs",
            "env",
            "-i",
            "PYTHONPATH=/mnt/packages:/mnt/operator",
            "PYTHONDONTWRITEBYTECODE=1",
            _PROGRAMS[program],
            *rest,
            *container.get("args", ()),
        ]
        script = [
            "set -e",
            "mount -n -t proc none /proc",
            "mount -n -t tmpfs -o mode=0755 none /mnt",
            *_bound(sys.base_prefix, "/mnt/python"),
            *_bound(sysconfig.get_path("purelib"), "/mnt/packages"),
            *_bound(str(Path(sidecar.__file__).parents[1]), "/mnt/operator"),
            *(line for i, m in enumerate(mounts) for line in _bound(str(self.volume(m["name"])), f"/mnt/{i}")),
            *(f"mount -n -t tmpfs -o mode=0755 none {path}" for path in _HIDDEN),
            # Where it was: it finds its libraries by that path.
            *(_bound("/mnt/python", sys.base_prefix) if sys.base_prefix.startswith(_HIDDEN) else ()),
            *(line for i, m in enumerate(mounts) for line in _moved(f"/mnt/{i}", m)),
            "exec " + shlex.join(as_rendered),
        ]
        apart = ["--mount", "--propagation", "private", "--pid", "--fork", "--kill-child"]
        inside = ["unshare", *apart, "sh", "-c", "\n".join(script)]
        return ["nsenter", f"--net=/proc/{self._holder}/ns/net", *inside]

    def end(self) -> None:
        """End every container."""
        for process in reversed(self._started):
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(30)


def _bound(source: str, target: str) -> list[str]:
    return [f"mkdir -p {shlex.quote(target)}", f"mount -n --bind {shlex.quote(source)} {shlex.quote(target)}"]


def _moved(source: str, mount: Object) -> list[str]:
    target = mount["mountPath"]
    assert target.startswith((*_HIDDEN, "/dev/shm")), f"{target} would be made on this machine"
    read_only = [f"mount -n -o remount,bind,ro {shlex.quote(target)}"] if mount.get("readOnly") else []
    return [*_bound(source, target), *read_only, f"umount -n {source}"]


@contextmanager
def pod(template: Object, files: Mapping[str, Mapping[str, str]]) -> Iterator[Pod]:
    """An empty pod of its own; ended always."""
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pod-")))
        holder = subprocess.Popen(
            ["unshare", "--net", "sh", "-c", "ip link set lo up && echo up && exec sleep infinity"],
            stdout=subprocess.PIPE,
        )
        stack.callback(holder.wait, 30)
        stack.callback(holder.kill)
        assert holder.stdout
        assert holder.stdout.readline() == b"up\n"
        found = Pod(root, template, holder.pid)
        stack.callback(found.end)
        found.make_volumes(files)
        yield found
