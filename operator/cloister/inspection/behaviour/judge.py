"""Judges callers: evidence becomes points, points a level, and a level what is asked of the caller."""

from collections import OrderedDict
from collections.abc import Iterable, Iterator

from cloister.inspection.behaviour.arriving import Evidence, Turns, arriving
from cloister.inspection.behaviour.doing import doing, levels
from cloister.inspection.behaviour.observed import Done, Kind, Who
from cloister.inspection.behaviour.profile import Profile
from cloister.inspection.behaviour.signals import SIGNALS
from cloister.inspection.behaviour.standing import (
    LEAST,
    NOTHING,
    Judgement,
    Level,
    Reason,
    Thresholds,
    faded,
    reasons,
)

SUBJECTS = 10_000
"""Profiles that are kept: those seen last."""
CLOCK_SKEW_SECONDS = 30


class Behaviour:
    """All subjects of one auditor."""

    def __init__(self, thresholds: Thresholds, *, enforced: bool = True, subjects: int = SUBJECTS) -> None:
        """``enforced``: whether a level asks anything of a caller; otherwise it is only told."""
        self.thresholds, self._enforced, self.bound = thresholds, enforced, subjects
        self._profiles: OrderedDict[str, Profile] = OrderedDict()
        self._turns = Turns(subjects)
        self.changed: set[str] = set()
        """Subjects whose profile is another than when it was last saved."""

    def arrives(self, who: Who, now: float) -> Judgement:
        """A caller comes with a request. What is asked of it holds for this request."""
        profile = self._profile(who.subject)
        profile.turn(now)
        if profile.asked and self._answered(profile, who, now):
            self._sign_in(profile)
        if profile.asked:
            # It will be refused; that a program tries again and again makes it no worse.
            return self._judged(profile, who, now)
        evidence = list(arriving(profile, who, now, self.thresholds.travel))
        if who.kind is Kind.PERSON:
            evidence += self._turns.evidence(who, now)
        return self._judged(profile, who, now, added=evidence)

    def done(self, who: Who, done: Done, now: float) -> Judgement:
        """The request is over. What follows holds for the next."""
        profile = self._profile(who.subject)
        profile.turn(now)
        return self._judged(profile, who, now, added=doing(profile, who, done), had=levels(profile, who, done))

    def explained(self, subject: str, now: float) -> tuple[float, tuple[Reason, ...]]:
        """The score of a subject at this moment, and what it is made of."""
        profile = self._profiles.get(subject)
        if profile is None or not profile.points:
            return 0.0, ()
        half_life = self.thresholds.half_life
        return faded(profile.points, now, half_life), reasons(profile.points, now, half_life)

    def flagged(self, now: float) -> dict[Level, int]:
        """How many subjects stand at each level but the lowest."""
        counts = dict.fromkeys((Level.FLAG, Level.STEP_UP, Level.END), 0)
        for profile in self._profiles.values():
            if profile.points:
                level = self.thresholds.level(faded(profile.points, now, self.thresholds.half_life))
                if level:
                    counts[level] += 1
        return counts

    def _judged(
        self, profile: Profile, who: Who, now: float, added: Iterable[Evidence] = (), had: Iterable[Evidence] = ()
    ) -> Judgement:
        self.changed.add(who.subject)
        if faded(profile.points, now, self.thresholds.half_life) < self.thresholds.flag / 2:
            # Before this evidence: what comes all at once is news, however long ago the last request was.
            profile.raised = Level.NONE
        for signal, points, why in added:
            self._put(profile, signal, self._left(profile, signal, now) + points, now, why)
        for signal, points, why in had:
            if points > self._left(profile, signal, now):
                self._put(profile, signal, points, now, why)
        if not profile.points and not profile.asked:
            return NOTHING
        score = faded(profile.points, now, self.thresholds.half_life)
        level = self.thresholds.level(score)
        if score < LEAST:
            profile.points.clear()
        alert = level if level > profile.raised else Level.NONE
        profile.raised = max(profile.raised, level)
        self._ask(profile, who, level, now)
        asked = profile.asked if profile.asked >= Level.STEP_UP else Level.NONE
        because = reasons(profile.points, now, self.thresholds.half_life) if alert else ()
        return Judgement(score, asked, alert, because)

    def _put(self, profile: Profile, signal: str, points: float, now: float, why: str) -> None:
        profile.points[signal] = (min(points, SIGNALS[signal].cap), now, why)

    def _left(self, profile: Profile, signal: str, now: float) -> float:
        value, at, _ = profile.points.get(signal, (0.0, now, ""))
        return float(value * 0.5 ** (max(0.0, now - at) / self.thresholds.half_life))

    def _ask(self, profile: Profile, who: Who, level: Level, now: float) -> None:
        """A front is never asked: its people are. A machine can't sign in again, so for it only the end is one."""
        if not self._enforced or who.kind is Kind.FRONT:
            return
        if who.kind is Kind.MACHINE and level is Level.STEP_UP:
            level = Level.FLAG
        if level >= Level.STEP_UP and level > profile.asked:
            profile.asked, profile.asked_at, profile.asked_of = level, now, who.signed_in
        elif profile.asked and level < Level.FLAG and (who.kind is Kind.MACHINE or profile.asked_of is None):
            # Whose sign-in has no time can't show a later one: time alone has to do.
            profile.asked = Level.NONE

    def _answered(self, profile: Profile, who: Who, now: float) -> bool:
        """Whether the caller has signed in since it was asked."""
        if who.signed_in is None or profile.asked_of is None or who.signed_in > now + CLOCK_SKEW_SECONDS:
            return False
        return who.signed_in > max(profile.asked_of, int(profile.asked_at) - CLOCK_SKEW_SECONDS)

    def _sign_in(self, profile: Profile) -> None:
        profile.asked, profile.asked_of = Level.NONE, None
        profile.points = {
            name: (points * (1 - SIGNALS[name].answered), at, why)
            for name, (points, at, why) in profile.points.items()
            if SIGNALS[name].answered < 1
        }
        # What is left has been told; a further step is news again.
        profile.raised = Level.FLAG

    # --- what is kept

    def _profile(self, subject: str) -> Profile:
        profile = self._profiles.get(subject)
        if profile is None:
            profile = self._profiles[subject] = Profile()
            if len(self._profiles) > self.bound:
                self._forget_one()
        else:
            self._profiles.move_to_end(subject)
        return profile

    def _forget_one(self) -> None:
        """The one that was seen longest ago, unless something is asked of it."""
        for subject in list(self._profiles)[:16] if self._profiles[next(iter(self._profiles))].asked else ():
            if not self._profiles[subject].asked:
                del self._profiles[subject]
                return
        self._profiles.popitem(last=False)

    def profiles(self) -> Iterator[tuple[str, Profile]]:
        """All that are kept, the ones seen last at the end."""
        return iter(self._profiles.items())

    def profile(self, subject: str) -> Profile | None:
        """One of them."""
        return self._profiles.get(subject)

    def restore(self, subject: str, profile: Profile) -> None:
        """Takes in a profile that was kept, as the one seen last."""
        self._profiles[subject] = profile
        while len(self._profiles) > self.bound:
            self._forget_one()
