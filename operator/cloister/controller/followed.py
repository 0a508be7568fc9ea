"""What deployments depend on outside their own objects, each followed by one task for all who need it."""

import asyncio
from collections.abc import Callable, Coroutine, Hashable, Iterable
from typing import Any, Generic, TypeVar

import structlog

log = structlog.get_logger(__name__)

_DEFECT_SECONDS = 30.0

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

Tell = Callable[[V], None]
Wake = Callable[[Iterable[str]], None]


class Followed(Generic[K, V]):
    """For one event loop. A deployment says what it wants; it is woken when that changes, and nobody else is."""

    def __init__(self, follow: Callable[[K, Tell[V]], Coroutine[Any, Any, None]]) -> None:
        self.wake: Wake = lambda _: None
        self._follow = follow
        """Runs for ever and tells each news of a key; it ends only by being cancelled."""
        self._tasks: dict[K, asyncio.Task[None]] = {}
        self._latest: dict[K, V] = {}
        self._first: dict[K, asyncio.Event] = {}
        self._wanted: dict[str, frozenset[K]] = {}

    def want(self, deployment: str, keys: Iterable[K]) -> None:
        """What a deployment depends on from now on. What nobody wants any more is followed no longer."""
        self._wanted[deployment] = frozenset(keys)
        if not self._wanted[deployment]:
            del self._wanted[deployment]
        needed = frozenset[K]().union(*self._wanted.values())
        for key in needed - self._tasks.keys():
            self._first[key] = asyncio.Event()
            self._tasks[key] = asyncio.get_running_loop().create_task(self._run(key))
        for key in self._tasks.keys() - needed:
            self._tasks.pop(key).cancel()
            self._first.pop(key)
            self._latest.pop(key, None)

    async def latest(self, key: K, patience: float) -> V | None:
        """The latest of a key that is wanted; the first may be waited for so many seconds. None: nothing yet."""
        try:
            async with asyncio.timeout(patience):
                await self._first[key].wait()
        except TimeoutError:
            return None
        return self._latest.get(key)

    async def close(self) -> None:
        """Follow nothing any more."""
        tasks = list(self._tasks.values())
        for name in list(self._wanted):
            self.want(name, ())
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, key: K) -> None:
        def tell(value: V) -> None:
            news = key not in self._latest or self._latest[key] != value
            self._latest[key] = value
            first = not self._first[key].is_set()
            self._first[key].set()
            if news or first:
                self.wake([name for name, keys in self._wanted.items() if key in keys])

        while True:
            try:
                await self._follow(key, tell)
            except Exception:
                # A defect must not leave old keys in force for ever.
                log.exception("following ended", what=str(key))
            await asyncio.sleep(_DEFECT_SECONDS)
