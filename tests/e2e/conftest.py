"""One node for all tests here, on which the example has lived its whole life; and the times that this took.

The tests are one story, told in the order of `STORY`: each part goes on where the last one ended.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import pytest

from tests import early
from tests.cluster.elsewhere import Elsewhere
from tests.cluster.node import images
from tests.cluster.node.node import Node
from tests.cluster.processes import wait_until
from tests.e2e import outsiders
from tests.e2e.life import Life
from tests.e2e.neighbourhood import neighbourhood
from tests.e2e.prober import Prober

STORY = (
    "test_life",
    "test_keys",
    "test_matrix",
    "test_rotation",
    "test_kills",
    "test_isolation",
    "test_record",
    "test_export",
    "test_node",
    "test_refuted",
)

PROMPT = "The with statement is used by Margarethe"
"""Nobody else says that name: it is looked for on disks and in records."""
TIMES: dict[str, float] = {}
"""What took how many seconds, in the order in which it happened."""
NOTES: list[str] = []
"""What else was seen, for whoever reads the end of the output."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    places = [index for index, item in enumerate(items) if item.path.parent == here]
    told = sorted((items[index] for index in places), key=lambda item: _place(item.path.stem))
    for index, item in zip(places, told, strict=True):
        items[index] = item


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    later = item.session.items[item.session.items.index(item) + 1 :]
    if "prober" not in {name for one in later for name in getattr(one, "fixturenames", ())}:
        early.end(item, "prober")


def _place(chapter: str) -> float:
    """A chapter that is not in the story comes before the records are read."""
    return STORY.index(chapter) if chapter in STORY else STORY.index("test_record") - 0.5


@contextmanager
def timed(what: str) -> Iterator[None]:
    """Note how long the block takes."""
    started = time.monotonic()
    yield
    TIMES[what] = time.monotonic() - started


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if TIMES:
        terminalreporter.section("times")
        for what, seconds in TIMES.items():
            terminalreporter.write_line(f"{seconds:8.3f} s  {what}" if seconds < 1 else f"{seconds:8.1f} s  {what}")
    if NOTES:
        terminalreporter.section("what else was seen")
        for note in NOTES:
            terminalreporter.write_line(note)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--node",
        type=Path,
        help="directory of a node that runs (`make cluster` says which): it is used as it is and left running",
    )


@pytest.fixture(scope="session")
def node(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A node of our own, ended with the session, also when that is killed. Its logs are kept."""
    if kept := request.config.getoption("--node"):
        yield Node.open(kept)
        return
    if elsewhere := Elsewhere.chosen(tmp_path_factory.mktemp("cluster")):
        elsewhere.install_cert_manager()
        yield cast(Node, elsewhere)
        return
    for name in images.RECIPES:  # first, for they take minutes, once
        images.image(name)
    with timed("a node with Cilium, CoreDNS, storage and cert-manager"):
        started = Node.start(tmp_path_factory.mktemp("node"))
        started.install_cert_manager()
    yield started
    started.stop()
    for heavy in ("containerd", "kubelet", "volumes"):
        shutil.rmtree(started.directory / heavy, ignore_errors=True)


@pytest.fixture(scope="session")
def life(request: pytest.FixtureRequest, node: Node, tmp_path_factory: pytest.TempPathFactory) -> Life:
    """The example, serving: ingested, trained, released. On a node where it already is, only the operator is new."""
    kept = request.config.getoption("--node")
    found = Life(node, kept / "life" if kept else tmp_path_factory.mktemp("life"))
    found.load_images()
    with timed("helm install to an operator that is ready"):
        found.install()
    found.prepare()
    if not found.remembered:
        grow_up(found)
    found.people()
    assert wait_until(lambda: found.ask("The for statement")["status"] == 200, 120), found.ask("The for statement")
    if found.applied:
        TIMES["kubectl apply to the first answered prompt"] = time.monotonic() - found.applied
    return found


def grow_up(life: Life) -> None:
    """From an empty cluster to a model that serves."""
    with timed("kubectl apply to stores that are ready"):
        life.apply()
    with timed("79 texts brought into the store"):
        life.said["ingest"] = life.ingest()
    with timed("training, from resume to a sealed checkpoint"):
        life.said["training"] = life.train()
    with timed("release"):
        life.released = life.release()
    with timed("the model server, from release to ready"):
        life.serve(life.released)
    life.remember()


@pytest.fixture(scope="session")
def prober(life: Life) -> Iterator[Prober]:
    """Tries every connection that there could be, from now on until nobody asks any more what came of it."""
    life.people(outsiders.ALL)
    life.keep_training()
    with neighbourhood(life).running() as prober:
        yield prober


@pytest.fixture(scope="session")
def volumes(life: Life) -> Path:
    """Where the node keeps what pods believe to be disks."""
    return life.node.directory / "volumes"
