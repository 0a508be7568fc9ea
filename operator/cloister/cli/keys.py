"""`cloister keys`: key pairs of those who may read the journal."""

from pathlib import Path
from typing import Annotated

import typer

from cloister.cli.errors import UserError, show
from cloister.sealing import Kind, SealingError, generate, read_secrets, write_secret

app = typer.Typer(help="Key pairs of those who may read the journal.", no_args_is_help=True)


@app.command("generate")
def new(
    out: Annotated[Path, typer.Option(help="New file for the secret key (mode 0600); never overwritten.")],
    kind: Annotated[Kind, typer.Option(help="Kind of key; the default also withstands quantum computers.")] = (
        Kind.MLKEM768X25519
    ),
) -> None:
    """Make a key pair: the secret key goes into a file, the public one, for spec.audit.recipients, to stdout."""
    key = generate(kind)
    try:
        write_secret(out, key)
    except SealingError as error:
        raise show(UserError(str(error))) from None
    typer.echo(f"The secret key is in {out}. Whoever loses it can't read the journal any more.", err=True)
    typer.echo(str(key.public))


@app.command()
def public(file: Annotated[Path, typer.Argument(help="A file with secret keys.")]) -> None:
    """Print the public keys of a file with secret ones."""
    try:
        keys = read_secrets(file)
    except SealingError as error:
        raise show(UserError(str(error))) from None
    for key in keys:
        typer.echo(str(key.public))
