"""Twelve kinds of misuse, each by somebody whose ordinary weeks are known. The bound is what the project states."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tests.behaviour.weeks import DAY, HOUR, MONDAY, Event, Somebody

Script = Callable[[Somebody, float], Iterator[Event]]


@dataclass(frozen=True)
class Misuse:
    """A script, and the request by which it is flagged at the latest."""

    name: str
    within: int
    script: Script


def at_work(person: Somebody, week: int) -> float:
    """Monday of a week, two hours into the person's day."""
    return MONDAY + 7 * DAY * week + (person.begins + 2) * HOUR


def _each(person: Somebody, begin: float, count: int, gap: float = 20.0, **done: object) -> Iterator[Event]:
    for number in range(count):
        at = begin + number * gap
        yield at, person.who(at), person.done(**done)


def _export(person: Somebody, begin: float) -> Iterator[Event]:
    """Long answers, as fast as they come."""
    yield from _each(person, begin, 80, units=4000, kinds=(), refused=None)


def _night(person: Somebody, begin: float) -> Iterator[Event]:
    """Far from every hour at which this person works, with today's sign-in."""
    usual = [*range(person.begins - 1, person.begins + person.hours + 2)]
    hour = max(range(24), key=lambda h: min(min((h - o) % 24, (o - h) % 24) for o in usual))
    start = begin // DAY * DAY + hour * HOUR
    yield from _each(person, start, 40, gap=60, kinds=(), refused=None)


def _country(person: Somebody, begin: float) -> Iterator[Event]:
    for at, _, done in _each(person, begin + 2 * DAY, 5):
        yield at, person.who(at, country="BR"), done


def _travel(person: Somebody, begin: float) -> Iterator[Event]:
    """At work, and an hour later elsewhere, in a country that is known of an old journey or not."""
    yield begin, person.who(begin), person.done(kinds=(), refused=None)
    yield begin + HOUR, person.who(begin + HOUR, country="SG"), person.done(kinds=(), refused=None)


def _device(person: Somebody, begin: float) -> Iterator[Event]:
    for at, _, done in _each(person, begin, 5):
        yield at, person.who(at, device="another-device"), done


def _enumeration(person: Somebody, begin: float) -> Iterator[Event]:
    """One question for every number of a list."""
    for number, (at, who, _) in enumerate(_each(person, begin, 60, gap=15)):
        yield at, who, person.done(size=400 + number // 10, units=30, kinds=(), refused=None)


def _refusals(person: Somebody, begin: float) -> Iterator[Event]:
    yield from _each(person, begin, 20, gap=5, refused="api_not_approved", units=0, kinds=())


def _injection(person: Somebody, begin: float) -> Iterator[Event]:
    """Every second attempt gets through the guard unseen."""
    for number, (at, who, _) in enumerate(_each(person, begin, 30)):
        yield at, who, person.done(kinds=("prompt-injection",) if number % 2 else (), refused=None)


def _sensitive(person: Somebody, begin: float) -> Iterator[Event]:
    yield from _each(person, begin, 60, kinds=("sensitive-output",), refused=None)


def _creep(person: Somebody, begin: float) -> Iterator[Event]:
    """A quarter more every day, spread over the day: no hour of it is remarkable."""
    usual = person.pace * person.hours
    for day in range(20):
        count = int(usual * 1.25 ** (day + 1))
        morning = begin // DAY * DAY + day * DAY + person.begins * HOUR
        if (morning // DAY + 3) % 7 > 4:
            continue
        gap = person.hours * HOUR / count
        for number in range(count):
            at = morning + number * gap
            yield at, person.who(at), person.done(kinds=(), refused=None)


def _sweep(person: Somebody, begin: float) -> Iterator[Event]:
    """Every API and model that there is."""
    for number, (at, who, _) in enumerate(_each(person, begin, 10)):
        yield at, who, person.done(api=f"api-{number}", model=f"model-{number}", kinds=(), refused=None)


def _shared(person: Somebody, begin: float) -> Iterator[Event]:
    """The person goes on to work while somebody else uses the same token."""
    for number, (at, _, done) in enumerate(_each(person, begin, 10)):
        network = person.networks[0] if number % 2 else "elsewhere"
        yield at, person.who(at, address=network, token="one"), done


MISUSE = (
    Misuse("sudden export", 75, _export),
    Misuse("night access", 15, _night),
    Misuse("new country", 1, _country),
    Misuse("impossible travel", 2, _travel),
    Misuse("new device", 1, _device),
    Misuse("enumeration", 30, _enumeration),
    Misuse("refusal hammering", 8, _refusals),
    Misuse("injection attempts", 12, _injection),
    Misuse("sensitive hits", 20, _sensitive),
    Misuse("volume creep", 0, _creep),
    Misuse("new APIs and models", 5, _sweep),
    Misuse("shared token", 4, _shared),
)
