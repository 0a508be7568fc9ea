"""The two ends of a way, as a person writes them."""

import re
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from cloister import names
from cloister.flows import Peer, components, peer
from cloister.spec import LLMDeployment
from cloister.zones import DNS_NAMESPACE, DNS_PODS, NODE_DNS, Component, Party, Zone

Address = IPv4Address | IPv6Address


class Place(StrEnum):
    """What is no pod of anybody's choosing."""

    INTERNET = "internet"
    DNS = "dns"
    API_SERVER = "api-server"
    METADATA = "metadata"
    KUBELET = "kubelet"


_PLACES = {
    Place.INTERNET: "the internet",
    Place.DNS: "the cluster's DNS",
    Place.API_SERVER: "the API server",
    Place.METADATA: "the cloud's metadata address",
    Place.KUBELET: "the kubelet of the node it runs on",
}
_LABEL = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
_TARGET = re.compile(r"(?:\[(?P<bracketed>[^]]*)\]|(?P<name>[^:]*))(?::(?P<port>.*))?", re.DOTALL)
_MACHINE = re.compile(rf"(?P<namespace>{_LABEL})/(?P<account>[a-z0-9]([-.a-z0-9]{{0,251}}[a-z0-9])?)")


class UnknownEndError(ValueError):
    """It names nothing; the message says what can be named."""


@dataclass(frozen=True)
class End:
    """One end: a component, a place, or pods of a service account anywhere."""

    namespace: str = ""
    account: str = ""
    component: Component | None = None
    place: Place | None = None
    zone: Zone | None = None
    """The zone of this deployment that it is in, be it one of ours or not."""
    address: Address | None = None
    """Where it is no pod: one address, as policies know it."""

    def __str__(self) -> str:
        """For people."""
        if self.address:
            return f"[{self.address}]" if self.address.version == 6 else str(self.address)
        return _PLACES[self.place] if self.place else f"{self.namespace}/{self.account}"

    def is_of(self, other: Peer) -> bool:
        """Whether pods of this end are what a flow has there, as its identity tells; or its namespace, where no
        identity is asked."""
        if self.address:
            return any(self.address in ip_network(network) for network in other.addresses)
        if self.place:
            return self.place is Place.DNS and _is_dns(other)
        # The cluster's DNS is pods with certain labels: the accounts of its namespace tell nothing of them.
        if other.component is not self.component or other.addresses or _is_dns(other):
            return False
        if self.component:
            return True
        return self.namespace == other.namespace and other.service_account in ("", self.account)

    def parties(self) -> frozenset[Party]:
        """What it can be in the flow table. A machine outside the zones can be declared as any of those."""
        if self.component:
            every = {Party.EVERY_COMPONENT, Party(str(self.component))}
            if self.component.is_store:
                every |= {Party.EVERY_STORE, Party.BACKED_STORE}
            if self.component.audited and self.component is not Component.INTERACTION_LOGS:
                every.add(Party.EVERY_AUDITOR)
            return frozenset(every)
        if self.address or self.place is Place.INTERNET:
            return frozenset({Party.BACKEND, Party.SINK})
        if self.place or self.zone:
            return frozenset({Party.CLUSTER_DNS} if self.place is Place.DNS else ())
        return frozenset({Party.CLIENT, Party.READER, Party.WRITER, Party.SCRAPER})


def _is_dns(other: Peer) -> bool:
    return other.addresses == (NODE_DNS,) or (other.namespace, other.pods) == (DNS_NAMESPACE, DNS_PODS)


def _address(text: str) -> Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None


def parse_end(deployment: LLMDeployment, text: str) -> End:
    """`inference`, `web/frontend`, `internet`, `203.0.113.5`, ...; :class:`UnknownEndError` for anything else."""
    if text in list(Component):
        return _component(deployment, Component(text))
    if text in list(Place):
        return End(place=Place(text))
    if address := _address(text):
        return End(address=address)
    if not (match := _MACHINE.fullmatch(text)):
        known = ", ".join((*Component, *Place))
        raise UnknownEndError(f"{text!r:.80} is none of {known}, and no NAMESPACE/SERVICEACCOUNT and no address")
    namespace, account = match["namespace"], match["account"]
    zone = next((zone for zone in Zone if names.namespace(deployment.name, zone) == namespace), None)
    ours = next((one for one in Component if one.zone is zone and one == account), None)
    return _component(deployment, ours) if ours else End(namespace, account, zone=zone)


def parse_target(deployment: LLMDeployment, text: str) -> tuple[End, int | None]:
    """An end, and the port behind a colon; an address of IPv6 with a port is in brackets."""
    if _address(text):
        return parse_end(deployment, text), None
    match = _TARGET.fullmatch(text)
    port = match["port"] if match else None
    if port is not None and not (port.isascii() and port.isdigit() and 0 < int(port[:6]) < 65536):
        raise UnknownEndError(f"{text!r:.80}: {port!r:.20} is no port")
    name = (match["bracketed"] or match["name"]) if match else None
    return parse_end(deployment, name or text), int(port) if port is not None else None


def _component(deployment: LLMDeployment, component: Component) -> End:
    ours = peer(deployment, component)
    return End(ours.namespace, ours.service_account, component, zone=component.zone)


def is_there(deployment: LLMDeployment, end: End) -> bool:
    """Whether this deployment has that component."""
    return end.component is None or end.component in components(deployment)
