"""`python -m cloister.jobs.exporter '<sidecar.Exporter as JSON>'`."""

import sys
from pathlib import Path

import structlog
import uvloop
from pydantic import ValidationError

from cloister import logs
from cloister.jobs.exporter.keys import KeysError
from cloister.jobs.exporter.program import check, run
from cloister.sidecar import Exporter, ExporterEnding


def main(arguments: list[str]) -> int:
    """0 after an orderly end, 2 with a configuration that can't be used, 3 with a Secret that can't be."""
    logs.configure()
    log = structlog.get_logger()
    try:
        config = Exporter.model_validate_json(arguments[0])
    except (IndexError, ValidationError) as error:
        print(f"the one argument must be a sidecar.Exporter as JSON: {error}", file=sys.stderr)
        return 2
    try:
        check(config)
    except KeysError as error:
        log.error("the Secret can't be used", reason=error.reason, why=str(error))  # noqa: TRY400 - a trace helps nobody
        Path(config.termination_log).write_text(ExporterEnding(reason=error.reason).model_dump_json())
        return 3
    uvloop.run(run(config))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
