"""What import-linter can't see: that every module is covered, and that pure code never asks the time."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "operator" / "cloister"

EFFECTFUL = {
    "auditor",
    "cli",
    "controller",
    "detection",
    "exposition",
    "jobs",
    "journal",
    "kept",
    "logs",
    "reference",
    "sealing",
    "serving",
    "weights",
}

# `now()` of any clock, and built-ins that reach outside.
FORBIDDEN_METHODS = {"now", "today", "utcnow", "getenv", "read_text", "write_text"}
FORBIDDEN_BUILTINS = {"open", "print", "input", "eval", "exec", "__import__"}


def pure_modules() -> set[str]:
    config = tomllib.loads((ROOT / "pyproject.toml").read_text())
    contracts = config["tool"]["importlinter"]["contracts"]
    return {name for contract in contracts for name in contract.get("source_modules", [])}


def files_of(module: str) -> list[Path]:
    path = ROOT / "operator" / Path(*module.split("."))
    return sorted(path.rglob("*.py")) if path.is_dir() else [path.with_suffix(".py")]


def impurities(source: str) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Call(func=ast.Name(id=name)) if name in FORBIDDEN_BUILTINS:
                found.append(f"line {node.lineno}: {name}()")
            case ast.Call(func=ast.Attribute(attr=name)) if name in FORBIDDEN_METHODS:
                found.append(f"line {node.lineno}: .{name}()")
    return found


def test_every_module_is_either_pure_or_known_to_have_effects() -> None:
    modules = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    pure = {name.split(".")[1] for name in pure_modules()} - {"controller"}
    assert modules - {"__init__"} - EFFECTFUL == pure, (
        "name a new module in the purity contract in pyproject.toml, or in EFFECTFUL"
    )

    # The one pure module in a package that is not.
    status = PACKAGE / "controller" / "status.py"
    assert status.exists() == ("cloister.controller.status" in pure_modules())


@pytest.mark.parametrize("module", sorted(pure_modules()))
def test_pure_modules_call_no_clock_and_no_files(module: str) -> None:
    found = [f"{path.relative_to(ROOT)} {line}" for path in files_of(module) for line in impurities(path.read_text())]
    assert not found


@pytest.mark.parametrize("source", ["datetime.now(UTC)", "open('x')", "dt.date.today()", "def f():\n  print(1)"])
def test_impurities_are_found(source: str) -> None:
    assert impurities(source)


@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        ("cloister.cli", {"numpy", "hyperscan", "kubernetes", "kopf", "boto3"}),
        ("cloister.auditor.program", {"numpy", "stdnum"}),
        ("cloister.jobs.canary", {"cryptography", "structlog", "re2"}),
    ],
)
def test_what_few_need_is_loaded_by_those_few(module: str, heavy: set[str]) -> None:
    """Commands answer at once, and a pod has several such programs beside what it is for."""
    script = f"import sys, {module}; print(*sorted({heavy!r} & set(sys.modules)))"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert loaded.split() == []
