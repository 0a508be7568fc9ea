"""Signatures of the OpenSSF's model-signing library (PyPI `model-signing`), made with an elliptic curve key.

A Sigstore bundle v0.3 (docs.sigstore.dev/about/bundle) with a DSSE envelope (secure-systems-lab/dsse, protocol 1.0.0)
around an in-toto statement, predicate `https://model_signing/signature/v1.0`: names and SHA-256 of the signed files.
Only the check is here, over a digest that is known already; docs/adr/0011 tells why the library itself is not used.
"""

import hashlib
import hmac
from typing import Annotated, Any, Literal

import jiter
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import Base64Bytes, BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from cloister.weights.errors import SignatureError

_HASHES: dict[str, hashes.HashAlgorithm] = {
    "secp256r1": hashes.SHA256(),
    "secp384r1": hashes.SHA384(),
    "secp521r1": hashes.SHA512(),
}
"""Curve -> hash that goes with it."""
_MAX_FILES = 100_000
_Hex = Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")]


class _Model(BaseModel):
    # The format lets later versions add fields, which verifiers ignore.
    model_config = ConfigDict(extra="ignore", frozen=True)


class _KeyHint(_Model):
    hint: str = ""
    """SHA-256 of the public key's PEM."""


class _Material(_Model):
    public_key: _KeyHint = Field(alias="publicKey")


class _Signature(_Model):
    sig: Base64Bytes


class _Envelope(_Model):
    payload: Base64Bytes
    payload_type: Literal["application/vnd.in-toto+json"] = Field(alias="payloadType")
    signatures: Annotated[tuple[_Signature, ...], Field(min_length=1, max_length=1)]


class _Bundle(_Model):
    media_type: Literal["application/vnd.dev.sigstore.bundle.v0.3+json"] = Field(alias="mediaType")
    verification_material: _Material = Field(alias="verificationMaterial")
    dsse_envelope: _Envelope = Field(alias="dsseEnvelope")


class _Digest(_Model):
    sha256: _Hex


class _Subject(_Model):
    digest: _Digest


class _Resource(_Model):
    name: Annotated[str, StringConstraints(min_length=1, max_length=4096)]
    algorithm: Literal["sha256"]
    digest: _Hex


class _Serialization(_Model):
    method: Literal["files"]


class _Predicate(_Model):
    serialization: _Serialization
    resources: Annotated[tuple[_Resource, ...], Field(min_length=1, max_length=_MAX_FILES)]


class _Statement(_Model):
    type: Literal["https://in-toto.io/Statement/v1"] = Field(alias="_type")
    subject: Annotated[tuple[_Subject, ...], Field(min_length=1, max_length=1)]
    predicate_type: Literal["https://model_signing/signature/v1.0"] = Field(alias="predicateType")
    predicate: _Predicate


class BundleVerifier:
    """Checks bundles that one key has signed."""

    def __init__(self, pem: str) -> None:
        """SignatureError unless the text is the public key of a P-256, P-384 or P-521 pair."""
        try:
            key = serialization.load_pem_public_key(pem.encode())
        except (ValueError, UnsupportedAlgorithm):
            raise SignatureError("the public key is not PEM") from None
        if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name not in _HASHES:
            raise SignatureError("the public key is none of those that model-signing signs with: P-256, P-384, P-521")
        self._key = key
        self._hint = hashlib.sha256(
            key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        ).hexdigest()

    def check(self, signature: bytes, sha256: str, name: str) -> None:
        """SignatureError unless the bundle is this key's, over a file of that digest and of the name's last part."""
        where = f"the signature of {name}"
        bundle = _parsed(_Bundle, signature, f"{where} is no bundle of model-signing, signed with a key")
        hint = bundle.verification_material.public_key.hint
        if hint and not hmac.compare_digest(hint.encode(), self._hint.encode()):
            raise SignatureError(f"{where} is of another key: SHA-256 of its PEM is {hint!r:.80}, not {self._hint}")
        envelope = bundle.dsse_envelope
        signed = b"DSSEv1 %d %b %d %b" % (
            len(envelope.payload_type),
            envelope.payload_type.encode(),
            len(envelope.payload),
            envelope.payload,
        )
        try:
            self._key.verify(envelope.signatures[0].sig, signed, ec.ECDSA(_HASHES[self._key.curve.name]))
        except InvalidSignature:
            raise SignatureError(f"{where} does not verify with the public key") from None
        statement = _parsed(_Statement, envelope.payload, f"{where} says nothing that this version understands")
        _check_root(statement, where)
        _check_named(statement.predicate.resources, sha256, name)


def _parsed(model: type[Any], raw: bytes, otherwise: str) -> Any:
    try:
        return model.model_validate(jiter.from_json(raw, catch_duplicate_keys=True, allow_inf_nan=False))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise SignatureError(f"{otherwise}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    except (ValueError, RecursionError):
        raise SignatureError(f"{otherwise}: not JSON") from None


def _check_root(statement: _Statement, where: str) -> None:
    """The subject's digest is over the digests of all files, in their order."""
    root = hashlib.sha256(b"".join(bytes.fromhex(one.digest) for one in statement.predicate.resources)).hexdigest()
    if root != statement.subject[0].digest.sha256:
        raise SignatureError(f"{where} contradicts itself: its files do not make its root digest")


def _check_named(files: tuple[_Resource, ...], sha256: str, name: str) -> None:
    """A file that was signed alone is called `.`; one of a directory must have the object's name."""
    own = name.rsplit("/", 1)[-1]
    named = [one for one in files if one.name == "." or one.name.rsplit("/", 1)[-1] == own]
    if not named:
        raise SignatureError(f"the signature names {len(files)} files, and none of them is {own}")
    if all(one.digest != sha256 for one in named):
        raise SignatureError(f"the signature of {name} is over SHA-256 {named[0].digest}, but it has {sha256}")
