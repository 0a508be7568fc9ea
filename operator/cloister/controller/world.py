"""What the parts of the process share: the cache, the queue, and who must be woken by what."""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import structlog

from cloister import names
from cloister.controller import errors, metrics
from cloister.controller.cluster import Cluster
from cloister.controller.guards import Guards
from cloister.controller.kinds import (
    CERT_MANAGER_CRDS,
    CERT_MANAGER_GROUP,
    CERTIFICATE_REQUEST,
    DEPLOYMENT,
    OWNED,
    STORAGE_CLASS,
)
from cloister.controller.observed import Observed
from cloister.controller.queue import WorkQueue
from cloister.controller.reconcile import Reconciler, RetryError
from cloister.zones import PLACES

Object = dict[str, Any]

log = structlog.get_logger(__name__)

_GAP_SECONDS = 1.0
"""How long other watches are given to begin again too, before everything is listed for all of them."""


class World:
    """One operator process."""

    def __init__(self, cluster: Cluster, observed: Observed, guards: Guards, reconciler: Reconciler) -> None:
        self.cluster = cluster
        self.observed = observed
        self.guards = guards
        self.reconciler = reconciler
        self.queue = WorkQueue()
        self.leading = False
        self.listed = False
        """Whether the cache has been filled."""
        self._farewells: set[asyncio.Task[None]] = set()
        self._begun: dict[str, set[str]] = defaultdict(set)
        """Kind -> uids of the list that its watch has begun with."""
        self._gap = asyncio.Event()
        """A watch has begun again, so something may have been missed."""

    # --- who is woken ---

    def wake(self, deployments: Iterable[str], delay: float = 0.0) -> None:
        """Ask for a pass over deployments. A follower only remembers what it has seen."""
        if self.leading:
            for name in deployments:
                if self.observed.get((names.KIND, "", name)) is not None:
                    self.queue.add(name, delay)

    def wake_all(self) -> None:
        """Ask for a pass over every deployment."""
        self.wake(list(self.observed.of_kind(names.KIND)))

    def waiting_for(self, namespace: str) -> set[str]:
        """Deployments whose clients are declared in a namespace that did not exist."""
        return {name for name, awaited in self.reconciler.awaited.items() if namespace in awaited}

    def zone_of(self, namespace: str) -> set[str]:
        """The deployment of which a namespace is a zone, by its name."""
        name, _, zone = namespace.rpartition("-")
        return {name} if zone in PLACES else set()

    def gone(self, deployment: Object) -> None:
        """A deployment was deleted: the cluster clears up; the leader says what stays behind."""
        name = deployment["metadata"]["name"]
        if self.leading:
            self.queue.add(name)
            task = asyncio.get_running_loop().create_task(self.reconciler.farewell(deployment))
            self._farewells.add(task)
            task.add_done_callback(self._farewells.discard)

    def listed_anew(self, obj: Object) -> None:
        """A watch begins with a list, and this is of it. When it begins again, what is gone since is in no event."""
        begun, uid = self._begun[obj["kind"]], obj["metadata"]["uid"]
        if uid in begun:
            begun.clear()
            self._gap.set()
        begun.add(uid)

    # --- what runs ---

    async def list_all(self) -> set[str]:
        """Fill or refresh the cache by lists: what a broken watch has missed is found here."""
        changed: set[str] = set()
        for crd in sorted(CERT_MANAGER_CRDS):
            await self._look_for(crd)
        for resource in (DEPLOYMENT, *OWNED, CERTIFICATE_REQUEST, STORAGE_CLASS):
            if resource.group == CERT_MANAGER_GROUP and not self.observed.cert_manager_served():
                continue
            items, version = await self.cluster.list(resource, resource.selector)
            changed |= self.observed.replace_kind(resource.kind, items, version)
        await self.guards.look()
        self.listed = True
        metrics.DEPLOYMENTS.set(len(self.observed.of_kind(names.KIND)))
        return changed

    async def _look_for(self, crd: str) -> None:
        try:
            await self.cluster.get("CustomResourceDefinition", crd)
        except errors.NotFoundError:
            self.observed.cert_manager_crds.discard(crd)
        else:
            self.observed.cert_manager_crds.add(crd)

    async def work(self) -> None:
        """One worker. An error of one deployment is that deployment's."""
        while True:
            name = await self.queue.get()
            try:
                again = await self.reconciler.reconcile(name)
            except RetryError as error:
                self._failed(name, "refused", error)
                if error.due is not None:
                    self.queue.add(name, error.due)
            except errors.ApiError as error:
                self._failed(name, "unavailable", error)
            except Exception as error:
                # A defect must not take the other deployments down; it is counted, logged and tried again.
                log.exception("pass failed", deployment=name)
                self._failed(name, "defect", error)
            else:
                self.queue.succeeded(name)
                if again is not None:
                    self.queue.add(name, again)
            finally:
                self.queue.done(name)

    def _failed(self, name: str, reason: str, error: Exception) -> None:
        metrics.RECONCILE_ERRORS.labels(reason).inc()
        delay = self.queue.add_failed(name)
        log.warning("pass incomplete", deployment=name, error=str(error), again_seconds=round(delay, 2))

    async def resync(self, seconds: float) -> None:
        """Everything, now and then and after every gap: the net under the watches."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._gap.wait()
                    await asyncio.sleep(_GAP_SECONDS)
            self._gap.clear()
            try:
                await self.list_all()
            except errors.ApiError as error:
                log.warning("resync failed", error=error.message)
                self._gap.set()
            self.wake_all()
