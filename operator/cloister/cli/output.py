"""How commands print: the same bytes into a pipe every time, colour only for a terminal that wants it."""

import json
import re
import sys
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Any

import yaml
from rich.console import Console
from rich.text import Text

_SURROGATE = re.compile("[\ud800-\udfff]")


class Data(StrEnum):
    """For programs."""

    JSON = "json"
    YAML = "yaml"


def console() -> Console:
    """Honours NO_COLOR and a pipe by itself; what we print is never taken for markup, nor wrapped."""
    return Console(highlight=False, markup=False, emoji=False, soft_wrap=True)


def echo(text: str | Text = "") -> None:
    """Print one line."""
    console().print(text)


def shown(text: str) -> str:
    """Text of others for a terminal: what is not printable is escaped, so that no key moves the cursor."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape", "replace").decode() for one in text)


class _Dumper(yaml.SafeDumper):
    """Block style throughout, and no aliases: kubectl understands them, people do not."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.Node:
    # A certificate or a script is read line by line.
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)


_Dumper.add_representer(str, _text)


def as_yaml(value: object) -> str:
    """One YAML document."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, width=110, allow_unicode=True)


def as_json(value: object) -> str:
    """Indented JSON. Where the name of a file is no text, what stands for its bytes (PEP 383) is escaped."""
    text = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
    return _SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def emit(value: object, form: Data) -> None:
    """Print for programs: straight to stdout, so that no terminal wraps it."""
    sys.stdout.write(as_json(value) if form is Data.JSON else as_yaml(value))


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[Text]:
    """Columns as wide as they need, three spaces apart, as kubectl prints them; nothing is cut."""
    body = [list(row) for row in rows]
    widths = [max(map(len, column)) for column in zip(header, *body, strict=True)]

    def line(cells: Sequence[str]) -> str:
        return "   ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()

    return [Text(line(header), style="bold"), *(Text(line(row)) for row in body)]
