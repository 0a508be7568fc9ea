"""Behaviour against a caller's own past: ordinary weeks pass, twelve kinds of misuse are flagged (ZT-07, ZT-09)."""

from collections import Counter
from typing import Any

import orjson
import pytest

from cloister.auditor.memory import Memory
from cloister.inspection.behaviour import SIGNALS, Behaviour, Done, Kind, Level, Thresholds, Who
from cloister.inspection.behaviour.profile import Profile, restored
from tests.behaviour.misuse import MISUSE, Misuse, at_work
from tests.behaviour.replay import Told, behaviour, knowing, replay, written
from tests.behaviour.weeks import DAY, HOUR, MONDAY, Somebody

PEOPLE, WEEKS, SEED = 24, 8, 3
VICTIMS = 8

MORNING = MONDAY + 9 * HOUR
HITS = Done("chat", "small", 100, 10, kinds=("prompt-injection",))
CLEAN = Done("chat", "small", 100, 10)


def ada(signed_in: int | None = MORNING - 600, **more: Any) -> Who:
    """A person without a past."""
    return Who("ada", Kind.PERSON, signed_in, **more)


def hammered(judge: Behaviour, who: Who, times: int, at: float = MORNING) -> Level:
    """The standing after so many findings within a minute each."""
    for number in range(times):
        judge.arrives(who, at + number)
        judge.done(who, HITS, at + number)
    return judge.arrives(who, at + times).standing


@pytest.fixture(scope="module")
def told() -> list[Told]:
    """What was said of each person's ordinary weeks."""
    return [replay(behaviour(), Somebody(number, SEED).weeks(WEEKS)) for number in range(PEOPLE)]


@pytest.fixture(scope="module")
def victims() -> dict[int, bytes]:
    """What is known of some people after two months."""
    known = {}
    for number in range(VICTIMS):
        somebody, judge = Somebody(number, SEED), behaviour()
        replay(judge, somebody.weeks(WEEKS))
        known[number] = written(judge)
    return known


class TestOrdinaryWeeks:
    """Made-up people, two months of work each."""

    def test_raise_at_most_one_alert_a_person_and_month(self, told: list[Told]) -> None:
        months = Counter(len(one.alerts) for one in told)
        assert sum(one.requests for one in told) > 20_000
        alerts = sum(len(one.alerts) for one in told)
        assert alerts / (PEOPLE * WEEKS / 4) <= 0.5, months
        within_bounds = sum(len(one.alerts) <= WEEKS / 4 for one in told)
        assert within_bounds / PEOPLE >= 0.95, months

    def test_ask_nothing_of_nearly_anybody(self, told: list[Told]) -> None:
        assert sum(one.refused is not None for one in told) <= 1

    def test_every_alert_says_why(self, told: list[Told]) -> None:
        for one in told:
            for _, _, judgement in one.alerts:
                assert judgement.reasons
                assert abs(sum(reason.points for reason in judgement.reasons) - judgement.score) < len(SIGNALS)
                assert {reason.signal for reason in judgement.reasons} <= set(SIGNALS)


class TestMisuse:
    """By people whose ordinary weeks are known."""

    @pytest.mark.parametrize("misuse", MISUSE, ids=lambda misuse: misuse.name)
    def test_is_flagged_in_time(self, misuse: Misuse, victims: dict[int, bytes]) -> None:
        for number, known in victims.items():
            judge, somebody = knowing(known), Somebody(number, SEED)
            begin = at_work(somebody, WEEKS + 1)
            told = replay(judge, misuse.script(somebody, begin))
            assert told.first is not None, f"never, of {told.requests} requests ({told.highest:.0f} points)"
            if misuse.within:
                assert told.first <= misuse.within
            else:
                assert told.alerts[0][0] - begin <= 15 * DAY

    def test_an_hour_of_ordinary_work_is_not_flagged(self, victims: dict[int, bytes]) -> None:
        flagged = 0
        for number, known in victims.items():
            judge, somebody = knowing(known), Somebody(number, SEED)
            begin = at_work(somebody, WEEKS + 1)
            gap = HOUR / max(somebody.pace, 1)
            usual = [(begin + n * gap, somebody.who(begin + n * gap), somebody.done()) for n in range(20)]
            flagged += bool(replay(judge, usual).alerts)
        assert flagged <= 1


class TestStanding:
    """What a score asks of a caller, and how that ends (RFC 9470)."""

    def test_points_become_levels(self) -> None:
        judge = behaviour()
        assert hammered(judge, ada(), 4) == Level.NONE
        assert hammered(judge, ada(), 5) == Level.STEP_UP

    def test_a_fresh_sign_in_lowers_the_score_and_another_token_of_the_old_one_does_not(self) -> None:
        judge = behaviour()
        assert hammered(judge, ada(), 9) == Level.STEP_UP
        before = judge.arrives(ada(), MORNING + 60)
        assert judge.arrives(ada(token="renewed"), MORNING + 60).standing == Level.STEP_UP
        fresh = judge.arrives(ada(MORNING + 61), MORNING + 62)
        assert fresh.standing == Level.NONE
        assert fresh.score == pytest.approx(before.score / 2, rel=0.02)

    def test_going_on_after_that_ends_the_session(self) -> None:
        judge = behaviour()
        assert hammered(judge, ada(), 9) == Level.STEP_UP
        again = ada(MORNING + 61)
        assert hammered(judge, again, 4, MORNING + 62) == Level.STEP_UP
        judge = Behaviour(Thresholds(step_up=70, end=75))
        assert hammered(judge, ada(), 9) == Level.END
        assert judge.arrives(ada(), MORNING + 30 * DAY).standing == Level.END
        assert judge.arrives(ada(MORNING + 30 * DAY), MORNING + 30 * DAY + 1).standing == Level.NONE

    def test_a_sign_in_from_the_future_is_none(self) -> None:
        judge = behaviour()
        hammered(judge, ada(), 9)
        assert judge.arrives(ada(MORNING + 7200), MORNING + 60).standing == Level.STEP_UP

    def test_a_token_that_tells_no_sign_in_waits_until_the_score_has_fallen(self) -> None:
        judge = behaviour()
        assert hammered(judge, ada(None), 9) == Level.STEP_UP
        assert judge.arrives(ada(None), MORNING + HOUR).standing == Level.STEP_UP
        assert judge.arrives(ada(None), MORNING + 4 * HOUR).standing == Level.NONE

    def test_a_machine_is_refused_for_some_time(self) -> None:
        judge, machine = behaviour(), Who("nightly", Kind.MACHINE)
        assert hammered(judge, machine, 9) == Level.NONE
        assert hammered(judge, machine, 6, MORNING + 60) == Level.END
        assert judge.arrives(machine, MORNING + 5 * HOUR).standing == Level.NONE

    def test_trying_again_makes_it_no_worse(self) -> None:
        judge = behaviour()
        hammered(judge, ada(), 9)
        scores = [judge.arrives(ada(), MORNING + 60 + n).score for n in range(500)]
        assert max(scores) == scores[0]

    def test_points_fade_and_an_alert_is_raised_once(self) -> None:
        judge = behaviour()
        alerts = [judge.done(ada(), HITS, MORNING + number).alert for number in range(6)]
        assert [bool(alert) for alert in alerts].count(True) == 1
        half = judge.explained("ada", MORNING + 7200 + 5)[0]
        assert half == pytest.approx(30, abs=1)
        judge.arrives(ada(), MORNING + DAY)
        alerts += [judge.done(ada(), HITS, MORNING + DAY + number).alert for number in range(6)]
        assert [bool(alert) for alert in alerts].count(True) == 2

    def test_what_comes_all_at_once_after_a_quiet_day_is_told_again(self) -> None:
        judge = behaviour()
        hammered(judge, ada(), 5)
        export = Done("chat", "small", 100, 400_000)
        assert judge.done(ada(), export, MORNING + DAY).alert is Level.FLAG

    def test_where_it_is_only_told_nothing_is_asked(self) -> None:
        judge = behaviour(enforced=False)
        assert hammered(judge, ada(), 40) == Level.NONE
        assert judge.explained("ada", MORNING + 60)[0] > 120


class TestSignals:
    """Single signals at their edges."""

    def test_nothing_is_new_before_a_caller_is_known(self) -> None:
        judge = behaviour()
        for day, country in enumerate(("DE", "BR", "SG")):
            assert judge.arrives(ada(country=country), MORNING + day * DAY).score == 0

    def test_a_front_answers_only_for_how_much_it_asks(self) -> None:
        judge, front = behaviour(), Who("bff", Kind.FRONT)
        for number in range(50):
            judge.arrives(front, MORNING + number)
            judge.done(front, HITS, MORNING + number)
        assert judge.explained("bff", MORNING + 50)[0] == 0

    def test_who_walks_from_one_network_to_the_other_shares_nothing(self) -> None:
        judge = behaviour()
        for number, address in enumerate(("office", "office", "mobile", "mobile", "home")):
            assert judge.arrives(ada(token="t", address=address), MORNING + number * 60).score == 0
        assert judge.arrives(ada(token="t", address="mobile"), MORNING + 301).score == 60

    def test_refusals_that_a_score_caused_add_nothing(self) -> None:
        judge = behaviour()
        for code in ("insufficient_user_authentication", "invalid_token", "behaviour", "not_recorded"):
            for _ in range(20):
                assert judge.done(ada(), Done("chat", refused=code), MORNING).score == 0

    def test_a_clock_that_was_ahead_holds_nothing_against_anybody_until_then(self) -> None:
        judge = behaviour()
        ahead = MORNING + 10 * 365 * 86400
        hammered(judge, ada(), 9)
        (profile,) = (profile for _, profile in judge.profiles())
        profile.points = {name: (points, ahead, why) for name, (points, _, why) in profile.points.items()}
        profile.asked_at, profile.hour = ahead, int(ahead // 3600)
        now = MORNING + 7200
        assert judge.arrives(ada(), now).standing == Level.STEP_UP, "nothing is forgiven either"
        assert judge.arrives(ada(signed_in=int(now) + 60), now + 60).standing == Level.NONE
        assert judge.explained("ada", now + 86400)[0] < 1


class TestMemory:
    """What outlives a restart."""

    def test_a_profile_comes_back_as_it_was(self) -> None:
        judge = behaviour()
        replay(judge, Somebody(1, SEED).weeks(3))
        hammered(judge, Somebody(1, SEED).who(MORNING), 9)
        for _, profile in judge.profiles():
            again = restored(orjson.loads(orjson.dumps(profile.document())))
            assert again == profile

    @pytest.mark.parametrize("broken", [{}, {"requests": 1}, Profile().document() | {"habits": [0.0]}])
    def test_what_is_no_profile_is_refused(self, broken: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match=r"profile|hours"):
            restored(broken)

    def test_only_so_many_are_kept_but_never_one_of_whom_something_is_asked_is_let_off(self) -> None:
        judge = Behaviour(Thresholds(), subjects=20)
        hammered(judge, ada(), 9)
        for number in range(200):
            judge.arrives(Who(f"machine-{number}", Kind.MACHINE), MORNING + 60 + number)
        assert len(list(judge.profiles())) == 20
        assert judge.arrives(ada(), MORNING + 300).standing == Level.STEP_UP

    def test_the_file_names_nobody_and_comes_back(self, tmp_path: Any) -> None:
        memory, judge = Memory(tmp_path / "m"), behaviour()
        subject = memory.pseudonym("person", "ada@example.com")
        who = Who(subject, Kind.PERSON, MORNING - 600, country="DE", device=memory.pseudonym("device", "laptop-7"))
        hammered(judge, who, 9)
        memory.encode(judge, 100)
        memory.save(memory.lines(judge))
        kept = b"".join(path.read_bytes() for path in (tmp_path / "m").iterdir())
        assert b"ada@" not in kept
        assert b"laptop" not in kept
        assert all(path.stat().st_mode & 0o777 == 0o600 for path in (tmp_path / "m").iterdir())
        again, later = behaviour(), Memory(tmp_path / "m")
        assert later.recall(again) is None
        assert later.pseudonym("person", "ada@example.com") == subject
        assert again.arrives(who, MORNING + 60).standing == Level.STEP_UP

    @pytest.mark.parametrize("damage", [b"", b"{}", b'{"version":2,"profiles":0}', b'{"version":1,"profiles":3}\n[1]'])
    def test_what_can_not_be_read_is_learned_anew_and_said(self, tmp_path: Any, damage: bytes) -> None:
        memory = Memory(tmp_path)
        (tmp_path / "behaviour.jsonl").write_bytes(damage)
        judge = behaviour()
        assert memory.recall(judge)
        assert not list(judge.profiles())
