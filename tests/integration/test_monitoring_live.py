"""The names in alert rules and dashboard are those that a real gate and a real auditor tell (ZT-16, ZT-31). The
exporter's are in test_exporter_live.py."""

import ssl
from contextlib import suppress

from tests.auditor.running import running
from tests.gate.model import FRONTEND, OTHER_CA, gate
from tests.gate.running import Gate
from tests.monitored import OPERATOR, assert_there_before, assert_told, told, used

__all__ = ["gate"]  # pytest finds fixtures by name


def test_a_gate_tells_them_and_counts_who_was_refused(gate: Gate) -> None:
    def refused() -> float:
        lines = gate.metrics().body.decode().splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith("envoy_listener_ssl_fail_verify"))

    before = refused()
    stranger = gate.context(OTHER_CA.issue(FRONTEND), OTHER_CA.pem)
    stranger.check_hostname, stranger.verify_mode = False, ssl.CERT_NONE
    with suppress(OSError, ssl.SSLError):
        gate.ask(stranger)
    assert refused() > before
    assert used("envoy_") <= told(gate.metrics().body.decode())


def test_an_auditor_tells_them() -> None:
    behaviour = {"enforced": True, "flag": 40, "step_up": 80, "end": 120, "half_life_seconds": 60, "travel_seconds": 60}
    with running() as auditor:
        directory = str(auditor.root / "journal" / "behaviour")
        auditor.end()
        auditor.config["behaviour"] = behaviour | {"directory": directory}
        auditor.start()
        assert auditor.ask().status == 200
        text = auditor._get("/metrics", "metrics_port").body.decode()
    assert_told(used("cloister_") - used("cloister_exporter_") - OPERATOR, text)
    assert_there_before("cloister_auditor_", text)
    assert 'cloister_auditor_answer_seconds_bucket{api="chat",le="+Inf"} 1.0' in text
