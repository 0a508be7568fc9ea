"""Kinds of values, and whether a candidate can be one: numbers that carry a check digit are checked by it."""

import re
from collections.abc import Callable
from enum import StrEnum

from cloister.masking.gaps import gap

_GAPS = re.compile(gap(" -").encode())
_DATE = re.compile(rb"\+(?:19|20)[0-9]{2}(?:-[01][0-9]-[0-3][0-9](?![0-9])|[01][0-9][0-3][0-9]\Z)")
_MODE = re.compile(rb"0[0-7]{3}(?: 10[0-9]{2}){2}")
_NAME = re.compile(rb"[A-Za-z_.]+")
_FROM = re.compile(
    rb"(?:process\.env|import\.meta|os\.environ|os\.getenv|System\.getenv|self|this|settings|config|args|options|secrets"
    rb"|request|req|ctx|app)\.[A-Za-z_]|os\.environ\b"
)
"""Where programs have their secrets from."""
_CALLED = re.compile(rb"[A-Za-z_][0-9A-Za-z_]*(?:\.[A-Za-z_][0-9A-Za-z_]*)*(?:\[|\(.*)", re.DOTALL)
"""A name or a path of names that is called, or of which an item is taken."""


class Kind(StrEnum):
    """What `spec.training.mask` names."""

    EMAIL = "email"
    PHONE = "phone"
    CARD = "card"
    IBAN = "iban"
    SSN = "ssn"
    IP = "ip"
    SECRET = "secret"  # noqa: S105 (a kind, not one of them)


def _luhn(text: bytes) -> bool:
    """ISO/IEC 7812-1, annex B; all zeros would pass it."""
    digits = [byte - 48 for byte in text if 48 <= byte <= 57]
    even = [sum(divmod(2 * digit, 10)) for digit in digits[-2::-2]]
    return any(digits) and digits[0] in {2, 3, 4, 5, 6} and (sum(digits[-1::-2]) + sum(even)) % 10 == 0


def _mod97(text: bytes) -> bool:
    """ISO 13616-1: the check digits of an IBAN."""
    plain = _GAPS.sub(b"", text).decode("ascii")
    return 15 <= len(plain) <= 34 and int("".join(str(int(c, 36)) for c in plain[4:] + plain[:4])) % 97 == 1


def _issued(text: bytes) -> bool:
    """Numbers that the US Social Security Administration never issues are none."""
    area, group, serial = _GAPS.split(text)
    return area not in {b"000", b"666"} and area < b"900" and group != b"00" and serial != b"0000"


def _dialled(text: bytes) -> bool:
    """National numbers have at most 12 digits with their zero, and hardly any have fewer than 9; international ones
    have at most 15, without the two zeros that are dialled before them (ITU-T E.164). Lists of changes have dates
    behind a plus, and lists of files a mode, an owner and a group."""
    if _DATE.match(text) or _MODE.fullmatch(text):
        return False
    if not text.startswith(b"0"):
        return True
    digits = sum(48 <= byte <= 57 for byte in text.split(b"x")[0])
    return 10 <= digits <= 17 if text.startswith(b"00") else 9 <= digits <= 12


def _numbered(text: bytes) -> bool:
    """Addresses have digits; `a::b` is a name in a program."""
    return any(48 <= byte <= 57 for byte in text)


def given(told: bytes, value: bytes, after: bytes) -> bool:
    """Whether what is assigned to the name of a secret is the secret itself, and not where a program has it from.
    ``told``: the name, and all up to the value; ``after``: the byte behind the value."""
    if b"|" in told:
        return _numbered(value)  # in tables of what fields mean, words stand there
    if told[-1:] in b"\"'`":
        return True
    if b"==" in told and _NAME.fullmatch(value):
        return False
    return not (_FROM.match(value) or (_CALLED.fullmatch(value + after) and (b"." in value or not _numbered(value))))


def _any(text: bytes) -> bool:
    return True


_WITH_CHECK: dict[Kind, Callable[[bytes], bool]] = {
    Kind.CARD: _luhn,
    Kind.IBAN: _mod97,
    Kind.SSN: _issued,
    Kind.PHONE: _dialled,
    Kind.IP: _numbered,
}
CHECKS = {kind: _WITH_CHECK.get(kind, _any) for kind in Kind}
