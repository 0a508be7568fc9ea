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
