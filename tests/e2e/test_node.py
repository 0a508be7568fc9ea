"""The node of all the tests before: it leaves nothing behind."""

from __future__ import annotations

import pytest

from tests.cluster.node.node import Node
from tests.cluster.processes import wait_until
from tests.e2e.leftovers import left_behind

pytestmark = pytest.mark.timeout(1800)


def test_the_holder_alone_takes_everything_with_it(request: pytest.FixtureRequest, node: Node) -> None:
    """Every pod, every network and every mount."""
    if request.config.getoption("--node"):
        pytest.skip("this node is to be kept")
    assert len(left_behind(node.directory)) > 10
    node.kill("machine")
    assert wait_until(lambda: node.running() == [], 60), node.running()
    node.stop()
    assert left_behind(node.directory) == []
