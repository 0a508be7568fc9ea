"""Before a model server: everything that looks at requests and replies, put together.

Imported in inference pods alone: stores and training need none of what the detectors are made of.
"""

from collections.abc import Callable

from cloister import sidecar
from cloister.auditor.behaviour import Watch
from cloister.auditor.callers import Callers
from cloister.auditor.content import Content
from cloister.auditor.exchange import Inspector, Means
from cloister.auditor.extraction import ExtractionGuard
from cloister.auditor.guarding import Guard
from cloister.auditor.http.downstream import Downstream
from cloister.auditor.http.upstream import Pool
from cloister.auditor.limits import Concurrency
from cloister.auditor.output.guard import OutputGuard
from cloister.auditor.recorder import Recorder
from cloister.auditor.revocations import RevocationList
from cloister.auditor.sessions import NoRisk, Sessions
from cloister.auditor.stats import Stats


class Inference:
    """What the resource asks for; what it leaves out does not exist."""

    def __init__(
        self, config: sidecar.Auditor, recorder: Recorder, pool: Pool, stats: Stats, content_key: bytes
    ) -> None:
        guard, extraction, output = config.guard, config.extraction, config.output
        self._revocations = RevocationList(config.people.revocations)
        self._guard = Guard(guard) if guard and guard.prompt_injection != "Off" else None
        self._extraction = ExtractionGuard(extraction, stats) if extraction else None
        self.watch = Watch.over(config.behaviour, stats, recorder.note) if config.behaviour else None
        self._kept = [one for one in (self.watch, self._extraction) if one]
        """What they know of callers outlives a restart."""
        self._inspector = Inspector(
            Means(
                config=config,
                recorder=recorder,
                pool=pool,
                callers=Callers(config.people.claims),
                sessions=Sessions(config.people, self._revocations, self.watch or NoRisk()),
                concurrency=Concurrency(config.limits.concurrent),
                content=Content(config.journal.content, content_key),
                stats=stats,
                output=OutputGuard(output, stats) if output else None,
                watch=self.watch,
                judges=tuple(judge for judge in (self._guard, self._extraction) if judge),
                extraction=self._extraction,
            )
        )

    def connection(self, connections: set[Downstream]) -> Callable[[], Downstream]:
        """What a server makes for each connection."""
        return lambda: Downstream(self._inspector, connections)

    def unready(self) -> str | None:
        """Why nobody should be admitted."""
        if self._guard and not self._guard.known:
            return f"the rules for prompt injection can't be read: {self._guard.error}"
        return None if self._revocations.known else "the list of revoked sign-ins can't be read"

    def tick(self) -> None:
        """To be called about once a second."""
        for one in self._kept:
            one.tick()
        self._revocations.reload()
        if self._guard:
            self._guard.tick()

    def close(self) -> None:
        """Saves what outlives a restart."""
        for one in self._kept:
            one.close()
