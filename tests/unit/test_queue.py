"""The work queue: once each, never twice at a time, nothing lost."""

import asyncio

import pytest

from cloister.controller.queue import WorkQueue


async def test_a_name_waits_once() -> None:
    queue = WorkQueue()
    for name in ("a", "b", "a", "a"):
        queue.add(name)
    assert [await queue.get(), await queue.get()] == ["a", "b"]
    assert len(queue) == 0


async def test_a_name_added_while_it_is_worked_on_is_worked_on_again_afterwards() -> None:
    queue = WorkQueue()
    queue.add("a")
    assert await queue.get() == "a"
    queue.add("a")
    queue.add("a")
    assert len(queue) == 0
    queue.done("a")
    assert await queue.get() == "a"
    queue.done("a")
    assert len(queue) == 0


async def test_the_earliest_of_several_delays_counts() -> None:
    queue = WorkQueue()
    queue.add("a", 60)
    queue.add("a", 0.01)
    queue.add("a", 30)
    assert await asyncio.wait_for(queue.get(), 5) == "a"
    queue.done("a")
    await asyncio.sleep(0.05)
    assert len(queue) == 0


async def test_now_overtakes_a_delay() -> None:
    queue = WorkQueue()
    queue.add("a", 60)
    queue.add("a")
    assert await asyncio.wait_for(queue.get(), 5) == "a"


async def test_errors_delay_one_name_ever_longer_until_it_succeeds() -> None:
    queue = WorkQueue()
    delays = [queue.add_failed("a") for _ in range(12)]
    assert delays[0] < 0.4
    assert 40 < delays[-1] < 80
    assert queue.add_failed("b") < 0.4
    queue.succeeded("a")
    assert queue.add_failed("a") < 0.4


@pytest.mark.parametrize("workers", [1, 4])
async def test_no_two_workers_have_one_name_and_every_add_is_followed_by_a_pass(workers: int) -> None:
    queue, busy, passes = WorkQueue(), set[str](), dict.fromkeys("abc", 0)
    wanted = dict.fromkeys("abc", 0)

    async def work() -> None:
        while True:
            name = await queue.get()
            assert name not in busy
            busy.add(name)
            seen = wanted[name]
            await asyncio.sleep(0.001)
            busy.discard(name)
            passes[name] = max(passes[name], seen)
            queue.done(name)

    tasks = [asyncio.create_task(work()) for _ in range(workers)]
    for turn in range(1, 200):
        name = "abc"[turn % 3]
        wanted[name] = turn
        queue.add(name, 0.0005 if turn % 5 == 0 else 0)
        if turn % 7 == 0:
            await asyncio.sleep(0.001)
    async with asyncio.timeout(10):
        while passes != wanted:  # noqa: ASYNC110 - polled: the queue under test must not be told of the end
            await asyncio.sleep(0.01)
    for task in tasks:
        assert not task.done()
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
