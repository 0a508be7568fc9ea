"""What the documents say of names that the code gives, and where they lead."""

import re
from pathlib import Path

import pytest

from cloister.explain.ends import Place
from cloister.zones import Component

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("manifests/**/*.md")])
OPERATIONS = (ROOT / "docs" / "operations.md").read_text()
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
