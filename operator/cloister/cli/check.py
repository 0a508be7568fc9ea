"""`cloister check`: a cluster is asked what the checks want to know, and they judge it."""

import datetime as dt
import email.utils
import json
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

import cloister
from cloister.check import CHECKS, Object, Probe, Reply, Result, State, View, run
from cloister.check.cluster import VERSION
from cloister.cli.api import Response, ask, client_of, unknown_here
from cloister.cli.errors import friendly
from cloister.cli.options import FORM, Context, Form, Kubeconfig
from cloister.cli.output import Data, console, emit, table

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

_PAGE = 500
_AT_ONCE = 8


def check_(
    output: Annotated[Form, FORM] = Form.TABLE,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Show what is as it must be, too.")] = False,
    strict: Annotated[bool, typer.Option(help="Warnings, and what can't be told, fail too.")] = False,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Check a cluster, before Cloister is installed and ever after. Exit code 1: there are errors; 2: it can't be
    asked."""
    with friendly():
        results = run(_look(context, kubeconfig))
    if output is Form.TABLE:
        for line in lines(results, everything=verbose):
            console().print(line)
    else:
        emit([result.as_dict() for result in results], Data(str(output)))
    failing = {State.ERROR, State.WARNING, State.UNKNOWN} if strict else {State.ERROR}
    if any(result.state in failing for result in results):
        raise typer.Exit(1)


def _look(context: str | None, kubeconfig: str | None) -> View:
    """Ask a cluster everything; UserError where it does not answer, or knows nobody."""
    asking = _Asking(client_of(context, kubeconfig))
    first = asking.get(VERSION)
    here = dt.datetime.now(dt.UTC)
    if first.status == 401:
        raise unknown_here(asking.server)
    paths = sorted({path for check in CHECKS for path in check.paths})
    probes = {probe for check in CHECKS for probe in check.probes}
    objects: dict[str, tuple[Object, ...] | None] = {}
    refused: dict[str, str] = {}
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        replies = pool.map(asking.tried, probes)
        for path, found in zip(paths, pool.map(asking.everything, paths), strict=True):
            if isinstance(found, str):
                refused[path] = found
            else:
                objects[path] = found
        return View(
            command=cloister.__version__,
            here=here,
            there=email.utils.parsedate_to_datetime(first.date) if first.date else here,
            objects=objects,
            refused=refused,
            replies=dict(zip(probes, replies, strict=True)),
        )


class _Asking:
    """Plain requests: the paths of the API, as they stand in its reference."""

    def __init__(self, client: "ApiClient") -> None:
        self._api = client
        self.server = str(client.configuration.host)

    def everything(self, path: str) -> tuple[Object, ...] | str | None:
        """What is at a path, a list page by page; None where there is no such thing; text: why it was refused."""
        found: list[Object] = []
        more = ""
        while True:
            answer = self.get(path, **({"continue": more} if more else {}))
            if answer.status == 404:
                return None
            if answer.status != 200:
                return answer.message
            if not str(answer.body.get("kind", "")).endswith("List"):
                return (dict(answer.body),)
            found += answer.body.get("items") or ()
            more = (answer.body.get("metadata") or {}).get("continue", "")
            if not more:
                return tuple(found)

    def tried(self, probe: Probe) -> Reply:
        """The answer to a dry run."""
        answer = ask(self._api, "POST", f"/{probe.path}", json.loads(probe.body), query=[("dryRun", "All")])
        return Reply(answer.status, answer.message)

    def get(self, path: str, **parameters: str) -> Response:
        """One request."""
        way, _, query = path.partition("?")
        asked = [(name, value) for name, _, value in (pair.partition("=") for pair in query.split("&") if pair)]
        return ask(self._api, "GET", f"/{way}", query=[*asked, ("limit", str(_PAGE)), *parameters.items()])


_STYLE = {State.ERROR: "bold red", State.WARNING: "yellow", State.UNKNOWN: "magenta", State.NOTE: "cyan"}


def lines(results: tuple[Result, ...], *, everything: bool) -> Iterator[Text]:
    """What is not as it must be, each check with its way out; what is, if asked."""
    shown = [result for result in results if everything or result.state is not State.OK]
    rows = [(str(result.state), result.check.code, _text(result)) for result in shown]
    drawn = table(("STATE", "CODE", "WHAT"), rows)
    if shown:
        yield drawn[0]
    for number, (result, line) in enumerate(zip(shown, drawn[1:], strict=True)):
        line.stylize(_STYLE.get(result.state, "green"), 0, len(result.state))
        yield line
        following = shown[number + 1] if number + 1 < len(shown) else None
        same = following and (following.check, following.hint) == (result.check, result.hint)
        if result.hint and not same:
            yield Text(f"    {result.hint}", style="dim")
    counts = Counter(result.state for result in results)
    yield Text(", ".join(f"{counts[state]} {state}" for state in reversed(State)))


def _text(result: Result) -> str:
    subject = f"{result.answer.subject}: " if result.answer.subject else ""
    return f"{result.check.title}: {subject}{result.answer.message}"
