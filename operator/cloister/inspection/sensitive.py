"""What must not leave in a reply: values of known kinds, and the deployment's own words and patterns."""

import re
from collections.abc import Iterable
from functools import lru_cache

import re2

from cloister.inspection import national, tokens
from cloister.inspection.own import Own
from cloister.inspection.prefixes import prefixes
from cloister.inspection.rows import Hit, Row, Table, merged, options
from cloister.masking import Kind, expressions
from cloister.masking import find as find_masked

NATIONAL = "national"
"""A kind beside those of :mod:`cloister.masking`."""
KINDS = (*(kind.value for kind in Kind), NATIONAL)
_ROUGH, _EXACT = 4, 64
"""Repetitions that are counted: in the search that every piece of text takes, and in the one that long ends take."""
_LONG = 80
"""Bytes; a longer end is looked at more closely before it waits."""
_DECIDED_LATE = r"(?:(?:[0-9]{1,3}\.){3}[0-9]{1,3}|[0-9A-Fa-f:]{2,39})\."
"""An IP address before a full stop is one unless a digit follows."""


WORTH_A_LOOK = re.compile(rb"[0-9@:=|]|-{5}|[A-Za-z_+/-]{11}")
"""In every value of the known kinds; in most words of a reply it is not, and they are told at once."""
_FEW = 64
"""Bytes. The standard library's matcher starts sooner than RE2 and goes on more slowly: it is for a few words alone."""


class Detector:
    """Finds values in text that comes in pieces, in linear time; bytes of UTF-8 in, positions in bytes out."""

    def __init__(self, kinds: Iterable[str] = KINDS, own: Own | None = None) -> None:
        wanted = frozenset(kinds)
        self._kinds = frozenset(kind for kind in Kind if kind.value in wanted)
        rows = (*(tokens.ROWS if Kind.SECRET in self._kinds else ()), *(national.ROWS if NATIONAL in wanted else ()))
        self._tables = [_table(rows)] if rows else []
        forms = [*(expressions(self._kinds) if self._kinds else ()), *(row.pattern for row in rows)]
        late = [_DECIDED_LATE] if Kind.IP in self._kinds else []
        self._ends = [_Ends(forms, late, utf8=False)] if forms else []
        self._quick = True
        if own_rows := own.rows() if own else ():
            self._quick = False
            self._tables.append(Table(own_rows, utf8=True))
            self._ends.append(_Ends([row.pattern for row in own_rows], [], utf8=True))

    def find(self, data: bytes, start: int = 0) -> list[Hit]:
        """Every value that begins at `start` or later, in order and without overlap."""
        if self._quick and len(data) - start < _FEW and not WORTH_A_LOOK.search(data, start):
            return []
        found: list[Hit] = []
        if self._kinds:
            found += [Hit(one.start, one.stop, one.mark) for one in find_masked(data, self._kinds, start)]
        for table in self._tables:
            found += table.find(data, start)
        return merged(found) if len(found) > 1 else found

    def live(self, data: bytes) -> int:
        """Where the end of the text begins that may still become a value with what follows it. What lies before is
        decided: nothing that comes can make a value of it."""
        place = len(data)
        for end in self._ends:
            place = min(place, end.begins(data))
        return place


class _Ends:
    """The longest end of a text that is the beginning of a value."""

    def __init__(self, forms: Iterable[str], late: Iterable[str], *, utf8: bool) -> None:
        forms, late = tuple(forms), tuple(late)
        self._rough, self._exact = (_ending(forms, late, counted, utf8=utf8) for counted in (_ROUGH, _EXACT))

    def begins(self, data: bytes) -> int:
        """Its place; the length of the text where it has none."""
        found = self._rough.search(data)
        if found is None:
            return len(data)
        start: int = found.start()
        if len(data) - start > _LONG:
            found = self._exact.search(data, start)
            start = len(data) if found is None else found.start()
        return start


@lru_cache(8)
def _table(rows: tuple[Row, ...]) -> Table:
    return Table(rows)


@lru_cache(16)
def _ending(forms: tuple[str, ...], late: tuple[str, ...], counted: int, *, utf8: bool) -> "re2._Regexp[bytes]":
    begun = "|".join([*(prefixes(form, counted) for form in forms), *late])
    return re2.compile(f"(?:{begun})\\z".encode("utf-8" if utf8 else "latin-1"), options=options(utf8=utf8))
