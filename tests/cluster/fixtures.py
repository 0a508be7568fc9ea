"""pytest fixtures: a control plane for the session, and any number of others for tests that break things.

A conftest.py imports their names from here. Run `python -m tests.cluster build` first: what is missing is
built on use, and a test's timeout is too short for that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cluster.controlplane import ControlPlane
from tests.cluster.external import VARIABLE, ExternalCluster, NotOnThisClusterError

__all__ = ["cluster", "control_plane", "start_control_plane"]


@pytest.fixture(scope="session")
def control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A control plane of our own with cert-manager and a default StorageClass, shared by the session.

    Skips where the user names a cluster: use `cluster` in tests that can run on any.
    """
    if ExternalCluster.from_environment(Path()):
        pytest.skip(f"needs a control plane of its own; {VARIABLE} names another cluster")
    with ControlPlane.start(tmp_path_factory.mktemp("control-plane")) as started:
        started.install_cert_manager()
        started.create_storage_class()
        yield started


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ControlPlane | ExternalCluster:
    """Any cluster with cert-manager: the one named by CLOISTER_TEST_KUBECONFIG, else `control_plane`."""
    if external := ExternalCluster.from_environment(tmp_path_factory.mktemp("users")):
        try:
            external.install_cert_manager()
        except NotOnThisClusterError as error:
            pytest.skip(str(error))
        return external
    started: ControlPlane = request.getfixturevalue("control_plane")
    return started


@pytest.fixture
def start_control_plane(tmp_path: Path) -> Iterator[Callable[[], ControlPlane]]:
    """Start a fresh control plane without cert-manager, to break, pause or kill; stopped after the test."""
    started: list[ControlPlane] = []

    def start() -> ControlPlane:
        started.append(ControlPlane.start(tmp_path / f"control-plane-{len(started)}"))
        return started[-1]

    yield start
    for plane in started:
        plane.stop()
