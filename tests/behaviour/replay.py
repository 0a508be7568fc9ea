"""Lets scripts be judged."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import orjson

from cloister.inspection.behaviour import Behaviour, Judgement, Level, Thresholds
from cloister.inspection.behaviour.profile import restored
from tests.behaviour.weeks import Event


@dataclass
class Told:
    """What came of a script."""

    requests: int = 0
    alerts: list[tuple[float, str, Judgement]] = field(default_factory=list)
    first: int | None = None
    """Number of the first request, from 1, with which something was flagged."""
    refused: int | None = None
    """The first that was not admitted."""
    highest: float = 0.0


def behaviour(**more: object) -> Behaviour:
    """With the defaults."""
    return Behaviour(Thresholds(), **more)  # type: ignore[arg-type]


def replay(judge: Behaviour, events: Iterable[Event]) -> Told:
    """Each event as the auditor sees it: the arrival, and if it is admitted the end."""
    told = Told()
    for at, who, done in events:
        told.requests += 1
        judgements = [judge.arrives(who, at)]
        if judgements[0].standing >= Level.STEP_UP:
            told.refused = told.refused or told.requests
        else:
            judgements.append(judge.done(who, done, at + 2))
        for judgement in judgements:
            told.highest = max(told.highest, judgement.score)
            if judgement.alert:
                told.alerts.append((at, who.subject, judgement))
                told.first = told.first or told.requests
    return told


def written(judge: Behaviour) -> bytes:
    """What it knows of everybody."""
    return orjson.dumps([[subject, profile.document()] for subject, profile in judge.profiles()])


def knowing(known: bytes) -> Behaviour:
    """One that begins with that."""
    judge = behaviour()
    for subject, document in orjson.loads(known):
        judge.restore(subject, restored(document))
    return judge
