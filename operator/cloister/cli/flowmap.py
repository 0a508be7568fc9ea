"""`cloister map`: who may reach what, and how, from the same flows that policies and gates are made of."""

import os
import sys
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from cloister.cli.documents import STDIN, read
from cloister.cli.errors import friendly
from cloister.cli.live import Cluster
from cloister.cli.options import FORM, Context, Kubeconfig
from cloister.cli.output import Data, console, emit, table
from cloister.flows import Flow, Grant, Peer, components, flows, peer
from cloister.spec import LLMDeployment, UserRule
from cloister.zones import Zone


class MapForm(StrEnum):
    """Output of `map`."""

    TABLE = "table"
    MERMAID = "mermaid"
    JSON = "json"


def map_(
    target: Annotated[str, typer.Argument(metavar="FILE|NAME", help="A file, - for standard input, or a deployment.")],
    output: Annotated[MapForm, FORM] = MapForm.TABLE,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Show who may reach what, and how. What is not shown is denied."""
    with friendly():
        is_file = target == STDIN or os.sep in target or "." in target or Path(target).exists()
        documents = read(target) if is_file else [Cluster(context, kubeconfig).get(target)]
        deployments = [document.parsed() for document in documents]
    if output is MapForm.JSON:
        maps = [as_data(deployment) for deployment in deployments]
        emit(maps[0] if len(maps) == 1 else maps, Data.JSON)
        return
    out = console()
    for index, deployment in enumerate(deployments):
        if index:
            out.print()
        if output is MapForm.MERMAID:
            sys.stdout.write(as_mermaid(deployment))
        else:
            for line in as_table(deployment):
                out.print(line)


def as_table(deployment: LLMDeployment) -> Iterator[Text | str]:
    """One row for each thing that may be done; below it, the rules for people."""
    header = ("FROM", "TO", "PORT", "MAY", "PROOF")
    yield from table(header, _rows(deployment))
    users = deployment.spec.identity.users
    if users and deployment.speaks_for_people():
        yield ""
        rules = (_rule(rule) for rule in users.rules)
        factor = users.mfa.shown() if users.mfa.required else "not required"
        yield f"People of {users.issuer}, second factor: {factor}"
        yield from table(("ROLES", "APIS", "COUNTRIES", "DEVICE"), rules)
    yield ""
    yield "Everything else is denied, in both directions."


def _rows(deployment: LLMDeployment) -> Iterator[tuple[str, ...]]:
    for flow in flows(deployment):
        proof = _proof(flow)
        ends = _end(flow.source), _end(flow.target), str(flow.port)
        for grant in flow.grants:
            yield *ends, _may(grant), proof
        if not flow.grants:
            yield *ends, "nothing: no API is given to it" if flow.rule.gated else flow.rule.scope, proof


def _proof(flow: Flow) -> str:
    if not flow.rule.gated:
        return "where it runs"
    return "certificate and person's token" if flow.people else "certificate"


def _end(end: Peer) -> str:
    if end.addresses:
        return " ".join(end.addresses)
    narrowed = "" if end.component else "".join(f" {key}={value}" for key, value in sorted(end.pods.items()))
    return f"{end.namespace}/{end.service_account or '*'}{narrowed and f' [{narrowed.strip()}]'}"


def _may(grant: Grant) -> str:
    where = " ".join((*grant.paths, *(f"{prefix}*" for prefix in grant.prefixes)))
    only_new = " (new objects only)" if grant.new_objects_only else ""
    return f"{','.join(grant.methods)} {where}{only_new}"


def _rule(rule: UserRule) -> tuple[str, ...]:
    device = "managed" if rule.managed_device else "any"
    return ", ".join(rule.roles), ", ".join(rule.apis), " ".join(rule.countries) or "any", device


def as_data(deployment: LLMDeployment) -> dict[str, Any]:
    """The map for programs."""
    return {"deployment": deployment.name, "flows": [_flow(flow) for flow in flows(deployment)]}


def _flow(flow: Flow) -> dict[str, Any]:
    return {
        "rule": flow.rule.id,
        "from": _peer(flow.source),
        "to": _peer(flow.target),
        "port": flow.port,
        "people": flow.people,
        "grants": [
            {
                "api": grant.api or None,
                "methods": list(grant.methods),
                "paths": list(grant.paths),
                "prefixes": list(grant.prefixes),
                "newObjectsOnly": grant.new_objects_only,
            }
            for grant in flow.grants
        ],
    }


def _peer(end: Peer) -> dict[str, Any]:
    if end.addresses:
        return {"addresses": list(end.addresses)}
    return {
        "namespace": end.namespace,
        "serviceAccount": end.service_account or None,
        "identity": end.identity or None,
        "pods": dict(sorted(end.pods.items())),
    }


def as_mermaid(deployment: LLMDeployment) -> str:
    """The map as a Mermaid flowchart. Labels are names that Kubernetes allows, and addresses: none needs escaping."""
    every = flows(deployment)
    ours = [peer(deployment, component) for component in components(deployment)]
    ends = {_key(end): end for flow in every for end in (flow.source, flow.target) if not end.component}
    outside = sorted(ends.items())
    ids = {_key(end): str(end.component) for end in ours}
    ids |= {key: f"outside-{number}" for number, (key, _) in enumerate(outside, 1)}
    lines = ["flowchart LR"]
    lines += [f'  {ids[key]}(["{_place(end)}"])' for key, end in outside]
    for zone in Zone:
        members = [end for end in ours if end.component and end.component.zone is zone]
        lines.append(f'  subgraph {zone}-zone["{deployment.name}-{zone}"]')
        lines += [f'    {ids[_key(end)]}["{end.service_account}"]' for end in members]
        lines.append("  end")
    for flow in every:
        arrow = "-.->" if flow.rule.id == "journal" or not flow.rule.gated else "-->"
        label = ", ".join(filter(None, (grant.api for grant in flow.grants))) or flow.rule.id
        lines.append(f'  {ids[_key(flow.source)]} {arrow}|"{label}"| {ids[_key(flow.target)]}')
    return "\n".join(lines) + "\n"


def _place(end: Peer) -> str:
    return " ".join(end.addresses) or f"{end.namespace}/{end.service_account or '*'}"


def _key(end: Peer) -> tuple[str, ...]:
    """Tells ends apart, those without an identity too."""
    pods = (f"{key}={value}" for key, value in sorted(end.pods.items()))
    return (end.identity,) if end.identity else ("", end.namespace, *pods, *end.addresses)
