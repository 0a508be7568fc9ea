"""Ports that tests choose: nobody else's, also when they are used only later."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cluster import ports


@pytest.fixture(autouse=True)
def narrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three ports are all that there is, and nobody else knows of their claims."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(ports, "_RANGE", range(29_997, 30_000))


def test_a_port_that_was_chosen_and_is_not_used_yet_is_nobody_elses() -> None:
    with ports.choosing():
        first = ports.free(["a", "b"])
        second = ports.free(["c"])
    assert len({*first.values(), *second.values()}) == 3


def test_the_ports_of_a_process_that_has_ended_are_free_again(tmp_path: Path) -> None:
    choose = "from tests.cluster import ports\nwith ports.choosing(): ports.free(['a', 'b', 'c'])"
    narrowed = f"import tests.cluster.ports as p\np._RANGE = range(29_997, 30_000)\n{choose}"
    subprocess.run([sys.executable, "-c", narrowed], check=True, cwd=Path(__file__).parents[2])
    assert len(json.loads(next(tmp_path.rglob(".ports.json")).read_text())) == 3
    with ports.choosing():
        assert len(set(ports.free(["a", "b", "c"]).values())) == 3
