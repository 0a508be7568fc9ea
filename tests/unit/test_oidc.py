"""Keys fetched from a real HTTPS server: what is believed, and everything that is not."""

import asyncio
import ipaddress
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cloister.controller import oidc
from cloister.controller.addresses import Reach
from cloister.controller.oidc import IssuerError, Trust, discovery_url, fetch_jwks
from tests.issuer import KEYS, METADATA, Issuer

LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))
PROXIES = ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy")


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Issuer]:
    with Issuer(tmp_path).running() as issuer:
        yield issuer


def trust(server: Issuer, **changes: Any) -> Trust:
    return Trust(**{"reach": Reach(allowed=LOOPBACK), "ca_bundle": server.ca_bundle, **changes})


async def refusal(server: Issuer, issuer: str | None = None, **changes: Any) -> str:
    with pytest.raises(IssuerError) as refused:
        await fetch_jwks(issuer or server.issuer, trust(server, **changes))
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_where_the_metadata_lies() -> None:
    assert discovery_url("https://a.example") == "https://a.example/.well-known/openid-configuration"
    assert discovery_url("https://a.example/x/") == "https://a.example/x/.well-known/openid-configuration"


async def test_keys_are_fetched(server: Issuer) -> None:
    assert json.loads(await fetch_jwks(server.issuer, trust(server))) == json.loads(server.provider.jwks())
    assert server.asked == [server.path + METADATA, KEYS]


async def test_a_ca_that_nobody_named_is_not_believed(server: Issuer) -> None:
    said = await refusal(server, ca_bundle=None)
    assert "certificate is not trusted" in said
    assert "identityProviders.caBundle.configMap" in said
    assert server.asked == []


async def test_a_certificate_for_another_host_is_not_believed(server: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    real = socket.getaddrinfo
    monkeypatch.setattr(
        socket,
        "getaddrinfo",
        lambda host, *rest, **more: real("127.0.0.1" if host == "x.test" else host, *rest, **more),
    )
    said = await refusal(server, server.issuer.replace("localhost", "x.test"))
    assert "certificate is not trusted" in said
    assert server.asked == []


async def test_a_bundle_that_is_missing_or_broken_is_named(server: Issuer, tmp_path: Path) -> None:
    assert "can't be read" in await refusal(server, ca_bundle=tmp_path / "none.crt")
    (tmp_path / "broken.crt").write_text("no PEM")
    assert "broken.crt can't be read" in await refusal(server, ca_bundle=tmp_path / "broken.crt")


async def test_metadata_of_another_issuer_is_not_believed(server: Issuer) -> None:
    said = await refusal(server, f"{server.issuer}/")
    assert f'"{server.issuer}"' in said
    assert "spec.identity.users.issuer" in said
    assert KEYS not in server.asked


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        (b"<html>", "no OpenID provider metadata"),
        (b"[]", "no OpenID provider metadata"),
        (b"[" * 100_000, "no OpenID provider metadata"),
        (b"\xff", "no OpenID provider metadata"),
        ({}, "metadata of issuer null"),
        ({"jwks_uri": 1}, "no jwks_uri"),
        ({}, "no jwks_uri"),
        ({"jwks_uri": "http://localhost/keys"}, "is no https URL"),
        ({"jwks_uri": "file:///etc/passwd"}, "is no https URL"),
        ({"jwks_uri": "https://"}, "is no https URL"),
        ({"jwks_uri": "https://[::"}, "is no https URL"),
        ({"jwks_uri": "https://user:secret@localhost/"}, "has a password in it"),
        ((404, {}, b""), "answers 404"),
        ((500, {}, b"inside"), "answers 500"),
        ((200, {"Content-Encoding": "gzip"}, b"x"), "compressed"),
        (b" " * (oidc.MAX_DISCOVERY_BYTES + 1), "more than"),
        ("chunks", "more than"),
        ((302, {}, b""), "redirects to nowhere"),
        ((302, {"Location": "http://localhost/"}, b""), "is no https URL"),
        ((302, {"Location": METADATA}, b""), "answers 404"),
    ],
)
async def test_metadata_that_is_not_used(server: Issuer, metadata: Any, said: str) -> None:
    if isinstance(metadata, dict) and said != "metadata of issuer null":
        metadata |= {"issuer": server.issuer}
    server.answers[server.path + METADATA] = metadata
    message = await refusal(server)
    assert said in message
    assert "inside" not in message  # nothing of an answer is read out
    assert "secret" not in message


async def test_redirects_are_followed_a_few_times(server: Issuer) -> None:
    first = server.answers.pop(server.path + METADATA)
    server.answers |= {server.path + METADATA: (307, {"Location": "/there"}, b""), "/there": first}
    assert json.loads(await fetch_jwks(server.issuer, trust(server)))["keys"]
    server.answers["/there"] = (302, {"Location": "/there"}, b"")
    assert "redirected more than" in await refusal(server)


async def test_a_silent_server_is_not_waited_for(server: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oidc, "_TOTAL_SECONDS", 0.5)
    server.answers[KEYS] = "silence"
    async with asyncio.timeout(30):
        assert "gives no answer" in await refusal(server)


async def test_nobody_listens(server: Issuer) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        assert "can't be reached" in await refusal(server, f"https://localhost:{unused.getsockname()[1]}/")
    assert "can't be reached" in await refusal(server, "https://no-such-host.invalid/")


async def test_keys_that_are_too_long_or_no_text(server: Issuer) -> None:
    server.answers[KEYS] = b" " * (oidc.MAX_JWKS_BYTES + 1)
    assert "more than" in await refusal(server)
    server.answers[KEYS] = b"\xff"
    assert "is not UTF-8" in await refusal(server)


# --- where the operator does not go ---


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
async def test_its_own_pod_is_not_asked(server: Issuer, host: str) -> None:
    said = await refusal(server, server.issuer.replace("localhost", host), reach=Reach())
    assert "the operator's own pod" in said
    assert "allowedCIDRs" in said
    assert server.asked == []


@pytest.mark.parametrize(
    "where",
    ["https://169.254.169.254/latest/", "https://[::ffff:169.254.169.254]/", "https://[64:ff9b::a9fe:a9fe]/"],
)
async def test_metadata_services_are_not_asked_whoever_sends_us_there(server: Issuer, where: str) -> None:
    server.answers[server.path + METADATA] = {"issuer": server.issuer, "jwks_uri": where}
    assert "hand out credentials" in await refusal(server)
    server.answers[server.path + METADATA] = (302, {"Location": where}, b"")
    assert "hand out credentials" in await refusal(server)


async def test_a_name_of_the_api_server_is_seen_through(server: Issuer) -> None:
    said = await refusal(server, reach=Reach(api_server=["127.0.0.1", "::1"]))
    assert "the API server" in said
    assert server.asked == []


@pytest.mark.parametrize("host", ["2130706433", "127.1", "0177.0.0.1"])
async def test_spellings_of_an_address_lead_nowhere(server: Issuer, host: str) -> None:
    assert "in a form that programs read differently" in await refusal(server, server.issuer.replace("localhost", host))
    assert server.asked == []


# --- proxies ---


async def test_the_environments_proxy_is_used_wherever_it_is(server: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bytes] = []

    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readline())
        writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(proxy, "127.0.0.1", 0) as listening:
        port = listening.sockets[0].getsockname()[1]
        monkeypatch.setenv("HTTPS_PROXY", f"http://localhost:{port}")
        # The proxy resolves the name, and stands where its administrator put it.
        assert "can't be reached" in await refusal(server, "https://login.example.com/", reach=Reach())
        assert seen == [b"CONNECT login.example.com:443 HTTP/1.1\r\n"]
        assert "hand out credentials" in await refusal(server, "https://169.254.169.254/", reach=Reach())
        monkeypatch.setenv("NO_PROXY", "localhost")
        assert await fetch_jwks(server.issuer, trust(server))
        assert len(seen) == 1
