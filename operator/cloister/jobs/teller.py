"""Ends when there is something new to tell, with it as its termination message: all that the operator sees of a pod is
its status. `python -m cloister.jobs.teller '<sidecar.Teller as JSON>'`.
"""

import signal
import sys
import threading
import time
from pathlib import Path

from pydantic import ValidationError

from cloister.kept import KeptFile
from cloister.sidecar import REPORT, AlertReport, Teller

_LOOK_SECONDS = 1.0
_TOLD = "told.json"
"""What it said last."""


def main(arguments: list[str]) -> int:
    """Waits until the report is another than the one that was told last."""
    try:
        config = Teller.model_validate_json(arguments[0])
    except (IndexError, ValidationError) as error:
        print(f"the one argument must be a sidecar.Teller as JSON: {error}", file=sys.stderr)
        return 2
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    begun = time.monotonic()
    while not ended.wait(_LOOK_SECONDS):
        if time.monotonic() - begun >= config.least_seconds and tell(config):
            return 0
    return 0


def tell(config: Teller) -> bool:
    """Whether there was something to tell."""
    folder = Path(config.told)
    try:
        report = AlertReport.model_validate_json((folder / REPORT).read_bytes()).model_dump_json()
    except (OSError, ValidationError):
        return False  # there is none yet
    said = KeptFile(folder / _TOLD)
    try:
        if said.read().decode() == report:
            return False
    except FileNotFoundError:
        pass
    Path(config.termination_log).write_text(report)
    said.replace(report.encode())
    return True


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
