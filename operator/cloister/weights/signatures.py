"""Signatures over a file as it is stored, of two forms that are told apart by the public key:

- `cloister-pub-ed25519:...`: a detached signature over the SHA-256, as `cloister sign` writes it: :class:`Detached`;
- `-----BEGIN PUBLIC KEY-----`: a bundle of the OpenSSF's model-signing library, signed with an elliptic curve key.
"""

import base64
from typing import Annotated, Literal, Protocol

from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from cloister.sealing import SealingError, SigningKey, VerifyKey, parse_verify
from cloister.weights.bundle import BundleVerifier
from cloister.weights.errors import SignatureError

MAX_SIGNATURE = 1 << 24
"""Bytes of a signature: a bundle names every file of a directory."""
SUFFIX = ".sig"
"""A signature lies beside its object, under the object's name and this."""


class Verifier(Protocol):
    """Checks signatures of one key."""

    def check(self, signature: bytes, sha256: str, name: str) -> None:
        """SignatureError unless this is the key's signature over a file of that digest; `name` is the file's."""


class Detached(BaseModel):
    """A signature by an Ed25519 key, one line of JSON."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["cloister-signature"] = "cloister-signature"
    version: Literal[1] = 1
    key_id: Annotated[str, StringConstraints(pattern="^[0-9a-f]{16}$")]
    sha256: Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")]
    signature: Annotated[str, StringConstraints(pattern="^[A-Za-z0-9+/]{85}[AQgw]==$")]
    """64 bytes, base64 in its one form: no bit of the last character is free (RFC 4648, section 3.5)."""


def detached(key: SigningKey, sha256: str) -> bytes:
    """The signature's file."""
    signature = base64.b64encode(key.sign(sha256)).decode()
    document = Detached(key_id=key.public.key_id, sha256=sha256, signature=signature)
    return document.model_dump_json().encode() + b"\n"


def verifier(public_key: str) -> Verifier:
    """The verifier for a public key's text; SignatureError where it is of neither form."""
    text = public_key.strip()
    if text.startswith("-----BEGIN "):
        return BundleVerifier(text)
    try:
        return _DetachedVerifier(parse_verify(text))
    except SealingError as error:
        raise SignatureError(f"the public key: {error}") from None


class _DetachedVerifier:
    def __init__(self, key: VerifyKey) -> None:
        self._key = key

    def check(self, signature: bytes, sha256: str, name: str) -> None:
        try:
            document = Detached.model_validate_json(signature)
        except ValidationError:
            other = (
                " (it looks like one of model-signing, which needs a PEM public key)" if b"dsse" in signature else ""
            )
            raise SignatureError(f"the signature of {name} is none of `cloister sign`{other}") from None
        if document.key_id != self._key.key_id:
            raise SignatureError(f"{name} is signed by key {document.key_id}, not by {self._key.key_id}")
        if document.sha256 != sha256:
            raise SignatureError(f"the signature of {name} is over SHA-256 {document.sha256}, but it has {sha256}")
        if not self._key.verify(base64.b64decode(document.signature), sha256):
            raise SignatureError(f"the signature of {name} does not verify with key {self._key.key_id}")


__all__ = ["MAX_SIGNATURE", "SUFFIX", "Detached", "Verifier", "detached", "verifier"]
