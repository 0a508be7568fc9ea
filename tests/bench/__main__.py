"""`python -m tests.bench NAME`: operator, datapath, storage, masking, detection, behaviour; options by `--help`."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from tests.bench import behaviour_bench, operator_bench, storage_bench
from tests.bench.datapath import run as datapath_bench
from tests.bench.detection import learning
from tests.bench.detection import run as detection_bench
from tests.bench.masking import run as masking_bench


def main(arguments: list[str] | None = None) -> int:
    """Run one benchmark; returns the exit code, 1 if a figure misses its target."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="BENCHMARK")
    operator = commands.add_parser("operator", help=operator_bench.__doc__)
    operator.add_argument("--deployments", type=int, default=200, help="default: %(default)s")
    operator.set_defaults(run=lambda options: operator_bench.run(options.deployments))
    datapath = commands.add_parser("datapath", help=datapath_bench.__doc__)
    datapath.add_argument("--rounds", type=int, default=3, help="default: %(default)s")
    datapath.add_argument("--seconds", type=float, default=2.0, help="of each cell in each round; default: %(default)s")
    datapath.add_argument("--quick", action="store_true", help="three cells, once: does every path work?")
    datapath.add_argument("--plot", type=Path, help="an SVG to write")
    datapath.add_argument("--without-litellm", action="store_true", help="needs no package from PyPI")
    datapath.set_defaults(run=_datapath)
    storage = commands.add_parser("storage", help="What the way to a store costs.")
    storage.add_argument("--rounds", type=int, default=3, help="default: %(default)s")
    storage.add_argument("--quick", action="store_true", help="without large objects, once: does every way work?")
    storage.set_defaults(run=lambda o: storage_bench.run(1 if o.quick else o.rounds, quick=o.quick))
    masking = commands.add_parser("masking", help=masking_bench.__doc__)
    masking.add_argument("--documents", type=int, default=5000, help="default: %(default)s")
    masking.set_defaults(run=lambda options: masking_bench.run(options.documents))
    detection = commands.add_parser("detection", help=detection_bench.__doc__)
    detection.add_argument("--train", action="store_true", help="learn from the training split instead")
    detection.set_defaults(run=_detection)
    behaviour = commands.add_parser("behaviour", help=behaviour_bench.__doc__)
    behaviour.add_argument("--people", type=int, default=180, help="default: %(default)s")
    behaviour.add_argument("--victims", type=int, default=30, help="default: %(default)s")
    behaviour.add_argument("--replies", type=int, default=200_000, help="default: %(default)s")
    behaviour.set_defaults(run=lambda options: behaviour_bench.run(options.people, options.victims, options.replies))
    options = parser.parse_args(arguments)
    code: int = options.run(options)
    return code


def _detection(options: argparse.Namespace) -> int:
    if not options.train:
        return detection_bench.run()
    print(json.dumps(learning.train(), indent=2))
    return 0


def _datapath(options: argparse.Namespace) -> int:
    rounds = 1 if options.quick else options.rounds
    return datapath_bench.run(
        rounds, options.seconds, quick=options.quick, others=not options.without_litellm, image=options.plot
    )


if __name__ == "__main__":
    sys.exit(main())
