"""What lies around the zones and must not be reached from them: found where the operator itself runs."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

import structlog

from cloister.addresses import METADATA_SERVICES
from cloister.controller import errors
from cloister.controller.cluster import Cluster, Object
from cloister.facts import Beyond

log = structlog.get_logger(__name__)

_RESOLVERS = Path("/etc/resolv.conf")
_METADATA_PORT = 80
_KUBELET_PORT = 10250
_MAX_NODES = 4


@dataclass(frozen=True)
class Surroundings:
    """What is known without asking anybody; ``internet`` has addresses outside the cluster, and their ports."""

    internet: tuple[tuple[str, int], ...]
    resolvers: tuple[str, ...]
    api_server: tuple[str, int] | None

    @classmethod
    def found(cls, internet: str, environment: Mapping[str, str] = os.environ) -> "Surroundings":
        """As this process sees them: its resolvers are the cluster's DNS, where it runs in a pod. ``internet`` is a
        list of host:port, with commas."""
        try:
            resolvers = tuple(nameservers(_RESOLVERS.read_text()))
        except OSError:
            resolvers = ()
        host, port = environment.get("KUBERNETES_SERVICE_HOST"), environment.get("KUBERNETES_SERVICE_PORT", "443")
        outside = tuple(_split(address) for address in internet.split(",") if address)
        return cls(outside, resolvers, (host, int(port)) if host else None)

    def beyond(
        self, nodes: list[tuple[str, ...]], api_servers: list[tuple[str, int]], *, ipv6: bool
    ) -> tuple[Beyond, ...]:
        """What canaries try besides each other. ``nodes`` are addresses of each node that they run on. Without
        ``ipv6``, canaries have no address from which to try what lies outside by IPv6."""
        found = self._beyond(nodes, api_servers)
        outside = (*METADATA_SERVICES.values(), *(address for address, _ in self.internet))
        return tuple(one for one in found if ipv6 or ":" not in one.address or one.address not in outside)

    def _beyond(self, nodes: list[tuple[str, ...]], api_servers: list[tuple[str, int]]) -> Iterator[Beyond]:
        for address in self.resolvers:
            yield Beyond("cluster DNS", address, 53, "dns")
            yield Beyond("cluster DNS", address, 53)
        known = [self.api_server] if self.api_server else []
        for address, port in dict.fromkeys([*known, *api_servers]):
            yield Beyond("API server", address, port)
        for name, address in METADATA_SERVICES.items():
            yield Beyond(name, address, _METADATA_PORT)
        for addresses in nodes[:_MAX_NODES]:
            for address in addresses:
                yield Beyond(f"kubelet of node {address}", address, _KUBELET_PORT)
        for address, port in self.internet:
            yield Beyond("internet", address, port)


async def api_servers(cluster: Cluster) -> list[tuple[str, int]]:
    """Every address of the API server: a policy may close its Service and forget its endpoints."""
    found: list[tuple[str, int]] = []
    for kind in ("Service", "EndpointSlice"):
        try:
            found += _addresses(await cluster.get(kind, "kubernetes", "default"))
        except errors.ApiError as error:
            log.warning("addresses of the API server can't be read", kind=kind, error=error.message)
    return found


def _addresses(obj: Object) -> Iterator[tuple[str, int]]:
    if obj["kind"] == "Service":
        spec = obj["spec"]
        yield from ((address, port["port"]) for address in spec["clusterIPs"] for port in spec["ports"])
    else:
        for endpoint in obj.get("endpoints") or ():
            yield from ((endpoint["addresses"][0], port["port"]) for port in obj["ports"])


def nameservers(text: str) -> Iterator[str]:
    """Addresses in a resolv.conf (resolv.conf(5)), but for those of the machine itself."""
    for line in text.splitlines():
        match line.split():
            case ["nameserver", address, *_] if not ip_address(address.partition("%")[0]).is_loopback:
                yield address


def _split(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)
