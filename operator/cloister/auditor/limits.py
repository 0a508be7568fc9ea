"""How many requests of one caller are under way at once."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from cloister.auditor.callers import Caller
from cloister.auditor.refusal import Refusal


class Concurrency:
    """Counts by machine and person. What leaves is forgotten, so it holds only who is there."""

    def __init__(self, limit: int | None) -> None:
        self._limit = limit
        self._under_way: Counter[tuple[str, str | None]] = Counter()

    @contextmanager
    def slot(self, caller: Caller) -> Iterator[None]:
        """Holds one of the caller's places, or raises a 429."""
        key = (caller.peer, caller.person.subject if caller.person else None)
        if self._limit is not None and self._under_way[key] >= self._limit:
            raise Refusal(
                429,
                f"More than {self._limit} requests are under way: wait for one to end.",
                kind="rate_limit_error",
                code="concurrency_exceeded",
                headers=(("retry-after", "1"),),
            )
        self._under_way[key] += 1
        try:
            yield
        finally:
            self._under_way[key] -= 1
            if not self._under_way[key]:
                del self._under_way[key]
