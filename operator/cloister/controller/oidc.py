"""An identity provider's own word on its keys: OpenID Connect Discovery 1.0, then its JWKS document.

TLS is always verified, every address is checked, and time and size are bounded. What the provider answers is never
repeated in an error: a resource must not make the operator read something out.
"""

import asyncio
import json
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from yarl import URL

from cloister.controller.addresses import CheckedResolver, ForbiddenAddressError, Reach
from cloister.document import short

_TOTAL_SECONDS = 10.0
_CONNECT_SECONDS = 5.0
_MAX_REDIRECTS = 3
MAX_DISCOVERY_BYTES = 1 << 18
MAX_JWKS_BYTES = 1 << 19
_WELL_KNOWN = "/.well-known/openid-configuration"


class IssuerError(Exception):
    """The keys could not be fetched, and why."""


@dataclass(frozen=True)
class Trust:
    """Whom the operator believes, and where it may call."""

    reach: Reach
    ca_bundle: Path | None = None
    """PEM certificates of further authorities, besides the system's."""

    def context(self) -> ssl.SSLContext:
        """A TLS context that verifies; IssuerError when the bundle can't be read. Read anew each time."""
        context = ssl.create_default_context()
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self.ca_bundle:
            try:
                context.load_verify_locations(cafile=self.ca_bundle)
            except OSError as error:  # SSLError is one
                raise IssuerError(f"the CA bundle {self.ca_bundle} can't be read: {error}") from None
        return context


def discovery_url(issuer: str) -> str:
    """Where an issuer's metadata lies (OpenID Connect Discovery 1.0, section 4)."""
    return issuer.rstrip("/") + _WELL_KNOWN


async def fetch_jwks(issuer: str, trust: Trust) -> str:
    """The issuer's JWKS document as it is published; IssuerError says what is in the way."""
    connector = aiohttp.TCPConnector(
        ssl=await asyncio.to_thread(trust.context), resolver=CheckedResolver(trust.reach), use_dns_cache=False
    )
    try:
        async with (
            asyncio.timeout(_TOTAL_SECONDS),
            aiohttp.ClientSession(
                connector=connector,
                timeout=aiohttp.ClientTimeout(total=_TOTAL_SECONDS, connect=_CONNECT_SECONDS),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"Accept": "application/json", "Accept-Encoding": "identity"},
                auto_decompress=False,
                trust_env=True,  # HTTPS_PROXY and NO_PROXY, as everywhere else in a cluster
            ) as session,
        ):
            where = _jwks_uri(await _get(session, trust, discovery_url(issuer), MAX_DISCOVERY_BYTES), issuer)
            document = await _get(session, trust, where, MAX_JWKS_BYTES)
    except TimeoutError:
        raise IssuerError(f"gives no answer within {_TOTAL_SECONDS:.0f} s") from None
    except aiohttp.ClientError as error:
        raise IssuerError(_network_problem(error)) from None
    except UnicodeError as error:  # a host that is no name (RFC 5891)
        raise IssuerError(f"has a host that can't be looked up: {error}") from None
    try:
        return document.decode()
    except UnicodeDecodeError:
        raise IssuerError(f"{where} is not UTF-8") from None


def _jwks_uri(document: bytes, issuer: str) -> str:
    try:
        found: Any = json.loads(document)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise IssuerError(f"{discovery_url(issuer)} is no OpenID provider metadata (JSON)")
    if found.get("issuer") != issuer:
        # The end of a URL is what differs most often. Section 4.3: they must be identical.
        raise IssuerError(
            f"{discovery_url(issuer)} is the metadata of issuer {short(found.get('issuer'))}:"
            " spec.identity.users.issuer must be exactly that, to the last slash"
        )
    where = found.get("jwks_uri")
    if not isinstance(where, str):
        raise IssuerError(f"{discovery_url(issuer)} has no jwks_uri")
    return where


async def _get(session: aiohttp.ClientSession, trust: Trust, where: str, most: int) -> bytes:
    """One document. Redirects are followed to HTTPS alone, a few times."""
    url = _checked(trust, where)
    for _ in range(_MAX_REDIRECTS + 1):
        async with session.get(url, allow_redirects=False) as response:
            if response.status in (301, 302, 303, 307, 308):
                url = _checked(trust, str(url.join(_location(response, url))))
                continue
            if response.status != 200:
                raise IssuerError(f"{url} answers {response.status}")
            if response.headers.get("Content-Encoding", "identity") != "identity":
                raise IssuerError(f"{url} answers compressed, which was not asked for")
            return await _body(response, url, most)
    raise IssuerError(f"{where} is redirected more than {_MAX_REDIRECTS} times")


def _location(response: aiohttp.ClientResponse, url: URL) -> URL:
    try:
        return URL(response.headers["Location"])
    except (KeyError, ValueError):
        raise IssuerError(f"{url} redirects to nowhere") from None


def _checked(trust: Trust, where: str) -> URL:
    try:
        url = URL(where)
    except ValueError:
        url = URL()
    if url.scheme != "https" or not url.host:
        raise IssuerError(f"{short(where)} is no https URL")
    if url.user is not None or url.password is not None:
        raise IssuerError(f"a URL of {url.host} has a password in it")
    try:
        trust.reach.check_literal(url.host)
    except ForbiddenAddressError as error:
        raise IssuerError(str(error)) from None
    return url


async def _body(response: aiohttp.ClientResponse, url: URL, most: int) -> bytes:
    content = bytearray()
    async for chunk in response.content.iter_any():
        content += chunk
        if len(content) > most:
            raise IssuerError(f"{url} answers with more than {most} bytes")
    return bytes(content)


def _network_problem(error: aiohttp.ClientError) -> str:
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return (
            f"its certificate is not trusted: {error.certificate_error}. If a private CA has signed it, give that to"
            " the chart's identityProviders.caBundle.configMap"
        )
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    if isinstance(cause, ForbiddenAddressError):
        return str(cause)
    return f"can't be reached: {error}"
