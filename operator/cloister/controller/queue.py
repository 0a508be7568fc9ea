"""One queue of names, as client-go's workqueue: a name waits once, and is worked on by one worker at a time.

A name that is added while it is being worked on is worked on again afterwards, so that no event is lost and no two
passes over one deployment overlap. Errors delay a name exponentially; it alone, not the others.
"""

import asyncio
import random
from collections import OrderedDict

from cloister.controller import metrics

_BACKOFF_BASE = 0.25
_BACKOFF_LIMIT = 60.0
_JITTER = 0.2


class WorkQueue:
    """De-duplicated, delayed and rate-limited. For one event loop."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[str, None] = OrderedDict()
        self._processing: set[str] = set()
        self._again: set[str] = set()
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._failures: dict[str, int] = {}
        self._changed = asyncio.Event()

    def add(self, name: str, delay: float = 0.0) -> None:
        """Ask for a pass over a deployment, now or after a delay; of several requests the earliest counts."""
        if delay <= 0:
            self._cancel(name)
            self._enqueue(name)
            return
        due = asyncio.get_running_loop().time() + delay
        timer = self._timers.get(name)
        if timer is None or timer.when() > due:
            self._cancel(name)
            self._timers[name] = asyncio.get_running_loop().call_at(due, self._due, name)

    def add_failed(self, name: str) -> float:
        """Ask again after an error, later each time. Returns the delay."""
        failures = self._failures.get(name, 0)
        self._failures[name] = failures + 1
        delay: float = min(_BACKOFF_BASE * 2**failures, _BACKOFF_LIMIT)
        delay *= 1 + random.uniform(-_JITTER, _JITTER)  # noqa: S311 - no secret
        self.add(name, delay)
        return delay

    def succeeded(self, name: str) -> None:
        """Forget a deployment's errors."""
        self._failures.pop(name, None)

    async def get(self) -> str:
        """The next name; call :meth:`done` with it afterwards."""
        while not self._waiting:
            self._changed.clear()
            await self._changed.wait()
        name, _ = self._waiting.popitem(last=False)
        self._processing.add(name)
        metrics.QUEUE_DEPTH.set(len(self._waiting))
        return name

    def done(self, name: str) -> None:
        """A pass has ended; if the name was added meanwhile, it waits again."""
        self._processing.discard(name)
        if name in self._again:
            self._again.discard(name)
            self._enqueue(name)

    def __len__(self) -> int:
        return len(self._waiting)

    def _enqueue(self, name: str) -> None:
        if name in self._processing:
            self._again.add(name)
            return
        self._waiting[name] = None
        metrics.QUEUE_DEPTH.set(len(self._waiting))
        self._changed.set()

    def _due(self, name: str) -> None:
        self._timers.pop(name, None)
        self._enqueue(name)

    def _cancel(self, name: str) -> None:
        timer = self._timers.pop(name, None)
        if timer is not None:
            timer.cancel()
