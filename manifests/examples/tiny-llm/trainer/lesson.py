"""The training itself: AdamW over random windows of the text, at a falling rate."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
from model import Shape, Weights, loss, new

Progress = Callable[[int, float], None]
"""Called with the step and the mean loss since the last call."""


@dataclass(frozen=True)
class Plan:
    """How to train."""

    steps: int
    batch: int = 8
    rate: float = 1e-2
    warm_up: int = 20
    clip: float = 1.0
    decay: float = 0.05
    seed: int = 1
    report_every: int = 20


@dataclass(frozen=True)
class Outcome:
    """What came of it; losses in nats a token."""

    weights: Weights
    first_loss: float
    last_loss: float
    unseen_loss: float
    """Of text that was held back."""
    seconds: float


def train(stream: np.ndarray, unseen: np.ndarray, shape: Shape, plan: Plan, progress: Progress) -> Outcome:
    """Train new weights on a row of tokens; ValueError where it is shorter than two windows."""
    if len(stream) < 2 * (shape.context + 1):
        raise ValueError(f"{len(stream)} tokens of text are too few: at least {2 * (shape.context + 1)} are needed")
    begun = time.monotonic()
    rate = optax.warmup_cosine_decay_schedule(0.0, plan.rate, min(plan.warm_up, plan.steps // 2), plan.steps)
    optimizer = optax.chain(
        optax.clip_by_global_norm(plan.clip),
        optax.adamw(rate, b2=0.98, weight_decay=plan.decay, mask=_matrices),
    )
    weights = new(shape, plan.seed)
    state = optimizer.init(weights)

    @jax.jit
    def step(weights: Weights, state: optax.OptState, tokens: jax.Array) -> tuple[Weights, optax.OptState, jax.Array]:
        value, gradient = jax.value_and_grad(loss)(weights, tokens, shape)
        updates, state = optimizer.update(gradient, state, weights)
        return optax.apply_updates(weights, updates), state, value

    generator = np.random.default_rng(plan.seed)
    reported: list[float] = []
    recent: list[float] = []
    for number in range(1, plan.steps + 1):
        weights, state, value = step(weights, state, _windows(stream, shape, plan.batch, generator))
        recent.append(float(value))
        if number % plan.report_every == 0 or number in (1, plan.steps):
            reported.append(float(np.mean(recent)))
            progress(number, reported[-1])
            recent = []
    return Outcome(weights, reported[0], reported[-1], _measure(weights, unseen, shape), time.monotonic() - begun)


def _windows(stream: np.ndarray, shape: Shape, count: int, generator: np.random.Generator) -> jax.Array:
    """(count, context + 1) tokens from anywhere."""
    starts = generator.integers(0, len(stream) - shape.context, count)
    return jnp.asarray(np.stack([stream[start : start + shape.context + 1] for start in starts]))


def _measure(weights: Weights, unseen: np.ndarray, shape: Shape) -> float:
    """Mean loss over whole windows, one after the other."""
    width = min(shape.context + 1, len(unseen))
    rows = unseen[: len(unseen) // width * width].reshape(-1, width)
    measure = jax.jit(partial(loss, shape=shape))
    return float(np.mean([float(measure(weights, jnp.asarray(row[None]))) for row in rows]))


def _matrices(weights: Weights) -> dict[str, bool]:
    """Norms do not decay."""
    return {name: values.ndim > 1 for name, values in weights.items()}
