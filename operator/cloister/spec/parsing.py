"""The one way in: :func:`parse`. Raw dicts stop here."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from cloister.document import Document, short
from cloister.spec import hints
from cloister.spec.deployment import LLMDeployment
from cloister.spec.problems import DisagreementError, Problem
from cloister.spec.recipient import HOW_TO_MAKE_KEYS
from cloister.spec.unenforced import unenforced

_GUESSED = 100
"""So many problems have come from a person, who is told what was probably meant; each guess takes its time."""


class SpecError(Exception):
    """A resource that can't be used. Nothing that runs is changed because of it."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("; ".join(map(str, problems)))
        self.problems = problems


def parse(raw: Mapping[str, Any]) -> LLMDeployment:
    """Turn a raw LLMDeployment into its model, or raise :class:`SpecError` naming every field that is wrong.

    It is read as JSON and strictly, so that a number is not a string and `yes` is not true, whoever sent it.
    """
    metadata = _mapping(raw, "metadata")
    document = Document(
        {
            "uid": "",  # a file has neither
            "generation": 0,
            **{field: metadata[field] for field in _METADATA if field in metadata},
            "spec": _mapping(raw, "spec"),
        },
        "",
    )
    if document.problems:
        raise SpecError(tuple(Problem(field=_path(at), message=message) for at, message in document.problems))
    text = json.dumps(document.value)
    try:
        # by_name=False: `max_session_age` is not a spelling of maxSessionAge; the API server drops it unread.
        deployment = LLMDeployment.model_validate_json(text, strict=True, by_alias=True, by_name=False)
    except ValidationError as error:
        details = _without_echoes(error.errors(include_url=False))
        guess = len(details) <= _GUESSED
        raise SpecError(tuple(problem for detail in details for problem in _problems(detail, guess=guess))) from None
    refused = tuple(Problem(field=field, message=why) for field, why in unenforced(document.value["spec"]))
    if refused:
        raise SpecError(refused)
    return deployment


def _mapping(raw: object, name: str) -> Mapping[str, Any]:
    value = raw.get(name) if isinstance(raw, Mapping) else None
    if not isinstance(value, Mapping):
        message = "is required" if value is None else f"must be a mapping, not a {type(value).__name__}"
        raise SpecError((Problem(field=name, message=message),))
    return value


_METADATA = ("name", "uid", "generation")


def _path(at: str) -> str:
    """A path of the document as the user knows it: what stands in metadata is shown there."""
    at = at.removeprefix(".")
    return f"metadata.{at}" if at.partition(".")[0] in _METADATA else at


def _without_echoes(details: Sequence[Any]) -> list[Any]:
    """pydantic counts only valid items, so a list with a wrong one is also called too short."""
    wrong = {detail["loc"][:-1] for detail in details if detail["loc"] and isinstance(detail["loc"][-1], int)}
    return [detail for detail in details if detail["type"] != "too_short" or detail["loc"] not in wrong]


_TEXTS = ("string_type", "enum")
"""pydantic's errors about what is no text, or not one of several."""


def _problems(detail: Any, *, guess: bool) -> Iterator[Problem]:
    """One of pydantic's errors as the user should read it: field path, offending value, what is wanted."""
    together = detail.get("ctx", {}).get("error")
    if isinstance(together, DisagreementError):
        yield from together.problems
        return
    path = _path("".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in detail["loc"]))
    path = path.removesuffix(".[key]")  # pydantic's way to say that the name itself is wrong
    message = detail["msg"]
    match detail["type"]:
        case "extra_forbidden":
            message = "unknown field: look for a misspelling in `kubectl explain llmdeployment.spec`"
            if guess and (meant := hints.similar(str(detail["loc"][-1]), LLMDeployment, detail["loc"][:-1])):
                message = f"unknown field: did you mean {meant}? All of them: `kubectl explain llmdeployment.spec`"
        case "missing":
            message = "is required"
        case "too_short" if path == "spec.audit.recipients":
            message = "nobody could open the journal"
        case "string_pattern_mismatch" if said := hints.form(detail["ctx"]["pattern"]):
            message = f"{short(detail['input'])} is {said}"
        case _:
            message = f"{short(detail['input'])}: {message[0].lower()}{message[1:]}"
            if detail["type"] in _TEXTS and (said := hints.quotes(detail["input"])):
                message = f"{message}: {said}"
    way_out = _WAYS_OUT.get(path)
    yield Problem(field=path, message=f"{message}: {way_out}" if way_out else message)


_WAYS_OUT = {
    "spec.audit": f"name the readers of the journal in its recipients; {HOW_TO_MAKE_KEYS}",
    "spec.audit.recipients": HOW_TO_MAKE_KEYS,
    "spec.inference.guard.extraction": "what is too much can be refused or recorded, not masked",
    "spec.inference.guard.schema": "a request either fits its API's schema or not; nothing in it could be masked",
}
"""What to do about a field of which nothing can be guessed."""
