"""Computes logits by llama.cpp: GGUF-FILE TEXT TOKENS.npy LOGITS.npy. Runs where the server's packages are."""

import sys

import numpy as np
from llama_cpp import Llama

file, text, tokens, out = sys.argv[1:]
model = Llama(file, n_ctx=128, logits_all=True, verbose=False)
found = model.tokenize(text.encode(), add_bos=True, special=True)
model.eval(found)
np.save(tokens, np.array(found, np.int32))
np.save(out, model.scores[: len(found)].astype(np.float32))
