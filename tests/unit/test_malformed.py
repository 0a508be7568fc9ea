"""Every malformed resource is refused with a message that names the field, and none crashes anything."""

import datetime as dt
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloister.lint import REFUSED, checked, lint_raw
from cloister.spec import SpecError, parse
from tests import malformed
from tests.strategies import raw_deployments

CASES = malformed.cases()
MINIMAL = malformed.example(next(path for path in malformed.EXAMPLES if path.stem == "minimal"))


def test_there_are_a_thousand_of_them() -> None:
    assert len(CASES) >= 1000


@pytest.mark.parametrize("path", malformed.EXAMPLES, ids=lambda path: path.stem)
def test_no_false_alarm(path: Any) -> None:
    assert checked(malformed.example(path)).name == path.stem


# Chunks, not a test each: several thousand of them would drown every report.
@pytest.mark.parametrize("chunk", range(20))
def test_refused_with_the_field(chunk: int) -> None:
    wrong = []
    for case in CASES[chunk::20]:
        try:
            checked(case.raw)
        except SpecError as error:
            if not any(problem.field.startswith(case.field) for problem in error.problems):
                wrong.append(f"{case.id}: {case.field} is not named: {str(error)[:200]}")
            if any("\n" in str(problem) or len(str(problem)) > 1000 for problem in error.problems):
                wrong.append(f"{case.id}: not one short line: {str(error)[:300]!r}")
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what this test looks for
            wrong.append(f"{case.id}: {type(error).__name__}: {error}")
        else:
            wrong.append(f"{case.id}: accepted")
    assert not wrong


def test_aliases_that_unfold_to_gigabytes_are_refused_soon() -> None:
    bomb: Any = ["x"] * 10
    for _ in range(20):
        bomb = [bomb] * 10
    with pytest.raises(SpecError, match="too large"):
        parse({**MINIMAL, "spec": {**MINIMAL["spec"], "audit": bomb}})


def test_a_document_that_contains_itself_is_refused() -> None:
    loop: dict[str, Any] = {}
    loop["audit"] = loop
    with pytest.raises(SpecError, match="nested too deeply"):
        parse({**MINIMAL, "spec": {**MINIMAL["spec"], "audit": loop}})


_anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.binary(max_size=4) | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8) | st.integers(), inner, max_size=3),
    max_leaves=12,
)


@given(_anything)
def test_nothing_at_all_crashes_it(raw: Any) -> None:
    with pytest.raises(SpecError):
        checked(raw)


@settings(max_examples=200)
@given(raw_deployments(), st.data())
def test_any_value_anywhere_is_accepted_or_refused(raw: dict[str, Any], data: st.DataObject) -> None:
    places = [(container, key) for container, key in _places(raw["spec"])]
    container, key = data.draw(st.sampled_from(places))
    container[key] = data.draw(_anything)
    findings = lint_raw(raw, dt.date(2026, 1, 1))
    assert all(finding.field for finding in findings)
    assert any(finding.code == REFUSED for finding in findings) == (not _accepted(raw))


def _accepted(raw: Any) -> bool:
    try:
        checked(raw)
    except SpecError:
        return False
    return True


def _places(node: Any) -> list[tuple[Any, Any]]:
    keys = list(node) if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ()
    return [place for key in keys for place in [(node, key), *_places(node[key])]]
