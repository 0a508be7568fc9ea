"""Sentences of our own to learn from: grammar.yaml, read aloud."""

import random
import re
from pathlib import Path
from typing import Any

import yaml

from tests.bench.detection.examples import Example, readable

GRAMMAR = Path(__file__).with_name("grammar.yaml")
_SEED = 20_261_130
_EACH = 30
"""Sentences that are made of one pattern."""
_SLOT = re.compile(r"\{([A-Za-z]+\d?)\}")


def attacks() -> list[Example]:
    """What a person says, and what lies in a document."""
    found = _read()
    made = _made(found["attacks"], found["lists"])
    return _each("own-attacks", [*made, *found["languages"]])


def ordinary() -> list[Example]:
    """Questions, orders, mails and manuals with the same words."""
    found = _read()
    made = _made(found["ordinary"], found["words"])
    return _each("own-ordinary", [*made, *found["ordinary_languages"]])


def _each(source: str, texts: list[str]) -> list[Example]:
    """Each left out on its own when the threshold is chosen: all of them together would be a language of its own."""
    return [example for text in texts for example in readable(source, [text], part=text)]


def _read() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(GRAMMAR.read_text())
    return found


def _made(patterns: list[str], lists: dict[str, list[str]]) -> list[str]:
    drawn = random.Random(_SEED)
    return [_filled(pattern, lists, drawn) for pattern in patterns for _ in range(_EACH)]


def _filled(pattern: str, lists: dict[str, list[str]], drawn: random.Random) -> str:
    """A pattern with a word of each list in its place; a name that begins with a capital gives one."""

    def word(found: "re.Match[str]") -> str:
        name = found.group(1)
        chosen = _filled(str(drawn.choice(lists[name.lower()])), lists, drawn)
        return chosen[:1].upper() + chosen[1:] if name[0].isupper() else chosen

    return _SLOT.sub(word, pattern).replace("\\n", "\n")
