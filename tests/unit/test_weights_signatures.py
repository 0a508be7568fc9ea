"""Signatures over weights: our own, and those that the OpenSSF's model-signing library makes (ZT-26)."""

import base64
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st
from model_signing import signing

from cloister.sealing import generate, generate_signing
from cloister.weights import SignatureError, detached, verifier

WEIGHTS = b"weights"
DIGEST = hashlib.sha256(WEIGHTS).hexdigest()
NAME = "/checkpoints/support-bot/model.gguf"
OURS = generate_signing()

Json = dict[str, Any]


def pem(key: ec.EllipticCurvePrivateKey) -> str:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(serialization.Encoding.PEM, form).decode()


class Release:
    """Somebody who signs by model-signing."""

    def __init__(self, folder: Path, curve: ec.EllipticCurve) -> None:
        self.key = ec.generate_private_key(curve)
        self.folder = folder
        self.private = folder / "key.pem"
        form, none = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        self.private.write_bytes(self.key.private_bytes(serialization.Encoding.PEM, form, none))
        self.model = folder / "model.gguf"
        self.model.write_bytes(WEIGHTS)

    def sign(self, path: Path, config: signing.Config | None = None) -> bytes:
        signature = self.folder / "signature"
        signer = (config or signing.Config()).use_elliptic_key_signer(private_key=self.private)  # type: ignore[no-untyped-call]
        signer.sign(path, signature)
        return signature.read_bytes()

    def forged(self, bundle: bytes, change: Callable[[Json], object]) -> bytes:
        """The same bundle with another statement, signed all the same."""
        document = json.loads(bundle)
        envelope = document["dsseEnvelope"]
        statement = json.loads(base64.b64decode(envelope["payload"]))
        change(statement)
        payload = json.dumps(statement).encode()
        signed = b"DSSEv1 %d %b %d %b" % (28, b"application/vnd.in-toto+json", len(payload), payload)
        envelope["payload"] = base64.b64encode(payload).decode()
        signature = self.key.sign(signed, ec.ECDSA(hashes.SHA256()))
        envelope["signatures"][0]["sig"] = base64.b64encode(signature).decode()
        return json.dumps(document).encode()


@pytest.fixture
def release(tmp_path: Path) -> Release:
    return Release(tmp_path, ec.SECP256R1())


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()], ids=lambda curve: curve.name)
def test_a_file_signed_by_the_library(curve: ec.EllipticCurve, tmp_path: Path) -> None:
    release = Release(tmp_path, curve)
    bundle = release.sign(release.model)
    trusted = verifier(pem(release.key))
    trusted.check(bundle, DIGEST, NAME)
    with pytest.raises(SignatureError, match="is over SHA-256"):
        trusted.check(bundle, "0" * 64, NAME)
    with pytest.raises(SignatureError, match="of another key"):
        verifier(pem(ec.generate_private_key(curve))).check(bundle, DIGEST, NAME)


def test_a_directory_signed_by_the_library(release: Release) -> None:
    folder = release.folder / "release"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "model.gguf").write_bytes(WEIGHTS)
    (folder / "tokenizer.json").write_bytes(b"{}")
    bundle, trusted = release.sign(folder), verifier(pem(release.key))
    trusted.check(bundle, DIGEST, NAME)
    trusted.check(bundle, hashlib.sha256(b"{}").hexdigest(), "/checkpoints/tokenizer.json")
    with pytest.raises(SignatureError, match="is over SHA-256"):
        trusted.check(bundle, hashlib.sha256(b"{}").hexdigest(), NAME)
    with pytest.raises(SignatureError, match="none of them is other"):
        trusted.check(bundle, DIGEST, "/checkpoints/other")


def test_a_file_signed_in_shards_is_refused(release: Release) -> None:
    from model_signing import hashing  # noqa: PLC0415

    config = signing.Config().set_hashing_config(hashing.Config().use_shard_serialization())  # type: ignore[no-untyped-call]
    with pytest.raises(SignatureError, match="method"):
        verifier(pem(release.key)).check(release.sign(release.model, config), DIGEST, NAME)


CHANGES: dict[str, Callable[[Json], object]] = {
    "another type": lambda it: it.update(_type="https://in-toto.io/Statement/v0.1"),
    "another predicate": lambda it: it.update(predicateType="https://slsa.dev/provenance/v1"),
    "root digest": lambda it: it["subject"][0]["digest"].update(sha256="0" * 64),
    "no subject": lambda it: it.update(subject=[]),
    "two subjects": lambda it: it.update(subject=it["subject"] * 2),
    "no files": lambda it: it["predicate"].update(resources=[]),
    "another hash": lambda it: it["predicate"]["resources"][0].update(algorithm="blake3"),
    "no predicate": lambda it: it.pop("predicate"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_the_key_signed_must_still_be_understood(release: Release, change: Callable[[Json], object]) -> None:
    bundle = release.sign(release.model)
    verifier(pem(release.key)).check(release.forged(bundle, lambda it: it), DIGEST, NAME)
    with pytest.raises(SignatureError, match="signature of"):
        verifier(pem(release.key)).check(release.forged(bundle, change), DIGEST, NAME)


def test_what_the_key_did_not_sign_is_refused(release: Release) -> None:
    bundle, trusted = release.sign(release.model), verifier(pem(release.key))
    other = Release(release.folder, ec.SECP256R1())
    document = json.loads(bundle)
    document["dsseEnvelope"] = json.loads(other.sign(other.model))["dsseEnvelope"]
    with pytest.raises(SignatureError, match="does not verify"):
        trusted.check(json.dumps(document).encode(), DIGEST, NAME)
    document = json.loads(bundle)
    document["dsseEnvelope"]["signatures"] *= 2
    with pytest.raises(SignatureError, match="signatures"):
        trusted.check(json.dumps(document).encode(), DIGEST, NAME)
    twice = bundle.replace(b'{"mediaType"', b'{"mediaType":"x","mediaType"', 1)
    with pytest.raises(SignatureError, match="not JSON"):
        trusted.check(twice, DIGEST, NAME)


@given(st.binary(max_size=200))
@settings(max_examples=200, deadline=None)
def test_junk_is_no_signature(junk: bytes) -> None:
    for public_key in (str(OURS.public), pem(EC)):
        with pytest.raises(SignatureError):
            verifier(public_key).check(junk, DIGEST, NAME)


EC = ec.generate_private_key(ec.SECP256R1())
OWN = detached(OURS, DIGEST)


@given(at=st.integers(0, len(OWN) - 2), byte=st.integers(0, 255))
@settings(max_examples=300, deadline=None)
def test_any_changed_byte_of_our_own_is_found(at: int, byte: int) -> None:
    changed = bytearray(OWN)
    changed[at] = byte
    if json_or_none(bytes(changed)) == json.loads(OWN):
        return  # white space
    with pytest.raises(SignatureError):
        verifier(str(OURS.public)).check(bytes(changed), DIGEST, NAME)


def json_or_none(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except ValueError:
        return None


def test_the_key_says_which_form_is_meant(release: Release) -> None:
    with pytest.raises(SignatureError, match="PEM public key"):
        verifier(str(OURS.public)).check(release.sign(release.model), DIGEST, NAME)
    with pytest.raises(SignatureError, match="no bundle of model-signing"):
        verifier(pem(release.key)).check(OWN, DIGEST, NAME)


@pytest.mark.parametrize(
    "public_key",
    [
        "",
        "cloister-pub-ed25519:AAAA",
        str(generate().public),
        OURS.text,
        "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
        pem(ec.generate_private_key(ec.SECP256K1())),
    ],
    ids=["empty", "short", "for sealing", "secret", "junk", "unsupported curve"],
)
def test_no_key_for_signatures(public_key: str) -> None:
    with pytest.raises(SignatureError, match="public key") as refused:
        verifier(public_key)
    assert OURS.text not in str(refused.value)
