"""Writes status once a pass and only on change, and tells as Events what has changed in it."""

import socket
import time
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog

from cloister.controller import conditions, errors, events, metrics
from cloister.controller.cluster import Cluster, Object
from cloister.controller.observed import Observed
from cloister.controller.outcome import Repair
from cloister.controller.status import View, build

log = structlog.get_logger(__name__)

_SPACING_SECONDS = 20.0
_SPACING_FACTOR = 5.0
"""Mere progress of a deployment that still converges is told after this long, and then ever more rarely, so that
converging costs few writes however slow the cluster is."""


@dataclass
class _Told:
    """What was written last about one deployment."""

    at: float
    settled: bool
    hindrances: frozenset[str]
    spacing: float = _SPACING_SECONDS


class Reporter:
    """The only writer of status and Events."""

    def __init__(self, cluster: Cluster, observed: Observed) -> None:
        self._cluster = cluster
        self._observed = observed
        self._instance = socket.gethostname()[:128]
        self._told: dict[str, _Told] = {}
        self._untold: dict[str, list[Repair]] = {}

    async def report(self, view: View) -> float | None:
        """Write what is new. Returns after how many seconds something that was put off is due."""
        uid, repairs = view.raw["metadata"]["uid"], view.outcome.repairs
        repairs[:0] = self._untold.pop(uid, ())
        status, previous = build(view), view.previous
        metrics.report(view.raw["metadata"]["name"], status["conditions"])
        if status == previous:
            return None
        now, told = time.monotonic(), self._told.get(uid)
        news = _Told(now, view.settled(), view.outcome.hindrances())
        if told and not _urgent(previous, status) and told.hindrances == news.hindrances and not _done(told, news):
            if now - told.at < told.spacing:
                self._untold[uid] = repairs
                return told.spacing - (now - told.at)
            news.spacing = _SPACING_SECONDS if news.settled else told.spacing * _SPACING_FACTOR
        try:
            removed = dict.fromkeys(previous.keys() - status.keys())
            written = await self._cluster.patch_status(view.raw, status | removed)
        except errors.NotFoundError:
            return None  # deleted meanwhile
        # The answer may hold a change of the spec that came meanwhile; its watch event will then be no news.
        changed = self._observed.put(written)
        self._told[uid] = news
        for notice in events.notices(previous, status, repairs):
            await self._post(view.raw, notice)
        return 0.0 if changed else None

    async def farewell(self, raw: Object, cert_manager_namespace: str) -> None:
        """Say what a deleted deployment leaves behind."""
        retained = raw.get("spec", {}).get("deletionPolicy", "Retain") != "Delete"
        await self._post(raw, events.farewell(raw["metadata"]["name"], retained, cert_manager_namespace))

    def forget(self, uid: str, name: str) -> None:
        """A deployment is gone."""
        metrics.forget(name)
        self._told.pop(uid, None)
        self._untold.pop(uid, None)

    async def _post(self, raw: Object, notice: events.Notice) -> None:
        """An Event that can't be posted is logged: it must not stop what it speaks of."""
        try:
            await self._cluster.post_event(events.event(raw, notice, datetime.now(UTC), self._instance))
        except errors.ApiError as error:
            log.warning("event not posted", reason=notice.reason, note=notice.note, error=error.message)


def _done(told: _Told, news: _Told) -> bool:
    return news.settled and not told.settled


def _urgent(before: Object, after: Object) -> bool:
    """A first word, a new generation, bad news, what canaries and the exporter tell, and the end of a stall are told at
    once."""
    if before.get("observedGeneration") != after["observedGeneration"]:
        return True
    if before.get("phase") != after["phase"]:
        return True
    if any(before.get(told) != after.get(told) for told in ("isolation", "alerts")):
        return True
    for condition in after["conditions"]:
        old = conditions.find({"status": before}, condition["type"])
        if old is None:
            return True
        was, now = old["status"], condition["status"]
        if condition["type"] == "Reconciling" or was == now:
            continue
        if condition["type"] in ("Ready", "Stalled") or was == "True":
            return True
    stalled, known = (conditions.find({"status": one}, "Stalled") or {} for one in (after, before))
    return stalled.get("reason") != known.get("reason")
