"""A deployment's own patterns and words: what they may be, and the rows that they become."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import re2

from cloister.inspection.prefixes import UnreadableError, parse, prefixes
from cloister.inspection.rows import Row, anything, options

MAX_MATCH = 256
"""Characters of the longest value that a pattern may describe: as much of a stream may have to wait."""
CANARY = "canary"
_ANCHORS = ("AT_BEGINNING", "AT_BEGINNING_STRING", "AT_END", "AT_END_STRING")
_TWO_READINGS = {"[:": "named classes are not possible: write the characters", "{,": "write {0,n}, not {,n}"}
"""Spellings that are read in one way by RE2, and in another by who looks for beginnings."""


@dataclass(frozen=True)
class Own:
    """Named patterns (RE2), named lists of words or phrases, and strings that stand in system prompts alone."""

    patterns: Mapping[str, str] = field(default_factory=dict)
    dictionaries: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    canaries: tuple[str, ...] = ()

    def rows(self) -> list[Row]:
        """What to look for. Raises ValueError where :func:`complaint` would complain."""
        rows = [Row(CANARY, words(self.canaries), anything)] if self.canaries else []
        rows += [Row(f"dictionary-{name}", words(phrases), anything) for name, phrases in self.dictionaries.items()]
        return [*rows, *(Row(f"pattern-{name}", pattern, anything) for name, pattern in self.patterns.items())]


def complaint(pattern: str) -> str | None:
    """What is wrong with a pattern, and the way out; None if nothing is."""
    try:
        re2.compile(pattern.encode(), options=options(utf8=True))
    except (re2.error, UnicodeEncodeError) as error:
        return f"RE2 can't read it: {_said(error)}"
    for spelling, way_out in _TWO_READINGS.items():
        if spelling in pattern:
            return way_out
    try:
        prefixes(pattern, MAX_MATCH)
        tree = parse(pattern)
    except UnreadableError as error:
        return f"it can't be looked for in a stream: {error}"
    least, most = tree.getwidth()
    if any(anchor in _ANCHORS for anchor in _anchors(tree)):
        return "a value may stand anywhere in a reply: leave out ^ and $"
    if least == 0:
        return "it matches the empty text, so everything: let it ask for at least one character"
    if most > MAX_MATCH:
        return f"it has no bound, or one beyond {MAX_MATCH} characters: write {{1,64}} in place of + or *"
    return None


def words(phrases: Iterable[str]) -> str:
    """An expression for words and phrases as people write them: in any case, with any space between, whole."""
    return "|".join(f"(?i:{_phrase(phrase)})" for phrase in sorted(phrases, key=lambda phrase: (-len(phrase), phrase)))


def _phrase(phrase: str) -> str:
    inner = r"\s{1,3}".join(re2.escape(word) for word in phrase.split())
    first, last = (r"\b" if _is_word(phrase.strip()[end]) else "" for end in (0, -1))
    return f"{first}{inner}{last}"


def _is_word(character: str) -> bool:
    # RE2's \\b knows ASCII only; beside another letter it would never hold.
    return character.isascii() and (character.isalnum() or character == "_")


def _anchors(tree: object) -> Iterator[str]:
    if isinstance(tree, tuple) and len(tree) == 2 and str(tree[0]) == "AT":
        yield str(tree[1])
    if isinstance(tree, list | tuple) or hasattr(tree, "data"):
        for item in tree if isinstance(tree, list | tuple) else tree.data:
            yield from _anchors(item)


def _said(error: Exception) -> str:
    told = error.args[0] if error.args else error
    return told.decode("utf-8", "replace") if isinstance(told, bytes) else str(told)
