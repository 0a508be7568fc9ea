"""Turns finished replies into what :mod:`cloister.inspection.drift` watches, and changes into alerts."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import structlog

from cloister.inspection.drift import Change, Drift, language, refuses
from cloister.kept import KeptFile

_FILE = "drift.json"
_ENDS = frozenset({"stop", "tool_calls", "function_call"})
_LOGARITHMS = {"length": "tokens", "latency": "seconds"}
_log = structlog.get_logger()


class Replies:
    """The past of replies, kept over restarts like that of callers; it holds figures and languages, no text."""

    def __init__(self, directory: Path) -> None:
        self._file = KeptFile(directory / _FILE)
        self._drift = Drift()
        try:
            self._drift.restore(orjson.loads(self._file.read()))
        except FileNotFoundError:
            pass
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            _log.warning("the past of replies is lost, and learned anew", error=str(error))
            self._drift = Drift()

    def finished(
        self, api: str, record: dict[str, Any], verdicts: list[dict[str, Any]], tokens: int, heard: str, now: float
    ) -> Iterator[Change]:
        """Takes in a reply's last record, all verdicts on it, and the beginning of what it says."""
        if record["type"] != "reply" or record["outcome"] == "cancelled":
            return iter(())
        reasons = record.get("gen_ai.response.finish_reasons", ())
        features = {
            "length": math.log1p(tokens),
            "latency": math.log(max(record.get("duration_us", 0), 1) / 1e6),
            "declined": float(bool(heard) and refuses(heard)),
            "sensitive": float(any(verdict["kind"] == "sensitive-output" for verdict in verdicts)),
            "words": float(any(verdict["rule"].startswith("dictionary-") for verdict in verdicts)),
            "cut": float(record["outcome"] == "cut" or any(reason not in _ENDS for reason in reasons)),
            "failed": float(record.get("status", 502) >= 500),
        }
        model = str(record.get("gen_ai.response.model", ""))
        return self._drift.add(api, model, features, language(heard) if heard else None, now)

    def evidence(self) -> Iterator[tuple[str, str, float]]:
        """API, feature, and how near to a change it is."""
        return self._drift.evidence()

    def lines(self) -> bytes:
        """The file's content as it is now."""
        return orjson.dumps(self._drift.document())

    def save(self, content: bytes) -> None:
        """Replaces the file; OSError. May run in a thread."""
        self._file.replace(content)


def told(change: Change) -> str:
    """A change in words."""
    before, now = (_shown(change.feature, value) for value in (change.before, change.now))
    return f"Replies of {change.model or 'the model'} have changed: {change.feature} was {before}, and is now {now}"


def _shown(feature: str, value: float) -> str:
    if unit := _LOGARITHMS.get(feature):
        return f"about {math.exp(value):.3g} {unit}"
    return f"in {100 * value:.0f} of 100"
