"""Checks of a resource before it is applied: an ordered list of small pure functions, each with its code."""

import datetime as dt
from collections.abc import Iterator, Mapping
from typing import Any

from cloister import names
from cloister.lint.data import DATA
from cloister.lint.finding import Finding, Hit, Rule, Severity
from cloister.lint.lifecycle import LIFECYCLE
from cloister.lint.machines import MACHINES
from cloister.lint.people import PEOPLE
from cloister.lint.records import RECORDS
from cloister.lint.server import ADMINISTRATIVE, SERVER
from cloister.spec import LLMDeployment, Problem, SpecError, parse

__all__ = [
    "ADMINISTRATIVE",
    "REFUSED",
    "RULES",
    "Finding",
    "Hit",
    "Rule",
    "Severity",
    "checked",
    "lint",
    "lint_raw",
]

RULES: tuple[Rule, ...] = (*PEOPLE, *MACHINES, *SERVER, *DATA, *LIFECYCLE, *RECORDS)
"""In the order of their codes; a new rule is one function and one line."""
REFUSED = "CL001"
"""Code of everything that the API server or the operator would refuse."""

_TOP_LEVEL = frozenset({"apiVersion", "kind", "metadata", "spec", "status"})
_METADATA = frozenset(
    {
        "annotations",
        "creationTimestamp",
        "deletionGracePeriodSeconds",
        "deletionTimestamp",
        "finalizers",
        "generation",
        "labels",
        "managedFields",
        "name",
        "ownerReferences",
        "resourceVersion",
        "selfLink",
        "uid",
    }
)


def checked(raw: object) -> LLMDeployment:
    """The parsed resource, or :class:`SpecError`. Stricter than :func:`parse`: a file may hold anything."""
    if not isinstance(raw, Mapping):
        raise SpecError((Problem(field="(document)", message=f"is a {type(raw).__name__}, not a resource"),))
    problems = tuple(Problem(field=field, message=message) for field, message in _envelope(raw))
    try:
        deployment = parse(raw)
    except SpecError as error:
        raise SpecError(problems + error.problems) from None
    if problems:
        raise SpecError(problems)
    return deployment


def lint(deployment: LLMDeployment, today: dt.date) -> tuple[Finding, ...]:
    """Every finding about a resource that is valid."""
    return tuple(
        Finding(rule.code, rule.severity, hit.field, hit.message, rule.fix, hit.value)
        for rule in RULES
        for hit in rule.check(deployment, today)
    )


def lint_raw(raw: object, today: dt.date) -> tuple[Finding, ...]:
    """Every finding about a resource as it stands in a file, valid or not."""
    try:
        return lint(checked(raw), today)
    except SpecError as error:
        fix = "see `kubectl explain llmdeployment.spec`"
        return tuple(Finding(REFUSED, Severity.ERROR, p.field, p.message, fix) for p in error.problems)


def _envelope(raw: Mapping[Any, Any]) -> Iterator[tuple[str, str]]:
    for field, wanted in (("apiVersion", names.API_VERSION), ("kind", names.KIND)):
        value = raw.get(field)
        if value != wanted:
            yield field, f"is required: {wanted}" if value is None else f"{value!r:.80} is not {wanted}"
    for field in raw:
        if field not in _TOP_LEVEL:
            yield f"{field!s:.80}", "unknown field of the resource"
    metadata = raw.get("metadata")
    for field in metadata if isinstance(metadata, Mapping) else ():
        if field == "namespace":
            yield "metadata.namespace", f"{names.KIND} is cluster-scoped: leave it out"
        elif field not in _METADATA:
            yield f"metadata.{field!s:.80}", "unknown field of metadata"
