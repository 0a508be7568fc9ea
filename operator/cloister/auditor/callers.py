"""Who is calling: the machine by its certificate, and the person by the claims that the gate has verified."""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from cloister import sidecar
from cloister.auditor.openai.dialect import json_object
from cloister.auditor.refusal import Refusal

KNOWN_TOKENS = 4096
"""How many callers are kept decoded."""


@dataclass(frozen=True, slots=True)
class Person:
    """A person's sign-in, as the token tells it. What it does not tell is None or empty."""

    subject: str
    session: str | None = None
    token: str | None = None
    """`jti`."""
    roles: tuple[str, ...] = ()
    country: str | None = None
    managed_device: bool | None = None
    device: str | None = None
    """Which device it is."""
    acr: str | None = None
    amr: tuple[str, ...] = ()
    signed_in: int | None = None
    """`auth_time`, seconds since 1970."""
    issued: int | None = None
    """`iat`, seconds since 1970."""


@dataclass(frozen=True, slots=True)
class Caller:
    """A machine, and the person for whom it speaks, if any."""

    peer: str
    person: Person | None = None
    record: Mapping[str, Any] = field(default_factory=dict, compare=False)
    """Who it is, in the words of the journal."""


class Callers:
    """Reads the gate's headers. The same token comes with many requests, so what it says is kept."""

    def __init__(self, claims: sidecar.Claims) -> None:
        self._claims = claims
        self.identify = lru_cache(KNOWN_TOKENS)(self._identify)

    def _identify(self, peer: str | None, claims: str | None) -> Caller:
        """The caller of a request with these two headers."""
        if not peer:
            raise Refusal(403, "The gate named no machine.", kind="permission_error", code="unknown_peer")
        person = None if claims is None else self._person(claims)
        return Caller(peer, person, _record(peer, person))

    def _person(self, header: str) -> Person:
        try:
            claims = json_object(base64.urlsafe_b64decode(header + "=" * (-len(header) % 4)))
        except (Refusal, binascii.Error, ValueError):
            raise _unreadable() from None
        subject = claims.get("sub")
        if not isinstance(subject, str) or not subject:
            raise _unreadable()
        return Person(
            subject,
            session=_text(claims.get("sid")),
            token=_text(claims.get("jti")),
            roles=_texts(_at(claims, self._claims.roles)),
            country=_text(_at(claims, self._claims.country)),
            managed_device=_flag(_at(claims, self._claims.managed_device)),
            device=_text(_at(claims, self._claims.device)),
            acr=_text(claims.get("acr")),
            amr=_texts(claims.get("amr")),
            signed_in=_seconds(claims.get("auth_time")),
            issued=_seconds(claims.get("iat")),
        )


def _unreadable() -> Refusal:
    return Refusal(401, "The token's claims can't be read.", kind="authentication_error", code="invalid_token")


def _record(peer: str, person: Person | None) -> dict[str, Any]:
    if not person:
        return {"peer": peer}
    known = {
        "peer": peer,
        "user.id": person.subject,
        "session.id": person.session,
        "roles": list(person.roles),
        "country": person.country,
        "device": _DEVICES.get(person.managed_device),
        "device.id": person.device,
        "token.id": person.token,
        "acr": person.acr,
        "amr": list(person.amr),
        "auth_time": person.signed_in,
    }
    return {name: value for name, value in known.items() if value not in (None, [])}


_DEVICES = {True: "managed", False: "unmanaged", None: None}


def _at(claims: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        claims = claims.get(key) if isinstance(claims, dict) else None
    return claims


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _texts(value: Any) -> tuple[str, ...]:
    """Providers send a list, or the one value."""
    values = value if isinstance(value, list) else [value]
    return tuple(text for text in values if isinstance(text, str))


def _flag(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None


def _seconds(value: Any) -> int | None:
    """A NumericDate (RFC 7519, section 2), which may have a fraction."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1 << 53:
        return None
    return int(value)
