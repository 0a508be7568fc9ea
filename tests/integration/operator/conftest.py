"""One control plane with cert-manager, the chart (without its guards, so that tests may tamper) and an operator."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cluster import ControlPlane
from tests.installed import install_chart, operator_kubeconfig, start_operator, stop_operator
from tests.integration.operator.world import World, surroundings

UNGUARDED = "admission.enabled=false"


@pytest.fixture(scope="session")
def operator_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """The cluster, with everything but a running operator."""
    with ControlPlane.start(tmp_path_factory.mktemp("operator")) as plane:
        plane.install_cert_manager()
        plane.create_storage_class()
        install_chart(plane, UNGUARDED)
        plane.kubectl.apply(surroundings())
        yield plane


@pytest.fixture(scope="session")
def world(operator_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The cluster with a running operator, under the chart's own service account."""
    start_operator(operator_plane, operator_kubeconfig(operator_plane))
    yield World.of(operator_plane, tmp_path_factory.mktemp("tester"))
    stop_operator(operator_plane)
    log = operator_plane.log("operator").read_text()
    # The chart's RBAC is exactly enough, and no handler or pass has ended in a defect.
    assert "is forbidden: User" not in log
    assert "Traceback" not in log


@pytest.fixture
def bare_world(start_control_plane: Callable[[], ControlPlane], tmp_path_factory: pytest.TempPathFactory) -> World:
    """A cluster of its own, without cert-manager, storage class and operator."""
    plane = start_control_plane()
    install_chart(plane, UNGUARDED)
    plane.kubectl.apply(surroundings())
    return World.of(plane, tmp_path_factory.mktemp("tester"))


@pytest.fixture(scope="module")
def without_operator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A cluster of a module's own, with all that a deployment needs but an operator."""
    with ControlPlane.start(tmp_path_factory.mktemp("own")) as plane:
        plane.install_cert_manager()
        plane.create_storage_class()
        install_chart(plane, UNGUARDED)
        plane.kubectl.apply(surroundings())
        yield World.of(plane, tmp_path_factory.mktemp("tester"))


@pytest.fixture
def own_world(without_operator: World) -> Iterator[World]:
    """That cluster, for a test that starts operators itself; whatever becomes of it, none is left running."""
    yield without_operator
    for name in without_operator.plane.running():
        if name.startswith("operator"):
            stop_operator(without_operator.plane, name)


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    """A directory for kubeconfigs."""
    return tmp_path
