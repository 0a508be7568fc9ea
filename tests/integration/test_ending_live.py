"""How a pod ends, in the order in which a kubelet does it: every preStop at once, then the workload, the auditor, the
gate. No request fails that was asked before its caller was told to go, and none goes without a record."""

import http.client
import ssl
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field

import pytest

from cloister import sidecar
from cloister.auditor.program import CUT_SECONDS
from cloister.auditor.program import DRAIN_SECONDS as AUDITOR_DRAINS_SECONDS
from cloister.facts import Facts, Settings
from cloister.jobs.drain import drain
from cloister.render.auditor import SHIPPING_SECONDS
from cloister.render.workloads import inference
from tests.auditor.model import answer, events
from tests.auditor.replies import received
from tests.auditor.running import Auditor, prompt
from tests.gate.data_path import data_path
from tests.gate.model import CHAT, NIGHTLY, OUR_CA, model
from tests.gate.running import HOST, Gate, until
from tests.gate.specs import deployment


@pytest.fixture
def path() -> Iterator[tuple[Gate, Auditor]]:
    spec = model()
    # A stream without end repeats itself, which would cut it before the pod's end does.
    spec["inference"]["guard"]["extraction"] = "Flag"
    with data_path(spec) as found:
        yield found


@dataclass
class Caller:
    """Asks on one connection until it is told that this one closes; with other pods to go to, it would go there."""

    context: ssl.SSLContext
    port: int
    name: str
    body: bytes
    answer: bytes
    answered: int = 0
    failures: list[str] = field(default_factory=list)

    def run(self) -> None:
        connection = http.client.HTTPSConnection(HOST, self.port, context=self.context, timeout=60)
        try:
            while self.answered == 0 or connection.sock is not None:
                connection.request("POST", CHAT, self.body)
                reply = connection.getresponse()
                if (got := reply.read()) != self.answer or reply.status != 200:
                    self.failures.append(f"{reply.status}: {got[:200]!r}")
                    return
                self.answered += 1
        except (OSError, http.client.HTTPException) as error:
            self.failures.append(repr(error))
        finally:
            connection.close()


def test_nothing_is_lost_when_a_busy_pod_ends(path: tuple[Gate, Auditor]) -> None:
    gate, auditor = path
    context = gate.context(OUR_CA.issue(NIGHTLY), OUR_CA.pem)
    kinds = [(prompt(), received(answer())), (prompt("sse:50", stream=True), received(events()))] * 4
    callers = [Caller(context, gate.port, str(i), *kind) for i, kind in enumerate(kinds)]
    threads = [threading.Thread(target=caller.run) for caller in callers]
    for thread in threads:
        thread.start()
    until(lambda: min(caller.answered for caller in callers) > 3, "every caller's first answers")
    auditor.model.go_on.clear()
    long = http.client.HTTPSConnection(HOST, gate.port, context=context, timeout=60)
    long.request("POST", CHAT, prompt("step", stream=True))
    stream = long.getresponse()
    assert stream.readline() == b'data: {"step":"first "}\n'

    drain(gate.mounted.path(sidecar.DRAIN_SOCKET))
    for thread in threads:
        thread.join(60)
    assert [caller.failures for caller in callers] == [[]] * len(callers)
    assert gate.health() != 200, "the kubelet sends nobody here any more"

    assert auditor.process
    auditor.process.terminate()
    auditor.until(lambda: "ending" in auditor.log(), "the auditor's end")
    auditor.model.release()
    assert stream.read() == b'\ndata: {"step":"second"}\n\n', "a reply under way is finished"
    long.close()
    assert auditor.process.wait(60) == 0
    asked = sum(caller.answered for caller in callers) + 1
    assert len(auditor.records("request")) == asked
    assert Counter(record["outcome"] for record in auditor.records("reply")) == {"complete": asked}
    assert auditor.records()[-1]["type"] == "stop"


def test_a_stream_that_does_not_end_in_time_ends_with_a_record(path: tuple[Gate, Auditor]) -> None:
    gate, auditor = path
    context = gate.context(OUR_CA.issue(NIGHTLY), OUR_CA.pem)
    connection = http.client.HTTPSConnection(HOST, gate.port, context=context, timeout=60)
    connection.request("POST", CHAT, prompt("endless:20", stream=True))
    stream = connection.getresponse()
    received = stream.read(10_000)
    drain(gate.mounted.path(sidecar.DRAIN_SOCKET))
    assert auditor.process
    auditor.process.terminate()
    with suppress(http.client.HTTPException, OSError):
        while data := stream.read1():
            received += data
    connection.close()
    assert auditor.process.wait(60) == 0
    parts = "".join(record["content"] for record in auditor.records("reply.part")).encode()
    assert parts.startswith(received), "every byte that the caller received is on record"
    (end,) = auditor.records("reply")
    assert end["outcome"] == "cancelled"
    assert auditor.records()[-1]["type"] == "stop"


def test_an_auditor_that_comes_back_takes_the_drain_back(path: tuple[Gate, Auditor]) -> None:
    """A kubelet that restarts it alone has run its preStop too."""
    gate, _ = path
    context = gate.context(OUR_CA.issue(NIGHTLY), OUR_CA.pem)
    socket = gate.mounted.path(sidecar.DRAIN_SOCKET)
    drain(socket)
    until(lambda: gate.health() == 503, "unreadiness")
    assert gate.ask(context, body=prompt()).headers["connection"] == "close"
    drain(socket, over=True)
    until(lambda: gate.health() == 200, "readiness")
    assert "connection" not in gate.ask(context, body=prompt()).headers
    for method, asked in (("GET", "/drain"), ("POST", "/healthcheck/fail"), ("POST", "/quitquitquit"), ("POST", "/")):
        assert gate.over(sidecar.DRAIN_SOCKET, method, asked).status == 404
    assert gate.health() == 200


def test_the_kubelet_asks_for_it_and_waits_for_it() -> None:
    """The order is Kubernetes': sidecars end after the workload, in the reverse of their own order, so that the auditor
    ships its last records through a gate that is still there."""
    (pod,) = [o["spec"]["template"]["spec"] for o in inference(deployment(model()), Facts(), Settings())]
    sidecars = {one["name"]: one for one in pod["initContainers"] if one.get("restartPolicy") == "Always"}
    assert list(sidecars) == ["gate", "auditor"]
    tell = ["python", "-m", drain.__module__]
    assert sidecars["auditor"]["lifecycle"]["preStop"] == {"exec": {"command": tell}}
    assert sidecars["auditor"]["lifecycle"]["postStart"] == {"exec": {"command": [*tell, "--over"]}}
    drained = {one["name"] for one in sidecars["auditor"]["volumeMounts"]}
    assert sidecar.DRAIN_SOCKET.split("/")[-2] in {name.removeprefix("run-") for name in drained}
    slept = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    ends = slept + AUDITOR_DRAINS_SECONDS + CUT_SECONDS + SHIPPING_SECONDS
    assert ends < pod["terminationGracePeriodSeconds"]
