"""What a JWKS document (RFC 7517) is worth: the keys in it that a signature may be checked with."""

import json
from dataclasses import dataclass
from typing import Any

from cloister.render.gate.jwks import public_keys

NO_KEYS = '{"keys":[]}'


class NoJwksError(Exception):
    """A text is no JWKS document at all, and why."""


@dataclass(frozen=True)
class KeySet:
    """An answer to which keys are valid. None at all is an answer too: then nobody is admitted."""

    keys: str
    """A JWKS document with the usable keys alone, in an order of its own: the same keys are the same text."""
    complaint: str | None = None
    """What its publisher must mend."""

    @property
    def empty(self) -> bool:
        """Whether no signature can be checked."""
        return self.keys == NO_KEYS


def read(text: str) -> KeySet:
    """The usable keys of a document. Symmetric and private ones count for nothing: whoever reads them can forge."""
    try:
        document: Any = json.loads(text)
    except RecursionError:
        raise NoJwksError("is nested too deeply") from None
    except ValueError as error:
        raise NoJwksError(f"is not JSON: {error}") from None
    keys = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(keys, list) or not all(isinstance(key, dict) for key in keys):
        raise NoJwksError('has no list "keys": it must be a JWKS document (RFC 7517)')
    public = [key for key in keys if "d" not in key and key.get("kty") != "oct"]
    usable = json.loads(public_keys(json.dumps({"keys": public})) or NO_KEYS)["keys"]
    ordered = sorted(usable, key=lambda key: json.dumps(key, sort_keys=True))
    return KeySet(
        json.dumps({"keys": ordered}, sort_keys=True, separators=(",", ":")),
        _complaint(keys, len(usable)),
    )


def _complaint(keys: list[dict[str, Any]], usable: int) -> str | None:
    for index, key in enumerate(keys):
        if key.get("kty") == "oct":
            return f"keys[{index}] is symmetric, so whoever checks signatures could forge them: publish RSA or EC keys"
        if "d" in key:
            return f"keys[{index}] is a private key: replace it at the identity provider, and publish public keys only"
        if key.get("crv") == "Ed25519" and key.get("alg") == "Ed25519":
            return f'keys[{index}] has the alg "Ed25519", which gates do not know: issue tokens and keys as "EdDSA"'
    if not keys:
        return "lists no key, so nobody is admitted"
    if not usable:
        return (
            "has no key that a signature may be checked with: RSA of 2048 bits or more, EC on P-256, P-384 or P-521, or"
            " Ed25519. Nobody is admitted"
        )
    return None
