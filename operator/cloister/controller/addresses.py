"""Which addresses the operator may call on behalf of a custom resource: an identity provider's, and nobody's secrets.

A resource names a host; the host's owner decides what address that is. Without this check whoever may write a resource
could let the operator ask the API server, its own pod, or the metadata service that hands out a node's credentials.
"""

import ipaddress
import re
import socket
import urllib.request
from collections.abc import Iterable

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import DefaultResolver
from yarl import URL

from cloister.addresses import METADATA, Network, unwrapped

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


_NUMBERS = re.compile(r"(?:[0-9]+|0[xX][0-9a-fA-F]*)(?:\.(?:[0-9]+|0[xX][0-9a-fA-F]*))*\.?")
"""What some take for an address: `127.1`, `2130706433`, `0177.0.0.1`, `0x7f.1` (inet_aton(3))."""


class ForbiddenAddressError(OSError):
    """The operator does not call this address."""


class Reach:
    """What may be called. Private networks may: in-house identity providers live there."""

    def __init__(self, api_server: Iterable[str] = (), allowed: Iterable[Network] = ()) -> None:
        self._api_server = {found for text in api_server if (found := _parsed(text))}
        self._allowed = tuple(allowed)

    def check(self, host: str, address: str) -> None:
        """Raises ForbiddenAddressError for an address that a host must not have."""
        found = _parsed(address)
        if found is None or (why := self._refusal(found)) is None:
            return
        raise ForbiddenAddressError(
            f"{host} is {address}, {why}. If that is right, list it in the chart's identityProviders.allowedCIDRs"
        )

    def check_literal(self, host: str) -> None:
        """The same for a host that is an address already: no resolver is asked about it."""
        if _parsed(host) is None and _NUMBERS.fullmatch(host):
            raise ForbiddenAddressError(f"{host} is an address in a form that programs read differently")
        self.check(host, host)

    def _refusal(self, address: _Address) -> str | None:
        if any(address in network for network in self._allowed):
            return None
        if address in self._api_server:
            return "which is the API server"
        if address.is_loopback or address.is_unspecified:
            return "which is the operator's own pod"
        if any(address in network for network in METADATA):
            return "where metadata services hand out credentials"
        return "which is no address of a server" if address.is_multicast or address.is_reserved else None


class CheckedResolver(AbstractResolver):
    """Resolves as the system does, and passes on nothing that is forbidden. What is checked is what is then called."""

    def __init__(self, reach: Reach) -> None:
        self._reach = reach
        self._inner = DefaultResolver()
        # The environment's proxy is its administrator's choice, wherever it is.
        self._proxies = {URL(proxy).host for proxy in urllib.request.getproxies().values() if "://" in proxy}

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Addresses of a host; ForbiddenAddressError if any of them must not be called."""
        found = await self._inner.resolve(host, port, family)
        if host not in self._proxies:
            for one in found:
                self._reach.check(host, one["host"])
        return found

    async def close(self) -> None:
        """Release the system's resolver."""
        await self._inner.close()


def _parsed(text: str) -> _Address | None:
    """An address, in the form that decides where a connection goes."""
    try:
        address = ipaddress.ip_address(text.strip("[]").partition("%")[0])
    except ValueError:
        return None
    return unwrapped(ipaddress.ip_network(address)).network_address
