"""Prompt injection in requests: the judge of it, with rules of the user's, a mounted file read again on change."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import structlog

from cloister import sidecar
from cloister.auditor.judges import Asked
from cloister.auditor.mounted import MountedFile
from cloister.auditor.refusal import Refusal
from cloister.detection import detector
from cloister.inspection.injection import KIND, Detector
from cloister.inspection.rules import RulesError, parse
from cloister.inspection.verdict import Action, Finding

_log = structlog.get_logger()

_NOT_FOLLOWED = frozenset({"embeddings"})
"""Operations in which a model does not act on what it reads."""
TOKENS = "token-ids"
"""Rule of the verdict on a prompt that is not text: which words it is, only the model's own tokenizer tells."""


class Guard:
    """Judges what is said to the model (:class:`cloister.auditor.judges.Judge`).

    Rules that can't be read take nothing back: those that were read last stay in force, beside Cloister's own. As long
    as rules are named but could never be read, :attr:`known` is false and the pod is not ready.
    """

    def __init__(self, settings: sidecar.Guard) -> None:
        self._file = MountedFile(Path(settings.rules)) if settings.rules else None
        self._threshold = settings.threshold / 100
        self._detector: Detector = detector(threshold=self._threshold)
        self.known = self._file is None
        self.error: str | None = None
        """Why the file could not be read, the last time that it was tried."""
        self._reading: asyncio.Future[bool] | None = None
        self.action = Action.BLOCK if settings.prompt_injection == "Block" else Action.FLAG
        self.reload()

    def judge(self, asked: Asked) -> Sequence[Finding]:
        """What in a request reads like an injection."""
        if asked.dialect is None:
            return self._detector.findings(asked.document, None)
        if asked.dialect.operation in _NOT_FOLLOWED:
            return ()
        found = self._detector.findings(asked.document, asked.dialect.fields)
        if _has_tokens(asked.document.get("prompt")):
            if self.action is Action.BLOCK:
                message = "A prompt of token ids can't be inspected: send it as text."
                raise Refusal.invalid(message, param="prompt", code="prompt_not_inspectable")
            found.append(Finding(KIND, TOKENS, 1.0, "prompt"))
        return found

    def refusal(self) -> Refusal:
        """No place, no rule and no score: those are in the journal."""
        message = "The request was refused by the content policy of this service."
        return Refusal.invalid(message, code="content_policy_violation")

    def tick(self) -> None:
        """To be called about once a second. Rules are read in a thread: compiling many takes a while."""
        if self._file and (self._reading is None or self._reading.done()):
            self._reading = asyncio.get_running_loop().run_in_executor(None, self.reload)

    def reload(self) -> bool:
        """Reads the file if it is another than before; whether other rules are in force now."""
        if not self._file:
            return False
        try:
            found = self._file.fresh(lambda raw: detector(parse(raw.decode()), threshold=self._threshold))
        except (OSError, UnicodeDecodeError, RulesError) as error:
            if str(error) != self.error:
                _log.error("rules not read, the last ones stay in force", path=str(self._file.path), error=str(error))
            self.error = str(error)
            return False
        if found is None:
            return False
        changed = found.rules != self._detector.rules
        self._detector, self.error, self.known = found, None, True
        _log.info("rules read", version=found.rules.version, rules=len(found.rules.each))
        return changed


def _has_tokens(prompt: Any) -> bool:
    return isinstance(prompt, list) and any(not isinstance(one, str) for one in prompt)
