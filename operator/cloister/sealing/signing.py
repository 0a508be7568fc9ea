"""Ed25519 key pairs (RFC 8032), and detached signatures over a file's SHA-256.

Text is `cloister-pub-ed25519:` or `cloister-key-ed25519:` and 32 bytes in base64url without padding, 43 characters, as
for the keys to which things are sealed. What is signed is `cloister-signature/1 sha256 <hex digest>\\n`: nothing else
that anybody signs begins so.
"""

import os
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from cloister.sealing.keys import ED25519, PUBLIC_PREFIX, SECRET_PREFIX, SealingError, base64url, decode_key, key_id

_SIZE = 32


@dataclass(frozen=True, slots=True)
class VerifyKey:
    """The public half."""

    raw: bytes
    _key: Ed25519PublicKey = field(repr=False, compare=False)

    def __str__(self) -> str:
        """The text form."""
        return f"{PUBLIC_PREFIX}{ED25519}:{base64url(self.raw)}"

    @property
    def key_id(self) -> str:
        """As of any public key: names it, proves nothing."""
        return key_id(str(self))

    def verify(self, signature: bytes, sha256: str) -> bool:
        """Whether this key has signed a file of that digest (64 hexadecimal digits)."""
        try:
            self._key.verify(signature, _message(sha256))
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True, slots=True)
class SigningKey:
    """The secret half. Neither `repr` nor any error shows it; :attr:`text` does."""

    public: VerifyKey
    text: str = field(repr=False, compare=False)
    _key: Ed25519PrivateKey = field(repr=False, compare=False)

    def sign(self, sha256: str) -> bytes:
        """Signature (64 bytes) over a file's digest (64 hexadecimal digits)."""
        return self._key.sign(_message(sha256))


def generate_signing() -> SigningKey:
    """A new key pair."""
    return _from_raw(os.urandom(_SIZE))


def parse_verify(text: str) -> VerifyKey:
    """Read the text form of a public key, spaces around it aside."""
    raw = decode_key(text.strip(), PUBLIC_PREFIX, (ED25519,))[1]
    _of_size(raw)
    return VerifyKey(raw, Ed25519PublicKey.from_public_bytes(raw))


def parse_signing(text: str) -> SigningKey:
    """Read the text form of a secret key, without anything around it."""
    raw = decode_key(text, SECRET_PREFIX, (ED25519,))[1]
    _of_size(raw)
    return _from_raw(raw)


def _from_raw(raw: bytes) -> SigningKey:
    key = Ed25519PrivateKey.from_private_bytes(raw)
    public = key.public_key()
    text = f"{SECRET_PREFIX}{ED25519}:{base64url(raw)}"
    return SigningKey(VerifyKey(public.public_bytes_raw(), public), text, key)


def _of_size(raw: bytes) -> None:
    if len(raw) != _SIZE:
        raise SealingError(f"{ED25519} key: {len(raw)} bytes instead of {_SIZE}: part of it is missing")


def _message(sha256: str) -> bytes:
    return f"cloister-signature/1 sha256 {sha256}\n".encode()
