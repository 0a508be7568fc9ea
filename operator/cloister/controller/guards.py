"""Whether the admission policies of the chart are in force: listed with everything else, and watched."""

import structlog

from cloister.controller import errors, metrics
from cloister.controller.cluster import Cluster
from cloister.controller.kinds import GUARDS
from cloister.controller.observed import Observed
from cloister.guards import BINDINGS, POLICIES, Digests, Failing, failing

log = structlog.get_logger(__name__)


class Guards:
    """What the cluster has of them. ``digests``: what the chart says that there must be."""

    def __init__(self, cluster: Cluster, observed: Observed, digests: Digests) -> None:
        self._cluster = cluster
        self._observed = observed
        self._digests = digests
        self.failing: tuple[Failing, ...] | None = None
        """What of them is not in force; None where they may not be read, so that nothing is known."""

    async def look(self) -> None:
        """List them. A refusal is an answer too; that the API server is away is an ApiError."""
        try:
            for resource in GUARDS:
                items, version = await self._cluster.list(resource)
                self._observed.replace_kind(
                    resource.kind, [one for one in items if is_guard(one["metadata"]["name"])], version
                )
        except (errors.ForbiddenError, errors.NotFoundError) as error:
            log.warning("guards can't be read", error=error.message)
            self.failing = None
        else:
            self.judge()

    def judge(self) -> bool:
        """Compare what is known of them with what must be. Whether that is news."""
        policies, bindings = (self._observed.of_kind(resource.kind).values() for resource in GUARDS)
        before, self.failing = self.failing, failing(policies, bindings, self._digests)
        metrics.GUARDS_MISSING.set(len(self.failing))
        if self.failing == before:
            return False
        if self.failing:
            log.warning("guards are not in force", missing=[str(one) for one in self.failing])
        else:
            log.info("all guards are in force")
        return True


def is_guard(name: str) -> bool:
    """Whether a policy or a binding is the chart's, by its name."""
    return name in POLICIES or name in BINDINGS
