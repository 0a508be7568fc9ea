"""What deployments depend on: followed once for all, told to those alone who want it, and ended with the last."""

import asyncio
from collections.abc import Callable, Iterable

import pytest

from cloister.controller import followed
from cloister.controller.followed import Followed, Tell


class Source:
    """Tells what a test says, and remembers who follows."""

    def __init__(self) -> None:
        self.told: dict[str, Tell[str]] = {}
        self.begun: list[str] = []
        self.ended: list[str] = []
        self.woken: list[set[str]] = []
        self.followed = Followed(self.follow)
        self.followed.wake = self._wake

    async def follow(self, key: str, tell: Tell[str]) -> None:
        self.told[key] = tell
        self.begun.append(key)
        try:
            await asyncio.Event().wait()
        finally:
            self.ended.append(key)

    def _wake(self, names: Iterable[str]) -> None:
        self.woken.append(set(names))


async def until(check: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not check():  # noqa: ASYNC110 - what is awaited is no event
            await asyncio.sleep(0)


async def test_one_task_serves_all_and_wakes_those_who_want_it() -> None:
    source = Source()
    source.followed.want("a", ["x"])
    source.followed.want("b", ["x", "y"])
    source.followed.want("c", ["y"])
    await until(lambda: len(source.begun) == 2)
    source.told["x"]("1")
    source.told["x"]("1")  # no news
    source.told["y"]("2")
    assert source.woken == [{"a", "b"}, {"b", "c"}]
    assert await source.followed.latest("x", 5) == "1"
    assert await source.followed.latest("y", 5) == "2"
    await source.followed.close()
    assert sorted(source.ended) == ["x", "y"]


async def test_what_nobody_wants_is_followed_no_longer() -> None:
    source = Source()
    source.followed.want("a", ["x"])
    source.followed.want("b", ["x"])
    await until(lambda: source.begun)
    source.told["x"]("1")
    source.followed.want("a", [])
    await asyncio.sleep(0)
    assert source.ended == []
    source.followed.want("b", ["y"])
    await until(lambda: source.ended == ["x"])
    # Wanted again, it is asked again: an answer of before would be old.
    source.followed.want("a", ["x"])
    assert await source.followed.latest("x", 0.01) is None
    await until(lambda: source.begun == ["x", "y", "x"])
    source.told["x"]("2")
    assert await source.followed.latest("x", 5) == "2"
    await source.followed.close()


async def test_the_first_answer_is_waited_for() -> None:
    source = Source()
    source.followed.want("a", ["x"])
    waiting = asyncio.create_task(source.followed.latest("x", 10))
    await until(lambda: source.begun)
    source.told["x"]("1")
    assert await waiting == "1"
    await source.followed.close()


async def test_a_defect_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(followed, "_DEFECT_SECONDS", 0)
    attempts = []

    async def follow(key: str, tell: Tell[str]) -> None:
        attempts.append(key)
        if len(attempts) == 1:
            raise KeyError(key)
        tell("1")
        await asyncio.Event().wait()

    both = Followed(follow)
    both.want("a", ["x"])
    assert await both.latest("x", 10) == "1"
    assert attempts == ["x", "x"]
    await both.close()
