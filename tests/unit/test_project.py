"""The project's own files."""

import re
import sys
import tomllib
from pathlib import Path

import pytest

import cloister

ROOT = Path(__file__).parents[2]
BY_BARE_NAME = re.compile(
    r"""\b(?:pipx?|uv[ ]tool|uv[ ]pip)[ ]install\b[^\n`]*?[ '"]cloister\b(?!\[?\w*\]?[ ]@[ ]|[-\w./])
      | \b(?:uvx|pipx[ ]run|uv[ ]add)[ ][^\n`]*?['"]?cloister\b(?![-\w./])
      | (?<![-\w./])cloister\[\w+\](?![ ]@[ ])""",
    re.VERBOSE,
)
"""Told to install what an index has under the project's name, instead of what a path or an address has."""


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


@pytest.mark.parametrize(
    ("text", "bare"),
    [
        ("pip install cloister", True),
        ("pip install -U 'cloister'", True),
        ("uv tool install cloister", True),
        ("comes by an extra: pip install 'cloister[data]'", True),
        ("the extra `cloister[data]`", True),
        ("uvx cloister lint", True),
        ("uv tool install 'cloister[data] @ git+https://github.com/cloister-dev/cloister@main'", False),
        ("uv tool install 'cloister @ git+https://github.com/cloister-dev/cloister@main'", False),
        ("pip install '.[data]'", False),
        ("pip install ./cloister", False),
        ("install boto3 beside cloister", False),
        ("helm upgrade --install cloister charts/cloister", False),
    ],
)
def test_a_bare_name_is_told_from_a_path(text: str, bare: bool) -> None:
    assert bool(BY_BARE_NAME.search(text)) is bare


def test_nothing_says_to_install_by_a_bare_name() -> None:
    folders = [ROOT / name for name in ("docs", "charts", "manifests", "operator")]
    files = [*ROOT.glob("*.md"), *(path for folder in folders for path in folder.rglob("*"))]
    told = [path for path in files if path.suffix in (".md", ".txt", ".py", ".j2", ".yaml")]
    assert {"README.md", "operations.md", "NOTES.txt"} <= {path.name for path in told}
    assert [(str(path), found[0]) for path in told if (found := BY_BARE_NAME.search(path.read_text()))] == []
