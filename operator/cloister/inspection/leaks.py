"""Whether a reply repeats its own instructions: long runs of the system prompt's words, in their order."""

import re
from collections.abc import Iterable

from cloister.inspection.rows import Hit

RULE = "verbatim"
RUN_WORDS = 16
"""Words in a row that count. Facts that a system prompt gives for quoting (hours, a name, an address) are shorter."""
LEAST_WORDS = 6
"""One of fewer words can't be told from what anybody says; one of fewer than RUN_WORDS counts as a whole."""
MAX_CHARACTERS = 1 << 15
"""Of the system prompt, from its beginning."""

_WORD = re.compile(r"\w+")


class Instructions:
    """A system prompt, read for comparison: its words in lower case, whatever stands between them."""

    def __init__(self, texts: Iterable[str]) -> None:
        words = _WORD.findall("\n".join(texts)[:MAX_CHARACTERS].lower())
        self.text = f" {' '.join(words)} "
        self.needed = min(RUN_WORDS, len(words)) if len(words) >= LEAST_WORDS else 0
        """Words in a row that make a leak; 0 where nothing does."""


class Watch:
    """Follows one text of a reply, and knows from where on it repeats the instructions."""

    def __init__(self, instructions: Instructions) -> None:
        self._instructions = instructions
        self._run: list[tuple[str, int]] = []
        """The words at the end of the text that stand in the instructions in this order, and where each begins."""
        self._told = -1
        """End of what was told as a leak; -1 while the run is short."""

    def read(self, text: str, base: int, start: int, *, final: bool) -> tuple[list[Hit], int, int]:
        """Reads `text[start:]`, which lies at `base` of the whole. What is a leak (positions of the whole), where to
        go on reading in `text`, and from where on (of the whole) it may still become one."""
        hits: list[Hit] = []
        end = start
        for found in _WORD.finditer(text, start):
            if found.end() == len(text) and not final:
                break
            end = found.end()
            self._take(found[0].lower(), base + found.start())
            if self._instructions.needed <= len(self._run):
                first = self._told if self._told >= 0 else self._run[0][1]
                hits.append(Hit(first, base + end, RULE))
                self._told = base + end
        live = self._run[0][1] if self._run and self._told < 0 else base + end
        return hits, end, live

    def _take(self, word: str, place: int) -> None:
        run = (
            [*self._run, (word, place)][-self._instructions.needed :]
            if self._told >= 0
            else [*self._run, (word, place)]
        )
        while run and f" {' '.join(said for said, _ in run)} " not in self._instructions.text:
            del run[0]
            self._told = -1
        self._run = run
