"""What is wrong with a resource, in words for its author, and how it travels through pydantic."""

from collections.abc import Iterable
from typing import TypeVar

from cloister.spec.fields import Model


class Problem(Model):
    """Something wrong with a resource: where, and what to do about it."""

    field: str
    message: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}"


_T = TypeVar("_T", bound=Model)


class DisagreementError(ValueError):
    """Fields that are right one by one, and wrong together. pydantic carries it to :func:`parse`."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("; ".join(map(str, problems)))
        self.problems = problems


def refused_if(model: _T, found: Iterable[tuple[str, str]]) -> _T:
    """The model, unless something was found: pairs of field and message."""
    problems = tuple(Problem(field=field, message=message) for field, message in found)
    if problems:
        raise DisagreementError(problems)
    return model
