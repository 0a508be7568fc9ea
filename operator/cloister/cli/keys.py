"""`cloister keys`: key pairs to read the journal, to open weights and to sign them; and the keys of the stores."""

import datetime as dt
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from cloister import names
from cloister.cli.errors import UserError, friendly
from cloister.cli.live import Cluster
from cloister.cli.options import FORM, Context, Form, Kubeconfig, check_is_file
from cloister.cli.output import Data, console, echo, emit, table
from cloister.sealing import Kind, SealingError, generate, generate_signing, read_any, write_secret
from cloister.spec import LLMDeployment
from cloister.spec.storage import FIELDS
from cloister.zones import Component

app = typer.Typer(
    help="Key pairs: to read the journal, to open weights, to sign them. And the keys of the stores.",
    no_args_is_help=True,
)


class Pair(StrEnum):
    """Kinds of key pairs that can be made."""

    MLKEM768X25519 = "mlkem768x25519"
    X25519 = "x25519"
    ED25519 = "ed25519"


@app.command("generate")
def new(
    out: Annotated[Path, typer.Option(help="New file for the secret key (mode 0600); never overwritten.")],
    kind: Annotated[
        Pair,
        typer.Option(
            help="mlkem768x25519 (which also withstands quantum computers) and x25519 open what is sealed;"
            " ed25519 signs weights."
        ),
    ] = Pair.MLKEM768X25519,
) -> None:
    """Make a key pair: the secret key goes into a file, the public one to stdout.

    The public key goes into spec.audit.recipients, `cloister seal --to`, or spec.inference.model.publicKey (ed25519).
    """
    key = generate_signing() if kind is Pair.ED25519 else generate(Kind(kind.value))
    with friendly(SealingError):
        check_is_file(out, "a secret key goes into a file that its owner alone reads, not to stdout")
        write_secret(out, key)
    loss = "sign in its name" if kind is Pair.ED25519 else "read what is sealed for it"
    typer.echo(f"The secret key is in {out}. Whoever loses it can't {loss} any more.", err=True)
    typer.echo(str(key.public))


@app.command()
def public(file: Annotated[Path, typer.Argument(help="A file with secret keys.")]) -> None:
    """Print the public keys of a file with secret ones."""
    with friendly(SealingError):
        keys = read_any(file)
    for key in keys:
        typer.echo(str(key.public))


class StoreName(StrEnum):
    """A store."""

    TRAINING_DATA = Component.TRAINING_DATA.value
    CHECKPOINTS = Component.CHECKPOINTS.value
    INTERACTION_LOGS = Component.INTERACTION_LOGS.value


Name = Annotated[str, typer.Argument(help="The deployment.")]
Output = Annotated[Form, FORM]


@app.command("list")
def list_keys(name: Name, output: Output = Form.TABLE, context: Context = None, kubeconfig: Kubeconfig = None) -> None:
    """List the versions of the stores' keys as the operator knows them. Never a key itself."""
    with friendly():
        known = _keyrings(Cluster(context, kubeconfig).get(name).raw)
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
    with friendly():
        cluster = Cluster(context, kubeconfig)
        found = cluster.get(name)
        _refuse_if_foreign(_keyrings(found.raw), store)
        _refuse_if_backed(found.parsed(), Component(store))
        cluster.annotate(name, names.rotation_request(Component(store)), asked)
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


def _refuse_if_backed(deployment: LLMDeployment, store: Component) -> None:
    if deployment.spec.storage.by_component()[store].backend:
        raise UserError(
            f"{store} lies in an object store (spec.storage.{FIELDS[store]}.backend), where objects are not moved to a"
            " new key: with a keyring of your own (encryption.keyRef), append a key there, for new objects"
        )


def _row(one: Mapping[str, Any]) -> tuple[str, ...]:
    old = ", ".join(map(str, one.get("old", ()))) or "-"
    return one["store"], str(one.get("current", "-")), one.get("created", "-"), old, one["secret"]
