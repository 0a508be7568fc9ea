"""How one image is made: a Dockerfile and the files that it may see, by buildah, without any image registry."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from filelock import FileLock

from tests.cluster.catalogue import cache_root
from tests.cluster.progress import run_watched

ROOT = Path(__file__).parents[3]
_TRUSTED = Path("/etc/ssl/certs")
#: Builds go through the machine's own trust.
_PIP = f"[global]\ncert = {_TRUSTED}/ca-certificates.crt\n"
_UV = "system-certs = true\n"
_BUILD = ("--isolation=chroot", "--layers=true", "--format=oci", "--pull-never")
_PUSH = ("--compression-format=zstd", "--compression-level=1")
"""How images are made and packed is part of their keys."""
_STORAGE_GB = 12
_STORAGE_LAYERS = 1000
"""More than that, and what buildah keeps between builds starts anew: it forgets nothing by itself, and looks through
all of its images at every step."""
_KEPT = 4
"""Images of one name, the latest used: branches that are worked on at the same time don't take them from each other."""


@dataclass(frozen=True)
class Recipe:
    """What an image is made from."""

    dockerfile: str
    """Its text, or its path in the repository."""
    seconds: int
    """A rough build time on two cores, with an empty cache."""
    sources: tuple[str, ...] = ()
    """Files and folders of the repository that it copies."""
    bases: Mapping[str, str] = field(default_factory=dict)
    """Build argument -> the name of the image that it takes."""
    made: Callable[[Path], None] | None = None
    """Makes files in the folder that it copies from, instead of the repository."""
    identity: str = ""
    """What those files depend on."""

    @property
    def text(self) -> str:
        """The Dockerfile itself."""
        return self.dockerfile if "\n" in self.dockerfile else (ROOT / self.dockerfile).read_text()

    def key(self, keys_of_bases: Mapping[str, str]) -> str:
        """Changes with anything that changes the image."""
        digest = hashlib.sha256(repr((_BUILD, _PUSH, self.text, self.identity, sorted(keys_of_bases.items()))).encode())
        for path in self._files():
            digest.update(repr((str(path.relative_to(ROOT)), hashlib.sha256(path.read_bytes()).digest())).encode())
        return digest.hexdigest()[:12]

    def _files(self) -> Iterator[Path]:
        for source in self.sources:
            path = ROOT / source
            inside = sorted(path.rglob("*")) if path.is_dir() else [path]
            yield from (found for found in inside if found.is_file() and found.suffix != ".pyc")


@dataclass(frozen=True)
class Built:
    """An image that lies in the cache, as an OCI archive."""

    archive: Path

    @property
    def digest(self) -> str:
        """Of its manifest: what a reference pins."""
        return self.archive.with_name("digest").read_text().strip()


def build(name: str, key: str, recipe: Recipe, bases: Mapping[str, Built], tag: str) -> Built:
    """The image, from the cache where it is there already. RuntimeError, with the output's end, if it can't be made."""
    home = cache_root().parent / "images" / f"{name}-{key}"
    home.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(home.parent / ".lock"):
        if not home.exists():
            for left in home.parent.glob(".building-*"):
                _remove(left)  # by a build that was killed
            with _staging(home.parent) as staging:
                _build(name, recipe, bases, tag, staging)
                (staging / "out").rename(home)
        os.utime(home)
        made = sorted(home.parent.glob(f"{name}-????????????"), key=lambda path: path.stat().st_mtime)
        for older in made[:-_KEPT]:
            shutil.rmtree(older, ignore_errors=True)
    return Built(home / "image.tar")


def _build(name: str, recipe: Recipe, bases: Mapping[str, Built], tag: str, staging: Path) -> None:
    context = ROOT
    if recipe.made:
        context = staging / "context"
        context.mkdir()
        recipe.made(context)
    (staging / "Dockerfile").write_text(recipe.text)
    (staging / "pip.conf").write_text(_PIP)
    (staging / "uv.toml").write_text(_UV)
    out = staging / "out"
    out.mkdir()
    storage = staging.with_name(".storage")
    buildah = ["buildah", "--root", str(storage / "root"), "--runroot", str(staging / "run")]
    _make_ready(storage, buildah)
    volumes = {
        f"{_TRUSTED}:{_TRUSTED}:ro",
        f"{staging / 'pip.conf'}:/etc/pip.conf:ro",
        f"{staging / 'uv.toml'}:/etc/uv/uv.toml:ro",
    }
    image = f"localhost/{name}:{tag}"
    build = [
        *buildah, "build", *_BUILD,
        *(f"--volume={volume}" for volume in sorted(volumes)),
        *(f"--build-arg={argument}=oci-archive:{base.archive}" for argument, base in bases.items()),
        f"--file={staging / 'Dockerfile'}", f"--tag={image}", str(context),
    ]  # fmt: skip
    push = [
        *buildah, "push", *_PUSH, f"--digestfile={out / 'digest'}",
        image, f"oci-archive:{out / 'image.tar'}:{tag}",
    ]  # fmt: skip
    try:
        run_watched(build, f"image {name}", recipe.seconds, doing="building")
        run_watched(push, f"image {name}", 20, doing="packing")
    except RuntimeError:
        _remove(storage)  # it may be at fault, and costs only time
        raise


def _make_ready(storage: Path, buildah: Sequence[str]) -> None:
    """Storage with the layers of earlier builds, or anew where those are too many or a killed build left it broken."""
    try:
        if storage.exists():
            run_watched([*buildah, "rm", "--all"], "image storage", 10, doing="tidying up")
    except RuntimeError:
        _remove(storage)
    if _is_too_large(storage):
        _remove(storage)


def _is_too_large(storage: Path) -> bool:
    layers = storage / "root" / "overlay-layers" / "layers.json"
    if not layers.exists():
        return False
    if len(json.loads(layers.read_text())) > _STORAGE_LAYERS:
        return True
    used = subprocess.run(["du", "-s", "-BG", str(storage)], stdout=subprocess.PIPE, text=True, check=False).stdout
    return int(used.partition("G")[0] or 0) > _STORAGE_GB


def _remove(storage: Path) -> None:
    mounted = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    for path in reversed(mounted):
        if Path(path).is_relative_to(storage):
            subprocess.run(["umount", "--lazy", path], check=False)
    shutil.rmtree(storage, ignore_errors=True)


@contextmanager
def _staging(folder: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix=".building-", dir=folder) as staging:
        yield Path(staging)
