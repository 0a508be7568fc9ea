"""The packages that the corpora come in, each in a directory of its own: none is a dependency of the project."""

from pathlib import Path

from tests.environments import contents

REQUIREMENTS = Path(__file__).with_name("corpora.txt")
"""Every package, by version. Their dependencies are not installed: they are read, not run."""


def corpora(package: str) -> Path:
    """The directory with one of them; installed on first use."""
    return contents(REQUIREMENTS, package)
