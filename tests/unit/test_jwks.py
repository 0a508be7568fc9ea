"""A JWKS document, reduced to the keys that may verify anything, in an order of its own."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloister.controller.jwks import NO_KEYS, NoJwksError, read
from tests.gate.identities import Provider

PROVIDER = Provider()
RSA, EC = PROVIDER.jwk("RSA"), PROVIDER.jwk("EC")


def text(*keys: Any) -> str:
    return json.dumps({"keys": list(keys)})


def kept(*keys: Any) -> list[str]:
    return sorted(key["kid"] for key in json.loads(read(text(*keys)).keys)["keys"])


def test_the_same_keys_are_the_same_text() -> None:
    assert read(text(RSA, EC)) == read(text(EC, RSA)) == read(json.dumps({"keys": [EC, RSA]}, indent=2))
    assert kept(RSA, EC) == ["ec", "rsa"]
    assert read(read(text(RSA, EC)).keys) == read(text(RSA, EC))


def test_what_is_of_no_use_to_us_is_left_out_without_a_word() -> None:
    others = [RSA | {"use": "enc"}, EC | {"crv": "secp256k1"}, {"kty": "AKP", "alg": "ML-DSA-44", "pub": "x"}, {}]
    assert kept(*others, RSA) == ["rsa"]
    assert read(text(*others, RSA)).complaint is None


@pytest.mark.parametrize("bad", [{"kty": "oct", "k": "c2VjcmV0"}, EC | {"d": "x"}], ids=["symmetric", "private"])
def test_keys_that_forgers_have_verify_nothing(bad: dict[str, Any]) -> None:
    found = read(text(RSA, bad))
    assert kept(RSA, bad) == ["rsa"]
    assert "keys[1]" in str(found.complaint)
    assert "c2VjcmV0" not in str(found)
    assert read(text(bad)).empty


def test_the_newer_name_of_an_edwards_key_is_a_complaint() -> None:
    key = PROVIDER.jwk("OKP")
    assert read(text(key)).complaint is None
    found = read(text(RSA, key | {"alg": "Ed25519"}))
    assert "keys[1]" in str(found.complaint)
    assert "EdDSA" in str(found.complaint)
    assert kept(RSA, key | {"alg": "Ed25519"}) == ["rsa"]


def test_no_key_is_an_answer_and_a_complaint() -> None:
    assert read('{"keys": []}').keys == NO_KEYS
    assert "nobody is admitted" in str(read('{"keys": []}').complaint)
    assert "2048 bits" in str(read(text(RSA | {"n": "AQAB"})).complaint)


@pytest.mark.parametrize("document", ["", "<html>", "[]", "{}", '{"keys": {}}', '{"keys": ["x"]}', "[" * 10_000])
def test_what_is_no_jwks_is_no_answer(document: str) -> None:
    with pytest.raises(NoJwksError):
        read(document)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda c: (
            st.lists(c)
            | st.dictionaries(st.sampled_from(["keys", "kty", "n", "e", "x", "y", "d", "crv", "use", "key_ops"]), c)
        ),
    )
)
def test_anything_else_is_an_answer_or_an_error(document: Any) -> None:
    try:
        found = read(json.dumps(document))
    except NoJwksError:
        return
    assert found.empty
