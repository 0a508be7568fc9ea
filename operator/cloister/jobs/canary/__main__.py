"""`python -m cloister.jobs.canary listen|probe '<probing.Listener or probing.Prober as JSON>'`."""

import asyncio
import os
import sys

from pydantic import ValidationError

from cloister.jobs.canary.listening import listen
from cloister.jobs.canary.trying import probe
from cloister.probing import Listener, Prober

POD_IPS = "POD_IPS"
"""Environment variable with the pod's own addresses, with commas: those at which others would reach it."""


def main(arguments: list[str]) -> int:
    """Run one canary. Returns the exit code: what must not pass and does is a report, and no failure."""
    try:
        match arguments:
            case ["listen", config]:
                addresses = tuple(os.environ[POD_IPS].split(","))
                return asyncio.run(listen(Listener.model_validate_json(config), addresses))
            case ["probe", config]:
                return probe(Prober.model_validate_json(config))
    except (KeyError, ValidationError) as error:
        print(f"can't be used: {error}", file=sys.stderr)
        return 2
    print("listen or probe, and a configuration as JSON, must be the arguments", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
