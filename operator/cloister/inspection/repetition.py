"""Replies that say the same over and over: what a model says before it begins to recite what it was trained on.

M. Nasr et al., "Scalable Extraction of Training Data from (Production) Language Models", 2023: asked to repeat a word
forever, models diverge after some hundreds of repetitions. So such a reply is to end before.
"""

import zlib

WINDOW = 2048
"""Characters that are looked at together: some hundreds of words."""
SHARE = 0.05
"""Of its size, to which only a text that repeats itself can be deflated: prose comes to about half of it."""


class Repetition:
    """Follows a reply's texts, all of them together."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._size = 0

    def copy(self) -> "Repetition":
        """Another that has heard the same."""
        other = Repetition()
        other._parts, other._size = list(self._parts), self._size
        return other

    def feed(self, text: str) -> bool:
        """Whether the latest window of the reply does nothing but repeat itself."""
        self._parts.append(text)
        self._size += len(text)
        if self._size < WINDOW:
            return False
        window = "".join(self._parts)
        self._parts, self._size = [], 0
        return any(_repeats(window[at : at + WINDOW]) for at in range(0, len(window) - WINDOW + 1, WINDOW))


def _repeats(window: str) -> bool:
    data = window.encode("utf-8", "replace")
    return len(zlib.compress(data, 1)) < SHARE * len(data)
