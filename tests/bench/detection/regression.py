"""Run by the environment that has scikit-learn: logistic regression over windows, and a threshold for whole texts.

    python regression.py GIVEN MADE FALSE_POSITIVES

Of a long attack only some windows are the attack. Which, is learned in rounds: the first learns from short ones, each
further one takes the windows of long ones that the last found surest. The threshold is chosen by leaving sources out:
texts are scored by a model that has seen none of their source, or of their part of a source with many authors.
"""

import json
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.linear_model import SGDClassifier

ROUNDS = 2
SURE = 3
DECAY = 1e-5
EPOCHS = 15


def main(given_path: str, made_path: str, false_positives: str) -> None:
    """See above."""
    given = np.load(given_path)
    matrix = _matrix(given)
    texts, labels, sources = given["texts"], given["labels"].astype(bool), given["sources"]
    scores = np.zeros(len(texts))
    folds = given["folds"]
    for fold in np.unique(folds):
        held = folds == fold
        rest = ~held
        model = _fitted(matrix[rest], texts[rest], labels[rest])
        scores[held] = model.decision_function(matrix[held])
        print(f"fold: {held.sum()} windows", file=sys.stderr, flush=True)
    best = np.full(texts.max() + 1, -np.inf)
    np.maximum.at(best, texts, scores)
    whole = np.zeros(texts.max() + 1, bool)
    whole[texts] = labels
    # Rules leave 1 - r of the doubt, and the classifier 1 - c of that: a finding leaves at most half. So each text says
    # which threshold would let it pass, and the one is taken that lets pass all but the share that may be flagged.
    needed = 1 - 0.5 / np.maximum(1 - given["rules"], 1e-6)
    passing = np.where(needed > 0, best - np.log(np.maximum(needed, 1e-9) / np.maximum(1 - needed, 1e-9)), 1e3)
    threshold = float(np.quantile(passing[~whole], 1 - float(false_positives)))
    model = _fitted(matrix, texts, labels)
    np.savez(made_path, weights=model.coef_[0], bias=model.intercept_[0] - threshold)
    recall = float((passing[whole] >= threshold).mean())
    of = np.zeros(texts.max() + 1, int)
    of[texts] = sources
    flagged = {int(source): float((passing[of == source] >= threshold).mean()) for source in np.unique(of)}
    print(json.dumps({"texts": len(best), "recall": recall, "threshold": threshold, "flagged": flagged}))


def _matrix(given: Mapping[str, NDArray[Any]]) -> Any:
    """Counts of n-grams over the root of how many there are."""
    starts = np.concatenate(([0], given["ends"]))
    lengths = np.diff(starts)
    values = np.repeat(1 / np.sqrt(np.maximum(lengths, 1)), lengths).astype(np.float32)
    found = csr_matrix((values, given["columns"], starts), shape=(len(lengths), int(given["size"])))
    found.sum_duplicates()
    return found


def _fitted(matrix: Any, texts: NDArray[Any], labels: NDArray[Any]) -> Any:
    many = np.bincount(texts)[texts]
    chosen = ~labels | (many <= SURE)
    model = None
    for _ in range(ROUNDS):
        share = 1 / np.bincount(texts[chosen], minlength=texts.max() + 1)[texts[chosen]]
        balance = np.where(labels[chosen], (~labels).sum() / max(labels.sum(), 1), 1.0) ** 0.5
        model = SGDClassifier(loss="log_loss", alpha=DECAY, max_iter=EPOCHS, tol=None, average=True, random_state=0)
        model.fit(matrix[chosen], labels[chosen], sample_weight=share * balance)
        scores = model.decision_function(matrix)
        chosen = ~labels | (many <= SURE) | _surest(texts, scores)
    return model


def _surest(texts: NDArray[Any], scores: NDArray[Any]) -> NDArray[Any]:
    """The best windows of each text."""
    order = np.lexsort((-scores, texts))
    ranks = np.arange(len(order)) - np.concatenate(([0], np.flatnonzero(np.diff(texts[order])) + 1)).repeat(
        np.bincount(texts)[np.bincount(texts) > 0]
    )
    found = np.zeros(len(texts), bool)
    found[order] = ranks < SURE
    return found


if __name__ == "__main__":
    main(*sys.argv[1:])
