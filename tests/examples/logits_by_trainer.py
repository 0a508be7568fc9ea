"""Computes logits by the trainer's own model: GGUF-FILE TOKENS.npy LOGITS.npy. Runs where its packages are."""

import sys
from pathlib import Path

import gguf
import jax.numpy as jnp
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2] / "manifests" / "examples" / "tiny-llm" / "trainer"))
from model import Shape, logits

file, tokens, out = sys.argv[1:]
reader = gguf.GGUFReader(file)
weights = {tensor.name: jnp.asarray(tensor.data, jnp.float32) for tensor in reader.tensors}
shape = Shape(vocabulary=weights["token_embd.weight"].shape[0])
np.save(out, np.asarray(logits(weights, jnp.asarray(np.load(tokens))[None], shape)[0]))
