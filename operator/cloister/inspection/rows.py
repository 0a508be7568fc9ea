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
    begins: str = ""
    """RE2, of bounded length: how each of its values begins. Given for those with parts of any length before their
    last: such a row is looked for apart, for among others the search would run through such a part again behind each
    value in there."""


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
        compiled = [(row, self._compiled(row.pattern)) for row in rows]
        self._rows = [(row, expression) for row, expression in compiled if not row.begins]
        self._apart = [(self._compiled(row.begins), row, expression) for row, expression in compiled if row.begins]
        self._any = self._either(row.begins or row.pattern for row, _ in compiled)
        self._plain = self._either(row.pattern for row, _ in self._rows) if self._apart else self._any

    def find(self, data: bytes, start: int = 0) -> list[Hit]:
        """Every value that begins at `start` or later, in order and without overlap; positions are bytes."""
        found: list[Hit] = []
        begun: dict[int, int] = {}
        at: int | None = start
        while at is not None:
            at = self._collect(data, at, found, begun)
        if not begun:
            return found
        for number, first in begun.items():
            _, row, expression = self._apart[number]
            found += [
                Hit(one.start(), one.end(), row.rule) for one in expression.finditer(data, first) if row.check(one[0])
            ]
        return merged(found)

    def _collect(self, data: bytes, at: int, found: list[Hit], begun: dict[int, int]) -> int | None:
        """Takes candidates until one is none; where to go on then. ``begun`` gets which rows could have values that are
        looked for apart, and from where on."""
        for candidate in self._any.finditer(data, at):
            start: int = candidate.start()
            for number, (begins, _, _) in enumerate(self._apart):
                if number not in begun and begins.match(data, start):
                    begun[number] = start
            hit, end = self._told(data, start)
            if hit is None:
                return start + 1
            found.append(hit)
            if end != candidate.end():
                return end
        return None

    def _told(self, data: bytes, start: int) -> tuple[Hit | None, int]:
        if self._apart and not self._plain.match(data, start):  # a look at each of the rows costs as much as they are
            return None, start
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

    def _either(self, forms: Iterable[str]) -> "re2._Regexp[bytes]":
        return self._compiled("|".join(f"(?:{form})" for form in forms))

    def _compiled(self, pattern: str) -> "re2._Regexp[bytes]":
        return re2.compile(pattern.encode("utf-8" if self._utf8 else "latin-1"), options=options(utf8=self._utf8))


def merged(found: Iterable[Hit]) -> list[Hit]:
    """The same places without overlap, in order: what overlaps becomes one, by the name of the first."""
    whole: list[Hit] = []
    for hit in sorted(found):
        if whole and hit.start < whole[-1].stop:
            if hit.stop > whole[-1].stop:
                whole[-1] = whole[-1]._replace(stop=hit.stop)
        else:
            whole.append(hit)
    return whole


def options(*, utf8: bool) -> re2.Options:
    """How expressions over bytes are compiled."""
    found = re2.Options()
    found.encoding = re2.Options.Encoding.UTF8 if utf8 else re2.Options.Encoding.LATIN1
    found.max_mem = 64 << 20
    found.log_errors = False
    return found
