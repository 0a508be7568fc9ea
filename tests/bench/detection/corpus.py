"""The examples of a split, without what another split has too."""

import functools
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import yaml

from tests.bench.detection import measuring, training
from tests.bench.detection.environment import corpora
from tests.bench.detection.examples import Example

SPLIT = Path(__file__).with_name("split.yaml")
Split = Literal["train", "test", "apart"]
_SHINGLE, _ALIKE = 6, 0.5
"""Words in a row, and the share of a text's that another text has too: then the two are near-duplicates."""


@dataclass(frozen=True)
class Source:
    """One line of the split."""

    name: str
    package: str
    licence: str
    label: Literal["attack", "benign", "harm", "unlabelled"]
    split: Split

    def read(self) -> list[Example]:
        """Its examples."""
        module = training if self.split == "train" else measuring
        reader: Callable[[Path], list[Example]] = getattr(module, self.name.replace("-", "_"))
        return reader(corpora(self.package) if self.package else Path())


def sources() -> list[Source]:
    """As split.yaml has them."""
    return [Source(**one) for one in yaml.safe_load(SPLIT.read_text())["sources"]]


@functools.cache
def examples(split: Split) -> dict[Source, tuple[Example, ...]]:
    """By source. In test and apart, of near-duplicates the first stays, and nothing that train has."""
    seen = _Seen()
    if split != "train":
        for learned in examples("train").values():
            for example in learned:
                seen.add(example.text)
    found: dict[Source, tuple[Example, ...]] = {}
    for source in sources():
        if source.split == split:
            kept = []
            for example in source.read():
                # What is learned from may repeat itself; what is measured may not.
                if split == "train" or not seen.knows(example.text):
                    seen.add(example.text)
                    kept.append(example)
            found[source] = tuple(kept)
    return found


def of(found: dict[Source, tuple[Example, ...]], label: str) -> list[Example]:
    """Those of one label."""
    return [example for source, examples in found.items() if source.label == label for example in examples]


class _Seen:
    """Texts by the rows of words in them."""

    def __init__(self) -> None:
        self._rows: dict[int, set[int]] = {}
        self._count = 0

    def add(self, text: str) -> None:
        self._count += 1
        for row in _rows_of(text):
            self._rows.setdefault(row, set()).add(self._count)

    def knows(self, text: str) -> bool:
        """Whether half of its rows of words are in one text that was added."""
        rows = _rows_of(text)
        shared: dict[int, int] = {}
        for row in rows:
            for number in self._rows.get(row, ()):
                shared[number] = shared.get(number, 0) + 1
        return bool(shared) and max(shared.values()) >= _ALIKE * len(rows)


def _rows_of(text: str) -> set[int]:
    words: list[str] = re.findall(r"\w+", text.lower())
    size = min(_SHINGLE, max(1, len(words)))
    return {hash(tuple(words[at : at + size])) for at in range(max(1, len(words) - size + 1))}


def texts(found: Iterable[Example]) -> list[str]:
    """What they say."""
    return [example.text for example in found]
