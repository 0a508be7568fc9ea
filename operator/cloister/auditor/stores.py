"""What an auditor before a store, or beside training, has and one before a model server has not."""

import secrets
from collections.abc import Callable
from pathlib import Path

from cloister import sidecar
from cloister.auditor.http.downstream import Downstream
from cloister.auditor.http.streamed import StreamedDownstream
from cloister.auditor.http.upstream import Pool
from cloister.auditor.recorder import Recorder
from cloister.auditor.s3.copies import Copies
from cloister.auditor.s3.masked import MaskedReads
from cloister.auditor.s3.rights import Rights
from cloister.auditor.s3.service import Means, Service
from cloister.auditor.stats import Stats


class Stores:
    """Serves S3 as the resource allows it."""

    def __init__(self, config: sidecar.Auditor, recorder: Recorder, pool: Pool, stats: Stats) -> None:
        copies = Copies(Path(config.scratch_directory), sidecar.SCRATCH_BYTES) if config.scratch_directory else None
        means = Means(
            recorder=recorder,
            pool=pool,
            rights=Rights(config.buckets),
            stats=stats,
            masked=MaskedReads(secrets.token_bytes(32), pool, copies),
            caller=None if config.listen else config.identity,
        )
        self._service = Service(means)

    def connection(self, connections: set[Downstream]) -> Callable[[], Downstream]:
        """What serves each new connection."""
        return lambda: StreamedDownstream(self._service, connections)
