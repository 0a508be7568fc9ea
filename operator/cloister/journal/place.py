"""Where a segment lies, and so what it must say that it is: nobody but its writer can put anything there."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from cloister.journal.files import OBJECT, STREAM

_FILE = re.compile(r"([0-9]{10})(?:[.][0-9a-f]{16})?[.][a-z]+")


class Place(NamedTuple):
    """A segment's place in the store."""

    origin: str
    """Name of its stream, without the trust domain."""
    number: int

    def holds(self, origin: str, number: int) -> bool:
        """Whether a segment that says that it is this one belongs here."""
        return (origin.partition("/")[2], number) == self


def contradiction(parts: Sequence[str], origin: str, number: int) -> str | None:
    """How names of folders and file contradict what a segment says that it is; None where they don't.

    ``parts``: of its path, as far as they are known to be names that Cloister gave: of a copy of the store they end in
    `<namespace>/<service account>/<stream id>/<file>`, or in less where only folders below were copied; of a volume in
    `<stream id>/<file>`. Other names tell nothing.
    """
    *folders, file = parts or ("",)
    if not folders or not STREAM.fullmatch(folders[-1]):
        return None
    named = _FILE.fullmatch(file)
    own = folders[-3:] if file.endswith(OBJECT) else folders[-1:]
    if len(own) == 3:
        belongs = Place(f"ns/{own[0]}/sa/{own[1]}/{own[2]}", number).holds(origin, number)
    else:
        belongs = f"/{origin}".endswith("/" + "/".join(own))
    if belongs and (named is None or int(named[1]) == number):
        return None
    return f"it says that it is segment {number} of {origin}, which does not lie in {'/'.join([*own, file])}"
