"""Times as people write them: a date or a beginning of one, a time with its zone, or how long ago."""

import datetime as dt
import re

from cloister.cli.errors import UserError

_TIME = re.compile(
    "([0-9]{4})(?:-([0-9]{2})(?:-([0-9]{2})(?:[Tt ]([0-9]{2})(?::([0-9]{2})(?::([0-9]{2})(?:[.]([0-9]{1,9}))?)?)?"
    "(Z|z|[+-][0-9]{2}:?[0-9]{2})?)?)?)?"
)
_AGO = re.compile("(?:([0-9]{1,9})d)?(?:([0-9]{1,9})h)?(?:([0-9]{1,9})m)?(?:([0-9]{1,9})s)?")


def moment(option: str, text: str | None, now: dt.datetime) -> str | None:
    """The time that an option names, as records have theirs: UTC to the microsecond, so that their order is that of the
    texts. UserError where it is none.

    ``now``: with a zone; what `90m` or `7d` is counted back from.
    """
    if text is None:
        return None
    try:
        found = _ago(text, now) or _at(text)
        found = found and found.astimezone(dt.UTC)
    except (ValueError, OverflowError) as error:
        raise UserError(f"{option} {text!r}: there is no such time: {error}") from None
    if not found:
        raise UserError(
            f"{option} {text!r}: is no time: name a year, month or day (2026-11-01), a time of it in UTC or with its"
            " zone (2026-11-01T10:30, 2026-11-01T10:30:05.5+02:00), or how long ago (90m, 24h, 7d)"
        )
    return found.isoformat(timespec="microseconds").replace("+00:00", "Z")


def _ago(text: str, now: dt.datetime) -> dt.datetime | None:
    match = _AGO.fullmatch(text)
    if not match or not text:
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return now - dt.timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)


def _at(text: str) -> dt.datetime | None:
    match = _TIME.fullmatch(text)
    if not match:
        return None
    year, month, day, hour, minute, second = (int(part) if part else None for part in match.groups()[:6])
    micros = int((match[7] or "0").ljust(6, "0")[:6])
    zone = dt.UTC if match[8] in (None, "Z", "z") else dt.datetime.strptime(match[8], "%z").tzinfo
    assert year is not None
    return dt.datetime(year, month or 1, day or 1, hour or 0, minute or 0, second or 0, micros, zone)
