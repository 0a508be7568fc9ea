"""Addresses that the operator calls on behalf of a resource, and those that it never does."""

import ipaddress

import pytest
from pydantic import ValidationError

from cloister.controller.addresses import ForbiddenAddressError, Reach
from cloister.controller.settings import Settings

FORBIDDEN = (
    "127.0.0.1", "127.8.9.10", "0.0.0.0", "::1", "::", "169.254.169.254", "169.254.170.2", "fe80::1", "fe80::1%eth0",
    "::ffff:127.0.0.1", "::ffff:a9fe:a9fe", "64:ff9b::7f00:1", "fd00:ec2::254", "168.63.129.16", "100.100.100.200",
    "224.0.0.1", "ff02::1", "240.0.0.1", "255.255.255.255", "10.96.0.1", "::ffff:10.96.0.1", "fd00:96::1",
)  # fmt: skip
PERMITTED = ("93.184.216.34", "2606:4700::1111", "10.1.2.3", "192.168.7.8", "172.16.0.1", "fd12::1", "100.64.1.1")
REACH = Reach(api_server=["10.96.0.1", "fd00:96::1", "kubernetes.default.svc"])


@pytest.mark.parametrize("address", FORBIDDEN)
def test_forbidden(address: str) -> None:
    with pytest.raises(ForbiddenAddressError, match="allowedCIDRs") as refused:
        REACH.check("login.example.com", address)
    assert str(refused.value).startswith(f"login.example.com is {address}")
    with pytest.raises(ForbiddenAddressError):
        REACH.check_literal(address)


@pytest.mark.parametrize("address", PERMITTED)
def test_permitted(address: str) -> None:
    REACH.check("login.example.com", address)
    REACH.check_literal(address)


def test_a_name_is_no_address() -> None:
    REACH.check_literal("login.example.com")
    REACH.check_literal("10.example.com")


@pytest.mark.parametrize("host", ["127.1", "2130706433", "0177.0.0.1", "0x7f.1", "0x7f000001", "127.0.0.1."])
def test_an_address_in_a_form_of_its_own_is_not_called(host: str) -> None:
    with pytest.raises(ForbiddenAddressError):
        REACH.check_literal(host)


def test_what_an_administrator_allows_is_allowed_and_nothing_else() -> None:
    reach = Reach(["10.96.0.1"], [ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("10.96.0.0/16")])
    reach.check("a", "127.0.0.1")
    reach.check("a", "::ffff:127.0.0.1")
    reach.check("a", "10.96.0.1")
    with pytest.raises(ForbiddenAddressError):
        reach.check("a", "169.254.169.254")


def test_networks_come_from_the_environment_with_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings().issuer_allowed_cidrs == ()
    monkeypatch.setenv("CLOISTER_ISSUER_ALLOWED_CIDRS", "127.0.0.0/8, ::1/128")
    assert list(map(str, Settings().issuer_allowed_cidrs)) == ["127.0.0.0/8", "::1/128"]
    Settings().trust(()).reach.check("a", "127.0.0.1")
    monkeypatch.setenv("CLOISTER_ISSUER_ALLOWED_CIDRS", "127.0.0.1/8")
    with pytest.raises(ValidationError, match="not a valid IPv4 network"):
        Settings()
