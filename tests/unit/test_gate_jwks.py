"""Which of the identity provider's keys may verify a person's token (ZT-05)."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloister.render.gate.jwks import public_keys
from tests.gate.identities import Provider

PROVIDER = Provider()
RSA, EC, OKP = PROVIDER.jwk("RSA"), PROVIDER.jwk("EC"), PROVIDER.jwk("OKP")


def kept(*keys: Any) -> list[dict[str, Any]]:
    document = public_keys(json.dumps({"keys": keys}))
    found: list[dict[str, Any]] = json.loads(document)["keys"] if document else []
    return found


def test_public_keys_are_kept() -> None:
    assert [key["kid"] for key in kept(RSA, EC)] == ["rsa", "ec"]
    assert kept(OKP)
    assert kept(OKP | {"alg": "EdDSA"})


@pytest.mark.parametrize(
    "key",
    [
        {"kty": "oct", "k": "c2VjcmV0", "alg": "HS256"},
        {"kty": "oct", "k": "c2VjcmV0"},
        {"k": "c2VjcmV0"},
        RSA | {"alg": "HS256"},
        RSA | {"alg": "none"},
        RSA | {"alg": "RSA-OAEP"},
        RSA | {"use": "enc"},
        RSA | {"key_ops": ["encrypt"]},
        RSA | {"n": RSA["n"][:100]},
        RSA | {"n": "not base64!"},
        RSA | {"n": 5},
        RSA | {"e": ""},
        RSA | {"e": "AA"},
        EC | {"crv": "secp256k1"},
        EC | {"crv": "P-384"},
        EC | {"x": "AAAA"},
        EC | {"alg": "RS256"},
        OKP | {"crv": "X25519"},
        OKP | {"crv": "Ed448"},
        OKP | {"alg": "Ed25519"},
        OKP | {"alg": "ES256"},
        "a string",
        None,
    ],
)
def test_everything_else_is_left_out(key: Any) -> None:
    assert kept(key) == []
    assert kept(key, EC) == kept(EC)


def test_private_members_and_urls_never_pass() -> None:
    (key,) = kept(RSA | {"d": "private", "x5u": "https://evil.example.com/", "jku": "x"})
    assert set(key) == {"kty", "kid", "n", "e"}


@pytest.mark.parametrize("document", [None, "", "null", "[]", "{}", '{"keys": {}}', '{"keys": []}', "[" * 100_000])
def test_what_is_not_a_key_set_has_no_keys(document: str | None) -> None:
    assert public_keys(document) is None


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda x: (
            st.lists(x)
            | st.dictionaries(st.sampled_from(["kty", "n", "e", "x", "y", "crv", "kid", "alg", "use", "key_ops"]), x)
        ),
    )
)
def test_no_document_breaks_it(key: Any) -> None:
    kept(key, key)
