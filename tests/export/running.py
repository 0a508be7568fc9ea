"""The exporter's and the teller's processes, configured as rendered; only paths, ports and sinks are replaced."""

import json
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cloister import sidecar
from cloister.render.exporter import exporter_settings
from cloister.spec import LLMDeployment
from tests.cluster.ports import choosing, free
from tests.export.sink import Sink

LOOK_SECONDS = 0.5


class Exporter:
    """Both programs of the pod, without a kubelet."""

    def __init__(self, deployment: LLMDeployment, root: Path, upstream: str, sinks: Mapping[str, Sink]) -> None:
        export = deployment.spec.audit.export
        assert export
        self.root = root
        for name in ("secrets", "state", "scratch", "told"):
            (root / name).mkdir(parents=True, exist_ok=True)
        with choosing():
            ports = free(["health", "metrics"])
        self.metrics_port = ports["metrics"]
        config = exporter_settings(deployment, export).model_dump(mode="json")
        config |= {name: str(root / name) for name in ("secrets", "state", "scratch", "told")}
        config |= {"health_port": ports["health"], "metrics_port": ports["metrics"], "look_seconds": LOOK_SECONDS}
        config |= {"upstream": f"unix:{upstream}", "termination_log": str(root / "ended")}
        for name, sink in sinks.items():
            assert config["sinks"][name]["addresses"] == ["203.0.113.7"]
            config["sinks"][name] = {"url": sink.url, "addresses": ["127.0.0.1"]}
        self.config: dict[str, Any] = config
        self.process: subprocess.Popen[bytes] | None = None

    def give(self, **entries: str) -> None:
        """Mount the Secret: names of entries with underscores for dots."""
        for name, text in entries.items():
            (self.root / "secrets" / name.replace("_", ".")).write_text(text)

    def start(self) -> None:
        """Starts it."""
        command = [sys.executable, "-m", "cloister.jobs.exporter", json.dumps(self.config)]
        with (self.root / "log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)

    def end(self, number: int = signal.SIGTERM) -> int:
        """Ends it; its exit code."""
        assert self.process
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(30)

    def runs(self) -> bool:
        """True; AssertionError with its words if it has ended by itself."""
        assert self.process
        assert self.process.poll() is None, self.log()[-3000:]
        return True

    def log(self) -> str:
        """What it has said."""
        return (self.root / "log").read_text()

    def metrics(self) -> str:
        """What Prometheus reads."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=10) as answer:
            return str(answer.read().decode())

    def ready(self) -> bool:
        """What its kubelet is told."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.config['health_port']}/readyz", timeout=10):
                return True
        except (urllib.error.URLError, ConnectionError):
            return False

    def knows(self, sink: str, segment: str) -> bool:
        """Whether it will remember that a sink was told a segment, `<stream>/<number>.<digest>.cja`.

        What a sink was told a moment before a kill it is told once more: nothing is lost, but it may come twice.
        """
        standings = json.loads((self.root / "state" / f"{sink}.json").read_text())["standings"]
        stream, _, name = segment.partition("/")
        number = int(name.partition(".")[0])
        return any(prefix.endswith(f"/{stream}/") and kept["next"] > number for prefix, kept in standings.items())

    def counts(self) -> object:
        """What it has handed to the teller; None before the first time."""
        path = self.root / "told" / sidecar.REPORT
        return json.loads(path.read_text())["totals"] if path.exists() else None

    def tell(self, seconds: float = 20.0) -> sidecar.AlertReport:
        """The teller's termination message."""
        ended = self.root / "teller-ended"
        config = sidecar.Teller(told=str(self.root / "told"), termination_log=str(ended), least_seconds=0.0)
        command = [sys.executable, "-m", "cloister.jobs.teller", config.model_dump_json()]
        subprocess.run(command, check=True, timeout=seconds)
        return sidecar.AlertReport.model_validate_json(ended.read_text())
