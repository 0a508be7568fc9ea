"""`python -m cloister.auditor CONFIG`: what the sidecar runs."""

import gc
import sys
from pathlib import Path

import structlog
import uvloop
from pydantic import ValidationError

from cloister import logs, sidecar
from cloister.auditor.program import run


def main() -> int:
    """0 after an orderly end, 2 with a configuration that can't be used."""
    logs.configure()
    log = structlog.get_logger()
    if len(sys.argv) != 2:
        log.error("usage: python -m cloister.auditor CONFIG")
        return 2
    try:
        config = sidecar.Auditor.model_validate_json(Path(sys.argv[1]).read_bytes())
    except (OSError, ValidationError) as error:
        log.error("configuration not usable", path=sys.argv[1], error=str(error))  # noqa: TRY400 - a trace helps nobody
        return 2
    # What is there now stays for ever; looking through it again and again would delay requests.
    gc.collect()
    gc.freeze()
    uvloop.run(run(config))
    return 0


if __name__ == "__main__":
    sys.exit(main())
