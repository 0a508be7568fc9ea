"""One object: bring the cluster to hold exactly what was rendered, without ever taking what is somebody else's."""

from collections import defaultdict

import structlog

from cloister import names
from cloister.controller import drift, errors, metrics, unfinished
from cloister.controller.cluster import Cluster, Object
from cloister.controller.defaults import Tolerated, learnable
from cloister.controller.observed import Observed
from cloister.controller.outcome import IN_FORCE, Repair, Result, State, describe
from cloister.names import Key, key
from cloister.spec import LLMDeployment, milli
from cloister.spec.storage import FIELDS
from cloister.zones import Component, Zone

log = structlog.get_logger(__name__)

_ATTEMPTS = 3
_RECREATED = {"StatefulSet": "Orphan", "Job": "Background", "ConfigMap": "Background", "RoleBinding": "Background"}
"""Kinds that may be deleted and made again where a field can't be changed, and what becomes of their pods. Never a
claim (its data), never a Service (its address is in every gate)."""
_IMMUTABLE = ("immutable", "updates to statefulset spec", "cannot change roleRef")
"""How the API server says that a field can't be changed, as opposed to a value that is wrong."""


class NotKeptError(Exception):
    """The cluster answers every write with something else: a webhook or a controller insists on its own."""


class Ensurer:
    """Compares and writes single objects."""

    def __init__(self, cluster: Cluster, observed: Observed) -> None:
        self._cluster = cluster
        self._observed = observed
        self._tolerated: dict[Key, Tolerated] = defaultdict(Tolerated)
        self._settled: dict[Key, tuple[str, str]] = {}
        """Versions (live, rendered) that were found equal, so that a pass over a quiet deployment costs nothing."""
        self._seen: dict[str, set[Key]] = defaultdict(set)
        """Deployment uid -> what has been in force in the life of this process: if it is missing, it was deleted."""

    async def ensure(self, deployment: LLMDeployment, obj: Object, *, may_create: bool) -> tuple[Result, Repair | None]:
        """Make the object so. Raises only when the API server can't be reached at all."""
        found = key(obj)
        live: Object | None = None
        try:
            live = self._observed.get(found) or await self._look(obj)
            if live is not None and not self.owned(deployment, live, obj):
                return Result(State.FAILED, "Conflict", _conflict(found)), None
            if live is not None and "deletionTimestamp" in live["metadata"]:
                return Result(State.HELD, "Terminating", f"{describe(found)} is being deleted"), None
            why = self._why(live, obj)
            if why is None:
                self._seen[deployment.uid].add(found)
                return IN_FORCE, None
            if live is None and not may_create:
                return Result(State.HELD, "Waiting", f"{describe(found)} is not made yet"), None
            if live is not None and await self._is_unfinished(live, obj):
                return await self._let_finish(deployment, live, obj), None
            done = await self._write(live, obj, may_recreate=may_create)
        except NotKeptError as error:
            return Result(State.FAILED, "NotKept", str(error)), None
        except errors.ApiError as error:
            if error.status == 0:
                raise  # no answer at all: nothing else can succeed either
            return _unresized(live, obj, error) or failure(error), None
        repair = self._repair(deployment, live, obj, why)
        if done:
            self._seen[deployment.uid].add(found)
            return IN_FORCE, repair
        return Result(State.HELD, "Replacing", f"{describe(found)} is being replaced"), repair

    async def _is_unfinished(self, live: Object, obj: Object) -> bool:
        """Whether it is a run that goes on, and what we want has changed since it began: drift is never left."""
        return not drift.drifted(live, obj) and await unfinished.has_begun(self._cluster, live, obj)

    async def _let_finish(self, deployment: LLMDeployment, live: Object, obj: Object) -> Result:
        begun, found = unfinished.as_begun(live, obj), key(obj)
        if drift.differs(live, begun, self._tolerated[found]) is not None:
            await self._write(live, begun, may_recreate=False)
            self._settled.pop(found, None)  # it is not what was rendered
        self._seen[deployment.uid].add(found)
        return unfinished.result(obj)

    def owned(self, deployment: LLMDeployment, live: Object, obj: Object) -> bool:
        """Whether a live object may be changed: in a zone everything, elsewhere only what carries our mark.

        Somebody may have removed a label: the owner reference, or having seen the object before, proves it too.
        """
        metadata = live["metadata"]
        if obj["kind"] != "Namespace" and names.LABEL_ZONE in obj["metadata"]["labels"]:
            return True
        labels = metadata.get("labels", {})
        mine = {deployment.uid}
        storage = obj["metadata"]["labels"].get(names.LABEL_ZONE) == Zone.STORAGE
        if obj["kind"] == "Namespace" and storage and deployment.spec.adopt:
            mine.add(deployment.spec.adopt)
        if labels.get(names.LABEL_DEPLOYMENT) == deployment.name and labels.get(names.LABEL_OWNER) in mine:
            return True
        if any(owner.get("uid") == deployment.uid for owner in metadata.get("ownerReferences", ())):
            return True
        return key(obj) in self._seen[deployment.uid]

    def pruned(self, uid: str, found: Key) -> None:
        """An object was taken away because nothing asks for it: if it is asked for again, nobody had deleted it."""
        self._seen[uid].discard(found)
        self._settled.pop(found, None)
        self._tolerated.pop(found, None)

    def forget(self, uid: str) -> None:
        """A deployment is gone."""
        for found in self._seen.pop(uid, ()):
            self._settled.pop(found, None)
            self._tolerated.pop(found, None)

    def exact(self, obj: Object) -> bool:
        """Whether the cluster, as far as it is known, holds exactly this."""
        return self._why(self._observed.get(key(obj)), obj) is None

    def _why(self, live: Object | None, obj: Object) -> str | None:
        if live is not None:
            found = key(obj)
            versions = (live["metadata"]["resourceVersion"], obj["metadata"]["annotations"][names.ANNOTATION_RENDERED])
            if self._settled.get(found) == versions:
                return None
            if obj["kind"] == "Job" and unfinished.finished(live):
                return None  # it has done its work: another run is another name
            why = drift.differs(live, obj, self._tolerated[found])
            if why is None:
                self._settled[found] = versions
            return why
        return drift.differs(live, obj, self._tolerated[key(obj)])

    async def _look(self, obj: Object) -> Object | None:
        """Ask for an object that the cache lacks, where one of somebody else's may stand in its place."""
        if obj["kind"] != "Namespace" and names.LABEL_ZONE in obj["metadata"]["labels"]:
            return None
        try:
            return await self._cluster.get(obj["kind"], obj["metadata"]["name"], obj["metadata"].get("namespace", ""))
        except errors.NotServedError:
            raise
        except errors.NotFoundError:
            return None

    async def _write(self, live: Object | None, obj: Object, *, may_recreate: bool) -> bool:
        """Write until the answer is what was rendered. False when it must be made again after its end."""
        for _ in range(_ATTEMPTS):
            try:
                return await self._write_once(live, obj)
            except errors.ConflictError:
                live = await self._cluster.get(
                    obj["kind"], obj["metadata"]["name"], obj["metadata"].get("namespace", "")
                )
            except errors.InvalidError as error:
                if live is None or not may_recreate or not _is_immutable(obj["kind"], error):
                    raise
                left = await self._cluster.delete(live, _RECREATED[obj["kind"]])
                if left is not None:
                    self._observed.put(left)
                    return False
                self._observed.remove(live)
                live = None
        raise NotKeptError(f"{describe(key(obj))} is changed by others faster than it can be restored")

    async def _write_once(self, live: Object | None, obj: Object) -> bool:
        if live is not None and drift.surplus(live, obj, self._tolerated[key(obj)]):
            live = await self._replace(live, obj)
        applied, created = await self._cluster.apply(obj)
        self._observed.put(applied)
        if created:
            self._learn(applied, obj)
        if self._why(applied, obj) is not None:
            # Apply neither removes what others added nor puts a list back into order.
            applied = await self._replace(applied, obj)
        if (why := self._why(applied, obj)) is not None:
            raise NotKeptError(
                f"{describe(key(obj))}: {why} again after every write; a webhook or controller of the cluster insists"
            )
        return True

    async def _replace(self, live: Object, obj: Object) -> Object:
        replaced = await self._cluster.replace(drift.repaired(live, obj, self._tolerated[key(obj)]))
        self._observed.put(replaced)
        self._learn(replaced, obj)
        return replaced

    def _learn(self, answer: Object, obj: Object) -> None:
        """What an answer to a write of the whole object has beyond it, the API server has put there, or a webhook: so
        only what no webhook could do harm by is taken for a default, and for this object alone."""
        tolerated = self._tolerated[key(obj)]
        for path, value in drift.surplus(answer, obj, tolerated):
            if learnable(obj["kind"], path, value):
                log.info("default learned", object=describe(key(obj)), path=path, value=value)
                tolerated.learn(obj["kind"], path, value)

    def _repair(self, deployment: LLMDeployment, live: Object | None, obj: Object, why: str) -> Repair | None:
        found = key(obj)
        if live is None:
            if found not in self._seen[deployment.uid]:
                return None
            why = "was deleted"
        elif not drift.drifted(live, obj):
            return None  # what we want has changed, or the object is taken over
        metrics.DRIFT_REPAIRED.labels(found[0]).inc()
        log.warning("drift repaired", deployment=deployment.name, object=describe(found), what=why)
        return Repair(found, why)


def failure(error: errors.ApiError) -> Result:
    """A refusal as a result."""
    match error:
        case errors.NotServedError():
            reason = "KindMissing"
        case errors.NotFoundError(missing_namespace=str()):
            reason = "NamespaceMissing"
        case errors.ForbiddenError():
            reason = "Forbidden"
        case errors.InvalidError():
            reason = "Invalid"
        case errors.UnavailableError():
            reason = "Unavailable"
        case _:
            reason = "Refused"
    return Result(State.FAILED, reason, error.message)


def _unresized(live: Object | None, obj: Object, error: errors.ApiError) -> Result | None:
    """A claim whose size the cluster does not change: time does not help, and the way back is open."""
    refused = isinstance(error, (errors.ForbiddenError, errors.InvalidError))
    if obj["kind"] != "PersistentVolumeClaim" or live is None or not refused:
        return None
    has, wanted = (one["spec"]["resources"]["requests"]["storage"] for one in (live, obj))
    if milli(has) == milli(wanted):
        return None
    field = f"spec.storage.{FIELDS[Component(obj['metadata']['name'])]}.size"
    grows = "allow expansion in its storage class, or " if milli(wanted) > milli(has) else ""
    return Result(State.FAILED, "NotResized", f"{error.message}. To go on, {grows}set {field} back to {has}")


def _conflict(found: Key) -> str:
    return (
        f"{describe(found)} exists and was not made for this LLMDeployment: it is never taken over."
        " Delete or rename it, or give the LLMDeployment another name"
    )


def _is_immutable(kind: str, error: errors.InvalidError) -> bool:
    return kind in _RECREATED and any(text in error.message for text in _IMMUTABLE)
