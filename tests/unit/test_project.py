"""The project's own files."""

import re
import sys
import tomllib
from pathlib import Path

import cloister

ROOT = Path(__file__).parents[2]


def test_lock_names_only_the_public_index() -> None:
    hosts = set(re.findall(r"https?://([^/\"]+)", (ROOT / "uv.lock").read_text()))
    assert hosts == {"pypi.org", "files.pythonhosted.org"}


def test_version_is_that_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert cloister.__version__ == project["version"]


def test_source_root_does_not_shadow_the_standard_library() -> None:
    assert not (ROOT / "operator" / "__init__.py").exists()
    assert str(ROOT / "operator") not in (sys.modules["operator"].__file__ or "")


def test_every_dependency_has_a_record() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = [*project["dependencies"], *project["optional-dependencies"]["data"]]
    names = {match[0] for text in needed if (match := re.match(r"[a-z0-9-]+", text))}
    records = "\n".join(path.read_text().lower() for path in (ROOT / "docs" / "adr").glob("*.md"))
    assert {name for name in names if not re.search(rf"\b{name}\b", records)} == set()
