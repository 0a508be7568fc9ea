"""A key turns while the model serves (ZT-25): the keeper moves the objects, the operator destroys the old key."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.processes import wait_until
from tests.e2e.conftest import timed
from tests.e2e.life import NAME, NO_CANARY, Life

pytestmark = pytest.mark.timeout(3000)

STORE = "checkpoints"


def keyring(life: Life) -> dict[str, Any]:
    """What the status tells of the store's keys."""
    (found,) = [one for one in life.kubectl.get("llmd", NAME)["status"]["keyrings"] if one["store"] == STORE]
    return dict(found)


def served_by(life: Life) -> str | None:
    """The pod that has fetched the weights anew if it is another."""
    pods = life.kubectl.get("pods", "-n", f"{NAME}-inference", "-l", NO_CANARY)["items"]
    return next((str(pod["metadata"]["uid"]) for pod in pods if "deletionTimestamp" not in pod["metadata"]), None)


def test_weights_are_served_from_under_a_new_key(life: Life) -> None:
    assert keyring(life)["current"] == 1
    program = Path(sys.executable).with_name("cloister")
    with timed("cloister keys rotate, until the old key is destroyed"):
        subprocess.run([program, "keys", "rotate", NAME, STORE, f"--kubeconfig={life.node.kubeconfig}"], check=True)
        assert wait_until(lambda: keyring(life)["current"] == 2 and not keyring(life)["old"], 240), keyring(life)
    before = served_by(life)
    life.fire_fighter("delete", "pod", "inference-0", "-n", f"{NAME}-inference")
    assert wait_until(lambda: served_by(life) not in (before, None), 60)
    life.settled()
    assert wait_until(lambda: life.ask("The for statement")["status"] == 200, 60), life.ask("The for statement")
