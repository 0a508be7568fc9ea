"""The network that the canaries are tried on must itself enforce what it was told last, and nothing else."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.canary.network import NetPod, Object, network, unable

ASK = """
import socket, sys
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.bind(("", 40000))
udp.settimeout(1)
udp.sendto(b"ping", (sys.argv[1], 8443))
try:
    print(udp.recv(512).decode())
except TimeoutError:
    print("silent")
"""
"""Always from the same port, which a system hands out again sooner or later."""
ANSWER = """
import socket
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.bind(("", 8443))
print("up", flush=True)
while True:
    udp.sendto(b"pong", udp.recvfrom(512)[1])
"""

pytestmark = pytest.mark.skipif(unable() is not None, reason=unable() or "")


def policy(*kinds: str) -> Object:
    """Of every pod of "zone": it denies all, or lets all pass by the kind that is named."""
    spec: Object = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    return {"metadata": {"name": "p", "namespace": "zone"}, "spec": spec | {kind: [{}] for kind in kinds}}


def asked(source: NetPod, target: NetPod) -> str:
    command = source.enter([sys.executable, "-c", ASK, target.address])
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout.strip()


@pytest.mark.parametrize("denied", ["source", "target"])
def test_a_flow_that_once_passed_is_no_way_around_new_policies(denied: str) -> None:
    with network() as net:
        zones = {"source": "", "target": "", denied: "zone"}
        source, target = net.add(zones["source"]), net.add(zones["target"])
        with subprocess.Popen(target.enter([sys.executable, "-c", ANSWER]), stdout=subprocess.PIPE) as answering:
            try:
                assert answering.stdout
                assert answering.stdout.readline()
                net.enforce([policy("ingress", "egress")])
                assert asked(source, target) == "pong"
                net.enforce([policy()])
                assert asked(source, target) == "silent"
                net.enforce([policy("ingress" if denied == "target" else "egress")])
                assert asked(source, target) == "pong"  # replies need no rule of their own
            finally:
                answering.kill()
