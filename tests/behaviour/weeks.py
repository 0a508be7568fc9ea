"""Ordinary weeks of made-up people: office hours, lunch, bursts, late evenings, home office, holidays and journeys.

Everything comes from a seed; time is simulated. Each person is drawn from wide ranges, so that a limit which fits one
does not fit all.
"""

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass, field

from cloister.inspection.behaviour import Done, Kind, Who

MONDAY = 1_767_571_200
"""2026-01-05, 00:00 UTC."""
HOUR, DAY = 3600, 86400

Event = tuple[float, Who, Done]


@dataclass
class Somebody:
    """A person, and how they work."""

    number: int
    seed: int = 1
    chance: random.Random = field(init=False)

    def __post_init__(self) -> None:
        r = self.chance = random.Random(self.seed * 1_000_003 + self.number)
        self.name = f"person-{self.number}"
        self.begins = r.choice([6, 7, 7, 8, 8, 8, 9, 9, 10])
        self.hours = r.choice([6, 8, 8, 8, 9])
        self.pace = math.exp(r.gauss(1.6, 0.7))
        """Requests an hour at work."""
        self.length = r.gauss(5.5, 0.5)
        """Logarithm of the usual tokens of a reply."""
        self.sensitive = r.choice([0.0, 0.01, 0.03, 0.1, 0.4])
        """Support agents see masked addresses all day, developers hardly ever."""
        self.flagged = r.choice([0.0, 0.003, 0.01])
        """Share of innocent prompts that the guard finds fault with."""
        self.weekends = r.random() < 0.15
        self.country = r.choice(["DE", "FR"])
        self.networks = [f"office-{self.country}", f"home-{self.number}", f"mobile-{self.number}"]
        self.journey = r.randrange(2, 8) if r.random() < 0.3 else None
        """The week of a business trip."""
        self.holiday = r.randrange(1, 8)
        self.phone = r.randrange(3, 8) if r.random() < 0.2 else None
        """The week in which they get a new device."""

    def who(self, at: float, *, week: int = 0, network: str | None = None, **more: object) -> Who:
        """Them, signed in this morning."""
        abroad = week == self.journey
        device = f"device-{self.number}" + ("-new" if self.phone is not None and week >= self.phone else "")
        morning = int(at // DAY * DAY + self.begins * HOUR - 600)
        fields = {
            "signed_in": morning if morning <= at else morning - DAY,
            "token": f"{self.name}-{int(at // HOUR)}",
            "country": "NL" if abroad else self.country,
            "device": device,
            "address": network or (f"hotel-{self.number}" if abroad else self.networks[0]),
        }
        return Who(self.name, Kind.PERSON, **(fields | more))  # type: ignore[arg-type]

    def done(self, **more: object) -> Done:
        """A request of theirs, over."""
        r = self.chance
        kinds: tuple[str, ...] = ("sensitive-output",) if r.random() < self.sensitive else ()
        if r.random() < self.flagged:
            kinds += ("prompt-injection",)
        refused = "invalid_value" if r.random() < 0.01 else None
        api = "models" if r.random() < 0.02 else "chat"
        units = min(int(math.exp(r.gauss(self.length, 0.8))), 4000)
        size = int(math.exp(r.gauss(7, 0.7)))
        fields = {"api": api, "model": "small", "size": size, "units": units, "refused": refused, "kinds": kinds}
        return Done(**(fields | more))  # type: ignore[arg-type]

    def weeks(self, count: int, first: int = 0) -> Iterator[Event]:
        """So many weeks, in the order of time."""
        for week in range(first, first + count):
            if week == self.holiday and count > 1:
                continue
            for day in range(7):
                if day < 5 or self.weekends:
                    yield from self._day(week, day)

    def _day(self, week: int, day: int) -> Iterator[Event]:
        r = self.chance
        midnight = MONDAY + (7 * week + day) * DAY
        if r.random() < 0.08:
            return  # ill, or in meetings
        network = r.choices([None, self.networks[1], self.networks[2]], [0.7, 0.25, 0.05])[0]
        busy = math.exp(r.gauss(0, 0.4)) * (0.3 if day > 4 else 1.0)
        begins = self.begins + r.gauss(0, 0.5)
        ends = begins + self.hours + r.gauss(0, 0.7) + (r.uniform(1, 3) if r.random() < 0.08 else 0)
        times: list[float] = []
        hour = begins
        while hour < ends:
            lunch = 0.3 if 4 <= hour - begins < 5 else 1.0
            burst = r.uniform(2, 4) if r.random() < 0.04 else 1.0
            expected = self.pace * busy * lunch * burst
            amount = min(int(r.gammavariate(2, expected / 2)), 200)
            times += [midnight + (hour + r.random()) * HOUR for _ in range(amount)]
            hour += 1
        for at in sorted(times):
            yield at, self.who(at, week=week, network=None if week == self.journey else network), self.done()
