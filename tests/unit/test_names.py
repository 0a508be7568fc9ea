"""Names are valid, stable and never meet."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from cloister import names
from cloister.zones import Component, Zone
from tests.strategies import is_dns_subdomain, labels

deployments = labels(40, first="abcdefghijklmnopqrstuvwxyz")
generations = st.integers(1, 10**6)


@given(deployments)
def test_zones_are_namespaces_of_their_own(deployment: str) -> None:
    zones = {names.namespace(deployment, zone) for zone in Zone}
    assert len(zones) == len(Zone)
    assert all(is_dns_subdomain(zone) and len(zone) <= 63 and "." not in zone for zone in zones)


@given(deployments, deployments)
def test_zones_of_two_deployments_never_meet(one: str, other: str) -> None:
    assume(one != other)
    assert not {names.namespace(one, zone) for zone in Zone} & {names.namespace(other, zone) for zone in Zone}


@given(deployments, labels(60), deployments, labels(60))
def test_certificates_of_two_deployments_never_meet(one: str, account: str, other: str, another: str) -> None:
    assume((one, account) != (other, another))
    assert names.client_certificate(one, account) != names.client_certificate(other, another)


def test_names_that_run_together_are_told_apart() -> None:
    assert names.client_certificate("a", "b-c") != names.client_certificate("a-b", "c")
    assert names.ca("a-g1", 2) != names.ca("a", 12)


@given(deployments, generations, deployments, generations)
def test_authorities_of_two_deployments_never_meet(one: str, first: int, other: str, second: int) -> None:
    assume((one, first) != (other, second))
    assert names.ca(one, first) != names.ca(other, second)


@given(deployments, labels(60).flatmap(lambda text: st.just(text + "." + "s" * (199 - len(text)))), generations)
def test_the_longest_names_are_valid(deployment: str, account: str, generation: int) -> None:
    found = (
        names.ca(deployment, generation),
        names.self_signed_issuer(deployment),
        names.client_certificate(deployment, account),
        *(names.service_host(deployment, component) for component in Component),
    )
    assert all(map(is_dns_subdomain, found))


@given(deployments, st.sampled_from(Component), st.sampled_from(Component))
def test_a_selector_selects_one_component(deployment: str, one: Component, other: Component) -> None:
    agree = names.pod_selector(deployment, one) == names.pod_selector(deployment, other)
    assert agree == (one is other)


def test_a_spiffe_id_is_written_as_istio_and_spire_write_it() -> None:
    assert names.spiffe_id("cluster.local", "web", "frontend") == "spiffe://cluster.local/ns/web/sa/frontend"


@pytest.mark.parametrize("kind", [names.keyring, names.gate_config, names.auditor_config, names.leaf])
def test_objects_of_components_do_not_meet(kind: object) -> None:
    assert callable(kind)
    found = [kind(component) for component in Component]
    assert len(set(found)) == len(Component)
    assert all(map(is_dns_subdomain, found))


def test_a_key_tells_objects_apart() -> None:
    def key(kind: str, name: str, **metadata: str) -> names.Key:
        return names.key({"kind": kind, "metadata": {"name": name, **metadata}})

    assert key("Secret", "a", namespace="b") == ("Secret", "b", "a")
    assert len({key("A", "x"), key("B", "x"), key("A", "y"), key("A", "x", namespace="n")}) == 4
