"""`cloister keys`: key pairs of those who may read the journal, and the keys of the stores."""

import datetime as dt
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from cloister import names
from cloister.cli.errors import UserError, show
from cloister.cli.live import Cluster
from cloister.cli.output import Data, console, echo, emit, table
from cloister.sealing import Kind, SealingError, generate, read_secrets, write_secret
from cloister.zones import Component

app = typer.Typer(help="Key pairs of those who may read the journal, and the keys of the stores.", no_args_is_help=True)


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


class StoreName(StrEnum):
    """A store."""

    TRAINING_DATA = Component.TRAINING_DATA.value
    CHECKPOINTS = Component.CHECKPOINTS.value
    INTERACTION_LOGS = Component.INTERACTION_LOGS.value


class Form(StrEnum):
    """Output of `keys list` and `keys rotate`."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


Name = Annotated[str, typer.Argument(help="The deployment.")]
Output = Annotated[Form, typer.Option("-o", "--output", help="Form of the output.")]
Context = Annotated[str | None, typer.Option(help="Context of the kubeconfig.")]
Kubeconfig = Annotated[str | None, typer.Option(help="Path of the kubeconfig.")]


@app.command("list")
def list_keys(name: Name, output: Output = Form.TABLE, context: Context = None, kubeconfig: Kubeconfig = None) -> None:
    """List the versions of the stores' keys as the operator knows them. Never a key itself."""
    try:
        known = _keyrings(Cluster(context, kubeconfig).get(name).raw)
    except UserError as error:
        raise show(error) from None
    if output is not Form.TABLE:
        emit(known, Data(str(output)))
        return
    out = console()
    for line in table(("STORE", "KEY", "CREATED", "OLD", "SECRET"), map(_row, known)):
        out.print(line)


@app.command()
def rotate(
    name: Name,
    store: Annotated[StoreName, typer.Argument(help="The store.")],
    output: Output = Form.TABLE,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Ask the operator for a new key: it makes one, the store moves its objects, and the old key is destroyed."""
    asked = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    try:
        cluster = Cluster(context, kubeconfig)
        _refuse_if_foreign(_keyrings(cluster.get(name).raw), store)
        cluster.annotate(name, names.rotation_request(Component(store.value)), asked)
    except UserError as error:
        raise show(error) from None
    if output is not Form.TABLE:
        emit({"name": name, "store": store.value, "asked": asked}, Data(str(output)))
        return
    echo(f"A new key for {store.value} is asked for; `cloister keys list {name}` shows when the old one is gone.")


def _keyrings(raw: Mapping[str, Any]) -> list[dict[str, Any]]:
    known: list[dict[str, Any]] = (raw.get("status") or {}).get("keyrings") or []
    return known


def _refuse_if_foreign(known: list[dict[str, Any]], store: StoreName) -> None:
    for one in known:
        if one["store"] == store.value and "current" not in one:
            secret = f"Secret {one['secret']}, which something else fills"
            raise UserError(f"the keyring of {store.value} is {secret}: make the new key there")


def _row(one: Mapping[str, Any]) -> tuple[str, ...]:
    old = ", ".join(map(str, one.get("old", ()))) or "-"
    return one["store"], str(one.get("current", "-")), one.get("created", "-"), old, one["secret"]
