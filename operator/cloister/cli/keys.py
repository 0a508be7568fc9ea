"""`cloister keys`: pairs of those who may read the journal or open weights, and of those who sign weights."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cloister.cli.errors import UserError, show
from cloister.sealing import Kind, SealingError, generate, generate_signing, read_any, write_secret

app = typer.Typer(help="Key pairs: to read the journal, to open weights, to sign them.", no_args_is_help=True)


class Form(StrEnum):
    """Kinds of key pairs that can be made."""

    MLKEM768X25519 = "mlkem768x25519"
    X25519 = "x25519"
    ED25519 = "ed25519"


@app.command("generate")
def new(
    out: Annotated[Path, typer.Option(help="New file for the secret key (mode 0600); never overwritten.")],
    kind: Annotated[
        Form,
        typer.Option(
            help="mlkem768x25519 (which also withstands quantum computers) and x25519 open what is sealed;"
            " ed25519 signs weights."
        ),
    ] = Form.MLKEM768X25519,
) -> None:
    """Make a key pair: the secret key goes into a file, the public one to stdout.

    The public key goes into spec.audit.recipients, `cloister seal --to`, or spec.inference.model.publicKey (ed25519).
    """
    key = generate_signing() if kind is Form.ED25519 else generate(Kind(kind.value))
    try:
        write_secret(out, key)
    except SealingError as error:
        raise show(UserError(str(error))) from None
    loss = "sign in its name" if kind is Form.ED25519 else "read what is sealed for it"
    typer.echo(f"The secret key is in {out}. Whoever loses it can't {loss} any more.", err=True)
    typer.echo(str(key.public))


@app.command()
def public(file: Annotated[Path, typer.Argument(help="A file with secret keys.")]) -> None:
    """Print the public keys of a file with secret ones."""
    try:
        keys = read_any(file)
    except SealingError as error:
        raise show(UserError(str(error))) from None
    for key in keys:
        typer.echo(str(key.public))
