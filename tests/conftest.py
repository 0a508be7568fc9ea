"""What every test may use: the flag that rewrites golden files, markers set by place, and how workers share them."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

from tests import early, inotify

HERE = Path(__file__).parent
INTEGRATION, E2E = HERE / "integration", HERE / "e2e"

# No deadline: on a busy machine it would report the machine, not the code.
# In CI the same examples each time, so that a change is not blamed for what another one did, and fewer of them, for the
# same ones find nothing new; everywhere else new ones.
CI = "CI" in os.environ
settings.register_profile("cloister", deadline=None, max_examples=25 if CI else 50, derandomize=CI)
# For a night, or before a release: `--hypothesis-profile=thorough`.
settings.register_profile("thorough", deadline=None, max_examples=1000)
settings.load_profile("cloister")

#: Fixtures of a session that take long to start: everything that uses one of them runs in the same worker.
#: What asks for another one by name, while it starts, comes after that.
SHARED = {
    "operator_plane": "operator",
    "without_operator": "own-operator",
    "control_plane": "control-plane",
    "cluster": "control-plane",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--rewrite", action="store_true", help="write golden files instead of comparing")


def pytest_configure(config: pytest.Config) -> None:
    # Only the process that starts the workers.
    if not hasattr(config, "workerinput") and (put_back := inotify.make_room()):
        config.add_cleanup(put_back)


def pytest_report_header() -> str | None:
    return inotify.shortage()


@pytest.hookimpl(tryfirst=True)  # before -m selects, and before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(INTEGRATION):
            item.add_marker(pytest.mark.integration)
        elif item.path.is_relative_to(E2E):
            item.add_marker(pytest.mark.e2e)
        if group := _group(item):
            item.add_marker(pytest.mark.xdist_group(group))


def _group(item: pytest.Item) -> str | None:
    """What keeps tests in one worker (`--dist loadgroup`): a cluster that they share, or servers of their module.

    Everything else goes to whichever worker has time.
    """
    for fixture in getattr(item, "fixturenames", ()):
        if fixture in SHARED:
            return SHARED[fixture]
    used = getattr(item, "_fixtureinfo", None)  # pytest tells scopes nowhere else
    scopes = {definition.scope for found in used.name2fixturedefs.values() for definition in found} if used else set()
    return item.path.relative_to(HERE).with_suffix("").as_posix() if scopes & {"class", "module"} else None


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """A worker sees each group once, so a cluster ends with its group."""
    group = _group(item)
    if hasattr(item.config, "workerinput") and nextitem and _group(nextitem) != group:
        early.end(item, *(name for name in SHARED if SHARED[name] == group))


@pytest.fixture(scope="session")
def rewrite(pytestconfig: pytest.Config) -> bool:
    """Whether golden files are to be rewritten; the change is then reviewed as a diff."""
    return bool(pytestconfig.getoption("--rewrite"))
