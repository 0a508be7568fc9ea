"""`cloister guard`: what would be decided about prompts, and whether rules of one's own are good."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cloister.auditor.openai.dialect import FIELDS
from cloister.cli.documents import STDIN, text_of
from cloister.cli.errors import UserError, friendly
from cloister.cli.options import FORM, Form
from cloister.cli.output import Data, echo, emit, table
from cloister.inspection.conversation import words
from cloister.inspection.rules import RulesError, RuleSet, parse

if TYPE_CHECKING:
    from cloister.inspection.injection import Detector, Opinion

_MAX_BYTES = 64 << 20
"""Of prompts at a time."""
_CONFIG_MAP = re.compile(r"^kind: *ConfigMap *$", re.MULTILINE)

app = typer.Typer(help="Prompt injection: what would be decided about prompts, and why.", no_args_is_help=True)


@app.command("test")
def judged(
    file: Annotated[str, typer.Argument(metavar="FILE", help="Prompts, or - for standard input.")],
    rules: Annotated[
        str | None, typer.Option(metavar="FILE", help="A set of rules of your own, or - for standard input.")
    ] = None,
    threshold: Annotated[int, typer.Option(min=5, max=95, help="As spec.inference.guard.injectionThreshold.")] = 50,
    output: Annotated[Form, FORM] = Form.TABLE,
) -> None:
    """Say for each prompt whether it would be blocked, and why.

    FILE is one request in JSON, JSON lines (each a request, or a text in quotes), or text: then each line is a prompt.
    The exit code is 1 when something would be blocked.
    """
    from cloister.detection import detector  # noqa: PLC0415  (imports numpy)

    with friendly():
        if file == rules == STDIN:
            raise UserError("FILE and --rules: only one of them can be standard input")
        judge = detector(*_own(rules), threshold=threshold / 100)
        told = [_told(judge, place, document) for place, document in _requests(_text(file))]
        if not told:
            raise UserError(f"{file}: holds no prompt, so nothing can be said of it")
    if output is Form.TABLE:
        shown = ("place", "decision", "score", "view", "why")
        rows = [[str(one[column]) for column in shown] for request in told for one in request["texts"]]
        echo(f"Rules {judge.rules.version}, threshold {threshold}.")
        for line in table([column.upper() for column in shown], rows):
            echo(line)
    else:
        emit({"rules": judge.rules.version, "threshold": threshold, "requests": told}, Data(output.value))
    if any(request["blocked"] for request in told):
        raise typer.Exit(1)


@app.command()
def check(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A set of rules, or - for standard input.")],
) -> None:
    """Say whether a set of rules is good: as the operator would, which refuses a bad one."""
    from cloister.detection import detector  # noqa: PLC0415  (imports numpy)

    with friendly():
        own = _own(file)
        found = detector(*own)
    echo(f"{file} is good: {len(own[0].rules)} rules; {len(found.rules.each)} in all.")


def _own(file: str | None) -> tuple[RuleSet, ...]:
    if file is None:
        return ()
    text = _text(file)
    try:
        return (parse(text),)
    except RulesError as error:
        if _CONFIG_MAP.search(text):
            raise UserError(
                f"{file}: this is a ConfigMap: give the text under data, without what is around it"
            ) from None
        raise UserError(f"{file}: {error}") from None


def _text(file: str) -> str:
    return text_of(file, _MAX_BYTES, f"is larger than {_MAX_BYTES >> 20} MiB: split it")


def _requests(text: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Each prompt as a request, with where it stands."""
    try:
        whole = json.loads(text)
    except (ValueError, RecursionError):
        whole = None
    if isinstance(whole, dict):
        yield "", whole
        return
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            yield f"line {number}", _request(line, number)


def _request(line: str, number: int) -> Mapping[str, Any]:
    if line.lstrip()[:1] not in ("{", '"'):
        return _said(line)
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):  # an auditor refuses what is nested like that
        return _said(line)
    if isinstance(found, dict) and not found:
        raise UserError(f"line {number}: an empty request: write a text, or messages")
    return found if isinstance(found, dict) else _said(str(found))


def _said(text: str) -> Mapping[str, Any]:
    return {"messages": [{"role": "user", "content": text}]}


def _told(judge: "Detector", place: str, document: Mapping[str, Any]) -> dict[str, Any]:
    """What is thought of each text of a request; the request is blocked when one of them would be."""
    texts = []
    for said in words(document, FIELDS):
        if best := judge.opinion(said):
            where = ": ".join(part for part in (place, said.where) if part)
            texts.append({"place": where, "role": said.role} | _reasons(best, judge.threshold))
    return {"place": place, "blocked": any(one["decision"] == "Block" for one in texts), "texts": texts}


def _reasons(best: "Opinion", threshold: float) -> dict[str, Any]:
    why = sorted(best.reasons.items(), key=lambda reason: -reason[1])
    return {
        "decision": "Block" if best.score >= threshold else "pass",
        "score": round(100 * best.score),
        "view": best.view,
        "why": ", ".join(f"{name} {round(100 * score)}" for name, score in why if score >= 0.05) or "nothing",
    }
