"""The list of those who are no longer admitted although their token is valid: a mounted file, read again on change."""

from pathlib import Path

import structlog
from pydantic import ValidationError

from cloister import sidecar
from cloister.auditor.callers import Person
from cloister.auditor.mounted import MountedFile

_log = structlog.get_logger()


class RevocationList:
    """What the file says.

    As long as a file is named but could never be read, everybody counts as revoked. One that becomes unreadable later
    takes nothing back: what was read last stays in force.
    """

    def __init__(self, path: str | None) -> None:
        self._file = MountedFile(Path(path)) if path else None
        self._list: sidecar.Revocations | None = None if path else sidecar.Revocations()
        self._index(self._list or sidecar.Revocations())
        self.error: str | None = None
        """Why the file could not be read, the last time that it was tried."""
        self.reload()

    def reload(self) -> bool:
        """Reads the file if it is another than before; whether the list is now another."""
        if not self._file:
            return False
        try:
            found = self._file.fresh(sidecar.Revocations.model_validate_json)
        except (OSError, ValidationError) as error:
            self._complain(self._file.path, error)
            return False
        if found is None:
            return False
        changed = found != self._list
        self._list, self.error = found, None
        self._index(found)
        return changed

    @property
    def known(self) -> bool:
        """Whether there is a list to go by."""
        return self._list is not None

    def reason(self, person: Person) -> str | None:
        """Why this person is not admitted; None when nothing speaks against it."""
        if self._list is None:
            return "the list of revoked sign-ins can't be read"
        if person.subject in self._subjects:
            return "this person's access was revoked"
        if person.session is not None and person.session in self._sessions:
            return "this session was revoked"
        if person.token is not None and person.token in self._tokens:
            return "this token was revoked"
        if self._list.issued_before:
            limit = max(self._list.issued_before.get(person.subject, 0), self._list.issued_before.get("*", 0))
            # A token that does not tell its age can't show that it is younger.
            if limit and (person.issued is None or person.issued < limit):
                return "this token was issued before the sign-ins of that time were revoked"
        return None

    def _index(self, found: sidecar.Revocations) -> None:
        self._subjects = frozenset(found.subjects)
        self._sessions = frozenset(found.sessions)
        self._tokens = frozenset(found.tokens)

    def _complain(self, path: Path, error: OSError | ValidationError) -> None:
        # pydantic's text would repeat the list.
        text = f"{error.error_count()} errors" if isinstance(error, ValidationError) else str(error)
        if text != self.error:
            _log.error("revocation list not read, the last one stays in force", path=str(path), error=text)
        self.error = text
