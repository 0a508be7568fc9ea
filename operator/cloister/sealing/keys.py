"""Key pairs, their text forms, and HPKE to them."""

import base64
import binascii
import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

PUBLIC_PREFIX = "cloister-pub-"
SECRET_PREFIX = "cloister-key-"  # noqa: S105  (the prefix alone)
ED25519 = "ed25519"
"""The kind of keys that sign (:mod:`cloister.sealing.signing`); all others are for sealing."""

_MLKEM_PUBLIC_SIZE = 1184
_X25519_SIZE = 32
_SECRET_SIZE = 32
_TAG_SIZE = 16

_HpkePublic = X25519PublicKey | hpke.MLKEM768X25519PublicKey
_HpkeSecret = X25519PrivateKey | hpke.MLKEM768X25519PrivateKey


class SealingError(ValueError):
    """A key or a wrapped secret that can't be used. The message never holds secret material."""


class Kind(StrEnum):
    """Kinds of key pairs."""

    MLKEM768X25519 = "mlkem768x25519"
    """The default: what is recorded today stays closed to the quantum computer of tomorrow."""
    X25519 = "x25519"


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A recipient. `raw` is the HPKE encoding of the public key."""

    kind: Kind
    raw: bytes
    _key: _HpkePublic = field(repr=False, compare=False)

    def __str__(self) -> str:
        """The text form."""
        return f"{PUBLIC_PREFIX}{self.kind}:{base64url(self.raw)}"

    @property
    def key_id(self) -> str:
        """First 8 bytes of the SHA-256 of the text form, in hex: names a key, proves nothing."""
        return key_id(str(self))


@dataclass(frozen=True, slots=True)
class SecretKey:
    """The secret half. Neither `repr` nor any error shows it; :attr:`text` does."""

    kind: Kind
    public: PublicKey
    text: str = field(repr=False, compare=False)
    _key: _HpkeSecret = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class _Form:
    public_size: int
    public: Callable[[bytes], _HpkePublic]
    secret: Callable[[bytes], tuple[_HpkeSecret, bytes]]
    """The key, and the raw form of its public half."""
    suite: hpke.Suite
    overhead: int
    """Bytes by which a wrapped secret is longer than the secret."""


def generate(kind: Kind = Kind.MLKEM768X25519) -> SecretKey:
    """A new key pair."""
    return _secret_from(kind, os.urandom(_SECRET_SIZE))


def parse_public(text: str) -> PublicKey:
    """Read the text form, spaces around it aside; SealingError unless it can be wrapped to."""
    kind, raw = _decode(text.strip(), PUBLIC_PREFIX)
    form = _FORMS[kind]
    if len(raw) != form.public_size:
        raise SealingError(f"{kind} public key: {len(raw)} bytes instead of {form.public_size}: part of it is missing")
    try:
        key = PublicKey(kind, raw, form.public(raw))
    except ValueError:
        raise SealingError(
            f"{kind} public key: not a valid key: copy it again, or ask its owner for a new one"
        ) from None
    wrap(b"", key, b"")  # a point of small order is refused only here
    return key


def parse_secret_text(text: str) -> SecretKey:
    """Read the text form of a secret key, without anything around it."""
    kind, raw = _decode(text, SECRET_PREFIX)
    if len(raw) != _SECRET_SIZE:
        raise SealingError(f"{kind} secret key: {len(raw)} bytes instead of {_SECRET_SIZE}: part of it is missing")
    return _secret_from(kind, raw)


def wrap(secret: bytes, recipient: PublicKey, info: bytes) -> bytes:
    """Encrypt `secret` to the recipient; `info` names the purpose and must be the same at :func:`unwrap`."""
    try:
        return _FORMS[recipient.kind].suite.encrypt(secret, recipient._key, info)
    except ValueError:
        raise SealingError(f"{recipient.kind} public key: not a valid key: nothing can be sealed for it") from None


def unwrap(wrapped: bytes, key: SecretKey, info: bytes) -> bytes:
    """Decrypt what :func:`wrap` made; SealingError where it is not for this key or purpose, or was changed."""
    try:
        return _FORMS[key.kind].suite.decrypt(wrapped, key._key, info)
    except (InvalidTag, ValueError):
        message = f"not sealed for key {key.public.key_id}, or changed since"
        raise SealingError(message) from None


def wrapped_size(kind: Kind, secret_size: int) -> int:
    """Bytes of a wrapped secret."""
    return secret_size + _FORMS[kind].overhead


def _secret_from(kind: Kind, raw: bytes) -> SecretKey:
    key, public = _FORMS[kind].secret(raw)
    text = f"{SECRET_PREFIX}{kind}:{base64url(raw)}"
    return SecretKey(kind, PublicKey(kind, public, _FORMS[kind].public(public)), text, key)


def _decode(text: str, prefix: str) -> tuple[Kind, bytes]:
    name, raw = decode_key(text, prefix, tuple(map(str, Kind)))
    return Kind(name), raw


def decode_key(text: str, prefix: str, kinds: tuple[str, ...]) -> tuple[str, bytes]:
    """(kind, raw key) of a key's text form; SealingError where it is none of these kinds and of this half of a pair."""
    what, other = _HALVES[prefix]
    if text.startswith(other):
        raise SealingError(f"a {what} is needed ({prefix}...), and this is the other half of a pair ({other}...)")
    name, colon, encoded = text.removeprefix(prefix).partition(":")
    if not text.startswith(prefix) or not colon or name not in (*Kind, ED25519):
        known = " or ".join(f"{prefix}{kind}:" for kind in kinds)
        raise SealingError(f"not a {what}: it begins with {known}; {_makes(kinds)}")
    if name not in kinds:
        needed = f"a key for {_use(kinds[0])} is needed: {_makes(kinds)}"
        raise SealingError(f"this is an {name} key, for {_use(name)}; {needed}")
    try:
        raw = base64.b64decode(encoded + "=" * (-len(encoded) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise SealingError(f"{name} {what}: not base64url without padding") from None
    if base64url(raw) != encoded:
        raise SealingError(f"{name} {what}: not base64url without padding")
    return name, raw


_HALVES = {PUBLIC_PREFIX: ("public key", SECRET_PREFIX), SECRET_PREFIX: ("secret key", PUBLIC_PREFIX)}


def _use(kind: str) -> str:
    return "signing" if kind == ED25519 else "sealing and opening"


def _makes(kinds: tuple[str, ...]) -> str:
    """The command by which a pair of the first of these kinds comes to be."""
    return f"`cloister keys generate --out FILE --kind {kinds[0]}` makes a pair"


def key_id(public: str) -> str:
    """First 8 bytes of the SHA-256 of a public key's text form, in hex."""
    return hashlib.sha256(public.encode()).hexdigest()[:16]


def base64url(raw: bytes) -> str:
    """Without padding (RFC 4648, section 5)."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _hybrid_public(raw: bytes) -> hpke.MLKEM768X25519PublicKey:
    return hpke.MLKEM768X25519PublicKey(
        MLKEM768PublicKey.from_public_bytes(raw[:_MLKEM_PUBLIC_SIZE]),
        X25519PublicKey.from_public_bytes(raw[_MLKEM_PUBLIC_SIZE:]),
    )


def _hybrid_secret(seed: bytes) -> tuple[hpke.MLKEM768X25519PrivateKey, bytes]:
    """X-Wing (draft-connolly-cfrg-xwing-kem, section 5.2): both keys come from one seed of 32 bytes."""
    expanded = hashlib.shake_256(seed).digest(96)
    mlkem = MLKEM768PrivateKey.from_seed_bytes(expanded[:64])
    x25519 = X25519PrivateKey.from_private_bytes(expanded[64:])
    public = mlkem.public_key().public_bytes_raw() + x25519.public_key().public_bytes_raw()
    return hpke.MLKEM768X25519PrivateKey(mlkem, x25519), public


def _x25519_secret(raw: bytes) -> tuple[X25519PrivateKey, bytes]:
    key = X25519PrivateKey.from_private_bytes(raw)
    return key, key.public_key().public_bytes_raw()


def _suite(kem: hpke.KEM) -> hpke.Suite:
    return hpke.Suite(kem, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)


_FORMS = {
    Kind.MLKEM768X25519: _Form(
        public_size=_MLKEM_PUBLIC_SIZE + _X25519_SIZE,
        public=_hybrid_public,
        secret=_hybrid_secret,
        suite=_suite(hpke.KEM.MLKEM768_X25519),
        overhead=hpke.KEM.MLKEM768_X25519.enc_length() + _TAG_SIZE,
    ),
    Kind.X25519: _Form(
        public_size=_X25519_SIZE,
        public=X25519PublicKey.from_public_bytes,
        secret=_x25519_secret,
        suite=_suite(hpke.KEM.X25519),
        overhead=hpke.KEM.X25519.enc_length() + _TAG_SIZE,
    ),
}
