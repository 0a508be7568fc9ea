"""Texts in Python files of the corpora, without running them."""

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any


class NotLiteralError(Exception):
    """Its value is only known to those who run it."""


def value(node: ast.expr, names: Mapping[str, Any] | None = None) -> Any:
    """What an expression of constants, lists, f-strings and known names is."""
    known = names or {}
    match node:
        case ast.Constant(value=found):
            return found
        case ast.List(elts=items) | ast.Tuple(elts=items):
            return [value(item, known) for item in items]
        case ast.Dict(keys=keys, values=items):
            return {value(key, known): value(item, known) for key, item in zip(keys, items, strict=True) if key}
        case ast.Name(id=name) if name in known:
            return known[name]
        case ast.Attribute(attr=name) if name in known:
            return known[name]
        case ast.JoinedStr(values=parts):
            return "".join(str(value(part, known)) for part in parts)
        case ast.FormattedValue(value=inner):
            return value(inner, known)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return value(left, known) + value(right, known)
        case _:
            raise NotLiteralError


def assignments(body: list[ast.stmt], names: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The names that a module or class gives to literals."""
    found: dict[str, Any] = dict(names or {})
    for node in body:
        match node:
            case (
                ast.Assign(targets=[ast.Name(id=name)], value=given)
                | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as given)
            ):
                try:
                    found[name] = value(given, found)
                except (NotLiteralError, TypeError):
                    continue
    return found


def classes(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each class of a file with its literals, and those of the module."""
    tree = ast.parse(path.read_text())
    module = assignments(tree.body)
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            yield node.name, assignments(node.body, module)


def keywords(path: Path, name: str) -> Iterator[Any]:
    """The literals that calls anywhere in a file give as a keyword argument of this name."""
    tree = ast.parse(path.read_text())
    module = assignments(tree.body)
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg == name:
            try:
                yield value(node.value, module)
            except (NotLiteralError, TypeError):
                continue


def strings(path: Path, holding: str = "") -> Iterator[str]:
    """Every text constant of a file that holds a word; f-strings and documentation are none."""
    tree = ast.parse(path.read_text())
    told = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        match node:
            case ast.Constant(value=str(text)) if id(node) not in told and holding in text:
                yield text


def leaves(document: Any) -> Iterator[str]:
    """Every text in a document of lists and mappings."""
    if isinstance(document, str):
        yield document
    elif isinstance(document, dict):
        for item in document.values():
            yield from leaves(item)
    elif isinstance(document, (list, tuple)):
        for item in document:
            yield from leaves(item)
