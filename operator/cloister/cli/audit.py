"""`cloister audit`: reads and verifies journals, where their segments lie as files."""

import datetime as dt
import json
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from cloister.cli.errors import UserError, friendly
from cloister.cli.moments import moment
from cloister.cli.options import FORM, TableForm, TextForm
from cloister.cli.output import as_json, console, printing, table
from cloister.cli.printable import printable, steady
from cloister.cli.usage import COLUMNS, DIMENSIONS, usage
from cloister.journal import JournalError
from cloister.journal.follower import Follower
from cloister.journal.reader import read_journal, read_raw
from cloister.journal.records import Line
from cloister.journal.verify import Extent, Report, anchors_in, verify
from cloister.sealing import SealingError, SecretKey, read_secrets

app = typer.Typer(help="Read and verify the journal.", no_args_is_help=True)

Paths = Annotated[list[Path], typer.Argument(metavar="PATH...", help="Segments, or folders that hold them.")]
Key = Annotated[Path, typer.Option(help="File with the secret key of a recipient.")]
Since = Annotated[
    str | None,
    typer.Option(
        help="A date or time, UTC unless it says another (2026-11, 2026-11-01T10:30), or how long ago (24h, 7d)."
    ),
]
Until = Annotated[str | None, typer.Option(help="The same; records before it.")]
FOLLOW_SECONDS = 1.0
PATIENCE_SECONDS = 60.0
"""How long a folder that is followed may take to become whole, before it is said what of it is missing."""
_COLUMNS = ("time", "type", "user.id", "peer", "api", "status")


@app.command("verify")
def check(
    paths: Paths,
    key: Annotated[Path | None, typer.Option(help="Checks every record too; without it, form and signatures.")] = None,
    anchor: Annotated[Path | None, typer.Option(help="Checkpoints kept outside: notes, or the auditor's log.")] = None,
    from_oldest: Annotated[
        bool,
        typer.Option(
            "--from-oldest", help="Take each stream's oldest segment at its word for older ones that are gone."
        ),
    ] = False,
    output: Annotated[TextForm, FORM] = TextForm.TEXT,
) -> None:
    """Find whatever was changed, reordered, removed or made anew. Exit code 1 if there is anything."""
    with _friendly():
        anchors = anchors_in(_text(anchor)) if anchor else []
        if anchor and not anchors:
            raise UserError(f"{anchor}: holds no checkpoint: give the auditor's log, or the notes themselves")
        report = verify(_existing(paths), _keys(key), anchors, from_oldest=from_oldest)
        if not report.segments and not report.findings:
            raise UserError("no segment is there: name files that end in .cja, or their folder")
        if output is TextForm.JSON:
            sys.stdout.write(json.dumps(_document(report), indent=2) + "\n")
        else:
            for line in _lines(report, keyed=key is not None, anchored=bool(anchors)):
                print(printable(line))
    if report.findings:
        raise typer.Exit(1)


@app.command()
def decrypt(paths: Paths, key: Key) -> None:
    """Print every line of the journal as it was written: JSON Lines, each with the SHA-256 of the one before as `prev`.

    On a terminal, characters that it would obey are written as JSON's escapes.
    """
    amiss = _Amiss()
    with _friendly():
        entries = read_raw(_existing(paths), _keys(key), amiss)
        if _to_a_terminal():
            for entry in entries:
                print(steady(entry.raw.decode()))
        else:
            for entry in entries:
                sys.stdout.buffer.write(entry.raw + b"\n")
    amiss.conclude()


@app.command()
def tail(
    path: Annotated[Path, typer.Argument(help="Folder of a journal.")],
    key: Key,
    lines: Annotated[int, typer.Option("-n", min=0, help="How many of the last records.")] = 10,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Wait for more.")] = False,
) -> None:
    """Print the newest records, of all streams by time."""
    amiss = _Amiss()
    with _friendly():
        _existing([path])
        follower = Follower(path, _keys(key), amiss, PATIENCE_SECONDS if follow else 0.0)
        _write(follower.read(lines))
        while follow:
            sys.stdout.flush()
            time.sleep(FOLLOW_SECONDS)
            _write(follower.read())
    amiss.conclude()


@app.command()
def search(  # noqa: PLR0913, PLR0917 - a flag is an argument
    paths: Paths,
    key: Key,
    user: Annotated[str | None, typer.Option(help="`sub` of the person.")] = None,
    session: Annotated[str | None, typer.Option(help="`sid` of the session.")] = None,
    peer: Annotated[str | None, typer.Option(help="SPIFFE ID of the machine.")] = None,
    api: Annotated[str | None, typer.Option(help="Name of the API.")] = None,
    model: Annotated[str | None, typer.Option(help="Model that was asked.")] = None,
    kind: Annotated[str | None, typer.Option("--type", help="Type of record: request, reply, refusal, ...")] = None,
    since: Since = None,
    until: Until = None,
    text: Annotated[str | None, typer.Option(help="Text in what was said.")] = None,
    output: Annotated[
        TableForm, typer.Option("-o", "--output", help="Form of the output; json is JSON Lines.")
    ] = TableForm.TABLE,
) -> None:
    """Find records. With what names a request, its replies come along."""
    asked = {"user.id": user, "session.id": session, "peer": peer, "api": api, "gen_ai.request.model": model}
    wanted = {name: value for name, value in asked.items() if value is not None}
    amiss = _Amiss()
    with _friendly():
        since, until = _period(since, until)
        found: list[dict[str, Any]] = []
        exchanges: set[str] = set()
        for record in map(_record, read_journal(_existing(paths), _keys(key), amiss)):
            belongs = record.get("exchange") in exchanges
            if wanted and not belongs and not wanted.items() <= record.items():
                continue
            if wanted and "exchange" in record:
                exchanges.add(record["exchange"])
            if _matches(record, kind, since, until, text):
                found.append(record)
        if output is TableForm.JSON:
            for record in found:
                sys.stdout.write(as_json(record, indent=None))
        else:
            rows = [[str(record.get(column, "")) for column in _COLUMNS] for record in found]
            for row in table([column.upper() for column in _COLUMNS], rows):
                console().print(row)
    amiss.conclude()


@app.command()
def stats(
    paths: Paths,
    key: Key,
    by: Annotated[
        str, typer.Option(help="What rows are about, with commas: day, caller, user, api, model.")
    ] = "day,api",
    since: Since = None,
    until: Until = None,
    output: Annotated[TableForm, FORM] = TableForm.TABLE,
) -> None:
    """Count requests, refusals, tokens and findings, and tell how long answers took."""
    amiss = _Amiss()
    with _friendly():
        since, until = _period(since, until)
        wanted = tuple(by.split(","))
        if unknown := set(wanted) - set(DIMENSIONS):
            raise UserError(f"--by: {', '.join(sorted(unknown))} is not among {', '.join(DIMENSIONS)}")
        if len(set(wanted)) != len(wanted):
            raise UserError(f"--by {by}: names one of them twice")
        within = (
            record
            for record in map(_record, read_journal(_existing(paths), _keys(key), amiss))
            if (since is None or record["time"] >= since) and (until is None or record["time"] < until)
        )
        rows = usage(within, wanted)
        if output is TableForm.JSON:
            sys.stdout.write(as_json([row.document() for row in rows]))
        else:
            header = [*(name.upper() for name in wanted), *COLUMNS]
            for line in table(header, [row.cells() for row in rows]):
                console().print(line)
    amiss.conclude()


def _to_a_terminal() -> bool:
    return sys.stdout.isatty()


class _Amiss:
    """What could not be read: said at once, and at the end by the exit code, for what was printed is not all."""

    def __init__(self) -> None:
        self._any = False

    def __call__(self, error: JournalError) -> None:
        self._any = True
        typer.echo(f"warning: {printable(str(error))}", err=True)

    def conclude(self) -> None:
        """Ends the command if there was anything."""
        if self._any:
            typer.echo("Not everything could be read: `cloister audit verify` says what is wrong with it.", err=True)
            raise typer.Exit(1)


def _period(since: str | None, until: str | None) -> tuple[str | None, str | None]:
    now = dt.datetime.now(dt.UTC)
    return moment("--since", since, now), moment("--until", until, now)


def _matches(record: dict[str, Any], kind: str | None, since: str | None, until: str | None, text: str | None) -> bool:
    return (
        (kind is None or record["type"] == kind)
        and (since is None or record["time"] >= since)
        and (until is None or record["time"] < until)
        and (text is None or text in record.get("content", ""))
    )


def _write(lines: Iterable[Line]) -> None:
    """As JSON Lines."""
    for line in lines:
        sys.stdout.write(as_json(_record(line), indent=None))


def _record(line: Line) -> dict[str, Any]:
    return line.record.model_dump(mode="json", by_alias=True, exclude_none=True)


def _document(report: Report) -> dict[str, Any]:
    return {
        "segments": report.segments,
        "records": report.records,
        "opened": report.opened,
        "unfinished": report.unfinished,
        "streams": {origin: asdict(extent) | {"begins": _begins(extent)} for origin, extent in report.streams.items()},
        "findings": [{"code": f.code, "where": f.where, "message": f.message} for f in report.findings],
        "heads": {
            origin: {"size": head.size, "root": head.root.hex(), "records": head.seq, "head": head.head}
            for origin, head in report.heads.items()
        },
    }


def _lines(report: Report, *, keyed: bool, anchored: bool) -> Iterator[str]:
    for finding in report.findings:
        yield f"{finding.where}: {finding.code}: {finding.message}"
    for path in report.unfinished:
        yield f"{path}: is still being written"
    for origin, extent in report.streams.items():
        yield f"{origin}: {', '.join(_told(extent, anchored=anchored))}"
    looked = f"{report.opened} opened" if keyed else "none opened, for want of --key"
    yield f"{report.segments} segments, {report.records} records ({looked}), {len(report.findings)} findings"
    if not anchored:
        yield "Without --anchor, an end that was cut off, or a journal made anew as a whole, is not seen."


def _begins(extent: Extent) -> dict[str, Any] | None:
    return extent.begins._asdict() if extent.begins else None


def _told(extent: Extent, *, anchored: bool) -> Iterator[str]:
    """What a person is told of one stream."""
    yield f"{extent.segments} segments"
    yield f"{extent.records} records"
    if begins := extent.begins:
        yield f"which begin with segment {begins.segment}, record {begins.record}, of {begins.created}"
    if anchored and not extent.anchors:
        yield "no anchor"
    if extent.older:
        yield f"{extent.older} of {extent.anchors} anchors older than what is here"


def _keys(path: Path | None) -> list[SecretKey]:
    return read_secrets(path) if path else []


def _existing(paths: list[Path]) -> list[Path]:
    for path in paths:
        try:
            path.stat()
        except FileNotFoundError:
            raise UserError(f"{path}: no such file or folder") from None
        except OSError as error:
            raise UserError(f"{path}: {error.strerror}") from None
    return paths


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: {error}") from None


@contextmanager
def _friendly() -> Iterator[None]:
    with friendly(JournalError, SealingError), printing():
        yield
