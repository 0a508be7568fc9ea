"""What is known of one subject: its past, as far as judging needs it, and the points against it."""

from dataclasses import dataclass, field
from typing import Any

from cloister.inspection.behaviour.standing import Level, Points
from cloister.inspection.change import Usual

KNOWN = 24
"""Values of one kind that are remembered: the ones seen last."""
DAY, HOUR = 86400, 3600
_FADING = 0.985
"""Weight of a day's habits after the next day at work: half after six weeks."""
_MEMORY_HOURS, _MEMORY_DAYS = 80, 30


@dataclass(slots=True)
class Profile:
    """A subject."""

    requests: int = 0
    days: int = 0
    """On which it was there."""
    day: int = -1
    """Today, in days since 1970 (UTC)."""
    hour: int = -1
    habits: list[float] = field(default_factory=lambda: [0.0] * 24)
    """Hour of the day (UTC) -> on how many days it was there then, older days weighing less."""
    weight: float = 0.0
    """The same for the whole day."""
    weekends: float = 0.0
    today: int = 0
    """Hours of today at which it was there: bits."""
    known: dict[str, dict[str, tuple[int, int]]] = field(default_factory=dict)
    """Kind of value -> value -> last day, number of days."""
    country: str | None = None
    country_at: float = 0.0
    hour_requests: int = 0
    hour_units: int = 0
    day_units: int = 0
    hourly_requests: Usual = field(default_factory=Usual)
    hourly_units: Usual = field(default_factory=Usual)
    daily_units: Usual = field(default_factory=Usual)
    creep: float = 0.0
    replies: int = 0
    hits: float = 0.0
    """Share of replies with sensitive values."""
    hit_evidence: float = 0.0
    size: int = 0
    alike: int = 0
    """Requests in a row whose sizes are alike."""
    points: Points = field(default_factory=dict)
    raised: Level = Level.NONE
    """The level that was last told."""
    asked: Level = Level.NONE
    """What is asked of it: STEP_UP or END."""
    asked_at: float = 0.0
    asked_of: int | None = None
    """The sign-in that was not enough."""

    def turn(self, now: float) -> None:
        """Closes the hour and the day that are over."""
        hour = int(now // HOUR)
        if hour == self.hour:
            return
        if self.hour > hour + 1:
            self._back(now)
        if self.hour >= 0 and self.hour_requests:
            self.hourly_requests.add(self.hour_requests, _MEMORY_HOURS)
            self.hourly_units.add(self.hour_units, _MEMORY_HOURS)
        self.hour, self.hour_requests, self.hour_units = hour, 0, 0
        day = hour // 24
        if day != self.day:
            self._close_day()
            self.day, self.today, self.day_units = day, 0, 0

    def _back(self, now: float) -> None:
        """The clock was ahead: what was written down then counts as of now, or it would hold until then."""
        self.points = {name: (points, min(at, now), why) for name, (points, at, why) in self.points.items()}
        self.asked_at, self.country_at = min(self.asked_at, now), min(self.country_at, now)

    def present(self, now: float) -> None:
        """Counts a request in."""
        hour = self.hour % 24
        if not self.today:
            self.days += 1
        self.today |= 1 << hour
        self.requests += 1
        self.hour_requests += 1

    def creeping(self) -> float:
        """The evidence that output grows from day to day, today included as far as it is."""
        if self.daily_units.count < 10:
            return 0.0
        return max(0.0, self.creep + self.daily_units.deviation(self.day_units) - CREEP_REFERENCE)

    def knows(self, kind: str, value: str) -> int:
        """On how many days a value was seen before today; and remembers it."""
        values = self.known.setdefault(kind, {})
        last, days = values.pop(value, (self.day, 0))
        seen = days - (last == self.day and days > 0)
        values[value] = (self.day, days if last == self.day and days else days + 1)
        if len(values) > KNOWN:
            del values[next(iter(values))]
        return seen if days else -1

    def document(self) -> dict[str, Any]:
        """For :func:`restored`: JSON."""
        return {name: getattr(self, name) for name in _PLAIN} | {
            "points": {name: list(part) for name, part in self.points.items()},
            **{name: _triple(getattr(self, name)) for name in _USUAL},
        }

    def _close_day(self) -> None:
        if not self.today:
            return
        for hour in range(24):
            self.habits[hour] = self.habits[hour] * _FADING + (self.today >> hour & 1)
        self.weight = self.weight * _FADING + 1
        self.weekends = self.weekends * _FADING + weekend(self.day)
        evidence = self.creeping()
        # A change that was found is told once; what comes after it is looked at anew.
        self.creep = evidence if evidence <= CREEP_THRESHOLD else 0.0
        self.daily_units.add(self.day_units, _MEMORY_DAYS, bound=1.5)


CREEP_REFERENCE, CREEP_THRESHOLD = 1.0, 5.0
"""Half of the shift, in standard deviations, that is to be found soonest; and the evidence that is enough."""
_USUAL = ("hourly_requests", "hourly_units", "daily_units")
_PLAIN = tuple(name for name in Profile.__slots__ if name not in {*_USUAL, "points"})


def restored(document: dict[str, Any]) -> Profile:
    """What :meth:`Profile.document` wrote; ValueError, KeyError or TypeError where it is none."""
    if set(document) != {*_PLAIN, *_USUAL, "points"}:
        raise ValueError("the fields are not those of a profile")
    fields = {name: document[name] for name in _PLAIN}
    for name in _USUAL:
        count, mean, variance = document[name]
        fields[name] = Usual(int(count), float(mean), float(variance))
    fields["points"] = {str(k): (float(v), float(at), str(why)) for k, (v, at, why) in document["points"].items()}
    fields["known"] = {
        kind: {value: (int(last), int(days)) for value, (last, days) in values.items()}
        for kind, values in document["known"].items()
    }
    fields["habits"] = [float(value) for value in document["habits"]]
    fields["raised"], fields["asked"] = Level(document["raised"]), Level(document["asked"])
    if len(fields["habits"]) != 24:
        raise ValueError("a day has 24 hours")
    return Profile(**fields)


def weekend(day: int) -> bool:
    """Saturday or Sunday, by the day since 1970, a Thursday (UTC)."""
    return (day + 3) % 7 > 4


def _triple(usual: Usual) -> list[float]:
    return [usual.count, usual.mean, usual.variance]
