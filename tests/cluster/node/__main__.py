"""`python -m tests.cluster.node`: a real node for as long as you like.

    up     [--dir DIR] [--network NETWORK]   start a node that keeps running; safe to repeat
    down   [--dir DIR]                       stop it and remove all of it; safe to repeat
    images [NAME...]                         build images into the cache: all of them, or these

With CLUSTER=kind in the environment it is a cluster by kind; with CLUSTER=current, that of the current kubeconfig
context, which is neither started nor stopped.

DIR defaults to $XDG_STATE_HOME/cloister/node (~/.local/state/cloister/node).
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import time
from pathlib import Path
from typing import get_args

from tests.cluster import binaries
from tests.cluster.elsewhere import CHOICE, Elsewhere, Kind
from tests.cluster.lasting import state
from tests.cluster.node import images, packages
from tests.cluster.node.node import Network, Node


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    options = _parse(arguments)
    try:
        code: int = options.command(options)
    except (RuntimeError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return code


def _up(options: argparse.Namespace) -> int:
    if elsewhere := Elsewhere.chosen(options.dir.resolve()):
        elsewhere.install_cert_manager()
        print(f"export KUBECONFIG={shlex.quote(str(elsewhere.kubeconfig))}")
        return 0
    packages.install()
    binaries.paths([*binaries.NODE, *binaries.NETWORKS[options.network]])
    for name in images.SYSTEM:
        images.image(name)
    started = time.monotonic()
    node = Node.start(options.dir, detached=True, network=options.network)
    node.install_cert_manager()
    print(f"up after {time.monotonic() - started:.1f} s: {', '.join(node.running())}", file=sys.stderr)
    print(f"export KUBECONFIG={shlex.quote(str(node.kubeconfig))}")
    return 0


def _down(options: argparse.Namespace) -> int:
    if choice := os.environ.get(CHOICE):
        if choice == "kind":
            Kind.remove()
        return 0
    try:
        Node.open(options.dir).remove()
    except FileNotFoundError:
        print(f"nothing to remove in {options.dir}", file=sys.stderr)
    return 0


def _images(options: argparse.Namespace) -> int:
    packages.install()
    names = options.names or [name for name in images.RECIPES if name not in _unneeded()]
    if unknown := sorted(set(names) - set(images.RECIPES)):
        print(f"unknown: {', '.join(unknown)}; known: {', '.join(images.RECIPES)}", file=sys.stderr)
        return 2
    for name in names:
        print(f"{name:26} {images.image(name).archive}")
    return 0


def _unneeded() -> tuple[str, ...]:
    """What a cluster of somebody else's brings itself. A base is built anyway, for what stands on it."""
    return images.SYSTEM if os.environ.get(CHOICE) else ()


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.cluster.node", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, command, text in (
        ("up", _up, "start a node that keeps running"),
        ("down", _down, "stop it and remove all of it"),
    ):
        sub = commands.add_parser(name, help=text)
        sub.add_argument("--dir", type=Path, default=state("node"), help="default: %(default)s")
        sub.set_defaults(command=command)
        if name == "up":
            sub.add_argument(
                "--network", choices=get_args(Network), default="cilium", help="bridge: one that enforces no policies"
            )
    build = commands.add_parser("images", help="build images into the cache")
    build.add_argument("names", nargs="*", metavar="NAME")
    build.set_defaults(command=_images)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
