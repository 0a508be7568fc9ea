"""`cloister explain`: which deployment is asked, and how the answer is printed."""

from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated

import typer
from rich.text import Text

from cloister import names
from cloister.cli.documents import Document, read
from cloister.cli.errors import UserError, friendly
from cloister.cli.live import Cluster
from cloister.cli.options import FORM, Context, Kubeconfig
from cloister.cli.output import Data, console, emit
from cloister.explain import Explanation, Place, UnknownEndError, Verdict, explained
from cloister.spec import LLMDeployment
from cloister.zones import Component

_ENDS = (
    f"A component ({', '.join(Component)}), NAMESPACE/SERVICEACCOUNT, or one of {', '.join(Place)}."
)  # fmt: skip
_STYLE = {Verdict.THROUGH: "green", Verdict.ASKS: "yellow", Verdict.DENIES: "bold red"}


class ExplainForm(StrEnum):
    """Output of `explain`."""

    TEXT = "text"
    JSON = "json"
    YAML = "yaml"


def explain(
    source: Annotated[str, typer.Argument(metavar="FROM", help=_ENDS)],
    target: Annotated[str, typer.Argument(metavar="TO[:PORT]", help="The same, and a port.")],
    file: Annotated[
        str | None, typer.Option("-f", "--file", metavar="FILE", help="YAML or JSON; - reads standard input.")
    ] = None,
    deployment: Annotated[
        str | None, typer.Option(metavar="NAME", help="Which deployment, where there are several.")
    ] = None,
    output: Annotated[ExplainForm, FORM] = ExplainForm.TEXT,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Explain what lets one end reach another, or keeps it from it. Exit code 1: it is denied; 2: it can't be told."""
    with friendly(UnknownEndError):
        documents = read(file) if file else Cluster(context, kubeconfig).all()
        found = explained(_chosen(documents, deployment), source, target)
    if output is ExplainForm.TEXT:
        for line in _lines(found):
            console().print(line)
    else:
        emit(found.as_dict(), Data(str(output)))
    if not found.allowed:
        raise typer.Exit(1)


def _chosen(documents: list[Document], name: str | None) -> LLMDeployment:
    """The one that is meant."""
    found = [document for document in documents if name in (None, document.name)]
    if len(found) == 1:
        return found[0].parsed()
    known = ", ".join(sorted(document.name for document in documents)) or "none"
    if not found:
        raise UserError(f"there is no {names.KIND} {name or ''}".rstrip() + f" (those that exist: {known})")
    raise UserError(f"there are several: choose one with --deployment ({known})")


def _lines(found: Explanation) -> Iterator[Text]:
    """The answer first, then each layer on the way, then what would change it."""
    port = f":{found.port}" if found.port else ""
    head = Text(f"{found.source} -> {found.target}{port}: ")
    yield head + (Text("allowed", style="bold green") if found.allowed else Text("denied", style="bold red"))
    for rule in found.rules:
        yield Text(f"  by row {rule.id} of the flow table: {rule.scope}", style="dim")
    width = max(len(layer.name) for layer in found.layers)
    for layer in found.layers:
        verdict = Text(f"  {layer.verdict:<4}", style=_STYLE[layer.verdict])
        yield verdict + Text(f"  {layer.name:<{width}}  {layer.says}")
    if found.declare:
        yield Text("To allow it, declare:")
        for text in found.declare:
            yield Text(f"  {text}")
    if found.remark:
        yield Text(f"Nothing can be declared that allows it: {found.remark}.")
