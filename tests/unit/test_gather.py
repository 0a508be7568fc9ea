"""Facts of the cluster: what may become one, and what must not."""

import base64
import datetime as dt
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from cloister.controller.gather import authority_certificate
from cloister.storageclass import encrypts


@pytest.mark.parametrize(
    ("parameters", "annotations", "known"),
    [
        (None, {}, False),
        ({"type": "gp3"}, {}, False),
        ({"encrypted": "true"}, {}, True),
        ({"encrypted": "false"}, {}, False),
        ({"disk-encryption-kms-key": "projects/p"}, {}, True),
        (None, {"cloister.dev/encrypted": "true"}, True),
        (None, {"cloister.dev/encrypted": "no"}, False),
    ],
)
def test_storage_classes_that_are_known_to_encrypt(parameters: Any, annotations: Any, known: bool) -> None:
    assert encrypts({"metadata": {"annotations": annotations}, "parameters": parameters}) == known


def certificate(name: str, authority: bool = True) -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    made = (
        x509.CertificateBuilder(subject, subject, key.public_key(), 1, now, now + dt.timedelta(days=1))
        .add_extension(x509.BasicConstraints(authority, None), critical=True)
        .sign(key, hashes.SHA256())
    )
    return base64.b64encode(made.public_bytes(serialization.Encoding.PEM)).decode()


def test_only_the_deployments_own_authority_becomes_the_trust_anchor() -> None:
    own = certificate("cloister-ca-x-g1")
    assert authority_certificate(own, "cloister-ca-x-g1") == base64.b64decode(own).decode()
    assert authority_certificate(certificate("corporate root"), "cloister-ca-x-g1") is None
    assert authority_certificate(certificate("cloister-ca-x-g1", authority=False), "cloister-ca-x-g1") is None
    for garbage in ("", "!", base64.b64encode(b"x").decode()):
        assert authority_certificate(garbage, "cloister-ca-x-g1") is None
