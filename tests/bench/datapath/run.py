"""What a request costs on its way: direct, bare Envoy, auditor, gate and auditor, LiteLLM; in interleaved rounds."""

import tempfile
from pathlib import Path as File

from rich.console import Console

from tests.bench.datapath.figures import MANY, ONE, STREAMS, Rounds, quantile
from tests.bench.datapath.measuring import Timing, disk_sync, measure, peak_memory
from tests.bench.datapath.paths import Path
from tests.bench.datapath.report import plot, report
from tests.bench.datapath.stack import stack
from tests.bench.datapath.workloads import workloads

BUILD = File(__file__).parents[3] / "build"
"""Not versioned, and on the disk that the tree is on: the system's temporary directory may be memory."""
SYNCS = 200


def run(rounds: int, seconds: float, *, quick: bool = False, others: bool = True, image: File | None = None) -> int:
    """Measure and print; 1 if a target is missed. ``quick`` proves that every path works, and judges nothing;
    without ``others`` LiteLLM is left out."""
    chosen = [ONE, MANY, STREAMS] if quick else workloads()
    BUILD.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="datapath-", dir=BUILD) as name, stack(File(name), others=others) as paths:
        found = Rounds()
        timing = Timing(seconds / 4, seconds)
        names = [path.name for path in paths]
        _wake(paths, timing)
        for number in range(rounds):
            found.syncs.append(quantile(disk_sync(File(name), SYNCS), 0.5))
            for workload in chosen:
                _say(f"round {number + 1} of {rounds}: {workload.name}")
                for path in paths:
                    found.add(path.name, workload, measure(path, workload, timing))
        memory = {path.name: peak_memory(path.processes) for path in paths}
    print(report(found, chosen, names, memory))
    if image:
        image.write_text(plot(found, names))
    return int(not quick and not all(target.met for target in found.targets()))


def _wake(paths: list[Path], timing: Timing) -> None:
    """Some load half of their code with the first request: that is not what a request costs."""
    for path in paths:
        _say(f"first requests: {path.name}")
        for workload in (ONE, STREAMS):
            measure(path, workload, timing)


def _say(text: str) -> None:
    Console(stderr=True, highlight=False, soft_wrap=True).print(text)
