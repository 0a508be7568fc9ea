"""`cloister seal`, `unseal` and `sign`: weights as they go into the checkpoints store."""

import shlex
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from cloister.cli.errors import UserError, friendly
from cloister.cli.options import FORM, TextForm, check_is_file
from cloister.cli.output import Data, emit
from cloister.cli.printable import printable
from cloister.sealing import PublicKey, SealingError, parse_public, read_secrets, read_signing
from cloister.weights import Done, WeightsError, detached, seal_file, unseal_file
from cloister.weights import files as weights_files
from cloister.weights.signatures import SUFFIX

_WHOLE = "what is written appears only when all of it is there, in a file"

Output = Annotated[TextForm, FORM]
SignKey = Annotated[Path | None, typer.Option(help="File with an ed25519 key; the signature is written to OUT.sig.")]


def seal(
    file: Annotated[Path, typer.Argument(help="The weights.")],
    to: Annotated[list[str], typer.Option(metavar="KEY", help="Public key of a recipient; once for each of them.")],
    out: Annotated[Path | None, typer.Option(help="The sealed file; FILE.sealed without it.")] = None,
    sign_key: SignKey = None,
    output: Output = TextForm.TEXT,
) -> None:
    """Seal weights for those who may open them. Interrupted, it goes on where it was when it is run again."""
    with _friendly():
        check_is_file(out, _WHOLE)
        recipients = [_public(number, text) for number, text in enumerate(to, 1)]
        signing = read_signing(sign_key) if sign_key else None
        target = out or Path(f"{file}.sealed")
        signature = Path(f"{target}{SUFFIX}") if signing else None
        alone = _sign_command(target, sign_key)
        if signature:
            weights_files.check_free(signature)
            weights_files.check_free(target, f"remove it, or name another; to sign it as it is: {alone}")
        with _progress("sealing", file) as progress:
            done = seal_file(file, target, recipients, progress)
        if signing and signature:
            try:
                weights_files.place(signature, detached(signing, done.sha256))
            except WeightsError as error:
                raise UserError(f"{error}; {target} is sealed, only its signature is missing: {alone}") from error
    _report(target, done, output, signature)


def unseal(
    file: Annotated[Path, typer.Argument(help="A sealed file.")],
    key: Annotated[Path, typer.Option(help="File with the secret key of a recipient.")],
    out: Annotated[Path, typer.Option(help="The weights; the file appears only when all of it is verified.")],
    output: Output = TextForm.TEXT,
) -> None:
    """Open a sealed file. Interrupted, it goes on where it was when it is run again."""
    with _friendly():
        check_is_file(out, _WHOLE)
        keys = read_secrets(key)
        with _progress("unsealing", file) as progress:
            done = unseal_file(file, out, keys, progress)
    _report(out, done, output, None)


def sign(
    file: Annotated[Path, typer.Argument(help="The file as it will be stored: sealed, if it is to be sealed.")],
    key: Annotated[Path, typer.Option(help="File with an ed25519 key.")],
    output: Output = TextForm.TEXT,
) -> None:
    """Sign a file: the signature is written to FILE.sig."""
    with _friendly():
        signing = read_signing(key)
        with _progress("reading", file) as progress:
            digest = weights_files.sha256_of(file, progress)
        signature = Path(f"{file}{SUFFIX}")
        weights_files.place(signature, detached(signing, digest))
    _report(file, Done(digest, file.stat().st_size, 0), output, signature)


def _sign_command(target: Path, key: Path | None) -> str:
    return shlex.join(["cloister", "sign", str(target), "--key", str(key)])


def _public(number: int, text: str) -> PublicKey:
    try:
        return parse_public(text)
    except SealingError as error:
        raise UserError(f"--to, key {number}: {error}") from None


def _report(target: Path, done: Done, output: TextForm, signature: Path | None) -> None:
    document = {"file": str(target), "sha256": done.sha256, "size": done.size, "resumed": done.resumed}
    if output is TextForm.JSON:
        emit(document | ({"signature": str(signature)} if signature else {}), Data.JSON)
        return
    print(f"{printable(str(target))}: {done.size} bytes, SHA-256 {done.sha256}")
    if done.resumed:
        print(f"{done.resumed} bytes of it were there from a run that was interrupted, and are the same")
    if signature:
        print(f"{printable(str(signature))}: its signature")


@contextmanager
def _progress(what: str, file: Path) -> Iterator[weights_files.Progress]:
    """A bar on the terminal, if stderr is one."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=_size(file))
        yield lambda done: bar.update(task, completed=done)


def _size(file: Path) -> int | None:
    """For a bar; what can't be read, who reads it will say."""
    try:
        return file.stat().st_size if file.is_file() else None
    except OSError:
        return None


def _friendly() -> AbstractContextManager[None]:
    return friendly(WeightsError, SealingError, interrupted="interrupted: run the same command again to go on")
