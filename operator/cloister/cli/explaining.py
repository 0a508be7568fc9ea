"""`cloister explain`: which deployment is asked, and how the answer is printed."""

from collections.abc import Iterator
from enum import StrEnum

from rich.text import Text

from cloister import explain, names
from cloister.cli.documents import Document
from cloister.cli.errors import UserError
from cloister.explain import Explanation, Place, UnknownEndError, Verdict
from cloister.spec import LLMDeployment
from cloister.zones import Component

ENDS = (
    f"A component ({', '.join(Component)}), NAMESPACE/SERVICEACCOUNT, or one of {', '.join(Place)}."
)  # fmt: skip
_STYLE = {Verdict.THROUGH: "green", Verdict.ASKS: "yellow", Verdict.DENIES: "bold red"}


class ExplainForm(StrEnum):
    """Output of `explain`."""

    TEXT = "text"
    JSON = "json"
    YAML = "yaml"


def chosen(documents: list[Document], name: str | None) -> LLMDeployment:
    """The one that is meant."""
    found = [document for document in documents if name in (None, document.name)]
    if len(found) == 1:
        return found[0].parsed()
    known = ", ".join(sorted(document.name for document in documents)) or "none"
    if not found:
        raise UserError(f"there is no {names.KIND} {name or ''}".rstrip() + f" (those that exist: {known})")
    raise UserError(f"there are several: choose one with --deployment ({known})")


def explained(deployment: LLMDeployment, source: str, target: str) -> Explanation:
    """The answer; a :class:`UserError` for ends that are none."""
    try:
        return explain.explained(deployment, source, target)
    except UnknownEndError as error:
        raise UserError(str(error)) from None


def lines(found: Explanation) -> Iterator[Text]:
    """The answer first, then each layer on the way, then what would change it."""
    port = f":{found.port}" if found.port else ""
    head = Text(f"{found.source} -> {found.target}{port}: ")
    yield head + (Text("allowed", style="bold green") if found.allowed else Text("denied", style="bold red"))
    for flow in found.flows:
        yield Text(f"  by row {flow.rule.id} of the flow table: {flow.rule.scope}", style="dim")
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
