"""Options that several commands have, and the forms in which several of them print."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cloister.cli.errors import UserError

FORM = typer.Option("-o", "--output", help="Form of the output.")

Context = Annotated[str | None, typer.Option(help="Context of the kubeconfig.")]
Kubeconfig = Annotated[str | None, typer.Option(help="Path of the kubeconfig.")]


class TextForm(StrEnum):
    """For people, or for programs."""

    TEXT = "text"
    JSON = "json"


class TableForm(StrEnum):
    """The same, of many things."""

    TABLE = "table"
    JSON = "json"


class Form(StrEnum):
    """The same, with everything that programs like to read."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


def check_is_file(out: Path | None, why: str) -> None:
    """`-` is standard output to other commands; where it can't be, UserError says why instead of making that file."""
    if out == Path("-"):
        raise UserError(f"--out -: {why}: name one")
