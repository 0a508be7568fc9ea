"""Gitleaks' rules, as its own module on the Go proxy has them, read as gitleaks reads them: keywords first, then the
expression, then entropy and what is allowed. Its expressions are RE2, so they are the same ones here."""

import json
import math
import subprocess
import tomllib
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import re2

from tests.cluster.gotoolchain import go

VERSION = "v8.30.0"
_MODULE = f"github.com/zricethezav/gitleaks/v8@{VERSION}"
Spans = list[tuple[int, int]]


@cache
def rules() -> list[dict[str, Any]]:
    """Every rule that has an expression and isn't about paths, with it compiled."""
    command = [str(go()), "mod", "download", "-json", _MODULE]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd="/")
    config = tomllib.loads((Path(json.loads(done.stdout)["Dir"]) / "config" / "gitleaks.toml").read_text())
    everywhere = config["allowlist"]
    found = []
    for rule in config["rules"]:
        if "regex" in rule and "path" not in rule:
            lists = [*rule.get("allowlists", ()), everywhere]
            found.append(rule | {"compiled": re2.compile(rule["regex"]), "allowed": [_allowed(one) for one in lists]})
    return found


def find(text: str) -> Spans:
    """Every secret."""
    lower, spans = text.lower(), []
    for rule in rules():
        if any(keyword.lower() in lower for keyword in rule["keywords"]):
            spans += [span for match in rule["compiled"].finditer(text) if (span := secret(rule, match))]
    return spans


def secret(rule: dict[str, Any], match: Any) -> tuple[int, int] | None:
    """Where in a match the secret is: the rule's group, or the first that took part; None if it is none after all."""
    groups = range(1, match.re.groups + 1)
    group = rule.get("secretGroup") or next((number for number in groups if match.group(number)), 0)
    start, stop = match.span(group)
    value = match.group(group)
    if _entropy(value) <= rule.get("entropy", -1):
        return None
    if any(allowed(match.group(0), value) for allowed in rule["allowed"]):
        return None
    return start, stop


def _allowed(one: dict[str, Any]) -> Any:
    expressions = [re2.compile(expression) for expression in one.get("regexes", ())]
    words = one.get("stopwords", ())

    def allowed(match: str, value: str) -> bool:
        target = match if one.get("regexTarget") in ("match", "line") else value
        return any(expression.search(target) for expression in expressions) or any(
            word in value.lower() for word in words
        )

    return allowed


def _entropy(value: str) -> float:
    """Shannon's, in bits a character."""
    counts = Counter(value)
    return -sum(count / len(value) * math.log2(count / len(value)) for count in counts.values())
