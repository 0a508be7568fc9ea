"""`python -m tests.bench operator [--deployments N]`."""

from __future__ import annotations

import argparse
import sys

from tests.bench import operator_bench


def main(arguments: list[str] | None = None) -> int:
    """Run one benchmark; returns the exit code, 1 if a figure misses its target."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="BENCHMARK")
    operator = commands.add_parser("operator", help=operator_bench.__doc__)
    operator.add_argument("--deployments", type=int, default=200, help="default: %(default)s")
    operator.set_defaults(run=lambda options: operator_bench.run(options.deployments))
    options = parser.parse_args(arguments)
    code: int = options.run(options)
    return code


if __name__ == "__main__":
    sys.exit(main())
