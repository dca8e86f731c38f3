"""Systems as users write them, beside the built-in ones."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn

import snljax as snl
from snljax import descent, field


class Loss(NamedTuple):
    test_loss: jax.Array


# --- three numbers a network -------------------------------------------------------------------------


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class TinyConfig:
    rate: float = field(0.5)
    steps: int = field(4, range="[0, inf)")


class Normals(NamedTuple):
    normals: jax.Array  # (3,)


TINY = snl.Experiment(
    "tiny",
    TinyConfig,
    lambda config, key: Normals(jax.random.normal(key, (3,))),
    lambda config, draw: 1 + 0.5 * draw.normals,
    lambda config, draw, state, t: config.rate * state,
    lambda config, draw, state: Loss(jnp.mean(state)),
)

# --- a network with one hidden layer in weight space --------------------------------------------------


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class WeightsConfig:
    sigma_p: float = field(1.0, range="[0, inf)")
    learning_rate: float = field(0.1, range="(0, inf)")
    steps: int = field(300, range="[0, inf)")
    n: int = field(20, static=True, range="[1, inf)")
    n_test: int = field(20, static=True, range="[1, inf)")
    d: int = field(1090, static=True, range="[1, inf)")
    m: int = field(20, static=True, range="[1, inf)")


class Samples(NamedTuple):
    weights: jax.Array  # (m, d)
    noise: jax.Array  # (n, d)
    labels: jax.Array  # (n,)
    test_noise: jax.Array  # (n_test, d)
    test_labels: jax.Array  # (n_test,)


def _draw(config: WeightsConfig, key: jax.Array) -> Samples:
    weights, noise, labels, test_noise, test_labels = jax.random.split(key, 5)
    return Samples(
        jax.random.normal(weights, (config.m, config.d)),
        jax.random.normal(noise, (config.n, config.d)),
        jax.random.rademacher(labels, (config.n,), float),
        jax.random.normal(test_noise, (config.n_test, config.d)),
        jax.random.rademacher(test_labels, (config.n_test,), float),
    )


def _loss(weights: jax.Array, sigma_p: jax.Array, noise: jax.Array, labels: jax.Array) -> jax.Array:
    """Logistic loss; the signal is the first coordinate, half of the filters vote for each sign."""
    x = (sigma_p * noise).at[:, 0].add(labels)
    responses = jax.nn.relu(x @ weights.T)
    plus, minus = jnp.split(responses, 2, axis=-1)
    return jnp.mean(jax.nn.softplus(-labels * (plus.sum(-1) - minus.sum(-1))))


WEIGHTS = snl.Experiment(
    "weights",
    WeightsConfig,
    _draw,
    lambda config, draw: 0.01 * draw.weights,
    lambda config, draw, w, t: descent.dense(
        lambda w: _loss(w, config.sigma_p, draw.noise, draw.labels), w, config.learning_rate
    ),
    lambda config, draw, w: Loss(_loss(w, config.sigma_p, draw.test_noise, draw.test_labels)),
)

# --- a flax network on mini-batches with Adam ---------------------------------------------------------


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class AdamConfig:
    learning_rate: float = field(1e-3, range="(0, inf)")
    weight_decay: float = field(0.0, range="[0, inf)")
    steps: int = field(300, range="[0, inf)")
    width: int = field(64, static=True, range="[1, inf)")
    batch: int = field(32, static=True, range="[1, inf)")


class Net(nn.Module):
    width: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = nn.relu(nn.Dense(self.width)(x))
        return nn.Dense(10)(nn.relu(nn.Dense(self.width)(x)))


class Key(NamedTuple):
    key: jax.Array


class Trained(NamedTuple):
    params: Any
    optimizer: Any


def _digits(config: Any) -> tuple[jax.Array, jax.Array]:
    """Numbers like those of small images: 512 samples of 64 pixels in 10 classes."""
    rng = np.random.default_rng(0)
    y = rng.integers(10, size=512)
    return jnp.array(rng.normal(size=(10, 64))[y] + rng.normal(size=(512, 64)), jnp.float32), jnp.array(y, jnp.int32)


def _adam(config: AdamConfig) -> optax.GradientTransformation:
    return optax.adamw(config.learning_rate, weight_decay=config.weight_decay)


def _adam_init(config: AdamConfig, draw: Key, data: Any) -> Trained:
    params = Net(config.width).init(draw.key, data[0][:1])
    return Trained(params, _adam(config).init(params))


def _cross_entropy(params: Any, width: int, x: jax.Array, y: jax.Array) -> jax.Array:
    return optax.softmax_cross_entropy_with_integer_labels(Net(width).apply(params, x), y).mean()


def _adam_step(config: AdamConfig, draw: Key, state: Trained, t: jax.Array, data: Any) -> Trained:
    rows = jax.random.randint(jax.random.fold_in(draw.key, t), (config.batch,), 0, len(data[0]))
    gradient = jax.grad(_cross_entropy)(state.params, config.width, data[0][rows], data[1][rows])
    change, optimizer = _adam(config).update(gradient, state.optimizer, state.params)
    return Trained(optax.apply_updates(state.params, change), optimizer)


ADAM = snl.Experiment(
    "adam",
    AdamConfig,
    lambda config, key, data: Key(key),
    _adam_init,
    _adam_step,
    lambda config, draw, state, data: Loss(_cross_entropy(state.params, config.width, *data)),
    data=_digits,
)
