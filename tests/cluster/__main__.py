"""`python -m tests.cluster`: build the programs, and keep a control plane for as long as you like.

    build [--all] [NAME...]          build everything that a control plane needs, a node too, or these
    up    [--dir DIR] [--cert-manager]   start a control plane that keeps running; safe to repeat
    down  [--dir DIR]                stop it and remove all of it; safe to repeat
    env   [--dir DIR]                shell lines: KUBECONFIG, and a PATH with the built programs

DIR defaults to $XDG_STATE_HOME/cloister/cluster (~/.local/state/cloister/cluster).
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import time
from pathlib import Path

from tests.cluster import binaries, catalogue
from tests.cluster.controlplane import ControlPlane
from tests.cluster.lasting import state


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    options = _parse(arguments)
    try:
        code: int = options.command(options)
    except (RuntimeError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return code


def _build(options: argparse.Namespace) -> int:
    started = time.monotonic()
    left_out = () if options.all else binaries.ONLY_FOR_NODE
    names = options.names or [name for name in binaries.PROGRAMS if name not in left_out]
    if unknown := sorted(set(names) - set(binaries.PROGRAMS)):
        print(f"unknown: {', '.join(unknown)}; known: {', '.join(binaries.PROGRAMS)}", file=sys.stderr)
        return 2
    built = binaries.paths(names)
    if any(name.startswith("cert-manager") for name in names):
        binaries.cert_manager_files()
    if options.all:
        binaries.cilium_files()
        binaries.local_path_files()
    for name, program in built.items():
        print(f"{name:26} {program}")
    print(f"ready after {time.monotonic() - started:.1f} s", file=sys.stderr)
    return 0


def _up(options: argparse.Namespace) -> int:
    wanted = binaries.WITH_CERT_MANAGER if options.cert_manager else binaries.CONTROL_PLANE
    binaries.paths(wanted)
    started = time.monotonic()
    cluster = ControlPlane.start(options.dir, detached=True)
    if options.cert_manager:
        cluster.install_cert_manager()
    print(f"up after {time.monotonic() - started:.1f} s: {', '.join(cluster.running())}", file=sys.stderr)
    print(f"export KUBECONFIG={shlex.quote(str(cluster.kubeconfig))}")
    return 0


def _down(options: argparse.Namespace) -> int:
    try:
        ControlPlane.open(options.dir).remove()
    except FileNotFoundError:
        print(f"nothing to remove in {options.dir}", file=sys.stderr)
    return 0


def _env(options: argparse.Namespace) -> int:
    folders = [str(catalogue.cached(binary).parent) for binary in catalogue.PROGRAMS.values()]
    built = [folder for folder in folders if Path(folder).is_dir()]
    print(f"export PATH={shlex.quote(os.pathsep.join(built))}:$PATH")
    print(f"export KUBECONFIG={shlex.quote(str(options.dir.resolve() / 'kubeconfig'))}")
    return 0


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.cluster",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    build = commands.add_parser("build", help="build the programs into the cache")
    build.add_argument("--all", action="store_true", help="what a node needs, too")
    build.add_argument("names", nargs="*", metavar="NAME")
    build.set_defaults(command=_build)
    for name, command, text in (
        ("up", _up, "start a control plane that keeps running"),
        ("down", _down, "stop it and remove all of it"),
        ("env", _env, "print shell lines for KUBECONFIG and PATH"),
    ):
        sub = commands.add_parser(name, help=text)
        sub.add_argument("--dir", type=Path, default=state("cluster"), help="default: %(default)s")
        sub.set_defaults(command=command)
        if name == "up":
            sub.add_argument("--cert-manager", action="store_true", help="install cert-manager as well")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
