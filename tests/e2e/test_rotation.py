"""Certificates turn on the running pods while people ask."""

from __future__ import annotations

import sys

import pytest

from cloister.zones import GATE_PORT
from tests.cluster.processes import wait_until
from tests.e2e.conftest import NOTES, timed
from tests.e2e.life import NAME, NO_CANARY, Life
from tests.e2e.load import Load, under_load
from tests.e2e.prober import Prober

pytestmark = pytest.mark.timeout(3000)

_SHOW = "import ssl, sys; sys.stdout.write(ssl.get_server_certificate((sys.argv[1], int(sys.argv[2]))))"


def certificates(life: Life) -> dict[str, str]:
    """The certificate that each gate shows."""
    found = {}
    for zone in ("inference", "storage"):
        for pod in life.kubectl.get("pods", "-n", f"{NAME}-{zone}", "-l", NO_CANARY)["items"]:
            name, address = pod["metadata"]["name"], pod["status"]["podIP"]
            found[name] = life.node.machine.run(sys.executable, "-c", _SHOW, address, str(GATE_PORT))
    return found


def test_no_request_fails_while_every_certificate_turns(life: Life, prober: Prober) -> None:
    before = certificates(life)
    assert len(set(before.values())) == 4
    with under_load(life, "rotation") as load:
        began = load.asked[-1].ended
        with timed("every certificate turned, until every gate shows its new one"):
            life.patch(identity={"certificateTTL": "36h"})
            assert wait_until(lambda: not set(certificates(life).values()) & set(before.values()), 240)
        # A person makes a new connection after some questions.
        assert wait_until(lambda: len(_shown(load)) == 2, 60), _shown(load)
        load.recovered()
    asked = load.since(began)
    assert load.failures(began) == []
    assert len(_shown(load)) == 2
    NOTES.append(f"certificates turned under load: {len(asked)} questions, none failed")


def _shown(load: Load) -> set[str]:
    """Serial numbers of the certificates that people were shown."""
    return {question.certificate for question in load.asked if question.certificate}
