"""The identity provider's public keys, reduced to those that a signature may be checked with.

What is left out here can verify nothing. Above all symmetric keys: who can check an HMAC can forge it.
"""

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any

_MEMBERS: dict[str, tuple[str, ...]] = {"RSA": ("n", "e"), "EC": ("x", "y"), "OKP": ("x",)}
_ALGORITHMS: dict[str, tuple[str, ...]] = {
    "RSA": ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    "P-256": ("ES256",),
    "P-384": ("ES384",),
    "P-521": ("ES512",),
    # Not "Ed25519", the newer name of the same (RFC 9864): Envoy knows neither tokens nor keys by it.
    "Ed25519": ("EdDSA",),
}
_KEPT = ("kty", "kid", "alg", "crv", "n", "e", "x", "y")
_COORDINATE_BYTES = {"P-256": 32, "P-384": 48, "P-521": 66, "Ed25519": 32}
_CURVES = {"EC": ("P-256", "P-384", "P-521"), "OKP": ("Ed25519",)}
_MIN_RSA_BYTES = 256
_MAX_KEYS = 64


def public_keys(document: str | None) -> str | None:
    """The usable keys as a JWKS document (RFC 7517), or None where there are none."""
    try:
        parsed = json.loads(document or "null")
    except (ValueError, RecursionError):
        return None
    listed = parsed.get("keys") if isinstance(parsed, Mapping) else None
    if not isinstance(listed, list):
        return None
    keys = [{name: key[name] for name in _KEPT if name in key} for key in listed[:_MAX_KEYS] if _usable(key)]
    return json.dumps({"keys": keys}, sort_keys=True, separators=(",", ":")) if keys else None


def _usable(key: object) -> bool:
    """Envoy refuses the whole set for some kinds of malformed key, and with it every listener update: a key is let
    through only when its numbers can be read."""
    if not isinstance(key, Mapping) or not all(isinstance(key.get(name, ""), str) for name in _KEPT):
        return False
    kind, curve = key.get("kty", ""), key.get("crv", "")
    if kind not in _MEMBERS or curve not in _CURVES.get(kind, ("",)):
        return False
    algorithms = _ALGORITHMS["RSA" if kind == "RSA" else curve]
    if key.get("use", "sig") != "sig" or key.get("alg", algorithms[0]) not in algorithms:
        return False
    operations = key.get("key_ops", ["verify"])
    if not isinstance(operations, list) or "verify" not in operations:
        return False
    return _sound(kind, [_number(key, name) for name in _MEMBERS[kind]], curve)


def _sound(kind: str, numbers: list[bytes], curve: str) -> bool:
    if kind == "RSA":
        modulus, exponent = (number.lstrip(b"\0") for number in numbers)
        return len(modulus) >= _MIN_RSA_BYTES and 0 < len(exponent) <= 4 and exponent[-1] % 2 == 1
    return all(len(number) == _COORDINATE_BYTES[curve] for number in numbers)


def _number(key: Mapping[str, Any], name: str) -> bytes:
    try:
        text = str(key.get(name, ""))
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return b""
