"""Stands in for the kubelet that there is not: canaries "run", and tell what a network of the test's lets through."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from cloister import names
from cloister.probing import Answer, Probe, Prober, ProberReport, plan_digest
from tests.integration.operator.world import World

Object = dict[str, Any]
Network = Callable[[str, Probe], Answer]
"""(post, probe) -> what comes of it."""

_SCHEDULER = "system:kube-scheduler"
"""One of the few whom the guards let write the status of pods."""


def closed(post: str, probe: Probe) -> Answer:
    """A network that does what it is told."""
    if probe.kind == "tls":
        return Answer.DEMANDED
    return Answer.REACHED if probe.passes else Answer.SILENT


def open_to_everyone(post: str, probe: Probe) -> Answer:
    """One that enforces nothing."""
    return Answer.REACHED if probe.canary else Answer.ANSWERED


class CanaryKubelet:
    """Runs canaries, in name, until it is stopped; a context manager."""

    def __init__(self, world: World, network: Network = closed) -> None:
        self.network = network
        self.runs: list[str] = []
        """Runs of which a canary has tried something, in their order."""
        self._world = world
        self._writer = world.admin.server.user(_SCHEDULER)
        self._addresses: dict[str, str] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work)

    def __enter__(self) -> CanaryKubelet:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _work(self) -> None:
        while not self._stop.wait(0.2):
            for pod in self._world.every("Pod", names.LABEL_RUN):
                if "deletionTimestamp" in pod["metadata"]:
                    self._end(pod)
                elif not pod.get("status", {}).get("containerStatuses"):
                    self._run(pod)

    def _run(self, pod: Object) -> None:
        (container,) = pod["spec"]["containers"]
        action, config = container["args"]
        if action == "listen":
            address = self._addresses.setdefault(pod["metadata"]["uid"], f"10.244.0.{len(self._addresses) + 10}")
            status: Object = {
                "phase": "Running",
                "podIP": address,
                "podIPs": [{"ip": address}],
                "conditions": [{"type": "Ready", "status": "True"}],
                "containerStatuses": [_container(container, {"running": {}}, ready=True)],
            }
        else:
            prober = Prober.model_validate_json(config)
            if prober.run not in self.runs:
                self.runs.append(prober.run)
            status = reported(container, prober, self.network)
        self.tell(pod, status)

    def tell(self, pod: Object, status: Object) -> None:
        """Write what has become of a pod."""
        path = f"api/v1/namespaces/{pod['metadata']['namespace']}/pods/{pod['metadata']['name']}/status"
        answer = self._writer.patch(path, {"status": status}, real=True)
        assert answer.code in (200, 404), str(answer)

    def _end(self, pod: Object) -> None:
        """As a kubelet does when the containers are gone."""
        path = f"api/v1/namespaces/{pod['metadata']['namespace']}/pods/{pod['metadata']['name']}"
        self._writer.delete(path, real=True, gracePeriodSeconds="0")


def reported(container: Object, prober: Prober, network: Network) -> Object:
    """The status of a pod that has tried everything, and tells of such a network."""
    answers = "".join(network(prober.post, probe) for probe in prober.probes)
    report = ProberReport(run=prober.run, post=prober.post, plan=plan_digest(prober.probes), answers=answers)
    ended = {"terminated": {"exitCode": 0, "message": report.model_dump_json(), "reason": "Completed"}}
    return {"phase": "Succeeded", "containerStatuses": [_container(container, ended, ready=False)]}


def _container(container: Object, state: Object, *, ready: bool) -> Object:
    return {
        "name": container["name"],
        "image": container["image"],
        "imageID": "",
        "ready": ready,
        "restartCount": 0,
        "state": state,
    }
