"""Where a value could begin: what each must have near its beginning, looked for by Vectorscan in one pass.

A hint is a short piece of nearly fixed length that every value of some form has, and that ordinary text seldom has:
thirteen digits in a row, the beginning of a token. Vectorscan compares many bytes with one instruction, where an
automaton such as RE2's takes one after the other. E-mail addresses have none here: their own sign is found by the
search for bytes that Python has. The same pass tells of control characters, which whoever masks must know of as well.
"""

import threading
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple

import hyperscan

from cloister.masking.gaps import BLANK, WIDE
from cloister.masking.kinds import Kind

LEAD = 64
"""A value begins at most so many bytes before the end of its hint."""
MOST = 1 << 12
"""Text with more hints than this is quicker read from end to end."""

JWT_BEGINS = r"eyJ[0-9A-Za-z_-]{8}"
"""As every JSON web token does."""
NAMES = (
    r"(?i:passw(?:or)?d|passphrase|secret|api[_-]?key|access[_-]?key|auth[_-]?token|private[_-]?key)"
    r"""(?:\\?["']|[*_`]{1,2})?"""
)
"""Names that say that what is assigned to them is secret, as they are written in code, in JSON and in Markdown."""
_HEX = "[0-9A-Fa-f]"
_HINTS: tuple[tuple[Kind, str], ...] = (
    (Kind.SECRET, JWT_BEGINS),
    (Kind.SECRET, r"A(?:KIA|SIA)[0-9A-Z]{16}"),
    (Kind.SECRET, r"gh[pousr]_[0-9A-Za-z]{36}"),
    (Kind.SECRET, r"github_pat_[0-9A-Za-z_]{22}"),
    (Kind.SECRET, r"glpat-[0-9A-Za-z_-]{20}"),
    (Kind.SECRET, r"xox[abeoprs]-[0-9A-Za-z-]{10}"),
    (Kind.SECRET, r"AIza[0-9A-Za-z_-]{35}"),
    (Kind.SECRET, r"sk-[0-9A-Za-z_-]{20}"),
    (Kind.SECRET, r"[rs]k_live_[0-9A-Za-z]{20}"),
    (Kind.SECRET, r"hf_[0-9A-Za-z]{30}"),
    (Kind.SECRET, r"npm_[0-9A-Za-z]{36}"),
    (Kind.SECRET, r"pypi-[0-9A-Za-z_-]{50}"),
    (Kind.SECRET, r"[Bb]earer [0-9A-Za-z._~+/-]{16}"),
    (Kind.SECRET, NAMES + rf"(?:{BLANK}{{0,2}}[:=]|[ \t]{{0,20}}\|)"),
    (Kind.IBAN, r"[A-Z]{2}[0-9]{2} ?[0-9A-Z]{4} ?[0-9A-Z]{4}"),
    # Of a long row of digits its beginning alone: a card stands alone. Three expressions would take longer.
    (
        Kind.CARD,
        r"(?:^|[^0-9])[0-9]{4}(?:[0-9]{9}|[ -][0-9]{4}[ -][0-9]{4}[ -][0-9]|[ -][0-9]{6}[ -][0-9]{4})",
    ),
    (Kind.SSN, r"[0-9]{3}-[0-9]{2}-[0-9]{4}"),
    (Kind.IP, r"[0-9]\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]"),
    (Kind.IP, rf"{_HEX}:(?:{_HEX}{{1,4}}:){{6}}{_HEX}"),
    (Kind.IP, rf"{_HEX}::{_HEX}"),
    (Kind.PHONE, r"\+[0-9](?:[ ()./-]{0,2}[0-9]){7}"),
    (Kind.PHONE, r"\([0-9]{2,5}\)[ -]?[0-9](?:[ /-]?[0-9]){4}"),
    (Kind.PHONE, r"[2-9][0-9]{2}[-.][2-9][0-9]{2}[-.][0-9]{4}"),
    (Kind.PHONE, r"0[1-9](?:[ .][0-9]{2}){4}"),
    (Kind.PHONE, r"00[1-9][0-9]{0,2}[ /](?:[0-9][ /-]?){6}[0-9]"),
    (Kind.PHONE, r"0[1-9][0-9]{1,4}(?:[ /][0-9]{3}|-[0-9]{5})"),
)
"""Kind, and what every value of one of its forms has in its first :data:`LEAD` bytes."""
_IN_GROUPS = frozenset({Kind.IBAN, Kind.CARD, Kind.SSN, Kind.PHONE})
_WIDE_HINTS = (rf"[0-9]{WIDE}", rf"{WIDE}[0-9]", rf"[A-Z]{WIDE}[A-Z]")
"""What values of these kinds have there that are parted by a gap beyond ASCII; not asked for in a text without such."""

_CONTROL, _KEY, _WIDE = range(len(_HINTS), len(_HINTS) + 3)
_SIGNS = ((_CONTROL, r"[\x00-\x07\x0e-\x1a\x1c-\x1f\x7f]"), (_KEY, r"PRIVATE KEY-----"))
"""What else is looked for, with numbers that follow those of the hints: control characters that no text has, and what
every private key in PEM has twice."""
_threads = threading.local()


class Hints(NamedTuple):
    """What one pass over a text has told."""

    ends: list[int] | None
    """Of the hints, ascending. None where the text must be read from end to end: it has a private key in PEM, or more
    hints than :data:`MOST`."""
    controls: bool
    """Whether it has control characters that no text has."""


def hints(data: bytes, kinds: frozenset[Kind] | None) -> Hints:
    """What there is of values of these kinds (all without)."""
    ends: list[int] = []
    controls = False

    def note(number: int, _: int, end: int, __: int, ___: object) -> bool:
        nonlocal controls
        if number == _CONTROL:
            controls = True
            return False
        ends.append(end)
        return number == _KEY or len(ends) > MOST

    if _looked(_database(kinds, wide=not data.isascii()), data, note):
        # In order for one expression, as Vectorscan promises; among several it promises nothing.
        return Hints(sorted(ends), controls)
    return Hints(None, controls or not _looked(_controls(), data, lambda *_: True))


def _looked(database: hyperscan.Database, data: bytes, note: Callable[..., bool]) -> bool:
    """Whether all of it was looked at; False where ``note`` has ended it."""
    try:
        database.scan(data, match_event_handler=note, scratch=_scratch(database))
    except hyperscan.ScanTerminated:
        return False
    return True


def _scratch(database: hyperscan.Database) -> hyperscan.Scratch:
    """Room to work in, which no two threads may share."""
    rooms: dict[int, hyperscan.Scratch] = _threads.__dict__.setdefault("rooms", {})
    if id(database) not in rooms:
        rooms[id(database)] = hyperscan.Scratch(database)
    return rooms[id(database)]


@lru_cache(None)
def _database(kinds: frozenset[Kind] | None, *, wide: bool) -> hyperscan.Database:
    wanted = [(number, hint) for number, (kind, hint) in enumerate(_HINTS) if kinds is None or kind in kinds]
    if wide and (kinds is None or kinds & _IN_GROUPS):
        wanted += enumerate(_WIDE_HINTS, _WIDE)
    signs = _SIGNS if kinds is None or Kind.SECRET in kinds else _SIGNS[:1]
    return _compiled([*wanted, *signs])


@lru_cache(1)
def _controls() -> hyperscan.Database:
    return _compiled(_SIGNS[:1])


def _compiled(numbered: Sequence[tuple[int, str]]) -> hyperscan.Database:
    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    database.compile(
        expressions=[one.encode("ascii") for _, one in numbered],
        elements=len(numbered),
        ids=[number for number, _ in numbered],
        # Of control characters one is as good as all.
        flags=[hyperscan.HS_FLAG_SINGLEMATCH if number == _CONTROL else 0 for number, _ in numbered],
    )
    return database
