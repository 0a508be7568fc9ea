"""Redaction of text that comes piece by piece, with the same result as of the whole."""

from collections.abc import Iterator

from cloister.journal.redact import redact

HOLD = 128
"""Characters that wait for what follows them: more than any value of one line is long, but keys and tokens."""
MAX_HOLD = 16384
"""A text without a place to cut is redacted as it is when it is as long as this."""

_KEY_BEGINS, _KEY_ENDS = "-----BEGIN ", "-----END "


class StreamRedactor:
    """Holds back the end of a text until nothing that follows can change what it is."""

    def __init__(self) -> None:
        self._held = ""

    def feed(self, text: str) -> str:
        """What can be told by now, redacted."""
        self._held += text
        if len(self._held) <= 2 * HOLD:
            return ""
        told, self._held = self._cut()
        return told

    def end(self) -> str:
        """The rest."""
        rest, self._held = self._held, ""
        return redact(rest) if rest else ""

    def _cut(self) -> tuple[str, str]:
        """What can be told, redacted, and what waits: cut between words, early enough, and not through a value."""
        held = self._held
        if held.rfind(_KEY_BEGINS) > held.rfind(_KEY_ENDS) and len(held) < MAX_HOLD:
            return "", held
        whole = redact(held)
        for gap in _gaps(held, len(held) - HOLD):
            told, rest = redact(held[:gap]), held[gap:]
            if told + redact(rest) == whole:
                return told, rest
            if gap < len(held) - 4 * HOLD:
                break
        return (whole, "") if len(held) >= MAX_HOLD else ("", held)


def _gaps(text: str, end: int) -> Iterator[int]:
    """Where spaces begin before ``end``, the last ones first."""
    head = text[:end]
    while head:
        bare = head.rstrip()
        if len(bare) < len(head):
            yield len(bare)
        head = bare[: len(bare) - len(bare.rsplit(None, 1)[-1])] if bare else ""
