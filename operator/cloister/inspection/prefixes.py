"""All beginnings of what an expression matches, as an expression: what may still become a value when more text comes.

A reply is passed on as it is made. How much of its end has to wait is told by one search: the longest end of the text
that is a beginning of some value. The result takes in more than it must where that is simpler: assertions (`\\b`) are
left out, and long repetitions are not counted.
"""

from collections.abc import Iterable
from re import _constants as ops  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

_CATEGORIES = {
    ops.CATEGORY_DIGIT: r"\d",
    ops.CATEGORY_NOT_DIGIT: r"\D",
    ops.CATEGORY_SPACE: r"\s",
    ops.CATEGORY_NOT_SPACE: r"\S",
    ops.CATEGORY_WORD: r"\w",
    ops.CATEGORY_NOT_WORD: r"\W",
}


class UnreadableError(ValueError):
    """An expression with something in it of which no beginnings can be told. The text says what."""


def prefixes(pattern: str, counted: int) -> str:
    """An expression (RE2) for every beginning, but the empty one, of what `pattern` matches. Repetitions up to
    `counted` are counted: the fewer, the smaller the automaton, and the more it takes in."""
    tree = parse(pattern)
    found = _Reader(counted).begun(list(tree))
    if found is None:
        raise UnreadableError("it matches nothing but the empty text")
    return f"(?i:{found})" if tree.state.flags & ops.SRE_FLAG_IGNORECASE else found


def parse(pattern: str) -> Any:
    """The tree of an expression, by the standard library's own reader (which Hypothesis reads by, too)."""
    try:
        return parser.parse(pattern)
    except (parser.error, OverflowError, RecursionError) as error:
        raise UnreadableError(str(error)) from None


class _Reader:
    """Writes an expression anew, from its tree."""

    def __init__(self, counted: int) -> None:
        self._counted = counted

    def begun(self, items: list[Any]) -> str | None:
        """Beginnings of a sequence: of its first item, or that whole and then beginnings of the rest."""
        found: str | None = None
        for item in reversed(items):
            first = self._begun_item(*item)
            if first is not None:
                found = first if found is None else f"(?:{first}|{self._whole_item(*item)}{found})"
        return found

    def _begun_item(self, op: Any, value: Any) -> str | None:
        match op:
            case ops.AT:
                return None
            case ops.BRANCH:
                return _either(self.begun(list(branch)) for branch in value[1])
            case ops.SUBPATTERN:
                return _flagged(value, self.begun(list(value[3])))
            case ops.MAX_REPEAT | ops.MIN_REPEAT:
                _, most, inner = value
                begun = self.begun(list(inner))
                if begun is None or most == 0:
                    return None
                if _is_one(list(inner)):
                    return f"{self._whole(list(inner))}{self._times(1, most)}"
                before = most if most == ops.MAXREPEAT else most - 1
                return f"(?:{self._whole(list(inner))}){self._times(0, before)}{begun}"
            case _:
                return self._whole_item(op, value)

    def _whole(self, items: list[Any]) -> str:
        return "".join(self._whole_item(*item) for item in items)

    def _whole_item(self, op: Any, value: Any) -> str:
        match op:
            case ops.AT:
                return ""
            case ops.LITERAL:
                return _character(value)
            case ops.NOT_LITERAL:
                return f"[^{_character(value)}]"
            case ops.ANY:
                return r"[\s\S]"
            case ops.IN:
                return _class(value)
            case ops.BRANCH:
                return _either(self._whole(list(branch)) for branch in value[1]) or ""
            case ops.SUBPATTERN:
                return _flagged(value, self._whole(list(value[3]))) or ""
            case ops.MAX_REPEAT | ops.MIN_REPEAT:
                least, most, inner = value
                return f"(?:{self._whole(list(inner))}){self._times(least, most)}"
            case _:
                raise UnreadableError(f"{str(op).lower()} is not possible here")

    def _times(self, least: int, most: int) -> str:
        if most == ops.MAXREPEAT or most > self._counted:
            return "*" if least == 0 else "+"
        return f"{{{least},{most}}}"


def _is_one(items: list[Any]) -> bool:
    return len(items) == 1 and items[0][0] in (ops.LITERAL, ops.NOT_LITERAL, ops.ANY, ops.IN)


def _flagged(group: Any, inner: str | None) -> str | None:
    if inner is None:
        return None
    return f"(?i:{inner})" if group[1] & ops.SRE_FLAG_IGNORECASE else f"(?:{inner})"


def _either(branches: Iterable[str | None]) -> str | None:
    found = list(dict.fromkeys(branch for branch in branches if branch is not None))
    return f"(?:{'|'.join(found)})" if found else None


def _character(code: int) -> str:
    return f"\\x{{{code:x}}}"


def _class(items: Iterable[Any]) -> str:
    parts = []
    for op, value in items:
        match op:
            case ops.NEGATE:
                parts.append("^")
            case ops.LITERAL:
                parts.append(_character(value))
            case ops.RANGE:
                parts.append(f"{_character(value[0])}-{_character(value[1])}")
            case ops.CATEGORY:
                parts.append(_CATEGORIES[value])
            case _:
                raise UnreadableError(f"{str(op).lower()} is not possible here")
    return f"[{''.join(parts)}]"
