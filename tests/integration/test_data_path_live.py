"""The whole data path as it is rendered: the real Envoy, the real auditor behind it, and a model server."""

import json
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cloister import sidecar
from tests.auditor.model import answer, events
from tests.auditor.replies import received
from tests.auditor.running import Auditor, prompt
from tests.gate.data_path import data_path
from tests.gate.model import CHAT, FRONTEND, NIGHTLY, OUR_CA, PROVIDER, bearer, model
from tests.gate.running import Gate
from tests.gate.specs import deployment


@pytest.fixture(scope="module")
def path() -> Iterator[tuple[Gate, Auditor]]:
    """The example's."""
    spec = model()
    spec["identity"]["users"]["maxSessionAge"] = "8h"
    with data_path(spec) as found:
        yield found


@pytest.fixture(scope="module")
def frontend(path: tuple[Gate, Auditor]) -> ssl.SSLContext:
    """A client that speaks for people."""
    return path[0].context(OUR_CA.issue(FRONTEND), OUR_CA.pem)


@pytest.fixture(scope="module")
def nightly(path: tuple[Gate, Auditor]) -> ssl.SSLContext:
    """A client that speaks for itself."""
    return path[0].context(OUR_CA.issue(NIGHTLY), OUR_CA.pem)


def test_a_persons_prompt_reaches_the_model_and_the_record(
    path: tuple[Gate, Auditor], frontend: ssl.SSLContext
) -> None:
    gate, auditor = path
    token = PROVIDER.token(auth_time=int(time.time()))
    reply = gate.ask(frontend, path=CHAT, headers=bearer(token), body=prompt(text="through both"))
    assert (reply.status, reply.body) == (200, received(answer()))
    (request,) = [r for r in auditor.records("request") if "through both" in r["content"]]
    assert (request["peer"], request["user.id"], request["api"]) == (FRONTEND, PROVIDER.claims()["sub"], "chat")
    assert token not in json.dumps(auditor.records())
    assert not any(name.startswith("x-cloister") for name in auditor.model.seen[-1].headers)
    assert "authorization" not in auditor.model.seen[-1].headers


def test_a_stream_arrives_as_it_was_sent(path: tuple[Gate, Auditor], nightly: ssl.SSLContext) -> None:
    gate, _ = path
    for size in ("1", "7", "500"):
        reply = gate.ask(nightly, path=CHAT, body=prompt(f"sse:{size}", stream=True))
        assert (reply.status, reply.body) == (200, received(events()))


def test_identity_headers_of_a_caller_are_gone(path: tuple[Gate, Auditor], nightly: ssl.SSLContext) -> None:
    gate, auditor = path
    forged = {sidecar.PEER_HEADER: FRONTEND, sidecar.CLAIMS_HEADER: "eyJzdWIiOiJhZGEifQ", sidecar.API_HEADER: "x"}
    assert gate.ask(nightly, path=CHAT, headers=forged, body=prompt(text="forged")).status == 200
    (request,) = [r for r in auditor.records("request") if "forged" in r["content"]]
    assert request["peer"] == NIGHTLY
    assert "user.id" not in request


@pytest.mark.parametrize(
    ("claims", "error"),
    [
        ({"auth_time": 1}, "insufficient_user_authentication"),
        ({"auth_time": None}, "insufficient_user_authentication"),
        ({"amr": ["pwd"]}, "insufficient_user_authentication"),
    ],
    ids=["an old sign-in", "one of unknown age", "a weak one"],
)
def test_a_sign_in_that_is_not_enough(
    path: tuple[Gate, Auditor], frontend: ssl.SSLContext, claims: dict[str, Any], error: str
) -> None:
    """Whoever of the two refuses it, the challenge is the same (RFC 9470)."""
    gate, auditor = path
    seen = len(auditor.model.seen)
    token = PROVIDER.token(**({"auth_time": int(time.time())} | claims))
    reply = gate.ask(frontend, path=CHAT, headers=bearer(token), body=prompt())
    assert reply.status == 401
    assert f'error="{error}"' in reply.headers["www-authenticate"]
    assert len(auditor.model.seen) == seen


def test_an_input_that_is_refused(path: tuple[Gate, Auditor], nightly: ssl.SSLContext) -> None:
    gate, auditor = path
    reply = gate.ask(nightly, path=CHAT, body=b'{"model": "a", "model": "b"}')
    assert reply.status == 400
    assert json.loads(reply.body)["error"]["code"] == "invalid_json"
    assert auditor.records()[-1]["type"] == "refusal"


def test_without_the_auditor_there_is_no_answer(path: tuple[Gate, Auditor], nightly: ssl.SSLContext) -> None:
    gate, auditor = path
    seen = len(auditor.model.seen)
    auditor.end(9)
    try:
        assert gate.ask(nightly, path=CHAT, body=prompt()).status == 503
        assert len(auditor.model.seen) == seen
    finally:
        auditor.start()
    assert gate.ask(nightly, path=CHAT, body=prompt()).status == 200


def test_the_rendered_program_is_this_one() -> None:
    """The pod runs what these tests run."""
    from cloister.auditor import __main__ as program  # noqa: PLC0415
    from cloister.facts import Facts, Settings  # noqa: PLC0415
    from cloister.render.workloads import inference  # noqa: PLC0415

    (pod,) = [o["spec"]["template"]["spec"] for o in inference(deployment(model()), Facts(), Settings())]
    (container,) = [c for c in pod["initContainers"] if c["name"] == "auditor"]
    assert container["command"] == ["python", "-m", program.__spec__.parent if program.__spec__ else ""]
    assert container["args"] == [sidecar.AUDITOR_CONFIG]
    assert Path(sidecar.AUDITOR_CONFIG).name == "auditor.json"
