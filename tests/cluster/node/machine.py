"""The machine that the node believes to have for itself: network, mounts, processes, and groups of processes.

One process holds all namespaces and is the first in its own (`pid_namespaces(7)`): when it ends, the kernel kills every
other process in them, and with the last one network devices, mounts, sockets and pinned BPF programs are gone. What is
left then are empty control groups, which `sweep` removes.
"""

from __future__ import annotations

import hashlib
import ipaddress
import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.processes import Identity, ProcessTable, wait_until

HOLDER = "machine"
#: One of these is taken for each node: the lower address for the host's end of the cable, the upper for the node's.
_NETWORKS = ipaddress.IPv4Network("10.213.0.0/16")
_CGROUPS = Path("/sys/fs/cgroup")
#: All pods together are one among the machine's processes: by default they would get as much of it as one of those.
_WEIGHTS = {"cpu.shares": 16384, "cpu.weight": 1600}

#: Run as the first process. /sys must show the devices of this network namespace; the control groups below it are the
#: ones of the machine. /run is where containerd, Cilium and the CNI plugins meet, and is empty after a reboot too.
_PREPARE = """
set -e
mount --make-rshared /
mkdir -p "$1"
mount --rbind /sys/fs/cgroup "$1"
mount -t sysfs sysfs /sys
mount --rbind "$1" /sys/fs/cgroup
mount -t bpf bpf /sys/fs/bpf
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/lock /run/cilium
hostname node
exec catatonit -P
"""


class MachineError(RuntimeError):
    """The namespaces can't be made; the message is what the tool said."""


@dataclass(frozen=True)
class Machine:
    """The namespaces of one node, whose directory is its name."""

    directory: Path

    @property
    def address(self) -> str:
        """The node's address, which the host reaches by a cable of its own."""
        return str(self._network[2])

    @property
    def gateway(self) -> str:
        """The host's end of the cable. It forwards nothing."""
        return str(self._network[1])

    @property
    def group(self) -> str:
        """Name of the control group, in every hierarchy."""
        return f"cloister-{self._id}"

    @property
    def device(self) -> str:
        """The host's end of the cable."""
        return f"cloister{self._id}"

    @property
    def groups(self) -> Iterator[Path]:
        """The control group in each hierarchy that the machine has."""
        unified = (_CGROUPS / "cgroup.controllers").exists()
        for root in [_CGROUPS] if unified else sorted(_CGROUPS.iterdir()):
            if (root / "cgroup.procs").exists() and not root.is_symlink():
                yield root / self.group

    @property
    def unified_group(self) -> Path:
        """The control group in the hierarchy of version 2, where BPF programs are attached."""
        return next(group for group in self.groups if (group.parent / "cgroup.controllers").exists())

    def start(self, table: ProcessTable) -> None:
        """Make the namespaces and connect them; nothing of the host's changes but one network device."""
        self._choose_network()
        for group in self.groups:
            group.mkdir(exist_ok=True)
            for file, weight in _WEIGHTS.items():
                if (group / file).exists():
                    (group / file).write_text(str(weight))
        namespaces = ["--mount", "--net", "--pid", "--ipc", "--uts"]
        holder = ["unshare", *namespaces, "--fork", "--kill-child", "--mount-proc", "sh", "-c", _PREPARE, "sh"]
        outer = table.start(HOLDER, [*holder, str(self.directory / "control-groups")])
        table.wait_ready(HOLDER, lambda: self._prepared(outer))
        self._connect()

    def enter(self) -> Sequence[str]:
        """Words before a command that make it run inside."""
        record = json.loads((self.directory / "run" / f"{HOLDER}.json").read_text())
        inner = _only_child(record["pid"])
        if inner is None:
            raise MachineError(f"nothing holds the namespaces of {self.directory}")
        join = 'echo $$ > "$0/cgroup.procs" && exec nsenter "$@"'
        target = [f"--target={inner}", "--mount", "--net", "--pid", "--ipc", "--uts"]
        return ["sh", "-c", join, str(self.unified_group), *target]

    def run(self, *command: str, **environment: str) -> str:
        """What a command prints that runs inside."""
        assignments = [f"{name}={value}" for name, value in environment.items()]
        return _run(*self.enter(), "env", *assignments, *command)

    def _prepared(self, outer: Identity) -> bool:
        inner = _only_child(outer.pid)
        with suppress(OSError):
            return inner is not None and Path(f"/proc/{inner}/comm").read_text().strip() == "catatonit"
        return False

    def _connect(self) -> None:
        inner = _only_child(json.loads((self.directory / "run" / f"{HOLDER}.json").read_text())["pid"])
        _run("ip", "link", "add", self.device, "type", "veth", "peer", "name", "eth0", "netns", str(inner))
        _run("ip", "addr", "replace", f"{self.gateway}/30", "dev", self.device)
        _run("ip", "link", "set", self.device, "up")
        for words in (
            ("ip", "link", "set", "lo", "up"),
            ("ip", "addr", "replace", f"{self.address}/30", "dev", "eth0"),
            ("ip", "link", "set", "eth0", "up"),
            ("ip", "route", "replace", "default", "via", self.gateway),
            ("sysctl", "-qw", "net.ipv4.ip_forward=1"),
        ):
            self.run(*words)

    def _choose_network(self) -> None:
        if not self._state.exists():
            used = _run("ip", "-4", "-o", "addr")
            start = int(self._id, 16)
            networks: list[ipaddress.IPv4Network] = list(_NETWORKS.subnets(new_prefix=30))
            free = (networks[(start + step) % len(networks)] for step in range(len(networks)))
            network = next(network for network in free if f" {network[1]}/" not in used)
            self._state.write_text(json.dumps({"network": str(network)}))

    @property
    def _network(self) -> ipaddress.IPv4Network:
        state: Mapping[str, str] = json.loads(self._state.read_text())
        return ipaddress.IPv4Network(state["network"])

    @property
    def _state(self) -> Path:
        return self.directory / "machine.json"

    @property
    def _id(self) -> str:
        return hashlib.sha256(str(self.directory).encode()).hexdigest()[:6]


def sweep(directory: Path) -> None:
    """Remove what outlives the holder: control groups without processes, and for a moment, while the kernel clears
    the network, the host's end of the cable. Does nothing where there is nothing."""
    machine = Machine(directory.resolve())
    with suppress(MachineError):
        _run("ip", "link", "delete", machine.device)
    for group in machine.groups:
        wait_until(lambda group=group: _removed(group), 20)  # type: ignore[misc] # mypy knows no such default


def _removed(group: Path) -> bool:
    """Whether a group and all in it are gone; a group whose last process is still ending stays for a moment."""
    if not group.exists():
        return True
    inner = sorted((path for path in group.rglob("*") if path.is_dir()), key=lambda path: -len(path.parts))
    for path in [*inner, group]:
        with suppress(OSError):
            path.rmdir()
    return not group.exists()


def _only_child(pid: int) -> int | None:
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return int(children[0]) if children else None


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        raise MachineError(f"{' '.join(command)} failed with {done.returncode}: {done.stderr or done.stdout}")
    return done.stdout
