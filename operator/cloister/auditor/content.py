"""How much of prompts and replies the journal keeps: `audit.content` None, Hash, Redacted or Full."""

import base64
import hashlib
import hmac
from collections.abc import Callable, Iterable
from typing import Any, Literal

import orjson

from cloister.auditor.openai.replies import Piece
from cloister.auditor.redaction import StreamRedactor
from cloister.journal.redact import redact

Mode = Literal["None", "Hash", "Redacted", "Full"]
Fields = dict[str, Any]


class Content:
    """The fields of a record that tell what was said."""

    def __init__(self, mode: Mode, key: bytes) -> None:
        self._key = key
        self._mode = mode
        self.whole: Callable[[bytes], Fields] = {
            "None": lambda body: {},
            "Hash": self._hash,
            "Redacted": _redacted,
            "Full": full,
        }[mode]
        """The fields for a body that is there as a whole."""

    def stream(self) -> "StreamContent":
        """The same for a reply that comes piece by piece."""
        return StreamContent(self._mode, self.whole)

    def _hash(self, body: bytes) -> Fields:
        # Keyed, because a short prompt is found by trying; the key is in the sealed journal, for its readers alone.
        return {"content_hmac": hmac.digest(self._key, body, hashlib.sha256).hex()}


class StreamContent:
    """What was said in a stream, record by record.

    Under Redacted a value may be spread over many events, so text is taken out of the events and its last characters
    wait for the next record.
    """

    def __init__(self, mode: Mode, whole: Callable[[bytes], Fields]) -> None:
        self._mode, self._whole = mode, whole
        self._redactors: dict[str, StreamRedactor] = {}

    def part(self, events: bytes, pieces: Iterable[Piece], *, last: bool) -> Fields:
        """The fields for some whole events."""
        if self._mode != "Redacted":
            return self._whole(events) if events else {}
        texts: dict[str, str] = {}
        for place, text in pieces:
            redactor = self._redactors.get(place)
            if redactor is None:
                redactor = self._redactors[place] = StreamRedactor()
            if ready := redactor.feed(text):
                texts[place] = texts.get(place, "") + ready
        if last:
            for place, redactor in self._redactors.items():
                if ready := redactor.end():
                    texts[place] = texts.get(place, "") + ready
        return {"content": orjson.dumps(texts, option=orjson.OPT_SORT_KEYS).decode()} if texts else {}


def full(body: bytes) -> Fields:
    """Exactly what was said."""
    if not body:
        return {}
    try:
        return {"content": body.decode()}
    except UnicodeDecodeError:
        return {"content": base64.b64encode(body).decode(), "content_encoding": "base64"}


def _redacted(body: bytes) -> Fields:
    if not body:
        return {}
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return {}  # what can't be read can't be redacted: only its size is kept
    if "\\u" in text:
        # Escapes would hide what is to be redacted.
        try:
            text = orjson.dumps(orjson.loads(body)).decode()
        except orjson.JSONDecodeError:
            pass  # no JSON, so no escapes either
        except orjson.JSONEncodeError:
            return {}
    return {"content": redact(text)}
