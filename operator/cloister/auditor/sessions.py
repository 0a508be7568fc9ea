"""Whether a person's sign-in still holds. Asked again with every request: trust ends between two of them (ZT-07)."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from cloister import sidecar
from cloister.auditor.callers import Caller, Person
from cloister.auditor.refusal import Refusal
from cloister.auditor.revocations import RevocationList

CLOCK_SKEW_SECONDS = 30


class Standing(Enum):
    """What behaviour so far means for the next request."""

    ADMITTED = "admitted"
    STEP_UP = "step-up"
    """The person must sign in again, strongly."""
    ENDED = "ended"
    """The session is over."""


@dataclass(frozen=True, slots=True)
class Visit:
    """The request with which a caller comes."""

    exchange: str = ""
    api: str = ""
    address: str | None = None
    """From where, as the machine that speaks for people tells it."""


NO_VISIT = Visit()


class Risk(Protocol):
    """A judgement of live behaviour."""

    def standing(self, caller: Caller, now: float, visit: Visit) -> Standing:
        """How a caller stands at this moment (seconds since 1970)."""


class NoRisk:
    """Nothing about behaviour is known: everybody that the gate admitted stands well."""

    def standing(self, caller: Caller, now: float, visit: Visit) -> Standing:
        """Admitted."""
        return Standing.ADMITTED


class Sessions:
    """The checks, in their order: revoked, ended by risk, too old, to be stepped up."""

    def __init__(self, people: sidecar.People, revocations: RevocationList, risk: Risk) -> None:
        self._revocations, self._risk = revocations, risk
        self._max_age = people.max_session_seconds
        self._acr_values = people.acr_values

    def check(self, caller: Caller, now: float, visit: Visit = NO_VISIT) -> None:
        """Raises a Refusal when the person may not go on. Machines that speak for themselves have no session."""
        person = caller.person
        if person:
            if reason := self._revocations.reason(person):
                raise _ended(reason)
            if self._max_age is not None:
                self._check_age(person, now, self._max_age)
        match self._risk.standing(caller, now, visit):
            case Standing.ENDED if not person:
                message = "This machine is refused for some time, because of unusual behaviour."
                raise Refusal(403, message, kind="permission_error", code="behaviour")
            case Standing.ENDED:
                raise _ended("this session was ended because of unusual behaviour")
            case Standing.STEP_UP:
                # Of no age at all: the sign-in that is there is the one that is in doubt.
                raise self._step_up("unusual behaviour asks for a fresh and strong sign-in", max_age=0)

    def _check_age(self, person: Person, now: float, max_age: int) -> None:
        if person.signed_in is None:
            raise self._step_up("the token does not tell when the person signed in (auth_time)")
        if person.signed_in > now + CLOCK_SKEW_SECONDS:
            raise self._step_up("the sign-in lies in the future")
        if now - person.signed_in > max_age + CLOCK_SKEW_SECONDS:
            raise self._step_up("the sign-in is too old")

    def _step_up(self, why: str, max_age: int | None = None) -> Refusal:
        """401 with the challenge of RFC 9470, section 3: which sign-in would be enough."""
        max_age = self._max_age if max_age is None else max_age
        parameters = [("error", "insufficient_user_authentication"), ("error_description", why)]
        if self._acr_values:
            parameters.append(("acr_values", " ".join(self._acr_values)))
        if max_age is not None:
            parameters.append(("max_age", str(max_age)))
        return _unauthorized(f"Sign in again: {why}.", "insufficient_user_authentication", parameters)


def _ended(why: str) -> Refusal:
    """401 `invalid_token` (RFC 6750, section 3.1)."""
    return _unauthorized(
        f"Sign in again: {why}.", "invalid_token", [("error", "invalid_token"), ("error_description", why)]
    )


def _unauthorized(message: str, code: str, parameters: Iterable[tuple[str, str]]) -> Refusal:
    challenge = "Bearer " + ", ".join(f'{name}="{_quoted(value)}"' for name, value in parameters)
    return Refusal(401, message, kind="authentication_error", code=code, headers=(("www-authenticate", challenge),))


def _quoted(text: str) -> str:
    """The inside of an HTTP quoted-string (RFC 9110, section 5.6.4)."""
    printable = "".join(character for character in text if " " <= character <= "~")
    return printable.replace("\\", "\\\\").replace('"', '\\"')
