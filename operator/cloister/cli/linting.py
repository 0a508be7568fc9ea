"""`cloister lint`: what is wrong with resources, each finding at its line, and the list of the rules."""

import datetime as dt
from typing import Annotated, Any

import typer
from rich.text import Text

from cloister.cli.documents import Document, read
from cloister.cli.errors import UserError, friendly
from cloister.cli.options import FORM, TextForm
from cloister.cli.output import Data, as_json, console, emit, table
from cloister.lint import RULES, Finding, Severity, lint_raw

_STYLE = {Severity.ERROR: "bold red", Severity.WARNING: "yellow", Severity.INFO: "cyan"}


def lint(
    files: Annotated[list[str] | None, typer.Argument(metavar="FILE...", help="Files; - reads standard input.")] = None,
    output: Annotated[TextForm, FORM] = TextForm.TEXT,
    strict: Annotated[bool, typer.Option(help="Warnings fail too.")] = False,
    rules: Annotated[bool, typer.Option(help="List the rules instead.")] = False,
) -> None:
    """Check resources before they are applied. Exit code 1: there are errors; 2: a file can't be read."""
    if rules:
        _print_rules(output)
        return
    with friendly():
        if not files:
            raise UserError("name at least one file, or - for standard input")
        found = [(document, finding) for file in files for document in read(file) for finding in _findings(document)]
    if output is TextForm.JSON:
        emit([_located(document, finding) for document, finding in found], Data.JSON)
    else:
        _print_findings(found)
    failing = {Severity.ERROR, Severity.WARNING} if strict else {Severity.ERROR}
    if any(finding.severity in failing for _, finding in found):
        raise typer.Exit(1)


def _findings(document: Document) -> tuple[Finding, ...]:
    return lint_raw(document.raw, dt.datetime.now(dt.UTC).date())


def _located(document: Document, finding: Finding) -> dict[str, Any]:
    place = {"file": document.source, "line": document.line(finding.field), "name": document.name}
    return {**place, **finding.as_dict()}


def _print_findings(found: list[tuple[Document, Finding]]) -> None:
    out = console()
    for document, finding in found:
        head = Text(f"{document.source}:{document.line(finding.field)}: ")
        head += Text(str(finding.severity), style=_STYLE[finding.severity])
        value = f"{as_json(finding.value).strip()}: " if _is_flat(finding.value) else ""
        out.print(head + Text(f" {finding.code} {finding.field}: {value}{finding.message}"))
        out.print(Text(f"    {finding.fix}", style="dim"))
    counts = {severity: sum(finding.severity is severity for _, finding in found) for severity in Severity}
    out.print(", ".join(f"{count} {severity}{'' if count == 1 else 's'}" for severity, count in counts.items()))


def _is_flat(value: object) -> bool:
    return isinstance(value, str | int | float | bool)


def _print_rules(form: TextForm) -> None:
    if form is TextForm.JSON:
        known = [{"code": r.code, "severity": str(r.severity), "title": r.title, "fix": r.fix} for r in RULES]
        emit(known, Data.JSON)
        return
    out = console()
    for line in table(("CODE", "SEVERITY", "RULE"), [(r.code, str(r.severity), r.title) for r in RULES]):
        out.print(line)
