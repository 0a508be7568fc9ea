"""The operator runs as a user that the machine has never heard of, as container images have it."""

import asyncio
import getpass
from typing import Any, cast

import kopf
import pytest

from cloister.controller import handlers, run


async def test_the_operator_asks_for_no_name_of_its_user(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown() -> str:
        raise KeyError("getpwuid(): uid not found: 65532")

    spawned: list[str] = []

    async def run_tasks(tasks: Any, *, ignored: Any) -> None:
        spawned.extend(task.get_name() for task in tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    monkeypatch.setattr(getpass, "getuser", unknown)
    monkeypatch.setattr(handlers, "registry", lambda world: kopf.OperatorRegistry())
    monkeypatch.setattr(kopf, "run_tasks", run_tasks)
    monkeypatch.setattr(run, "_stop_on_signals", lambda stopping: None)
    await run._watch(cast(Any, None), asyncio.Event(), asyncio.Event())
    assert spawned
