"""Keys of those who may read what Cloister seals, and wrapping of a data key for them by HPKE (RFC 9180).

=====================  ==================================================  ============  =====================
kind                   KEM                                                 raw sizes     text of a public key
=====================  ==================================================  ============  =====================
`mlkem768x25519`       MLKEM768-X25519 (X-Wing; draft-ietf-hpke-pq)        1216 / 32     exactly 1,645 characters
`x25519`               DHKEM(X25519, HKDF-SHA256)                          32 / 32       exactly 63 characters
=====================  ==================================================  ============  =====================

Raw sizes are bytes of the public and of the secret key. KDF and AEAD are always HKDF-SHA256 and AES-256-GCM. Text is
`cloister-pub-<kind>:` or `cloister-key-<kind>:` and base64url without padding (RFC 4648, section 5): 43 characters for
32 bytes, 1,622 for 1,216. So `^cloister-pub-(x25519:[A-Za-z0-9_-]{43}|mlkem768x25519:[A-Za-z0-9_-]{1622})$` tells the
form of a public key; :func:`parse_public` also tells whether it can be used.

Keys that sign are of another kind, `ed25519`, and live in :mod:`cloister.sealing.signing`.
"""

from cloister.sealing.files import parse_secret, read_any, read_secrets, read_signing, write_secret
from cloister.sealing.keys import Kind, PublicKey, SealingError, SecretKey, generate, parse_public, unwrap, wrap
from cloister.sealing.signing import SigningKey, VerifyKey, generate_signing, parse_verify

__all__ = [
    "Kind",
    "PublicKey",
    "SealingError",
    "SecretKey",
    "SigningKey",
    "VerifyKey",
    "generate",
    "generate_signing",
    "parse_public",
    "parse_secret",
    "parse_verify",
    "read_any",
    "read_secrets",
    "read_signing",
    "unwrap",
    "wrap",
    "write_secret",
]
