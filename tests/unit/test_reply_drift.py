"""Drift of replies: a change is told once and soon, and chance alone tells nothing (ZT-29)."""

import math
from typing import Any

import orjson
import pytest

from cloister.inspection.drift import FEATURES, Drift, language, refuses
from tests.behaviour.drifting import PAST, told


def test_chance_alone_tells_nothing() -> None:
    replies = 10_000
    assert sum(len(told(seed, replies)) for seed in range(12)) <= 1


@pytest.mark.parametrize(
    ("feature", "after", "within"),
    [
        ("length", 5.0 + math.log(1.5), 600),
        ("length", 5.0 - math.log(1.5), 600),
        ("latency", math.log(1.5), 600),
        ("declined", 0.15, 500),
        ("language", 0.3, 400),
        ("sensitive", 0.4, 400),
        ("words", 0.1, 600),
        ("cut", 0.2, 400),
        ("failed", 0.1, 500),
    ],
)
def test_a_change_is_told_once_and_soon(feature: str, after: float, within: int) -> None:
    for seed in range(5):
        found = told(seed, PAST + 5000, PAST + 1000, **{feature: after})
        assert [change.feature for _, change in found] == [feature]
        assert PAST + 1000 < found[0][0] <= PAST + 1000 + within


def test_what_was_learned_comes_back() -> None:
    drift = Drift()
    for number in range(PAST + 100):
        list(drift.add("chat", "m", dict.fromkeys(FEATURES, 1.0), "en", number * 120.0))
    again = Drift()
    again.restore(orjson.loads(orjson.dumps(drift.document())))
    assert again.document() == drift.document()


@pytest.mark.parametrize("broken", [[1], [["a", "b", {}]], [["a", "b", {"since": 0, "batches": 1, "features": {}}]]])
def test_what_is_no_memory_is_refused(broken: Any) -> None:
    with pytest.raises((ValueError, KeyError, TypeError)):
        Drift().restore(broken)


def test_only_so_many_streams_are_watched() -> None:
    drift = Drift()
    for number in range(500):
        list(drift.add("chat", f"model-{number}", dict.fromkeys(FEATURES, 0.0), None, 0.0))
    assert len(drift.document()) == 32


def test_names_that_a_caller_makes_up_put_no_model_out() -> None:
    drift = Drift()
    plain = dict.fromkeys((name for name in FEATURES if name != "language"), 0.0)
    for _ in range(100):
        list(drift.add("chat", "real", plain, None, 0.0))
    for number in range(500):
        list(drift.add("chat", f"model-{number}", plain, None, 0.0))
    again = Drift()
    again.restore(drift.document())
    for number in range(500):
        list(again.add("chat", f"other-{number}", plain, None, 0.0))
    for one in (drift, again):
        assert len(one.document()) == 32
        assert "real" in {model for _, model, _ in one.document()}


def test_a_clock_that_was_ahead_does_not_keep_it_learning() -> None:
    drift = Drift()
    plain = dict.fromkeys((name for name in FEATURES if name != "language"), 0.0)
    list(drift.add("chat", "m", plain, None, 4e9))
    list(drift.add("chat", "m", plain, None, 2e9))
    ((_, _, kept),) = drift.document()
    assert kept["since"] == 2e9


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The answer to this is that you can not do it with the tools that are in the box.", "en"),
        ("Das ist nicht der richtige Weg, und wir müssen die Anlage mit einer neuen Pumpe versehen.", "de"),
        ("Vous pouvez ouvrir le dossier dans les paramètres, et ce sont des fichiers pour la mise à jour.", "fr"),
        ("Las opciones que están en el menú son para los usuarios del sistema, como se ve.", "es"),
        ("Het antwoord is dat je de sleutel niet met het slot kunt openen voor een test.", "nl"),
        ("Это невозможно сделать таким образом", "cyrillic"),
        ("この問題の答えはここにあります", "japanese"),
        ("答案在这里", "han"),
        ("x = 1", None),
        ("", None),
        ("qwx zzk plorf gnarf blim trosk wibb fnord kree", "other"),
    ],
)
def test_languages(text: str, expected: str | None) -> None:
    assert language(text) == expected


def test_declining() -> None:
    assert refuses("I'm sorry, but I can't help with that.")
    assert refuses("Tut mir leid, dabei kann ich Ihnen nicht helfen.")
    assert not refuses("The customer says that the pump can help.")
    assert not refuses("Hello! " * 100 + "I'm sorry, but no")
