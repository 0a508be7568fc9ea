"""Which API a path speaks, and whether a body is one of its requests."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import jiter
from pydantic import BaseModel, ValidationError

from cloister.auditor.openai.chat import ChatRequest
from cloister.auditor.openai.completions import CompletionRequest, EmbeddingRequest
from cloister.auditor.openai.responses import ResponsesRequest
from cloister.auditor.refusal import Refusal

_MAX_PARAM = 256
MAX_DEPTH = 200
"""jiter's own bound on nesting."""


@dataclass(frozen=True)
class Dialect:
    """One API: its name in OpenTelemetry's GenAI conventions (`gen_ai.operation.name`), and its requests."""

    operation: str
    request: type[BaseModel]
    max_tokens: tuple[str, ...] = ()
    """Fields that bound the length of the answer."""

    @property
    def fields(self) -> Collection[str]:
        """All that its requests can have."""
        return self.request.model_fields.keys()


_BY_SUFFIX: dict[str, Dialect] = {
    "/chat/completions": Dialect("chat", ChatRequest, ("max_completion_tokens", "max_tokens")),
    "/completions": Dialect("text_completion", CompletionRequest, ("max_tokens",)),
    "/responses": Dialect("chat", ResponsesRequest, ("max_output_tokens",)),
    "/embeddings": Dialect("embeddings", EmbeddingRequest),
}


def dialect_of(path: str) -> Dialect | None:
    """The API that a path ends in; None for any other, whose bodies must then be JSON objects and nothing more."""
    return next((dialect for suffix, dialect in _BY_SUFFIX.items() if path.endswith(suffix)), None)


FIELDS = frozenset(field for dialect in _BY_SUFFIX.values() for field in dialect.fields)
"""Of any of them."""


def parse_json(body: bytes) -> Any:
    """The one meaning of a JSON text.

    Duplicate keys, NaN and Infinity, lone surrogates, invalid UTF-8, a byte order mark, nesting beyond
    :data:`MAX_DEPTH` and anything after the value are refused: two parsers could read them in two ways (RFC 8259,
    sections 4, 8 and 9).
    """
    try:
        return jiter.from_json(body, allow_inf_nan=False, catch_duplicate_keys=True)
    except ValueError as error:
        raise Refusal.invalid(f"The body is not valid JSON: {error}", code="invalid_json") from None


def json_object(body: bytes) -> dict[str, Any]:
    """A JSON text that is an object."""
    document = parse_json(body)
    if not isinstance(document, dict):
        raise Refusal.invalid("The body must be a JSON object.", code="invalid_json")
    return document


def complaint(dialect: Dialect, document: dict[str, Any]) -> Refusal | None:
    """What is wrong with a request, by the first field that is; None when it is one of the API's."""
    try:
        dialect.request.__pydantic_validator__.validate_python(document)
    except ValidationError as error:
        return _refusal(document, error)
    return None


def _refusal(document: dict[str, Any], error: ValidationError) -> Refusal:
    problems = error.errors(include_url=False, include_input=False)
    # Of a union's many complaints the deepest is about the branch that was meant.
    problem = max(problems, key=lambda found: len(found["loc"]))
    param = _param(document, problem["loc"])
    match problem["type"]:
        case "extra_forbidden":
            return Refusal.invalid(f"Unrecognized request argument: {param}", param=param, code="unknown_parameter")
        case "missing":
            return Refusal.invalid(
                f"Missing required parameter: '{param}'.", param=param, code="missing_required_parameter"
            )
        case "union_tag_invalid":
            context = problem["ctx"]
            expected = f"{context['discriminator']} must be one of {context['expected_tags']}"
        case _:
            expected = problem["msg"].removeprefix("Value error, ")
    return Refusal.invalid(f"Invalid value for '{param}': {expected}.", param=param, code="invalid_value")


def _param(document: Any, location: tuple[int | str, ...]) -> str:
    """Where in the document a complaint belongs, as OpenAI writes it: `messages[0].content`.

    pydantic's location also names the branches of unions; what leads nowhere in the document is such a name, but for
    the last step, which may be a field that is missing.
    """
    path = ""
    for number, step in enumerate(location, 1):
        known = isinstance(document, dict) and step in document
        if isinstance(step, int) and isinstance(document, list):
            path, document = f"{path}[{step}]", document[step]
        elif known or (isinstance(document, dict) and number == len(location)):
            path, document = f"{path}.{step}" if path else str(step), document.get(step)
    return path[:_MAX_PARAM]
