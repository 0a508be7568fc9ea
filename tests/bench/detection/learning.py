"""Trains the classifier on the training split, and chooses its threshold there: `make train-detection`.

scikit-learn lives in an environment of its own. It gets windows of n-grams and labels, and gives weights back.
"""

import json
import subprocess
import tempfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloister.detection import own_rules
from cloister.inspection.classifier import STRIDE, WINDOW
from cloister.inspection.features import PIECE, SIZE, features
from cloister.inspection.injection import together
from cloister.inspection.normalise import folded, views
from cloister.inspection.rules import Rules, compiled
from tests.bench.detection.corpus import Source, examples
from tests.bench.detection.examples import Channel, Example
from tests.environments import environment

REQUIREMENTS = Path(__file__).with_name("learning.txt")
FALSE_POSITIVES = 0.01
"""Share of the ordinary texts of the training split that may be flagged, when they are not learned from."""
MODEL = Path(__file__).parents[3] / "operator/cloister/detection/classifier.npz"
_WORK = Path(__file__).with_name("regression.py")
FOLDS = 5
_AROUND = 200
"""Bytes of an ordinary text before and after an injection, in copies of short ones."""


def train() -> dict[str, Any]:
    """Writes the model; what cross-validation on the training split said."""
    found = examples("train")
    with tempfile.TemporaryDirectory() as scratch:
        given, made = Path(scratch) / "given.npz", Path(scratch) / "made.npz"
        np.savez(given, **_windows(found))  # type: ignore[arg-type]  # numpy's stub takes one array type only
        python = environment("detection-learning", REQUIREMENTS)
        command = [str(python), str(_WORK), str(given), str(made), str(FALSE_POSITIVES)]
        said = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        with np.load(made) as learned:
            weights, bias = learned["weights"], float(learned["bias"])
    scale = float(np.quantile(np.abs(weights[weights != 0]), 0.9995)) / 127
    MODEL.parent.mkdir(exist_ok=True)
    np.savez_compressed(
        MODEL,
        weights=np.clip(np.rint(weights / scale), -127, 127).astype(np.int8),
        scale=np.float32(scale),
        bias=np.float32(bias),
    )
    report: dict[str, Any] = json.loads(said.splitlines()[-1])
    names = [source.name for source in found]
    report["flagged"] = {names[int(number)]: share for number, share in report["flagged"].items()}
    return report | {"bytes": MODEL.stat().st_size}


def _windows(found: dict[Source, tuple[Example, ...]]) -> dict[str, NDArray[np.generic]]:
    """A sparse matrix of windows, with the text, label and source of each."""
    columns: list[NDArray[np.uint32]] = []
    rows: list[tuple[int, int, int, int]] = []
    ordinary = [one for source, many in found.items() if source.label == "benign" for one in many]
    rules = compiled(own_rules())
    matched: list[float] = []
    text = 0
    for number, (source, many) in enumerate(found.items()):
        attack = source.label == "attack"
        ordinal = [one.name for one in found if one.label == source.label].index(source.name)
        for example in many:
            said = [example.text]
            if attack and len(example.text) < 2 * WINDOW:
                said.append(_surrounded(example, ordinary))
            # What has one author is left out as a whole; of many authors, each.
            fold = ordinal % FOLDS if not example.part else zlib.crc32(example.part.encode()) % FOLDS
            for copy in said:
                for window in _of(copy, 16 if attack else 5):
                    columns.append(window)
                    rows.append((text, attack, number, fold))
                matched.append(_by_rules(rules, copy, example.channel))
                text += 1
    texts, labels, sources, folds = (np.array(column) for column in zip(*rows, strict=True))
    return {
        "columns": np.concatenate(columns).astype(np.int32),
        "ends": np.cumsum([len(one) for one in columns]),
        "texts": texts,
        "labels": labels,
        "sources": sources,
        "folds": folds,
        "rules": np.array(matched),
        "size": np.array(SIZE),
    }


def _by_rules(rules: Rules, text: str, role: Channel) -> float:
    """What rules alone make of a text."""
    return max((together(one.score for one in rules.matching(v.text, role, v.name)) for v in views(text)), default=0.0)


def _of(text: str, most: int) -> list[NDArray[np.uint32]]:
    data = folded(text).encode()[:PIECE]
    begins = range(0, max(len(data) - WINDOW, 0) + STRIDE, STRIDE)
    step = max(1, -(-len(begins) // most))
    return [features(data[at : at + WINDOW]).indices for at in begins[::step]]


def _surrounded(example: Example, ordinary: list[Example]) -> str:
    """A short injection within an ordinary text; which one, its own hash tells."""
    chosen = int(example.id[:8], 16)
    around = ordinary[chosen % len(ordinary)].text
    cut = chosen // len(ordinary) % (min(len(around), _AROUND) + 1)
    return f"{around[:cut]}\n{example.text}\n{around[cut : cut + _AROUND]}"
