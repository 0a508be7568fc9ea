"""How checks are printed."""

import sys
from collections.abc import Sequence
from itertools import groupby

from junitparser import Failure, JUnitXml, Skipped, TestCase, TestSuite
from rich.text import Text

from cloister.cli.output import Data, console, emit, table
from cloister.cli.verification.check import Check, Outcome

_STYLE = {Outcome.HOLDS: "green", Outcome.FAILED: "bold red", Outcome.UNTRIED: "yellow"}


def print_all(name: str, checks: Sequence[Check], form: str) -> None:
    """Print every check as a table, as JSON or as JUnit XML."""
    match form:
        case "json":
            found = [
                {
                    "group": check.group,
                    "name": check.name,
                    "outcome": check.outcome.value.lower(),
                    "detail": check.detail,
                }
                for check in checks
            ]
            emit({"deployment": name, "checks": found}, Data.JSON)
        case "junit":
            sys.stdout.write(_junit(name, checks))
        case _:
            _print_table(checks)


def _print_table(checks: Sequence[Check]) -> None:
    out = console()
    rows = [(check.group, check.outcome.value, check.name, check.detail) for check in checks]
    header, *lines = table(("WHAT", "OUTCOME", "WHERE", "SEEN"), rows)
    out.print(header)
    for check, line in zip(checks, lines, strict=True):
        line.highlight_words([f" {check.outcome.value} "], _STYLE[check.outcome])
        out.print(line)
    counts = {outcome: sum(check.outcome is outcome for check in checks) for outcome in Outcome}
    out.print()
    out.print(Text(", ".join(f"{count} {outcome.value}" for outcome, count in counts.items()), style="bold"))


def _junit(name: str, checks: Sequence[Check]) -> str:
    """What was not tried is skipped there: no reader of JUnit XML knows a word for it that does not count as passed."""
    document = JUnitXml(f"cloister verify {name}")
    for group, members in groupby(sorted(checks, key=lambda check: check.group), key=lambda check: check.group):
        suite = TestSuite(group)
        for check in members:
            case = TestCase(check.name, f"{name}.{group}")
            if check.outcome is Outcome.FAILED:
                case.result = [Failure(check.detail)]
            elif check.outcome is Outcome.UNTRIED:
                case.result = [Skipped(check.detail)]
            else:
                case.system_out = check.detail
            suite.add_testcase(case)
        document.add_testsuite(suite)
    document.update_statistics()  # type: ignore[no-untyped-call]
    text: bytes = document.tostring()  # type: ignore[no-untyped-call]
    return f'<?xml version="1.0" encoding="utf-8"?>\n{text.decode()}\n'
