"""What the operator's loop says at its end (kopf leaves its watches to it)."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import structlog
from structlog.testing import capture_logs

from cloister.controller.run import _closing


async def stubborn() -> AsyncIterator[int]:
    """Ends no better than kopf's watch does, where its inner generator was closed first."""
    try:
        yield 1
    except GeneratorExit:
        raise RuntimeError("generator didn't stop after athrow()") from None


async def left_open() -> None:
    asyncio.get_running_loop().set_exception_handler(_closing)
    async for _ in (watch := stubborn()):
        KEPT.append(watch)
        return


KEPT: list[AsyncIterator[int]] = []


def test_a_watch_that_the_loop_closes_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    structlog.reset_defaults()
    with capture_logs() as said:
        asyncio.run(left_open())
    assert caplog.records == []
    assert [(line["event"], line["log_level"]) for line in said] == [("a watch was closed by the loop", "debug")]


def test_anything_else_is(caplog: pytest.LogCaptureFixture) -> None:
    loop = asyncio.new_event_loop()
    try:
        _closing(loop, {"message": "a task broke", "exception": RuntimeError("why")})
    finally:
        loop.close()
    assert [record.message for record in caplog.records] == ["a task broke"]
