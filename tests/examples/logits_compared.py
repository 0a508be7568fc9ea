"""Compares two files of logits, (tokens, vocabulary): LOGITS.npy LOGITS.npy; the figures as JSON."""

import json
import sys

import numpy as np

one, other = (np.load(file) for file in sys.argv[1:])
figures = {
    "tokens": len(one),
    "spread": float(one.std(axis=1).mean()),
    "difference": float(np.abs(one - other).max()),
    "same_choice": int((one.argmax(axis=1) == other.argmax(axis=1)).sum()),
}
print(json.dumps(figures))
