"""`cloister render`: the objects of a deployment, with what facts a file can give."""

from typing import Any

from pydantic import TypeAdapter, ValidationError

from cloister.cli.documents import load_yaml
from cloister.cli.errors import UserError
from cloister.facts import Facts, Settings
from cloister.render import render
from cloister.spec import LLMDeployment

_NO_UID = "00000000-0000-0000-0000-000000000000"
"""Stands for the UID that the API server gives; owner references need one."""


def objects(deployment: LLMDeployment, facts: Facts) -> list[dict[str, Any]]:
    """Every object, in the order in which the operator applies them."""
    if not deployment.uid:
        deployment = deployment.model_copy(update={"uid": _NO_UID})
    return render(deployment, facts, Settings())


def facts_from(file: str | None) -> Facts:
    """Facts by the names they have in :class:`Facts`; what is left out is as in a new cluster."""
    if file is None:
        return Facts()
    given = load_yaml(file)
    if not isinstance(given, dict):
        raise UserError(f"{file}: is not a mapping of facts")
    unknown = sorted(set(given) - set(Facts.__dataclass_fields__))
    if unknown:
        raise UserError(f"{file}: {unknown[0]}: is no fact; known are {', '.join(Facts.__dataclass_fields__)}")
    try:
        return TypeAdapter(Facts).validate_python(given)
    except ValidationError as error:
        detail = error.errors(include_url=False)[0]
        raise UserError(f"{file}: {'.'.join(map(str, detail['loc']))}: {detail['msg'].lower()}") from None
