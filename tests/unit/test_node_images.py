"""The recipes of images: built again when anything changes that they are made of, and never otherwise."""

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.cluster.node import imagebuild, images
from tests.cluster.node.imagebuild import Recipe


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "a.py").write_text("a = 1\n")
    monkeypatch.setattr(imagebuild, "ROOT", tmp_path)
    return tmp_path


def key(bases: Mapping[str, str] | None = None, **changes: object) -> str:
    fields: dict[str, object] = {"dockerfile": "FROM scratch\n", "seconds": 1, "sources": ("code",)}
    return Recipe(**(fields | changes)).key(bases or {})  # type: ignore[arg-type]


def test_the_key_is_stable(repository: Path) -> None:
    before = key()
    (repository / "other.py").write_text("not copied\n")
    (repository / "code" / "a.pyc").write_bytes(b"made by whoever ran it")
    assert key() == before


def test_the_key_changes_with_each_part(repository: Path) -> None:
    keys = [key(), key(dockerfile="FROM scratch\nUSER 1\n"), key(identity="program 2"), key({"BASE": "new"})]
    (repository / "code" / "a.py").write_text("a = 2\n")
    keys.append(key())
    (repository / "code" / "a.py").rename(repository / "code" / "b.py")
    keys.append(key())
    assert len(set(keys)) == len(keys)


def test_the_key_changes_with_how_images_are_made(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = key()
    for options in ("_BUILD", "_PUSH"):
        with monkeypatch.context() as patched:
            patched.setattr(imagebuild, options, ("--another-way",))
            assert key() != before


@pytest.mark.parametrize("name", images.RECIPES)
def test_every_recipe_is_made_of_what_is_there(name: str) -> None:
    recipe = images.RECIPES[name]
    assert set(recipe.bases.values()) <= set(images.RECIPES)
    assert all((imagebuild.ROOT / source).exists() for source in recipe.sources)
    assert recipe.text.startswith(("FROM", "ARG", "#"))


def test_what_is_loaded_has_a_recipe() -> None:
    assert {*images.SYSTEM, *images.PRODUCT, *images.EXAMPLE} <= set(images.RECIPES)


def test_the_latest_used_images_of_a_name_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    made: list[str] = []

    def make(name: str, recipe: Recipe, bases: object, tag: str, staging: Path) -> None:
        made.append(recipe.dockerfile)
        (staging / "out").mkdir()

    monkeypatch.setattr(imagebuild, "_build", make)
    keys = [f"{number:012}" for number in range(6)]
    for moment, key_of_image in enumerate([*keys[:4], keys[0], *keys[4:]]):
        built = imagebuild.build("name", key_of_image, Recipe(key_of_image, 1), {}, "1")
        os.utime(built.archive.parent, (moment, moment))
    assert made == keys, "each is built once"
    kept = {path.name for path in (tmp_path / "cloister" / "images").glob("name-*")}
    assert kept == {f"name-{kept_key}" for kept_key in (keys[0], keys[3], keys[4], keys[5])}


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    """What buildah kept of earlier builds."""
    layers = tmp_path / "storage" / "root" / "overlay-layers" / "layers.json"
    layers.parent.mkdir(parents=True)
    layers.write_text('[{"id": "1"}, {"id": "2"}]')
    return tmp_path / "storage"


@pytest.mark.parametrize(
    ("limit", "value", "buildah", "kept"),
    [
        ("_STORAGE_LAYERS", 2, "true", True),
        ("_STORAGE_LAYERS", 1, "true", False),
        ("_STORAGE_GB", 0, "true", False),
        ("_STORAGE_LAYERS", 2, "false", False),
    ],
    ids=["in use", "too many layers", "too many bytes", "broken"],
)
def test_storage_starts_anew_where_it_is_too_large_or_broken(
    storage: Path, monkeypatch: pytest.MonkeyPatch, limit: str, value: int, buildah: str, kept: bool
) -> None:
    monkeypatch.setattr(imagebuild, limit, value)
    imagebuild._make_ready(storage, [buildah])
    assert (storage / "root").exists() == kept
