"""Who is admitted again with each request: session age, revocation, risk (ZT-06, ZT-07)."""

import base64
import json
from pathlib import Path
from typing import Any

import orjson
import pytest

from cloister import sidecar
from cloister.auditor.callers import Caller, Callers
from cloister.auditor.limits import Concurrency
from cloister.auditor.refusal import Refusal
from cloister.auditor.revocations import RevocationList
from cloister.auditor.sessions import CLOCK_SKEW_SECONDS, NoRisk, Risk, Sessions, Standing, Visit

PEER = "spiffe://cluster.local/ns/web/sa/frontend"
NOW = 1_800_000_000
CLAIMS: dict[str, Any] = {
    "sub": "ada",
    "sid": "s-1",
    "jti": "t-1",
    "iat": NOW - 50,
    "auth_time": NOW - 100,
    "roles": ["agent", 5],
    "country": "DE",
    "managed_device": True,
    "amr": ["mfa"],
    "acr": "gold",
}


def header(claims: object) -> str:
    """Claims as the gate writes them."""
    return base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")


def identify(claims: object = CLAIMS, paths: sidecar.Claims | None = None) -> Caller:
    """The caller with these claims."""
    return Callers(paths or sidecar.Claims()).identify(PEER, header(claims))


def sessions(path: Path | None = None, risk: Risk | None = None, **people: Any) -> Sessions:
    """The checks."""
    settings = sidecar.People(**people)
    return Sessions(settings, RevocationList(str(path) if path else None), risk or NoRisk())


def check(found: Sessions, caller: Caller, now: float = NOW) -> Refusal | None:
    """Why someone is refused."""
    try:
        found.check(caller, now)
    except Refusal as refusal:
        return refusal
    return None


class TestCallers:
    """The gate's headers become a caller."""

    def test_what_the_journal_says_of_a_person(self) -> None:
        assert identify().record == {
            "peer": PEER,
            "user.id": "ada",
            "session.id": "s-1",
            "roles": ["agent"],
            "country": "DE",
            "device": "managed",
            "token.id": "t-1",
            "acr": "gold",
            "amr": ["mfa"],
            "auth_time": NOW - 100,
        }

    def test_a_machine_that_speaks_for_itself(self) -> None:
        caller = Callers(sidecar.Claims()).identify(PEER, None)
        assert (caller.person, caller.record) == (None, {"peer": PEER})

    def test_claims_of_other_names(self) -> None:
        paths = sidecar.Claims(roles=("realm_access", "roles"), country=("https://example.com/country",))
        found = identify({"sub": "ada", "realm_access": {"roles": "one"}, "https://example.com/country": "FR"}, paths)
        assert found.person
        assert (found.person.roles, found.person.country, found.person.managed_device) == (("one",), "FR", None)

    @pytest.mark.parametrize("claims", [{}, {"sub": ""}, {"sub": 5}, [], "text", {"sub": None}])
    def test_nobody_in_particular_is_refused(self, claims: object) -> None:
        with pytest.raises(Refusal) as caught:
            identify(claims)
        assert caught.value.status == 401

    @pytest.mark.parametrize("text", ["", "%%%", "e30x", "bm90IGpzb24", header({"sub": "a"})[:-3]])
    def test_a_header_that_is_no_claims(self, text: str) -> None:
        with pytest.raises(Refusal) as caught:
            Callers(sidecar.Claims()).identify(PEER, text)
        assert caught.value.status == 401

    @pytest.mark.parametrize("peer", [None, ""])
    def test_no_machine(self, peer: str | None) -> None:
        with pytest.raises(Refusal) as caught:
            Callers(sidecar.Claims()).identify(peer, header(CLAIMS))
        assert caught.value.status == 403

    @pytest.mark.parametrize("time", [True, "5", -1, 1e300, None])
    def test_a_time_that_is_none(self, time: object) -> None:
        person = identify(CLAIMS | {"auth_time": time}).person
        assert person
        assert person.signed_in is None


class TestSessionAge:
    """`maxSessionAge` against `auth_time`."""

    def test_young_enough(self) -> None:
        assert check(sessions(max_session_seconds=100), identify()) is None
        assert check(sessions(max_session_seconds=100), identify(), NOW + CLOCK_SKEW_SECONDS) is None

    def test_too_old_is_asked_to_sign_in_again(self) -> None:
        found = sessions(max_session_seconds=100, acr_values=("gold", 'od"d'))
        refusal = check(found, identify(), NOW + CLOCK_SKEW_SECONDS + 1)
        assert refusal
        assert refusal.status == 401
        challenge = dict(refusal.headers)["www-authenticate"]
        assert challenge.startswith('Bearer error="insufficient_user_authentication", error_description=')
        assert challenge.endswith(', acr_values="gold od\\"d", max_age="100"')

    @pytest.mark.parametrize("time", [None, NOW + CLOCK_SKEW_SECONDS + 1, "x"])
    def test_a_sign_in_of_unknown_age_is_too_old(self, time: object) -> None:
        refusal = check(sessions(max_session_seconds=100), identify(CLAIMS | {"auth_time": time}))
        assert refusal
        assert refusal.code == "insufficient_user_authentication"

    def test_without_a_bound_any_age_will_do(self) -> None:
        assert check(sessions(), identify(CLAIMS | {"auth_time": 1})) is None

    def test_a_machine_has_no_session(self) -> None:
        machine = Callers(sidecar.Claims()).identify(PEER, None)
        assert check(sessions(max_session_seconds=1), machine) is None


class TestRevocation:
    """The mounted list."""

    @pytest.mark.parametrize(
        "revoked",
        [
            {"subjects": ["ada"]},
            {"sessions": ["s-1"]},
            {"tokens": ["t-1"]},
            {"issued_before": {"ada": NOW}},
            {"issued_before": {"*": NOW}},
        ],
    )
    def test_who_is_on_it_is_refused(self, tmp_path: Path, revoked: dict[str, Any]) -> None:
        path = tmp_path / "revocations.json"
        path.write_bytes(orjson.dumps(revoked))
        refusal = check(sessions(path), identify())
        assert refusal
        assert (refusal.status, refusal.code) == (401, "invalid_token")
        assert 'error="invalid_token"' in dict(refusal.headers)["www-authenticate"]

    @pytest.mark.parametrize(
        "revoked",
        [
            {},
            {"subjects": ["Ada", "bob"], "sessions": ["s-2", "ada"], "tokens": ["t-2"]},
            {"issued_before": {"ada": NOW - 50, "bob": NOW + 50}},
        ],
    )
    def test_who_is_not_goes_on(self, tmp_path: Path, revoked: dict[str, Any]) -> None:
        path = tmp_path / "revocations.json"
        path.write_bytes(orjson.dumps(revoked))
        assert check(sessions(path), identify()) is None

    def test_a_token_without_iat_can_t_be_younger(self, tmp_path: Path) -> None:
        path = tmp_path / "revocations.json"
        path.write_bytes(orjson.dumps({"issued_before": {"*": 1}}))
        assert check(sessions(path), identify({"sub": "ada"}))

    def test_without_the_file_nobody_is_admitted_until_it_comes(self, tmp_path: Path) -> None:
        path = tmp_path / "revocations.json"
        found = RevocationList(str(path))
        checks = Sessions(sidecar.People(), found, NoRisk())
        assert not found.known
        assert check(checks, identify())
        path.write_bytes(b"{}")
        assert found.reload()
        assert check(checks, identify()) is None

    @pytest.mark.parametrize("broken", [b"", b"{", b'{"subjets": []}', b'{"subjects": "ada"}', None])
    def test_a_broken_update_takes_nothing_back(self, tmp_path: Path, broken: bytes | None) -> None:
        path = tmp_path / "revocations.json"
        path.write_bytes(orjson.dumps({"subjects": ["ada"]}))
        found = RevocationList(str(path))
        checks = Sessions(sidecar.People(), found, NoRisk())
        path.unlink()
        if broken is not None:
            path.write_bytes(broken)
        assert not found.reload()
        assert found.error
        assert check(checks, identify())
        path.write_bytes(orjson.dumps({"subjects": ["bob"]}))
        assert found.reload()
        assert not found.error
        assert check(checks, identify()) is None

    def test_a_swapped_symlink_is_a_change(self, tmp_path: Path) -> None:
        """As a kubelet updates a mounted ConfigMap."""
        for version, subjects in (("one", []), ("two", ["ada"])):
            (tmp_path / version).mkdir()
            (tmp_path / version / "revocations.json").write_bytes(orjson.dumps({"subjects": subjects}))
        data = tmp_path / "..data"
        data.symlink_to("one")
        found = RevocationList(str(data / "revocations.json"))
        assert check(Sessions(sidecar.People(), found, NoRisk()), identify()) is None
        (tmp_path / "..tmp").symlink_to("two")
        (tmp_path / "..tmp").rename(data)
        assert found.reload()
        assert check(Sessions(sidecar.People(), found, NoRisk()), identify())


class TestRisk:
    """The judgement of behaviour, whatever makes it."""

    @pytest.mark.parametrize(
        ("standing", "code"),
        [
            (Standing.ADMITTED, None),
            (Standing.STEP_UP, "insufficient_user_authentication"),
            (Standing.ENDED, "invalid_token"),
        ],
    )
    def test_what_it_says_is_done(self, standing: Standing, code: str | None) -> None:
        class Judge:
            """Always of one mind."""

            def standing(self, caller: Caller, now: float, visit: Visit) -> Standing:
                """The same for everybody."""
                return standing

        refusal = check(sessions(risk=Judge()), identify())
        assert (refusal.code if refusal else None) == code


class TestConcurrency:
    """Requests under way, by caller."""

    def test_each_caller_has_its_own_places(self) -> None:
        limit = Concurrency(2)
        ada, bob = identify(), identify(CLAIMS | {"sub": "bob"})
        with limit.slot(ada), limit.slot(ada), limit.slot(bob):
            with pytest.raises(Refusal) as caught, limit.slot(ada):
                raise AssertionError("a third place")
            assert caught.value.status == 429
            assert ("retry-after", "1") in caught.value.headers
        with limit.slot(ada), limit.slot(ada), limit.slot(bob):
            pass

    def test_a_place_is_free_again_after_a_failure(self) -> None:
        limit = Concurrency(1)
        with pytest.raises(ZeroDivisionError), limit.slot(identify()):
            raise ZeroDivisionError
        with limit.slot(identify()):
            pass

    def test_without_a_limit(self) -> None:
        limit = Concurrency(None)
        with limit.slot(identify()), limit.slot(identify()):
            pass
