"""`cloister data`: moves objects in and out of the stores, for whoever holds the certificate of a declared client."""

import datetime as dt
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich import filesize

from cloister.cli.data import identity as identities
from cloister.cli.data.places import Place, check_apart, inside, is_folder, place, whole
from cloister.cli.errors import UserError, friendly
from cloister.cli.options import FORM, TableForm
from cloister.cli.output import Data, console, emit, table
from cloister.cli.printable import printable

if TYPE_CHECKING:
    from cloister.cli.data.client import Store
    from cloister.cli.data.listing import Entry

app = typer.Typer(
    help="Move data in and out of the stores, by the certificate of a declared client.", no_args_is_help=True
)

STDOUT = "-"

Deployment = Annotated[
    str, typer.Option(metavar="NAME", envvar="CLOISTER_DEPLOYMENT", help="The deployment that has the store.")
]
Endpoint = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        envvar="CLOISTER_ENDPOINT",
        help="Where to dial, such as a forwarded port; the store's certificate is checked for its own name all the"
        " same. Default: https://STORE.NAME-storage.svc:8443.",
    ),
]
IdentityFolder = Annotated[
    Path | None,
    typer.Option(
        "--identity",
        metavar="DIR",
        envvar="CLOISTER_IDENTITY",
        help=f"Folder with tls.crt, tls.key and ca.crt of the client's Secret. Default: {identities.MOUNTS}/NAME.",
    ),
]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="No progress bar, also on a terminal.")]


@app.command()
def put(
    paths: Annotated[
        list[str],
        typer.Argument(metavar="FILE... STORE/PREFIX", help="Files (- reads standard input), and where they go."),
    ],
    deployment: Deployment,
    recursive: Annotated[bool, typer.Option("-r", "--recursive", help="Folders, with all that is in them.")] = False,
    endpoint: Endpoint = None,
    identity: IdentityFolder = None,
    quiet: Quiet = False,
) -> None:
    """Store files as objects. A prefix that ends in / keeps the files' names; without, one FILE becomes that very key.

    As with `cp -r`, a folder's own name is part of the keys; `DIR/.` means its contents alone.
    """
    with _friendly():
        *sources, target = paths
        if not sources:
            raise UserError("give FILE... and then STORE/PREFIX")
        there = place(target)
        from cloister.cli.data import upload  # noqa: PLC0415 - boto3 is an extra
        from cloister.cli.data.progress import bar  # noqa: PLC0415

        uploads = upload.plan(sources, there, recursive=recursive)
        store = _store(deployment, there, endpoint, identity)
        known = None if None in (sizes := [one.size for one in uploads]) else sum(filter(None, sizes))
        with bar(known, quiet=quiet) as progress:
            for done in upload.send(store, uploads, progress):
                print(done.place)


@app.command("ls")
def list_(
    target: Annotated[str, typer.Argument(metavar="STORE/PREFIX", help="The prefix may be empty, or end anywhere.")],
    deployment: Deployment,
    recursive: Annotated[bool, typer.Option("-r", "--recursive", help="All objects, instead of folders.")] = False,
    output: Annotated[TableForm, FORM] = TableForm.TABLE,
    endpoint: Endpoint = None,
    identity: IdentityFolder = None,
) -> None:
    """List what lies below a prefix that the identity may read."""
    with _friendly():
        there = place(target)
        from cloister.cli.data.listing import entries  # noqa: PLC0415

        found = list(entries(_store(deployment, there, endpoint, identity), there, recursive=recursive))
    if output is TableForm.JSON:
        emit(_document(there, found), Data.JSON)
    elif not found:
        console().print(f"There is nothing below {there}.")
    else:
        for line in table(("SIZE", "MODIFIED", "KEY"), map(_row, found)):
            console().print(line)


@app.command()
def get(
    source: Annotated[str, typer.Argument(metavar="STORE/KEY", help="An object; with -r a prefix.")],
    deployment: Deployment,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", metavar="FILE", help="File or folder; - is standard output. Default: here."),
    ] = None,
    recursive: Annotated[
        bool, typer.Option("-r", "--recursive", help="Every object below a prefix, into the folder -o.")
    ] = False,
    endpoint: Endpoint = None,
    identity: IdentityFolder = None,
    quiet: Quiet = False,
) -> None:
    """Fetch objects. A file appears when it is whole; after an interruption, the same command goes on from there.

    With -r, it leaves out files that it had finished, unless the object or the file has changed since.
    """
    with _friendly():
        there = place(source) if recursive else whole(place(source))
        from cloister.cli.data import download  # noqa: PLC0415
        from cloister.cli.data.progress import bar  # noqa: PLC0415

        store = _store(deployment, there, endpoint, identity)
        if recursive:
            _get_all(store, there, out or Path(), quiet=quiet)
            return
        with bar(quiet=quiet) as progress:
            if str(out) == STDOUT:
                download.stream(store, there, sys.stdout.buffer, progress)
                return
            name = there.key.rpartition("/")[2]
            file = Path(name) if out is None else out / name if is_folder(out) else out
            download.fetch(store, there, file, progress)
        print(printable(str(file)))


def _get_all(store: "Store", there: Place, folder: Path, *, quiet: bool) -> None:
    """Everything below a prefix; all paths are judged before the first object is asked for."""
    from cloister.cli.data import download  # noqa: PLC0415
    from cloister.cli.data.finished import finished  # noqa: PLC0415
    from cloister.cli.data.listing import entries  # noqa: PLC0415
    from cloister.cli.data.progress import bar  # noqa: PLC0415

    if str(folder) == STDOUT:
        raise UserError("-r writes a folder: name it by -o")
    # Other programs mark a folder by an empty object whose key ends in a slash.
    found = [one for one in entries(store, there, recursive=True) if one.size or not one.key.endswith("/")]
    if not found:
        raise UserError(f"{there}: there is nothing below it")
    top = there.key.rpartition("/")[0] + "/" if "/" in there.key else ""
    files = {one.key: inside(folder, one.key.removeprefix(top)) for one in found}
    check_apart(files)
    with bar(quiet=quiet) as progress, finished(folder, f"{store.host}/{there.store}/{there.key}") as done:
        for one in found:
            file = files[one.key]
            if not done.holds(one, file):
                _make_folder(file.parent)
                etag = download.fetch(store, Place(there.store, one.key), file, progress)
                done.add(one.key, etag, file)
            print(printable(str(file)))


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{printable(str(folder))}: {error.strerror}") from None


def _store(deployment: str, there: Place, endpoint: str | None, folder: Path | None) -> "Store":
    from cloister.cli.data.client import connect  # noqa: PLC0415

    found = identities.read(folder or identities.MOUNTS / deployment, dt.datetime.now(dt.UTC))
    return connect(deployment, there.store, found, endpoint)


def _document(there: Place, found: list["Entry"]) -> dict[str, object]:
    return {
        "store": str(there.store),
        "prefix": there.key,
        "folders": [one.key for one in found if one.size is None],
        "objects": [
            {"key": one.key, "size": one.size, "modified": _time(one), "etag": one.etag}
            for one in found
            if one.size is not None
        ],
    }


def _row(one: "Entry") -> tuple[str, str, str]:
    return "" if one.size is None else filesize.decimal(one.size), _time(one), printable(one.key)


def _time(one: "Entry") -> str:
    return f"{one.modified:%Y-%m-%dT%H:%M:%SZ}" if one.modified else ""


def _check_installed() -> None:
    if find_spec("boto3") is None:
        raise UserError("`cloister data` needs boto3: install boto3 beside cloister (README.md: Install the command)")


@contextmanager
def _friendly() -> Iterator[None]:
    with friendly():
        _check_installed()
        yield
