"""Where an address really leads, and where a cloud hands out its node's credentials: the same for all who ask."""

from ipaddress import IPv4Network, IPv6Network, ip_network

Network = IPv4Network | IPv6Network

METADATA: tuple[Network, ...] = tuple(
    map(
        ip_network,
        # Link-local, where nearly every cloud has it, and where AWS (IPv6), Azure and Alibaba have it besides.
        ("169.254.0.0/16", "fe80::/10", "fd00:ec2::254/128", "168.63.129.16/32", "100.100.100.200/32"),
    )
)
METADATA_SERVICES = {
    "metadata service": "169.254.169.254",
    "metadata service of AWS by IPv6": "fd00:ec2::254",
    "wire server of Azure": "168.63.129.16",
    "metadata service of Alibaba Cloud": "100.100.100.200",
}
"""Where in these networks somebody answers, on port 80."""
_CARRIERS = (
    IPv6Network("::ffff:0:0/96"),  # IPv4-mapped: RFC 4291, section 2.5.5.2
    IPv6Network("64:ff9b::/96"),  # NAT64: RFC 6052, section 2.1
)


def unwrapped(network: Network) -> Network:
    """What of IPv4 an IPv6 network carries, since a connection goes there; any other network as it is."""
    if isinstance(network, IPv6Network):
        for carrier in _CARRIERS:
            if network.subnet_of(carrier):
                inner = int(network.network_address) - int(carrier.network_address)
                return IPv4Network((inner, network.prefixlen - carrier.prefixlen))
            if carrier.subnet_of(network):
                return IPv4Network("0.0.0.0/0")
    return network
