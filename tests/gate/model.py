"""The gate of the example's model server, running: what the live tests of inference share."""

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from cloister.facts import Facts
from cloister.render.gate import gate_files
from cloister.zones import Component
from tests.gate.identities import Authority, Leaf, Provider
from tests.gate.running import Gate, mounted_gate, running
from tests.gate.specs import deployment, example

CHAT, MODELS = "/v1/chat/completions", "/v1/models"
BODY_LIMIT = 4096

OUR_CA, OTHER_CA = Authority(), Authority()
PROVIDER, OTHER_PROVIDER = Provider(), Provider()


def spiffe(namespace: str, account: str) -> str:
    """An identity in the example's trust domain."""
    return f"spiffe://cluster.local/ns/{namespace}/sa/{account}"


FRONTEND, NIGHTLY = spiffe("web", "frontend"), spiffe("batch", "nightly")
OWN = spiffe("support-bot-inference", "inference")


ENDLESS = {"similarPrompts": 10**11, "outputTokens": 10**11}
"""A budget for callers who ask the same thousands of times."""


def model(**limits: int) -> dict[str, Any]:
    """The example, with a limit that tests don't meet by accident."""
    spec = example("support-bot")
    spec["inference"]["limits"] = {"requestsPerMinute": 100_000, "maxBodyBytes": BODY_LIMIT} | limits
    spec["inference"]["guard"]["budgets"] = dict.fromkeys(("people", "machines"), ENDLESS)
    # Thousands of requests in a minute are unusual behaviour indeed, and end a session.
    spec["inference"]["behaviour"] = {"action": "Off"}
    return spec


def inference_files(spec: dict[str, Any], jwks: str | None = None) -> dict[str, dict[str, Any]]:
    """The gate's files; among the provider's keys lies a symmetric one."""
    shared = {"kty": "oct", "kid": "shared", "k": "c2VjcmV0", "alg": "HS256"}
    keys = jwks or PROVIDER.jwks(PROVIDER.jwk("OKP"), shared)
    return gate_files(deployment(spec), Component.INFERENCE, Facts(jwks=keys))


@contextmanager
def start(spec: dict[str, Any], leaf: Leaf | None = None) -> Iterator[Gate]:
    """A gate of its own, for a test that changes it."""
    leaf = leaf or OUR_CA.issue(OWN)
    with mounted_gate() as mounted:
        mounted.identify(leaf.chain, leaf.key)
        mounted.trust(OUR_CA.pem)
        mounted.configure(inference_files(spec))
        with running(mounted) as gate:
            yield gate


@pytest.fixture(scope="module")
def gate() -> Iterator[Gate]:
    """The gate of a model server."""
    with start(model()) as found:
        yield found


@pytest.fixture(scope="module")
def frontend(gate: Gate) -> ssl.SSLContext:
    """A client that speaks for people."""
    return gate.context(OUR_CA.issue(FRONTEND), OUR_CA.pem)


@pytest.fixture(scope="module")
def nightly(gate: Gate) -> ssl.SSLContext:
    """A client that speaks for itself."""
    return gate.context(OUR_CA.issue(NIGHTLY), OUR_CA.pem)


def bearer(token: str) -> dict[str, str]:
    """The header that carries a person's token."""
    return {"Authorization": f"Bearer {token}"}


def refused_handshake(gate: Gate, context: ssl.SSLContext) -> None:
    """Asserts that a client does not get as far as a request."""
    before = len(gate.auditor.seen)
    with pytest.raises(OSError):  # noqa: PT011 (each of the ways in which a connection ends)
        gate.ask(context)
    assert len(gate.auditor.seen) == before


def connect(gate: Gate, context: ssl.SSLContext, session: ssl.SSLSession | None = None) -> ssl.SSLSocket:
    """A connection on which a test writes bytes of its own."""
    plain = socket.create_connection(("127.0.0.1", gate.port), timeout=30)
    return context.wrap_socket(plain, session=session)


def status(gate: Gate, context: ssl.SSLContext, method: str = "POST", path: str = CHAT) -> int | None:
    """The status of one request, None where not even the handshake succeeds."""
    try:
        return gate.ask(context, method, path).status
    except OSError:
        return None
