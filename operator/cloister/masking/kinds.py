"""Kinds of values, and whether a candidate can be one: numbers that carry a check digit are checked by it."""

from collections.abc import Callable
from enum import StrEnum


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
    plain = text.replace(b" ", b"").decode("ascii")
    return 15 <= len(plain) <= 34 and int("".join(str(int(c, 36)) for c in plain[4:] + plain[:4])) % 97 == 1


def _issued(text: bytes) -> bool:
    """Numbers that the US Social Security Administration never issues are none."""
    area, group, serial = text.split(b"-")
    return area not in {b"000", b"666"} and area < b"900" and group != b"00" and serial != b"0000"


def _dialled(text: bytes) -> bool:
    """National numbers have at most 12 digits with their zero, and hardly any have fewer than 9; international ones
    have at most 15, without the two zeros that are dialled before them (ITU-T E.164)."""
    if not text.startswith(b"0"):
        return True
    digits = sum(48 <= byte <= 57 for byte in text.split(b"x")[0])
    return 10 <= digits <= 17 if text.startswith(b"00") else 9 <= digits <= 12


def _any(text: bytes) -> bool:
    return True


_WITH_CHECK: dict[Kind, Callable[[bytes], bool]] = {
    Kind.CARD: _luhn,
    Kind.IBAN: _mod97,
    Kind.SSN: _issued,
    Kind.PHONE: _dialled,
}
CHECKS = {kind: _WITH_CHECK.get(kind, _any) for kind in Kind}
