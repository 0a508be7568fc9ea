"""What the documents say of names that the code gives, and where they lead."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

from cloister.explain.ends import Place
from cloister.sidecar import ExportReason
from cloister.zones import Component

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("manifests/**/*.md")])
OPERATIONS = (ROOT / "docs" / "operations.md").read_text()
CONTROLLER = ROOT / "operator" / "cloister" / "controller"
TOLD = ("Verdict", "Hold", "Result", "Standing", "Ending", "Obstacle")
"""What carries a reason to a condition."""
LINK = re.compile(r"\]\(([^)\s]+)\)")


def section(title: str) -> str:
    """The text of a section of docs/operations.md, up to the next of its level."""
    return OPERATIONS.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]


def anchors(page: Path) -> set[str]:
    """Of its headings, as GitHub makes them: lower case, punctuation gone, a hyphen for each space."""
    prose = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    titles = re.findall(r"^#+ (.*)$", prose, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    prose = re.sub(r"`[^`\n]*`", "", page.read_text())
    for link in LINK.findall(prose):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), link
        assert not anchor or target.suffix != ".md" or anchor in anchors(target), link


def test_every_end_of_explain_is_named() -> None:
    told = set(re.findall(r"`([a-z-]+)`", section("Why does this not get through?")))
    assert {str(end) for end in (*Component, *Place)} <= told


def test_what_the_chart_says_after_installing_leads_to_a_journal_that_can_be_opened() -> None:
    notes = (ROOT / "charts" / "cloister" / "templates" / "NOTES.txt").read_text()
    assert notes.index("cloister keys generate") < notes.index("spec.audit.recipients") < notes.index("kubectl apply")
    (example,) = re.findall(r"curl -O https://raw\.githubusercontent\.com/cloister-dev/cloister/main/(\S+)", notes)
    assert (ROOT / example).is_file()
    (anchor,) = re.findall(r"https://github\.com/cloister-dev/cloister#(\S+)", notes)
    assert anchor in anchors(ROOT / "README.md")


def reasons(tree: ast.AST) -> Iterator[str]:
    """Reasons of conditions in a module: what is given to one of TOLD, and what a name of a reason stands for."""
    for node in ast.walk(tree):
        values: list[ast.expr] = []
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in TOLD:
            values = [*node.args, *(keyword.value for keyword in node.keywords)]
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            values = [node.value] if re.fullmatch(r"reason|problem|[A-Z]+_AWAITED", node.targets[0].id) else []
        for value in values:
            inside = [value.body, value.orelse] if isinstance(value, ast.IfExp) else getattr(value, "elts", [value])
            texts = (one.value for one in inside if isinstance(one, ast.Constant) and isinstance(one.value, str))
            yield from (text for text in texts if re.fullmatch("[A-Z][A-Za-z]+", text))


def test_every_reason_of_a_condition_is_explained() -> None:
    told = set(re.findall(r"`([A-Za-z]+)`", section("Reading the status")))
    code = {reason for path in CONTROLLER.glob("*.py") for reason in reasons(ast.parse(path.read_text()))}
    code = (code | set(get_args(ExportReason))) - {"True", "False", "Unknown"}
    assert {"Forbidden", "Stale", "StoresFirst", "WaitingForProof", "KeyringLost", "InvalidSpec"} <= code
    assert code - told == set()
