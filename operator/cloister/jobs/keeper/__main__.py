"""`python -m cloister.jobs.keeper '<sidecar.Keeper as JSON>'`."""

import sys

from pydantic import ValidationError

from cloister.jobs.keeper.program import Program
from cloister.sidecar import Keeper


def main(arguments: list[str]) -> int:
    """Run until there is something to report. Returns the exit code."""
    try:
        config = Keeper.model_validate_json(arguments[0])
    except (IndexError, ValidationError) as error:
        print(f"the one argument must be a sidecar.Keeper as JSON: {error}", file=sys.stderr)
        return 2
    return Program(config).run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
