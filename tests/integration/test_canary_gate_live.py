"""The canary's request without a certificate at the real Envoy: refused as it is rendered, and told where it is not."""

from collections.abc import Iterator
from typing import Any

import pytest

from cloister.jobs.canary.attempts import Attempt
from cloister.probing import Answer, Probe
from tests.gate.careless import unverified
from tests.gate.model import OUR_CA, OWN, gate, inference_files, model
from tests.gate.running import HOST, Gate, mounted_gate, running

__all__ = ["gate"]  # pytest finds fixtures by name


async def asked(gate: Gate) -> Answer:
    """What a canary makes of this gate."""
    probe = Probe(to="gate of inference", address=HOST, port=gate.port, kind="tls")
    return await Attempt(probe, "0123456789", 10).make()


@pytest.fixture(scope="module")
def careless() -> Iterator[Gate]:
    """The same gate, but it asks nobody for a certificate."""
    leaf = OUR_CA.issue(OWN)
    files: dict[str, dict[str, Any]] = inference_files(model())
    assert list(unverified(files["listeners.json"]))
    with mounted_gate() as mounted:
        mounted.identify(leaf.chain, leaf.key)
        mounted.trust(OUR_CA.pem)
        mounted.configure(files)
        with running(mounted) as found:
            yield found


async def test_a_gate_as_rendered_refuses_a_canary(gate: Gate) -> None:
    assert await asked(gate) is Answer.DEMANDED


async def test_a_gate_without_client_verification_is_found_out_although_it_still_says_no(careless: Gate) -> None:
    """Its rules know no caller without an identity."""
    assert await asked(careless) in (Answer.ANSWERED, Answer.UNASKED)
