"""A network of pods on this machine: a namespace each, a router between them, and NetworkPolicies enforced by it.

As little of a CNI as the policies need that Cloister renders (selectors by matchLabels, numeric ports); what of them it
enforces is the test's choice. It needs root and iptables.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from cloister import names

Object = dict[str, Any]

_ROUTER = "10.77.255.1"


def unable() -> str | None:
    """Why no network can be made here."""
    missing = [tool for tool in ("unshare", "nsenter", "ip", "iptables-restore") if not shutil.which(tool)]
    if os.geteuid() != 0:
        return "network namespaces need root"
    return f"there is no {', '.join(missing)} here" if missing else None


@dataclass(frozen=True)
class NetPod:
    """A pod as far as a network knows it. One without a namespace is something outside the cluster."""

    address: str
    holder: int
    namespace: str
    labels: Mapping[str, str]

    def enter(self, command: Sequence[str]) -> list[str]:
        """A command inside it."""
        return [*_inside(self.holder), *command]


class Network:
    """The router, and the pods behind it."""

    def __init__(self, stack: ExitStack) -> None:
        """Use `network`."""
        self._stack = stack
        self._router = self._hold()
        self.pods: list[NetPod] = []
        _run([*_inside(self._router), "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"])
        _run([*_inside(self._router), "ip", "addr", "add", f"{_ROUTER}/32", "dev", "lo"])

    def add(self, namespace: str = "", labels: Mapping[str, str] | None = None) -> NetPod:
        """A pod with an address of its own, which the router knows."""
        number = len(self.pods) + 1
        pod = NetPod(f"10.77.0.{number}", self._hold(), namespace, labels or {})
        link = f"pod{number}"
        for command in (
            f"ip link add {link} type veth peer name eth0 netns {pod.holder}",
            f"ip link set {link} up",
            f"ip addr add {_ROUTER}/32 dev {link}",
            f"ip route add {pod.address}/32 dev {link}",
        ):
            _run([*_inside(self._router), *command.split()])
        for command in (
            f"ip addr add {pod.address}/32 dev eth0",
            "ip link set eth0 up",
            f"ip route add {_ROUTER}/32 dev eth0",
            f"ip route add default via {_ROUTER} dev eth0",
        ):
            _run(pod.enter(command.split()))
        self.pods.append(pod)
        return pod

    def enforce(self, policies: Iterable[Object], directions: Sequence[str] = ("Ingress", "Egress")) -> None:
        """Replace what is enforced."""
        rules = "\n".join(["*filter", ":FORWARD ACCEPT", *self._rules(list(policies), directions), "COMMIT", ""])
        _run([*_inside(self._router), "iptables-restore"], rules)

    def _rules(self, policies: list[Object], directions: Sequence[str]) -> Iterator[str]:
        # Replies alone: else a flow of the rules before would open the way to a new one from the same port.
        yield "-A FORWARD -m conntrack --ctstate ESTABLISHED,RELATED --ctdir REPLY -j ACCEPT"
        for index, pod in enumerate(self.pods):
            for direction, own, other, end in (("Egress", "-s", "-d", "to"), ("Ingress", "-d", "-s", "from")):
                governing = [
                    policy["spec"]
                    for policy in policies
                    if direction in policy["spec"]["policyTypes"]
                    and policy["metadata"]["namespace"] == pod.namespace
                    and _selects(policy["spec"]["podSelector"], pod.labels)
                ]
                if not governing or direction not in directions:
                    continue
                chain = f"{direction}-{index}"
                yield f":{chain} -"
                yield f"-A FORWARD {own} {pod.address} -j {chain}"
                for spec in governing:
                    for rule in spec.get(direction.lower(), ()):
                        for match in self._matches(rule, end, other):
                            yield f"-A {chain} {match} -j RETURN"
                yield f"-A {chain} -j DROP"

    def _matches(self, rule: Object, end: str, other: str) -> Iterator[str]:
        peers = [f"{other} {pod.address}" for pod in self.pods if _is_peer(rule, end, pod)]
        ports = [f"-p {port['protocol'].lower()} --dport {port['port']}" for port in rule.get("ports", ())]
        yield from (f"{peer} {port}" for peer in peers for port in ports or [""])

    def _hold(self) -> int:
        holder = subprocess.Popen(
            ["unshare", "--net", "sh", "-c", "ip link set lo up && echo up && exec sleep infinity"],
            stdout=subprocess.PIPE,
        )
        self._stack.callback(holder.wait, 30)
        self._stack.callback(holder.kill)
        assert holder.stdout
        self._stack.callback(holder.stdout.close)
        assert holder.stdout.readline() == b"up\n"
        return holder.pid


@contextmanager
def network() -> Iterator[Network]:
    """An empty network; gone afterwards with all that is in it."""
    with ExitStack() as stack:
        yield Network(stack)


def _is_peer(rule: Object, end: str, pod: NetPod) -> bool:
    if end not in rule:
        return True
    return any(
        _selects(peer.get("namespaceSelector", {}), {names.LABEL_NAMESPACE_NAME: pod.namespace})
        and _selects(peer.get("podSelector", {}), pod.labels)
        for peer in rule[end]
        if pod.namespace
    )


def _selects(selector: Object, labels: Mapping[str, str]) -> bool:
    assert set(selector) <= {"matchLabels"}
    wanted: Mapping[str, str] = selector.get("matchLabels", {})
    return wanted.items() <= labels.items()


def _inside(holder: int) -> list[str]:
    return ["nsenter", f"--net=/proc/{holder}/ns/net"]


def _run(command: Sequence[str], text: str = "") -> None:
    subprocess.run(command, input=text, check=True, text=True, capture_output=True)
