"""What speaks against a caller by what it asked and was given."""

import math
from collections.abc import Iterator

from cloister.inspection.behaviour.arriving import LEARNED_DAYS, LEARNED_REQUESTS, Evidence
from cloister.inspection.behaviour.observed import Done, Kind, Who
from cloister.inspection.behaviour.profile import CREEP_THRESHOLD, Profile
from cloister.inspection.change import Usual, proportion_evidence

LEARNED_HOURS = 10
"""Hours at work before a subject has limits of its own."""
UNKNOWN_REQUESTS, UNKNOWN_UNITS = 240.0, 150_000.0
"""Limits an hour, until then."""
LEAST_REQUESTS, LEAST_UNITS, LEAST_DAILY_UNITS = 60.0, 15_000.0, 20_000
"""What is never too much. A front carries many people: ten times as much."""
DEVIATIONS = 3.0
HIT_MEMORY = 400
"""Replies over which the share of those with sensitive values is kept."""
HIT_LEARNED = 50
"""Replies before a caller has a share of its own; until then two in five are taken for usual."""
HIT_POINTS, HIT_THRESHOLD = 4.5, 6.0
ALIKE_BYTES, ALIKE_FREE = 8, 12
"""Sizes within so many bytes are alike; so many in a row happen."""

_FINDINGS = {
    "prompt-injection": ("injection", 10.0),
    "jailbreak": ("injection", 10.0),
    "system-prompt-leak": ("injection", 20.0),
    "extraction": ("extraction", 12.0),
}
_REFUSALS = {
    "api_not_approved": 8.0,
    "concurrency_exceeded": 3.0,
    # A program that is being written gets these by the dozen.
    "invalid_json": 2.0,
    "invalid_value": 2.0,
    "missing_required_parameter": 2.0,
    "unknown_parameter": 2.0,
    "unsupported_media_type": 2.0,
}
_REFUSAL = 6.0
"""Points of any other."""
OWN = frozenset({"insufficient_user_authentication", "invalid_token", "behaviour", "not_recorded"})
"""What is refused because of a score, or is nobody's doing: it adds nothing."""


def doing(profile: Profile, who: Who, done: Done) -> Iterator[Evidence]:
    """The evidence of a request that is over, by its points to add. Takes it into the profile."""
    profile.hour_units += done.units
    profile.day_units += done.units
    if who.kind is Kind.FRONT:
        return
    for kind in done.kinds:
        if kind in _FINDINGS:
            signal, points = _FINDINGS[kind]
            yield signal, points, f"{kind} in a request"
    if done.refused and not done.kinds and done.refused not in OWN:
        yield "refusals", _REFUSALS.get(done.refused, _REFUSAL), f"refused: {done.refused}"
    learned = profile.days >= LEARNED_DAYS and profile.requests >= LEARNED_REQUESTS
    for name, value in (("api", done.api), ("model", done.model)):
        if value and profile.knows(name, value) < 0 and learned:
            yield "new-api", 12.0, f"{name} not used before: {value:.64}"
    if who.kind is Kind.PERSON and done.size:
        yield from _alike(profile, done.size)


def levels(profile: Profile, who: Who, done: Done) -> Iterator[Evidence]:
    """The evidence that is as strong as a figure is high: points to have, not to add."""
    scale = 10.0 if who.kind is Kind.FRONT else 1.0
    for signal, count, usual, unknown, least, what in (
        ("rate", profile.hour_requests, profile.hourly_requests, UNKNOWN_REQUESTS, LEAST_REQUESTS, "requests"),
        ("volume", profile.hour_units, profile.hourly_units, UNKNOWN_UNITS, LEAST_UNITS, "tokens"),
    ):
        limit = scale * (unknown if usual.count < LEARNED_HOURS else _limit(usual, least, scale))
        if count > limit:
            points = 20.0 * (1 + math.log2(count / limit))
            yield signal, points, f"{count} {what} this hour, where {limit:.0f} would be much"
    if profile.day_units > LEAST_DAILY_UNITS * scale:
        evidence = profile.creeping()
        if evidence > CREEP_THRESHOLD:
            yield "volume-creep", 8.0 * evidence, f"{profile.day_units} tokens today, more than on the days before"
    if who.kind is not Kind.FRONT and not done.refused:
        yield from _hits(profile, any(kind.startswith("sensitive") for kind in done.kinds))


def _limit(usual: Usual, least: float, scale: float) -> float:
    return max(usual.limit(DEVIATIONS) / scale, least)


def _hits(profile: Profile, hit: bool) -> Iterator[Evidence]:
    before = min(max(profile.hits, 0.05), 0.6) if profile.replies >= HIT_LEARNED else 0.4
    profile.hit_evidence += proportion_evidence(hit, before, min(0.95, 3 * before + 0.15))
    profile.hit_evidence = min(max(profile.hit_evidence, 0.0), 12.0)
    profile.replies += 1
    profile.hits += (hit - profile.hits) / min(profile.replies, HIT_MEMORY)
    if hit and profile.hit_evidence > HIT_THRESHOLD:
        share = f"{100 * before:.0f} in 100"
        yield "sensitive", HIT_POINTS * profile.hit_evidence, f"sensitive values in more replies than the usual {share}"


def _alike(profile: Profile, size: int) -> Iterator[Evidence]:
    profile.alike = profile.alike + 1 if abs(size - profile.size) <= ALIKE_BYTES else profile.alike // 2
    profile.size = size
    if profile.alike > ALIKE_FREE:
        yield "enumeration", 3.0, f"{profile.alike} requests of one length in a row"
