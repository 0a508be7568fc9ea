"""How often ordinary weeks raise an alert, how soon misuse is flagged, and how soon drift of replies is told."""

import math
import statistics

from tests.behaviour.drifting import PAST, told
from tests.behaviour.misuse import MISUSE, at_work
from tests.behaviour.replay import behaviour, knowing, replay, written
from tests.behaviour.weeks import DAY, MONDAY, Somebody

WEEKS, MONTHS = 8, 2
SEEDS = (1, 2, 3)
PROBATION = 1000
"""Replies after the past, before they change."""
DRIFTS = (
    ("length, half as many again", {"length": 5.0 + math.log(1.5)}),
    ("length, a third less", {"length": 5.0 - math.log(1.5)}),
    ("latency, half as long again", {"latency": math.log(1.5)}),
    ("declined, from 3 to 15 in 100", {"declined": 0.15}),
    ("declined, from 3 to 8 in 100", {"declined": 0.08}),
    ("language, from 5 to 30 in 100", {"language": 0.3}),
)


def run(people: int, victims: int, replies: int) -> int:
    """Measure and print; 0, since no figure is a target here: tests hold to what is promised."""
    print(_ordinary(people))
    print(_misuse(victims))
    print(_drift(replies, victims))
    return 0


def _ordinary(people: int) -> str:
    found = [
        replay(behaviour(), Somebody(number, seed).weeks(WEEKS))
        for seed in SEEDS
        for number in range(people // len(SEEDS))
    ]
    alerts = [len(one.alerts) for one in found]
    middle = MONDAY + WEEKS / MONTHS * 7 * DAY
    late = [sum(at >= middle for at, _, _ in one.alerts) for one in found]
    months = [*late, *(both - second for both, second in zip(alerts, late, strict=True))]
    return (
        f"Ordinary weeks of {len(found)} people, seeds {SEEDS}: {sum(one.requests for one in found):,} requests,"
        f" {sum(alerts) / len(found) / MONTHS:.2f} alerts a person and month;"
        f" {100 * sum(count <= 1 for count in months) / len(months):.0f} of 100 person-months had at most one;"
        f" {sum(one.refused is not None for one in found)} asked for a sign-in.\n"
    )


def _misuse(victims: int) -> str:
    lines = ["| misuse | flagged at request (median, worst) | of |", "|---|---|---|"]
    people = [(number, seed) for seed in SEEDS for number in range(victims // len(SEEDS))]
    known = []
    for one in people:
        judge = behaviour()
        replay(judge, Somebody(*one).weeks(WEEKS))
        known.append(written(judge))
    for misuse in MISUSE:
        found = []
        for one, past in zip(people, known, strict=True):
            person = Somebody(*one)
            begin = at_work(person, WEEKS + 1)
            said = replay(knowing(past), misuse.script(person, begin))
            if said.first is not None:
                days = math.ceil((said.alerts[0][0] - begin) / DAY)
                found.append(said.first if misuse.within else days)
        unit = "" if misuse.within else "day "
        shown = f"{unit}{statistics.median(found):.0f}, {unit}{max(found)}" if found else "never"
        lines.append(f"| {misuse.name} | {shown} | {len(found)} of {len(people)} |")
    return "\n".join([*lines, ""])


def _drift(replies: int, seeds: int) -> str:
    each = 10_000
    alarms = sum(len(told(seed, each)) for seed in range(replies // each))
    lines = [f"Drift: {alarms} false alarms in {replies:,} replies.", ""]
    lines += ["| change | told after replies (soonest, median, last) | of |", "|---|---|---|"]
    for name, after in DRIFTS:
        begin = PAST + PROBATION
        runs = [told(seed, begin + 5000, begin, **after) for seed in range(seeds)]
        found = sorted(run[0][0] + 1 - begin for run in runs if run)
        lines.append(f"| {name} | {found[0]}, {statistics.median(found):.0f}, {found[-1]} | {len(found)} of {seeds} |")
    return "\n".join([*lines, ""])
