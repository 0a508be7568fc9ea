"""Yelp's detect-secrets over a list of texts, and strings that fit expressions, in an environment of its own."""

import re
from pathlib import Path
from typing import Any

from tests.environments import answered, environment, pinned

REQUIREMENTS = Path(__file__).with_name("secrets.txt")
"""Every package of the environment, by version: `uv pip compile --universal` of `detect-secrets` and `rstr`."""
_SCAN = """
import json, sys, tempfile, time
from detect_secrets import SecretsCollection
from detect_secrets.settings import default_settings

lines = json.load(sys.stdin)
with tempfile.NamedTemporaryFile("w", suffix=".txt") as file, default_settings():
    file.write("\\n".join(lines))
    file.flush()
    secrets = SecretsCollection()
    began = time.process_time()
    secrets.scan_file(file.name)
    took = time.process_time() - began
    found = [[one.line_number, one.secret_value] for _, one in secrets]
json.dump({"found": found, "cpu": took}, sys.stdout)
"""
_SAMPLE = """
import json, random, sys
from rstr import Rstr

asked = json.load(sys.stdin)
source = Rstr(random.Random(asked["seed"]))
out = []
for expression in asked["expressions"]:
    try:
        out.append([source.xeger(expression) for _ in range(asked["each"])])
    except Exception:  # what Python's reader can't read
        out.append([])
json.dump(out, sys.stdout)
"""


def analyze(texts: list[str]) -> tuple[list[list[tuple[int, int]]], float]:
    """Where it finds secrets in each text, and the CPU seconds that it took: as in a file of which they are the lines.

    Of some tokens it tells the prefix alone; all up to the next space or quotation mark counts as found then.
    """
    lines = [line for text in texts for line in text.split("\n")]
    answer = _run(_SCAN, lines)
    values: dict[int, list[str]] = {}
    for number, value in answer["found"]:
        values.setdefault(number, []).append(value)
    spans: list[list[tuple[int, int]]] = []
    number = 1
    for text in texts:
        here: list[tuple[int, int]] = []
        at = 0
        for line in text.split("\n"):
            here += [(at + start, at + stop) for value in values.get(number, ()) for start, stop in _in(line, value)]
            at += len(line) + 1
            number += 1
        spans.append(here)
    return spans, answer["cpu"]


def samples(expressions: list[str], each: int, seed: int) -> list[list[str]]:
    """Strings that fit; none where the expression can't be read."""
    found: list[list[str]] = _run(_SAMPLE, {"expressions": expressions, "each": each, "seed": seed})
    return found


def version() -> str:
    """The pinned version."""
    return pinned(REQUIREMENTS, "detect-secrets")


def _in(line: str, value: str) -> list[tuple[int, int]]:
    return [match.span() for match in re.finditer(re.escape(value) + r"[^\s\"'<>;,|]*", line)]


def _run(work: str, given: Any) -> Any:
    return answered(environment("detect-secrets", REQUIREMENTS), work, given)
