"""`cloister status`: what the operator has observed, as a tree."""

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Annotated, Any

import typer
from rich.text import Text

from cloister import names
from cloister.cli.errors import friendly
from cloister.cli.live import Cluster
from cloister.cli.options import FORM, Context, Kubeconfig
from cloister.cli.output import Data, console, emit

_GOOD, _BAD, _OPEN = "green", "red", "yellow"
_STYLE = {"True": _GOOD, "False": _BAD, "Unknown": _OPEN, "Excepted": _OPEN, "Ready": _GOOD, "Stalled": _BAD}
# kstatus: these two say that something is the matter when they are true.
_ADVERSE = ("Reconciling", "Stalled")

Node = tuple[Text, Sequence["Node"]]


class StatusForm(StrEnum):
    """Output of `status`."""

    TREE = "tree"
    JSON = "json"
    YAML = "yaml"


def status(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="One deployment; all of them without it.")
    ] = None,
    output: Annotated[StatusForm, FORM] = StatusForm.TREE,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Show what the operator has observed: zones, conditions, certificates and their expiry, controls."""
    with friendly():
        cluster = Cluster(context, kubeconfig)
        found = [document.raw for document in ([cluster.get(name)] if name else cluster.all())]
    if output is not StatusForm.TREE:
        statuses = [{"name": raw["metadata"]["name"], "status": raw.get("status", {})} for raw in found]
        emit(statuses[0] if name else statuses, Data(str(output)))
        return
    out, now = console(), dt.datetime.now(dt.UTC)
    if not found:
        out.print(f"There is no {names.KIND} in this cluster.")
    for index, raw in enumerate(found):
        if index:
            out.print()
        for line in lines(raw, now):
            out.print(line)


def lines(raw: Mapping[str, Any], now: dt.datetime) -> Iterator[Text]:
    """The tree of one deployment, line by line."""
    title, children = _root(raw, now)
    yield title
    yield from _drawn(children, "")


def _drawn(nodes: Sequence[Node], indent: str) -> Iterator[Text]:
    for index, (text, children) in enumerate(nodes):
        last = index == len(nodes) - 1
        yield Text(f"{indent}{'└─ ' if last else '├─ '}") + text
        yield from _drawn(children, f"{indent}{'   ' if last else '│  '}")


def _root(raw: Mapping[str, Any], now: dt.datetime) -> Node:
    metadata, status = raw["metadata"], raw.get("status") or {}
    title = Text(metadata["name"], style="bold") + Text("  ") + _word(str(status.get("phase", "Pending")))
    if message := status.get("message"):
        title += Text(f"  {message}")
    if not status:
        return title, [(Text("the operator has not seen it yet: is it running?", style=_OPEN), ())]
    children: list[Node] = []
    if status.get("observedGeneration", -1) < metadata.get("generation", 0):
        children.append((Text("the latest change has not been handled yet", style=_OPEN), ()))
    groups = (
        ("zones", [_zone(item) for item in status.get("zones", ())]),
        (
            "gates",
            [_leaf(item["component"], item["address"], item["identity"]) for item in status.get("endpoints", ())],
        ),
        ("conditions", [_condition(item, now) for item in status.get("conditions", ())]),
        ("certificates", [_certificate(item, now) for item in status.get("certificates", ())]),
        ("exceptions", [_exception(item) for item in status.get("exceptions", ())]),
        ("controls", _controls(status.get("controls", ()))),
    )
    children += [(Text(name), nodes) for name, nodes in groups if nodes]
    if drift := status.get("lastDrift"):
        when = _ago(drift["time"], now)
        children.append((Text(f"last drift repaired {when}: {drift['object']} {drift['what']}"), ()))
    return title, children


def _zone(item: Mapping[str, Any]) -> Node:
    state = Text("closed", style=_GOOD) if item["ready"] else Text("not ready", style=_BAD)
    return Text(f"{item['name']}  {item['namespace']}  ") + state, ()


def _condition(item: Mapping[str, Any], now: dt.datetime) -> Node:
    status = item["status"]
    adverse = {"True": _BAD if item["type"] == "Stalled" else _OPEN, "False": _GOOD}
    style = adverse.get(status, _OPEN) if item["type"] in _ADVERSE else _STYLE.get(status, "")
    text = Text(f"{item['type']}  ") + Text(status, style=style) + Text(f"  {item['reason']}")
    text += Text(f"  {_ago(item['lastTransitionTime'], now)}", style="dim")
    good = "False" if item["type"] in _ADVERSE else "True"
    return text, [] if status == good or not item["message"] else [(Text(item["message"]), ())]


def _certificate(item: Mapping[str, Any], now: dt.datetime) -> Node:
    text = Text(f"{item['namespace']}/{item['name']}  ")
    if not item["ready"]:
        return text + Text("not issued", style=_BAD), ()
    end = _time(item.get("notAfter"))
    if end is None:
        return text + Text("issued", style=_GOOD), ()
    left = end - now
    if left <= dt.timedelta(0):
        return text + Text(f"expired {_length(-left)} ago", style=_BAD), ()
    renewal = _time(item.get("renewalTime"))
    overdue = renewal is not None and renewal < now
    text += Text(f"{_length(left)} left", style=_OPEN if overdue else _GOOD)
    return text + Text(f" ({item['notAfter']}){', renewal is overdue' if overdue else ''}"), ()


def _exception(item: Mapping[str, Any]) -> Node:
    expired = item["expired"]
    when = Text(
        f"expired {item['expires']}" if expired else f"until {item['expires']}", style=_BAD if expired else _OPEN
    )
    return Text(f"{item['control']}  ") + when + Text(f"  {item['reason']}"), ()


def _controls(items: Sequence[Mapping[str, Any]]) -> list[Node]:
    """Grouped by what can be said of them: thirty-three lines would hide the few that matter."""
    grouped = {
        status: [item["id"] for item in items if item["status"] == status]
        for status in ("False", "Excepted", "Unknown", "True")
    }
    return [(_word(status) + Text(f"  {' '.join(ids)}"), ()) for status, ids in grouped.items() if ids]


def _leaf(*words: str) -> Node:
    return Text("  ".join(words)), ()


def _word(word: str) -> Text:
    return Text(word, style=_STYLE.get(word, _OPEN))


def _time(text: str | None) -> dt.datetime | None:
    try:
        return dt.datetime.fromisoformat(text) if text else None
    except ValueError:
        return None


def _ago(text: str, now: dt.datetime) -> str:
    when = _time(text)
    return f"{_length(now - when)} ago" if when else text


def _length(length: dt.timedelta) -> str:
    seconds = max(int(length.total_seconds()), 0)
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= 2 * size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"
