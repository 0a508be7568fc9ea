"""A decoder of the Llama architecture in JAX, exactly as llama.cpp computes it.

Weights carry the names of llama.cpp's tensors and its shapes, (out, in), so that a checkpoint is a copy of them. Shapes
below: B samples, T tokens, D width, H heads.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

Weights = dict[str, jax.Array]


@dataclass(frozen=True)
class Shape:
    """Sizes of a model; the default has about 0.8 million weights."""

    vocabulary: int = 1024
    context: int = 128
    width: int = 128
    layers: int = 3
    heads: int = 4
    hidden: int = 384
    epsilon: float = 1e-5
    rope_base: float = 10000.0

    @property
    def head_width(self) -> int:
        return self.width // self.heads


def tensors(shape: Shape) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Name and shape of every weight. The output shares the weights of the embedding."""
    yield "token_embd.weight", (shape.vocabulary, shape.width)
    for layer in range(shape.layers):
        block = f"blk.{layer}"
        yield f"{block}.attn_norm.weight", (shape.width,)
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            yield f"{block}.{name}.weight", (shape.width, shape.width)
        yield f"{block}.ffn_norm.weight", (shape.width,)
        yield f"{block}.ffn_gate.weight", (shape.hidden, shape.width)
        yield f"{block}.ffn_up.weight", (shape.hidden, shape.width)
        yield f"{block}.ffn_down.weight", (shape.width, shape.hidden)
    yield "output_norm.weight", (shape.width,)


def new(shape: Shape, seed: int) -> Weights:
    """Weights to start from; the same for the same seed."""
    generator = np.random.default_rng(seed)
    scale = {"attn_output": (2 * shape.layers) ** -0.5, "ffn_down": (2 * shape.layers) ** -0.5}
    weights = {}
    for name, size in tensors(shape):
        if len(size) == 1:
            weights[name] = jnp.ones(size, jnp.float32)
        else:
            spread = 0.02 if name.startswith("token") else size[1] ** -0.5 * scale.get(name.split(".")[-2], 1.0)
            weights[name] = jnp.asarray(generator.normal(0, spread, size), jnp.float32)
    return weights


def logits(weights: Weights, tokens: jax.Array, shape: Shape) -> jax.Array:
    """(B, T) token numbers -> (B, T, vocabulary): how likely each token is to come next, before softmax."""
    embedding = weights["token_embd.weight"]
    cosine, sine = _angles(tokens.shape[1], shape)
    seen = jnp.tril(jnp.ones((tokens.shape[1], tokens.shape[1]), bool))
    stream = embedding[tokens]
    for layer in range(shape.layers):

        def weight(name: str, block: str = f"blk.{layer}") -> jax.Array:
            return weights[f"{block}.{name}.weight"]

        inner = _normal(stream, weight("attn_norm"), shape)
        query, key, value = (
            (inner @ weight(name).T).reshape(*tokens.shape, shape.heads, shape.head_width)
            for name in ("attn_q", "attn_k", "attn_v")
        )
        query, key = _rotated(query, cosine, sine), _rotated(key, cosine, sine)
        scores = jnp.einsum("bthd,bshd->bhts", query, key) * shape.head_width**-0.5
        attention = jax.nn.softmax(jnp.where(seen, scores, -jnp.inf), axis=-1)
        mixed = jnp.einsum("bhts,bshd->bthd", attention, value).reshape(stream.shape)
        stream = stream + mixed @ weight("attn_output").T
        inner = _normal(stream, weight("ffn_norm"), shape)
        gate = jax.nn.silu(inner @ weight("ffn_gate").T)
        stream = stream + (gate * (inner @ weight("ffn_up").T)) @ weight("ffn_down").T
    return _normal(stream, weights["output_norm.weight"], shape) @ embedding.T


def loss(weights: Weights, tokens: jax.Array, shape: Shape) -> jax.Array:
    """Mean negative log likelihood, in nats a token, of each token after the first; `tokens` is (B, T)."""
    predicted = jax.nn.log_softmax(logits(weights, tokens[:, :-1], shape))
    return -jnp.take_along_axis(predicted, tokens[:, 1:, None], axis=-1).mean()


def _normal(stream: jax.Array, weight: jax.Array, shape: Shape) -> jax.Array:
    """RMSNorm (Zhang and Sennrich, 2019)."""
    return stream * jax.lax.rsqrt((stream * stream).mean(-1, keepdims=True) + shape.epsilon) * weight


def _angles(length: int, shape: Shape) -> tuple[jax.Array, jax.Array]:
    """Cosine and sine by position and pair, (T, 1, D / H / 2)."""
    pairs = np.arange(0, shape.head_width, 2) / shape.head_width
    angles = np.outer(np.arange(length), shape.rope_base**-pairs)[:, None, :]
    return jnp.asarray(np.cos(angles), jnp.float32), jnp.asarray(np.sin(angles), jnp.float32)


def _rotated(heads: jax.Array, cosine: jax.Array, sine: jax.Array) -> jax.Array:
    """Rotary positions (Su et al., 2021) over neighbouring pairs: llama.cpp's order for this architecture."""
    even, odd = heads[..., 0::2], heads[..., 1::2]
    turned = jnp.stack((even * cosine - odd * sine, even * sine + odd * cosine), axis=-1)
    return turned.reshape(heads.shape)
