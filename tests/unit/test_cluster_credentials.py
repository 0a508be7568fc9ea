"""Certificates that clients accept, and kubeconfigs of the right shape."""

import base64
import datetime
import ipaddress
from pathlib import Path

import pytest
import yaml
from cryptography import x509
from cryptography.x509.oid import NameOID
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from tests.cluster import kubeconfigs
from tests.cluster.controlplane import ControlPlane
from tests.cluster.pki import Authority, certificate_request

LOOPBACK = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
SERVER = "https://127.0.0.1:6443"


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority.create("test")


def test_a_server_certificate_is_trusted_for_its_hosts_only(authority: Authority) -> None:
    leaf = x509.load_pem_x509_certificate(authority.issue("server", hosts=["127.0.0.1", "localhost"]).certificate)
    verify = PolicyBuilder().store(_store(authority)).build_server_verifier
    assert verify(LOOPBACK).verify(leaf, [])[0] == leaf
    assert verify(x509.DNSName("localhost")).verify(leaf, [])[0] == leaf
    with pytest.raises(VerificationError):
        verify(x509.DNSName("elsewhere.test")).verify(leaf, [])


def test_another_authority_is_not_trusted(authority: Authority) -> None:
    leaf = x509.load_pem_x509_certificate(authority.issue("server", hosts=["127.0.0.1"]).certificate)
    stranger = PolicyBuilder().store(_store(Authority.create("test"))).build_server_verifier(LOOPBACK)
    with pytest.raises(VerificationError):
        stranger.verify(leaf, [])


def test_a_client_certificate_names_user_and_groups(authority: Authority) -> None:
    leaf = x509.load_pem_x509_certificate(authority.issue("alice", ["devs", "auditors"]).certificate)
    assert _values(leaf.subject, NameOID.COMMON_NAME) == ["alice"]
    assert _values(leaf.subject, NameOID.ORGANIZATION_NAME) == ["devs", "auditors"]
    assert leaf.not_valid_before_utc < datetime.datetime.now(datetime.UTC) < leaf.not_valid_after_utc


def test_a_certificate_request_names_user_and_groups() -> None:
    request = x509.load_pem_x509_csr(certificate_request("alice", ["devs"]).certificate)
    assert request.is_signature_valid
    assert _values(request.subject, NameOID.COMMON_NAME) == ["alice"]
    assert _values(request.subject, NameOID.ORGANIZATION_NAME) == ["devs"]


def test_an_authority_is_kept_and_its_key_is_private(tmp_path: Path) -> None:
    first = Authority.load_or_create(tmp_path, "ca")
    assert Authority.load_or_create(tmp_path, "ca") == first
    assert (tmp_path / "ca.key").stat().st_mode & 0o777 == 0o600


def test_a_kubeconfig_for_a_certificate(authority: Authority) -> None:
    pair = authority.issue("alice")
    config = kubeconfigs.for_certificate(SERVER, authority.pair.certificate, "alice", pair)
    context = config["contexts"][0]
    assert config["current-context"] == context["name"]
    assert context["context"] == {
        "cluster": config["clusters"][0]["name"],
        "user": config["users"][0]["name"],
    }
    assert config["clusters"][0]["cluster"]["server"] == SERVER
    user = config["users"][0]["user"]
    assert base64.b64decode(user["client-certificate-data"]) == pair.certificate
    assert base64.b64decode(user["client-key-data"]) == pair.key


def test_a_kubeconfig_for_a_token_holds_nothing_else(authority: Authority) -> None:
    config = kubeconfigs.for_token(SERVER, authority.pair.certificate, "operator", "s3cret")
    assert config["users"] == [{"name": "operator", "user": {"token": "s3cret"}}]
    assert "insecure-skip-tls-verify" not in yaml.safe_dump(config)


def test_a_kubeconfig_is_private_and_tells_its_cluster(authority: Authority, tmp_path: Path) -> None:
    ca = authority.pair.certificate
    path = kubeconfigs.write(tmp_path / "users" / "one", kubeconfigs.for_token(SERVER, ca, "one", "t"))
    assert path.stat().st_mode & 0o777 == 0o600
    assert kubeconfigs.cluster_of(path) == (SERVER, ca)


def test_every_user_and_set_of_groups_has_a_file_of_its_own() -> None:
    people = [
        ("a", ()),
        ("a", ("g",)),
        ("a", ("g", "h")),
        ("a", ("gh",)),
        ("a/b", ()),
        ("a-b", ()),
        ("../a", ()),
    ]
    names = [kubeconfigs.file_name(user, groups) for user, groups in people]
    assert len(set(names)) == len(people)
    assert not any("/" in name or name.startswith(".") for name in names)


def test_a_directory_with_anything_else_in_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(FileExistsError, match="choose another"):
        ControlPlane.start(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_there_is_no_control_plane_in_an_empty_directory(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no control plane"):
        ControlPlane.open(tmp_path)


def _store(authority: Authority) -> Store:
    return Store([x509.load_pem_x509_certificate(authority.pair.certificate)])


def _values(name: x509.Name, attribute: x509.ObjectIdentifier) -> list[str]:
    return [str(each.value) for each in name.get_attributes_for_oid(attribute)]
