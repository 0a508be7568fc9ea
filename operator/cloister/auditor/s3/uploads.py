"""Multipart uploads that are open, by caller: a store has room for so many, and one caller must not take all of it."""

import itertools
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from cloister.auditor.s3.errors import slow_down

MOST = 32
"""Of one caller's. Whoever uploads files in parallel has a dozen or two."""
IDLE_SECONDS = 7200
"""After which the store gives one up (`--multipart-expiry`)."""
_ID = re.compile(rb"<UploadId>([A-Za-z0-9._~-]{1,256})</UploadId>")


@dataclass
class Uploads:
    """Counts them. Kept in memory: after a restart the store's own limits hold, until what was open has ended."""

    now: Callable[[], float] = time.monotonic
    _open: dict[str, dict[str, float]] = field(default_factory=dict)
    """Caller -> upload, or what is about to become one -> when it was last heard of."""
    _asked: "itertools.count[int]" = field(default_factory=itertools.count)

    def begin(self, peer: str) -> str:
        """Keeps a place for one that is asked for; a Refusal where the caller has as many open as it may."""
        since = self.now() - IDLE_SECONDS
        mine = {upload: at for upload, at in self._open.get(peer, {}).items() if at > since}
        self._open[peer] = mine
        if len(mine) >= MOST:
            raise slow_down(f"{MOST} of your uploads are open: complete or abort some.", 5)
        place = f"asked for {next(self._asked)}"
        mine[place] = self.now()
        return place

    def begun(self, peer: str, place: str, answer: bytes) -> None:
        """The store has answered to it, or nothing has come of it."""
        self.ended(peer, place)
        if found := _ID.search(answer):
            self._open.setdefault(peer, {})[found[1].decode()] = self.now()

    def goes_on(self, peer: str, upload: str) -> None:
        """A part of one has come."""
        if upload in (mine := self._open.get(peer, {})):
            mine[upload] = self.now()

    def ended(self, peer: str, upload: str) -> None:
        """It was completed or aborted, or the store does not know it."""
        mine = self._open.get(peer, {})
        mine.pop(upload, None)
        if not mine:
            self._open.pop(peer, None)
