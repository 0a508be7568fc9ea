"""What speaks against a caller before its request is looked at: where from, when, on what, with whose token."""

from collections import OrderedDict
from collections.abc import Iterator

from cloister.inspection.behaviour.observed import Kind, Who
from cloister.inspection.behaviour.profile import Profile, weekend

Evidence = tuple[str, float, str]
"""(signal, points to add, why)."""

LEARNED_DAYS, LEARNED_REQUESTS = 3, 30
"""How long a subject is watched before what is new about it says anything."""
LEARNED_HABITS = 5
"""Days, for the hours of the day."""
FAMILIAR_DAYS = 5
"""A country that was seen on so many days is one that this person goes to."""
USUAL_SHARE = 0.1
"""An hour is usual if the subject was there on this share of its days."""
_WHERE = (("country", "new-country", 45.0), ("device", "new-device", 45.0), ("address", "new-address", 6.0))
TURNS_SECONDS = 600.0
"""Within which a token that comes from one network, another and the first again is in two places."""


def arriving(profile: Profile, who: Who, now: float, travel: float) -> Iterator[Evidence]:
    """The evidence of one arrival. Takes it into the profile, of which :meth:`Profile.turn` was asked before."""
    learned = profile.days >= LEARNED_DAYS and profile.requests >= LEARNED_REQUESTS
    if profile.days >= LEARNED_HABITS and who.kind is not Kind.FRONT:
        yield from _hours(profile)
    if who.kind is Kind.PERSON:
        yield from _travel(profile, who, now, travel)
        for kind, signal, points in _WHERE:
            value = getattr(who, kind)
            # A token that says nothing where it always said something is new too.
            if value is None and kind not in profile.known:
                continue
            if profile.knows(kind, value or "(not told)") < 0 and learned:
                shown = f": {value}" if kind == "country" else ""
                yield signal, points, f"{kind} not seen before{shown}"
    profile.present(now)


def _hours(profile: Profile) -> Iterator[Evidence]:
    hour = profile.hour % 24
    usual = profile.weight * USUAL_SHARE
    distance = min(
        (min((hour - other) % 24, (other - hour) % 24) for other in range(24) if profile.habits[other] >= usual),
        default=0,
    )
    if distance > 2:
        yield "hours", min(distance - 2.0, 4.0), f"{hour}:00 UTC is {distance} hours from when it usually works"
    elif weekend(profile.day) and profile.weekends < profile.weight * 0.05:
        yield "hours", 0.5, "it does not usually work on weekends"


def _travel(profile: Profile, who: Who, now: float, travel: float) -> Iterator[Evidence]:
    before = profile.country
    if who.country and before and who.country != before and abs(now - profile.country_at) < travel:
        familiar = all(_days(profile, country) >= FAMILIAR_DAYS for country in (before, who.country))
        minutes = int((now - profile.country_at) / 60)
        # Somebody who lives at a border is in both countries on most days.
        yield "impossible-travel", 5.0 if familiar else 60.0, f"{before} to {who.country} within {minutes} minutes"
    if who.country:
        profile.country, profile.country_at = who.country, now


def _days(profile: Profile, country: str) -> int:
    return profile.known.get("country", {}).get(country, (0, 0))[1]


class Turns:
    """Tokens that are used from two networks in turn. Somebody who moves goes from one to the other once."""

    def __init__(self, bound: int) -> None:
        self._bound = bound
        self._seen: OrderedDict[str, tuple[str, float, str, float]] = OrderedDict()
        """Token -> latest network and when, the one before and when."""

    def evidence(self, who: Who, now: float) -> Iterator[Evidence]:
        """Of one arrival."""
        if who.token is None or who.address is None:
            return
        last, last_at, before, before_at = self._seen.pop(who.token, (who.address, now, "", 0.0))
        if who.address == last:
            last_at = now
        else:
            if who.address == before and now - before_at < TURNS_SECONDS and now - last_at < TURNS_SECONDS:
                yield "shared-token", 60.0, "one token comes from two networks in turn"
            last, last_at, before, before_at = who.address, now, last, last_at
        self._seen[who.token] = (last, last_at, before, before_at)
        if len(self._seen) > self._bound:
            self._seen.popitem(last=False)
