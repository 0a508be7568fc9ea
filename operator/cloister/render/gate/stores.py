"""The gate's coarse check of queries to stores, made from the same closed list as the auditor's exact one.

Method, path and the names in the query are those of an operation that the flow's verbs allow. What the values say
(which prefix is listed, which keys a document names) is the auditor's to judge.
"""

import re
from collections.abc import Iterable

from cloister.flows import Flow, Grant
from cloister.render.gate.xds import Object, exact
from cloister.s3 import Level, Operation, allowed

_EMPTY = frozenset({"delete", "uploads"})
"""Parameters without a value."""


_KEYS: tuple[Object, ...] = tuple(
    {"not_rule": {"url_path": {"path": matcher}}}
    for matcher in ({"suffix": "/"}, {"contains": "//"}, {"contains": "%25"})
)
"""A key is not the prefix itself, which would be a folder, and none that another program could read differently than
Envoy does (an empty segment, a percent sign that was encoded twice)."""


def permission(flow: Flow, grant: Grant) -> Object:
    """What a grant at a store lets through."""
    objects = _any([*map(_exact_path, grant.paths), *map(_below, grant.prefixes)])
    levels = [_all([objects, *_KEYS, _forms(allowed(flow.rule.verbs, Level.OBJECT))])]
    on_bucket = allowed(flow.rule.verbs, Level.BUCKET)
    if grant.prefixes and on_bucket:
        levels.append(_all([_any(map(_exact_path, bucket_paths(flow))), _forms(on_bucket)]))
    # Copying would read one object with the right to write another.
    copying = {"header": {"name": "x-amz-copy-source", "present_match": True}}
    return _all([_any(levels), {"not_rule": copying}])


def methods(flow: Flow, level: Level) -> tuple[str, ...]:
    """The methods of a flow's operations, for routes."""
    return tuple(dict.fromkeys(operation.method for operation in allowed(flow.rule.verbs, level)))


def bucket_paths(flow: Flow) -> tuple[str, ...]:
    """The store's one bucket; clients write it either way."""
    return (f"/{flow.target.component}", f"/{flow.target.component}/")


def _forms(operations: Iterable[Operation]) -> Object:
    return _any(map(_form, operations))


def _form(operation: Operation) -> Object:
    """RE2 has no look-ahead: the closed list of names is one rule, and each name that must be there another."""
    one = "|".join(_parameter(name) for name in operation.parameters)
    rules = [
        {"header": {"name": ":method", "string_match": exact(operation.method)}},
        _path(rf"[^?]*(\?({one})(&({one}))*)?"),
        *(_path(rf"[^?]*\?(.*&)?{_parameter(name)}(&.*)?") for name in operation.required),
    ]
    return _all(rules)


def _parameter(name: str) -> str:
    return rf"{re.escape(name)}=?" if name in _EMPTY else rf"{re.escape(name)}=[^&?#+]*"


def _path(regex: str) -> Object:
    return {"header": {"name": ":path", "string_match": {"safe_regex": {"regex": regex}}}}


def _below(prefix: str) -> Object:
    return {"url_path": {"path": {"prefix": prefix}}}


def _exact_path(path: str) -> Object:
    return {"url_path": {"path": exact(path)}}


def _any(rules: Iterable[Object]) -> Object:
    return {"or_rules": {"rules": list(rules)}}


def _all(rules: Iterable[Object]) -> Object:
    return {"and_rules": {"rules": list(rules)}}
