"""Times as people name them to `--since` and `--until`."""

import datetime as dt

import pytest

from cloister.cli.errors import UserError
from cloister.cli.moments import moment

NOW = dt.datetime(2026, 12, 1, 12, 0, 0, 250, dt.UTC)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("2026", "2026-01-01T00:00:00.000000Z"),
        ("2026-11", "2026-11-01T00:00:00.000000Z"),
        ("2026-11-03", "2026-11-03T00:00:00.000000Z"),
        ("2026-11-03T10", "2026-11-03T10:00:00.000000Z"),
        ("2026-11-03 10:30", "2026-11-03T10:30:00.000000Z"),
        ("2026-11-03T10:30:05Z", "2026-11-03T10:30:05.000000Z"),
        ("2026-11-03t10:30:05.5z", "2026-11-03T10:30:05.500000Z"),
        ("2026-11-03T10:30:05.123456789Z", "2026-11-03T10:30:05.123456Z"),
        ("2026-11-03T10:30+02:00", "2026-11-03T08:30:00.000000Z"),
        ("2026-11-03T23:30:00.25-0130", "2026-11-04T01:00:00.250000Z"),
        ("0999", "0999-01-01T00:00:00.000000Z"),
        ("90m", "2026-12-01T10:30:00.000250Z"),
        ("24h", "2026-11-30T12:00:00.000250Z"),
        ("7d", "2026-11-24T12:00:00.000250Z"),
        ("1d1h1m1s", "2026-11-30T10:58:59.000250Z"),
    ],
)
def test_times(text: str, found: str) -> None:
    assert moment("--since", text, NOW) == found


@pytest.mark.parametrize(
    "text",
    [
        *("", "yesterday", "01.12.2025", "2025-12-1", "2025-13", "2025-02-30", "2025-12-01T24:00", "2025-12-01T10:61"),
        *(
            "0000",
            "12",
            "2025Z",
            "2025-12-01Z",
            "2025-12-01T10:00:00+25:00",
            "0001-01-01T00:00+01:00",
            "-5m",
            "5",
            "5w",
        ),
        *("999999999d", "2025-12-01T10:00 ", "\x1b[2J", "٢٠٢٥"),
    ],
)
def test_what_is_no_time_is_refused_with_the_forms_that_are(text: str) -> None:
    with pytest.raises(UserError, match="--since"):
        moment("--since", text, NOW)


def test_none_is_none() -> None:
    assert moment("--until", None, NOW) is None
