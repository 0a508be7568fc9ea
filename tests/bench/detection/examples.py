"""What the corpora are read into."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

Channel = Literal["user", "tool"]
MAX_CHARACTERS = 20_000


@dataclass(frozen=True, slots=True)
class Example:
    """One text as it would reach a model: said by a person, or brought by a tool."""

    source: str
    text: str
    channel: Channel = "user"
    part: str = ""
    """Of a source with many authors, whose it is."""

    @property
    def id(self) -> str:
        """The same in every run: what is drawn by chance is drawn by it."""
        return hashlib.sha256(f"{self.source}\0{self.channel}\0{self.text}".encode()).hexdigest()


def some(examples: Iterable[Example], most: int) -> list[Example]:
    """At most so many of them, the same in every run, whatever their order."""
    return sorted(set(examples), key=lambda one: one.id)[:most]


def readable(source: str, texts: Iterable[str], channel: Channel = "user", part: str = "") -> Iterator[Example]:
    """Those of the texts that say something."""
    for text in texts:
        if len(text.strip()) >= 8:
            yield Example(source, text.strip()[:MAX_CHARACTERS], channel, part)
