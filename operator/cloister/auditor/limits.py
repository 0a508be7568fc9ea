"""How many requests of one caller are under way at once."""

from collections import Counter
from types import TracebackType

from cloister.auditor.callers import Caller
from cloister.auditor.refusal import Refusal


class Concurrency:
    """Counts by machine and person. What leaves is forgotten, so it holds only who is there."""

    def __init__(self, limit: int | None) -> None:
        self.limit = limit
        self.under_way: Counter[tuple[str, str | None]] = Counter()
        self.total = 0
        """Requests under way, of all callers."""

    def slot(self, caller: Caller) -> "Slot":
        """Holds one of the caller's places for a ``with`` statement, or raises a 429."""
        return Slot(self, caller)


class Slot:
    """One place of a caller's. A class, since a generator would cost a request more."""

    __slots__ = ("_counted", "_key")

    def __init__(self, counted: Concurrency, caller: Caller) -> None:
        self._counted = counted
        self._key = (caller.peer, caller.person.subject if caller.person else None)

    def __enter__(self) -> None:
        counted, taken = self._counted, self._counted.under_way[self._key]
        if counted.limit is not None and taken >= counted.limit:
            raise Refusal(
                429,
                f"More than {counted.limit} requests are under way: wait for one to end.",
                kind="rate_limit_error",
                code="concurrency_exceeded",
                headers=(("retry-after", "1"),),
            )
        counted.under_way[self._key] = taken + 1
        counted.total += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        counted = self._counted
        counted.total -= 1
        left = counted.under_way[self._key] - 1
        if left:
            counted.under_way[self._key] = left
        else:
            del counted.under_way[self._key]
