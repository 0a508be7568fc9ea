"""What was probably meant by what can't be read, in words for its author."""

import difflib
import types
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel

from cloister.spec.fields import DURATION_PATTERN, QUANTITY_PATTERN

_LONGEST = 64
"""Characters of a name that is compared with others: no field's own is longer, and comparing costs their product."""
_FORMS = {
    DURATION_PATTERN: "no duration, which is a number and one of s, m, h, d, such as 30m, 12h or 90d",
    QUANTITY_PATTERN: "no quantity, such as 100Gi or 500m",
}


def form(pattern: str) -> str | None:
    """What a text is not that does not match, where an expression alone would not tell it."""
    return _FORMS.get(pattern)


def quotes(value: object) -> str:
    """What to do where a text was wanted and YAML has read something else; empty where quotes would not help."""
    if isinstance(value, bool):
        return "put it in quotes, since YAML reads words such as NO, Off and yes as true or false"
    return "put it in quotes" if isinstance(value, int | float) else ""


def similar(name: str, model: type[BaseModel], around: Sequence[str | int]) -> str | None:
    """The field most like an unknown one, of those that may stand at that place of a model."""
    known = _fields(model, around) if len(name) <= _LONGEST else ()
    return next(iter(difflib.get_close_matches(name, known, n=1)), None)


def _fields(model: type[BaseModel], around: Sequence[str | int]) -> Iterable[str]:
    at: Any = model
    for part in around:
        at = _inside(_bare(at), part)
    at = _bare(at)
    if isinstance(at, type) and issubclass(at, BaseModel):
        return [info.alias or name for name, info in at.model_fields.items()]
    return ()


def _inside(annotation: Any, part: str | int) -> Any:
    """The type of what lies under a name, or a number, in something of a type; None where nothing may."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        found = (info.annotation for name, info in annotation.model_fields.items() if (info.alias or name) == part)
        return next(found, None)
    arguments = get_args(annotation)
    if not arguments:
        return None
    return arguments[1] if get_origin(annotation) is dict else arguments[0]


def _bare(annotation: Any) -> Any:
    """Without its bounds, and without None beside it."""
    while get_origin(annotation) in (Annotated, Union, types.UnionType):
        annotation = next(one for one in get_args(annotation) if one is not type(None))
    return annotation
