"""A table of expressions: where their values are in a text, in linear time."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import re2


class Row(NamedTuple):
    """One kind of value."""

    rule: str
    """What a verdict calls it."""
    pattern: str
    """RE2. Where it has a group, and that took part, the group is the value."""
    check: Callable[[bytes], bool]
    """Whether a candidate is one."""
    sign: bytes = b""
    """What stands in each of its values. Given for those with parts of any length before their last: such a row is
    looked for apart, for among others the search would run through such a part again behind each value in there."""


class Hit(NamedTuple):
    """A value, and where it lies."""

    start: int
    stop: int
    rule: str
    number: bool = False
    """Whether it is digits alone, so that in JSON it may be a number."""


def anything(text: bytes) -> bool:
    """The check of rows whose form is enough."""
    return True


class Table:
    """Rows that are looked for together."""

    def __init__(self, rows: Iterable[Row], *, utf8: bool = False) -> None:
        """`utf8`: the expressions speak of characters; otherwise of bytes, those above 127 by Latin-1."""
        self._utf8 = utf8
        self._rows = [(row, self._compiled(row.pattern)) for row in rows]
        self._any = self._compiled("|".join(f"(?:{row.pattern})" for row, _ in self._rows))

    def find(self, data: bytes, start: int = 0) -> list[Hit]:
        """Every value that begins at `start` or later, in order and without overlap; positions are bytes."""
        found: list[Hit] = []
        at: int | None = start
        while at is not None:
            at = self._collect(data, at, found)
        return found

    def _collect(self, data: bytes, at: int, found: list[Hit]) -> int | None:
        for candidate in self._any.finditer(data, at):
            start: int = candidate.start()
            hit, end = self._told(data, start)
            if hit is None:
                return start + 1
            found.append(hit)
            if end != candidate.end():
                return end
        return None

    def _told(self, data: bytes, start: int) -> tuple[Hit | None, int]:
        for row, expression in self._rows:
            match = expression.match(data, start)
            if match is None:
                continue
            begin, stop = match.span(1) if expression.groups else (-1, -1)
            if begin < 0:
                begin, stop = match.span()
            if stop > begin and row.check(data[begin:stop]):
                return Hit(begin, stop, row.rule), match.end()
        return None, start

    def _compiled(self, pattern: str) -> "re2._Regexp[bytes]":
        return re2.compile(pattern.encode("utf-8" if self._utf8 else "latin-1"), options=options(utf8=self._utf8))


def options(*, utf8: bool) -> re2.Options:
    """How expressions over bytes are compiled."""
    found = re2.Options()
    found.encoding = re2.Options.Encoding.UTF8 if utf8 else re2.Options.Encoding.LATIN1
    found.max_mem = 64 << 20
    found.log_errors = False
    return found
