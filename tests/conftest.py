"""What every test may use: the flag that rewrites golden files, and the markers set by place."""

from pathlib import Path

import pytest
from hypothesis import settings

INTEGRATION = Path(__file__).parent / "integration"

# No deadline: on a busy machine it would report the machine, not the code.
settings.register_profile("cloister", deadline=None)
settings.load_profile("cloister")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--rewrite", action="store_true", help="write golden files instead of comparing")


@pytest.hookimpl(tryfirst=True)  # before -m selects
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(INTEGRATION):
            item.add_marker(pytest.mark.integration)


@pytest.fixture(scope="session")
def rewrite(pytestconfig: pytest.Config) -> bool:
    """Whether golden files are to be rewritten; the change is then reviewed as a diff."""
    return bool(pytestconfig.getoption("--rewrite"))
