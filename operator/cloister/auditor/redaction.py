"""Redaction of text that comes piece by piece, with the same result as of the whole."""

import re

from cloister.journal.redact import redact

HOLD = 128
"""Characters that wait for what follows them: more than any value of one line is long, but keys and tokens."""
MAX_HOLD = 16384
"""A text without a place to cut is redacted as it is when it is as long as this."""

_KEY_BEGINS, _KEY_ENDS = "-----BEGIN ", "-----END "
_GAPS = re.compile(r"\s+")


class StreamRedactor:
    """Holds back the end of a text until nothing that follows can change what it is."""

    def __init__(self) -> None:
        self._held = ""

    def feed(self, text: str) -> str:
        """What can be told by now, redacted."""
        self._held += text
        if len(self._held) <= 2 * HOLD:
            return ""
        return self._told(self._place())

    def end(self) -> str:
        """The rest."""
        return self._told(len(self._held))

    def _told(self, place: int) -> str:
        ready, self._held = self._held[:place], self._held[place:]
        return redact(ready) if ready else ""

    def _place(self) -> int:
        """Where to cut: between words, early enough, and not through a value."""
        held = self._held
        if held.rfind(_KEY_BEGINS) > held.rfind(_KEY_ENDS) and len(held) < MAX_HOLD:
            return 0
        whole = None
        for gap in reversed(list(_GAPS.finditer(held, 0, len(held) - HOLD))):
            whole = whole if whole is not None else redact(held)
            if redact(held[: gap.start()]) + redact(held[gap.start() :]) == whole:
                return gap.start()
            if gap.start() < len(held) - 4 * HOLD:
                break
        return len(held) if len(held) >= MAX_HOLD else 0
