"""The `cloister` command, which is also `kubectl cloister`. Every command is a thin call into another module."""

import datetime as dt
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

import cloister
from cloister import names
from cloister.check import State
from cloister.check import run as judge
from cloister.cli import audit, check, data, explaining, flowmap, guard, keys, tree, weights
from cloister.cli.documents import STDIN, Document, read
from cloister.cli.errors import UserError, show
from cloister.cli.live import Cluster
from cloister.cli.offline import facts_from, objects
from cloister.cli.output import Data, as_json, as_yaml, console, emit, table
from cloister.cli.verification import verify
from cloister.lint import RULES, Finding, Severity, lint_raw
from cloister.spec import LLMDeployment

app = typer.Typer(
    help="Zero trust for LLM deployments: look at what a resource means, before and after it is applied.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(audit.app, name="audit")
app.add_typer(data.app, name="data")
app.add_typer(guard.app, name="guard")
app.add_typer(keys.app, name="keys")
app.command()(weights.seal)
app.command()(weights.unseal)
app.command()(weights.sign)
app.command()(verify)

File = Annotated[str, typer.Argument(metavar="FILE", help="YAML or JSON; - reads standard input.")]
Context = Annotated[str | None, typer.Option(help="Context of the kubeconfig.")]
Kubeconfig = Annotated[str | None, typer.Option(help="Path of the kubeconfig.")]


class LintForm(StrEnum):
    """Output of `lint`."""

    TEXT = "text"
    JSON = "json"


class MapForm(StrEnum):
    """Output of `map`."""

    TABLE = "table"
    MERMAID = "mermaid"
    JSON = "json"


class StatusForm(StrEnum):
    """Output of `status`."""

    TREE = "tree"
    JSON = "json"
    YAML = "yaml"


def main() -> None:
    """Entry point of both scripts."""
    plugin = Path(sys.argv[0]).name.startswith("kubectl-")
    app(prog_name="kubectl cloister" if plugin else "cloister")


@contextmanager
def _friendly() -> Iterator[None]:
    try:
        yield
    except UserError as error:
        raise show(error) from None


@app.command()
def run() -> None:
    """Run the operator (in the cluster, or here with your kubeconfig)."""
    from cloister.controller.run import run as run_operator  # noqa: PLC0415  (imports kopf and the client)

    raise typer.Exit(run_operator())


@app.command()
def render(
    file: File,
    output: Annotated[Data, typer.Option("-o", "--output", help="Form of the output.")] = Data.YAML,
    effective: Annotated[bool, typer.Option(help="Print the resource with its defaults instead.")] = False,
    facts: Annotated[
        str | None, typer.Option(metavar="FILE", help="YAML with what the operator would read from the cluster.")
    ] = None,
) -> None:
    """Print every object that the operator would apply, in its order, without a cluster."""
    with _friendly():
        deployments = [document.parsed() for document in read(file)]
        if effective:
            for deployment in deployments:
                _print_all([_effective(deployment)], output)
            return
        known = facts_from(facts)
        rendered = [obj for deployment in deployments for obj in objects(deployment, known)]
    if facts is None and output is Data.YAML:
        print("# ClusterIPs, trust bundle and keys of the identity provider are filled in by the operator.")
    _print_all(rendered, output)


def _print_all(values: list[dict[str, Any]], form: Data) -> None:
    if form is Data.JSON:
        emit(values[0] if len(values) == 1 else {"apiVersion": "v1", "kind": "List", "items": values}, form)
    else:
        sys.stdout.write("".join(f"---\n{as_yaml(value)}" for value in values))


def _effective(deployment: LLMDeployment) -> dict[str, Any]:
    spec = deployment.spec.model_dump(mode="json", by_alias=True, exclude_none=True)
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.KIND,
        "metadata": {"name": deployment.name},
        "spec": spec,
    }


@app.command()
def lint(
    files: Annotated[list[str] | None, typer.Argument(metavar="FILE...", help="Files; - reads standard input.")] = None,
    output: Annotated[LintForm, typer.Option("-o", "--output", help="Form of the output.")] = LintForm.TEXT,
    strict: Annotated[bool, typer.Option(help="Warnings fail too.")] = False,
    rules: Annotated[bool, typer.Option(help="List the rules instead.")] = False,
) -> None:
    """Check resources before they are applied. Exit code 1: there are errors; 2: a file can't be read."""
    if rules:
        _print_rules(output)
        return
    with _friendly():
        if not files:
            raise UserError("name at least one file, or - for standard input")
        found = [(document, finding) for file in files for document in read(file) for finding in _findings(document)]
    if output is LintForm.JSON:
        emit([_located(document, finding) for document, finding in found], Data.JSON)
    else:
        _print_findings(found)
    failing = {Severity.ERROR, Severity.WARNING} if strict else {Severity.ERROR}
    if any(finding.severity in failing for _, finding in found):
        raise typer.Exit(1)


def _findings(document: Document) -> tuple[Finding, ...]:
    return lint_raw(document.raw, dt.datetime.now(dt.UTC).date())


def _located(document: Document, finding: Finding) -> dict[str, Any]:
    place = {"file": document.source, "line": document.line(finding.field), "name": document.name}
    return {**place, **finding.as_dict()}


_SEVERITY_STYLE = {Severity.ERROR: "bold red", Severity.WARNING: "yellow", Severity.INFO: "cyan"}


def _print_findings(found: list[tuple[Document, Finding]]) -> None:
    out = console()
    for document, finding in found:
        head = Text(f"{document.source}:{document.line(finding.field)}: ")
        head += Text(str(finding.severity), style=_SEVERITY_STYLE[finding.severity])
        value = (
            "" if finding.value is None else f"{as_json(finding.value).strip()}: " if _is_flat(finding.value) else ""
        )
        out.print(head + Text(f" {finding.code} {finding.field}: {value}{finding.message}"))
        out.print(Text(f"    {finding.fix}", style="dim"))
    counts = {severity: sum(finding.severity is severity for _, finding in found) for severity in Severity}
    out.print(", ".join(f"{count} {severity}{'' if count == 1 else 's'}" for severity, count in counts.items()))


def _is_flat(value: object) -> bool:
    return isinstance(value, str | int | float | bool)


def _print_rules(form: LintForm) -> None:
    if form is LintForm.JSON:
        known = [{"code": r.code, "severity": str(r.severity), "title": r.title, "fix": r.fix} for r in RULES]
        emit(known, Data.JSON)
        return
    out = console()
    for line in table(("CODE", "SEVERITY", "RULE"), [(r.code, str(r.severity), r.title) for r in RULES]):
        out.print(line)


@app.command("map")
def map_(
    target: Annotated[str, typer.Argument(metavar="FILE|NAME", help="A file, - for standard input, or a deployment.")],
    output: Annotated[MapForm, typer.Option("-o", "--output", help="Form of the output.")] = MapForm.TABLE,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Show who may reach what, and how. What is not shown is denied."""
    with _friendly():
        is_file = target == STDIN or os.sep in target or "." in target or Path(target).exists()
        documents = read(target) if is_file else [Cluster(context, kubeconfig).get(target)]
        deployments = [document.parsed() for document in documents]
    if output is MapForm.JSON:
        maps = [flowmap.as_data(deployment) for deployment in deployments]
        emit(maps[0] if len(maps) == 1 else maps, Data.JSON)
        return
    out = console()
    for index, deployment in enumerate(deployments):
        if index:
            out.print()
        if output is MapForm.MERMAID:
            sys.stdout.write(flowmap.as_mermaid(deployment))
        else:
            for line in flowmap.as_table(deployment):
                out.print(line)


@app.command()
def explain(
    source: Annotated[str, typer.Argument(metavar="FROM", help=explaining.ENDS)],
    target: Annotated[str, typer.Argument(metavar="TO[:PORT]", help="The same, and a port.")],
    file: Annotated[
        str | None, typer.Option("-f", "--file", metavar="FILE", help="YAML or JSON; - reads standard input.")
    ] = None,
    deployment: Annotated[
        str | None, typer.Option(metavar="NAME", help="Which deployment, where there are several.")
    ] = None,
    output: Annotated[explaining.ExplainForm, typer.Option("-o", "--output", help="Form of the output.")] = (
        explaining.ExplainForm.TEXT
    ),
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Explain what lets one end reach another, or keeps it from it. Exit code 1: it is denied; 2: it can't be told."""
    with _friendly():
        documents = read(file) if file else Cluster(context, kubeconfig).all()
        found = explaining.explained(explaining.chosen(documents, deployment), source, target)
    if output is explaining.ExplainForm.TEXT:
        for line in explaining.lines(found):
            console().print(line)
    else:
        emit(found.as_dict(), Data(str(output)))
    if not found.allowed:
        raise typer.Exit(1)


@app.command("check")
def check_(
    output: Annotated[
        check.CheckForm, typer.Option("-o", "--output", help="Form of the output.")
    ] = check.CheckForm.TABLE,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Show what is as it must be, too.")] = False,
    strict: Annotated[bool, typer.Option(help="Warnings, and what can't be told, fail too.")] = False,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Check a cluster, before Cloister is installed and ever after. Exit code 1: there are errors; 2: it can't be
    asked."""
    with _friendly():
        results = judge(check.look(context, kubeconfig))
    if output is check.CheckForm.TABLE:
        for line in check.lines(results, everything=verbose):
            console().print(line)
    else:
        emit([result.as_dict() for result in results], Data(str(output)))
    failing = {State.ERROR, State.WARNING, State.UNKNOWN} if strict else {State.ERROR}
    if any(result.state in failing for result in results):
        raise typer.Exit(1)


@app.command()
def status(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="One deployment; all of them without it.")
    ] = None,
    output: Annotated[StatusForm, typer.Option("-o", "--output", help="Form of the output.")] = StatusForm.TREE,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Show what the operator has observed: zones, conditions, certificates and their expiry, controls."""
    with _friendly():
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
        for line in tree.lines(raw, now):
            out.print(line)


@app.command()
def version() -> None:
    """Print the version."""
    print(f"cloister {cloister.__version__}")
