"""`cloister render`: what the operator would apply, or a resource with its defaults."""

import sys
from typing import Annotated, Any

import typer

from cloister import names
from cloister.cli.documents import read
from cloister.cli.errors import friendly
from cloister.cli.offline import facts_from, objects
from cloister.cli.options import FORM
from cloister.cli.output import Data, as_yaml, emit
from cloister.spec import LLMDeployment


def render(
    file: Annotated[str, typer.Argument(metavar="FILE", help="YAML or JSON; - reads standard input.")],
    output: Annotated[Data, FORM] = Data.YAML,
    effective: Annotated[bool, typer.Option(help="Print the resource with its defaults instead.")] = False,
    facts: Annotated[
        str | None, typer.Option(metavar="FILE", help="YAML with what the operator would read from the cluster.")
    ] = None,
) -> None:
    """Print every object that the operator would apply, in its order, without a cluster."""
    with friendly():
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
