"""Paper 001: a two-layer ReLU network on data whose noise is shaped differently in each class.

Class k has the feature ‖u‖ e_k and noise A_k ζ with A_k = diag(0 on the K features, λ on a direction of
its own, ½ elsewhere), all in the basis of the paper's unitary U, so that no d × d matrix is ever made.
λ follows from the noise correlation ratio Γ. Samples are kept up to a capacity and weighted, so that
class sizes are numbers of one program.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp

from snljax import descent
from snljax.descent import Vectors
from snljax.experiment import Experiment, field, metric
from snljax.measures import evaluation, memorization
from snljax.metrics import CLASS_ACCURACY, LEARNING
from snljax.models import two_layer_cnn

TAIL_BINS = 5


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Config:
    """Heterogeneous noise (paper 001): when does memorised noise help to generalise?"""

    u_norm: float = field(1.0, symbol=r"$\|u\|$", help="feature strength", range="[0, inf)")
    noise_correlation: float = field(1.2, symbol=r"$\Gamma$", help="noise correlation ratio", range="[1, inf)")
    samples_per_class: int = field(100, symbol=r"$|S_k|$", help="training samples of a class", range="[1, capacity]")
    minority_fraction: float = field(
        1.0, symbol=r"$|S_0|/|S_k|$", help="samples of class 0, as a share of the others'", range="(0, 1]"
    )
    learning_rate: float = field(0.05, symbol=r"$\eta$", help="step size", range="(0, inf)")
    steps: int = field(20, symbol="steps", help="gradient steps", range="[0, inf)")
    noise_distribution: str = field(
        "gaussian", static=True, help="distribution of ζ, variance 1", choices=("gaussian", "uniform", "rademacher")
    )
    capacity: int = field(100, static=True, help="training samples of a class that are drawn", range="[1, inf)")
    batch_size: int | None = field(None, static=True, help="samples a step, or all of them", range="[1, inf)")
    n_test: int = field(1000, static=True, symbol=r"$n_\mathrm{test}$", help="test samples", range="[num_classes, inf)")
    d: int = field(1000, static=True, symbol="$d$", help="patch dimension", range="[6, inf)")
    m: int = field(100, static=True, symbol="$m$", help="filters per class", range="[1, inf)")
    num_classes: int = field(5, static=True, symbol="$K$", help="classes", range="[2, inf)")
    filter_reduction: str = field(
        "sum", static=True, help="sum or mean over a class's filters", choices=("sum", "mean")
    )
    descent: str = field(
        "span", static=True, help="descent in the span of the data, or on the weights", choices=("span", "dense")
    )


class Draw(NamedTuple):
    """Everything random, of variance 1 (weights: uniform in [−1, 1]), and what follows from it alone.

    Samples are ordered class by class. shared_* belong to the directions that all classes scale alike.
    Vectors here: signal over u_k, (num_classes, m, num_classes); noise over ξ_i, (num_classes, m, n).
    """

    weights: jax.Array  # (num_classes, m, d)
    train: jax.Array  # ζ, (num_classes, capacity, d)
    test: jax.Array  # ζ, (num_classes, n_test / num_classes, d)
    batches: jax.Array  # key of the mini-batches
    shared_gram: jax.Array  # (n, n)
    shared_overlaps: jax.Array  # of the initial weights with the noise, (num_classes, m, n)


class Metrics(NamedTuple):
    """class_accuracy: of the test samples of each class. signal: max_r ⟨w_kr, u_k⟩, mean over classes.

    noise: largest response to a training sample's noise. tail_accuracy: test accuracy in fifths of the
    samples of each class, by the level L of Definition 1, lowest first; tail_level: their mean L.
    equivalent_noise_accuracy, equivalent_noise: the same by ζ′, L in units of its own standard deviation.
    """

    train_loss: jax.Array
    test_loss: jax.Array
    train_accuracy: jax.Array
    test_accuracy: jax.Array
    class_accuracy: jax.Array
    signal: jax.Array
    noise: jax.Array
    tail_accuracy: jax.Array
    tail_level: jax.Array
    equivalent_noise_accuracy: jax.Array
    equivalent_noise: jax.Array


def draw(config: Config, key: jax.Array) -> Draw:
    weight_key, sample_key, batch_key = jax.random.split(key, 3)
    classes, tested = config.num_classes, config.n_test // config.num_classes
    # Sample i of class k keeps its key: a larger capacity adds samples, and the test set stays.
    kinds = jnp.concatenate([2 * jnp.arange(config.capacity), 2 * jnp.arange(tested) + 1])

    def one(k: jax.Array, i: jax.Array) -> jax.Array:
        return _noise(config, jax.random.fold_in(jax.random.fold_in(sample_key, k), i))

    noise = jax.vmap(jax.vmap(one, in_axes=(None, 0)), in_axes=(0, None))(jnp.arange(classes), kinds)
    weights = jax.random.uniform(weight_key, (classes, config.m, config.d), minval=-1.0, maxval=1.0)
    train, test = jnp.split(noise, [config.capacity], axis=1)
    shared = train.reshape(-1, config.d)[:, 2 * classes :]
    return Draw(weights, train, test, batch_key, shared @ shared.T, weights[..., 2 * classes :] @ shared.T)


def init(config: Config, draw: Draw) -> jax.Array | Vectors:
    """The weights (dense), or the coefficients of the data in them, none yet (span)."""
    if config.descent == "dense":
        return draw.weights * config.d**-0.5
    filters, n = (config.num_classes, config.m), config.num_classes * config.capacity
    return Vectors(jnp.zeros((*filters, config.num_classes)), jnp.zeros((*filters, n)))


def step(config: Config, draw: Draw, state: jax.Array | Vectors, t: jax.Array) -> jax.Array | Vectors:
    rows, shares = batch_of(config, draw, t)
    targets = _targets(config, config.capacity)[:, rows]

    def loss(responses: Vectors) -> jax.Array:
        return jnp.sum(shares * evaluation.cross_entropies(_logits(config, responses, targets), targets))

    if not isinstance(state, Vectors):
        noise = _scaled(config, draw.train)[rows]
        return descent.dense(lambda w: loss(_responses(config, w, noise)), state, config.learning_rate)
    responses = _span_responses(config, draw, state, rows)
    return descent.span_rows(loss, responses, state, rows, config.learning_rate)


def measure(config: Config, draw: Draw, state: jax.Array | Vectors) -> Metrics:
    weights = weights_of(config, draw, state)
    targets, active = _targets(config, config.capacity), active_samples(config)
    responses = _responses(config, weights, _scaled(config, draw.train))
    logits = _logits(config, responses, targets)

    def over_training(values: jax.Array) -> jax.Array:
        return jnp.sum(jnp.where(active, values, 0.0)) / jnp.sum(active)

    test_noise, tested = _scaled(config, draw.test), draw.test.shape[1]
    test_targets = _targets(config, tested)
    test_logits = _logits(config, _responses(config, weights, test_noise), test_targets)
    correct = evaluation.hits(test_logits, test_targets).reshape(config.num_classes, tested)
    of_class = test_noise.reshape(draw.test.shape)
    level = jax.vmap(
        lambda filters, rows, scales: jax.vmap(lambda x: memorization.long_tail_level(filters, x, scales))(rows)
    )(weights, of_class, _scales(config))
    tail_level, tail_accuracy = by_tail(level, correct)
    equivalent_noise, noise_accuracy = by_tail(jax.vmap(memorization.equivalent_noise)(weights, of_class), correct)
    classes = jnp.arange(config.num_classes)
    return Metrics(
        train_loss=over_training(evaluation.cross_entropies(logits, targets)),
        test_loss=jnp.mean(evaluation.cross_entropies(test_logits, test_targets)),
        train_accuracy=over_training(evaluation.hits(logits, targets)),
        test_accuracy=jnp.mean(correct),
        class_accuracy=jnp.mean(correct, axis=1),
        signal=jnp.mean(jnp.max(responses.signal[classes, :, classes], axis=1)),
        noise=jnp.max(jnp.where(active[None, None, :], responses.noise, -jnp.inf)),
        tail_accuracy=tail_accuracy,
        tail_level=tail_level,
        equivalent_noise_accuracy=noise_accuracy,
        equivalent_noise=equivalent_noise,
    )


def eigenvalue(config: Config) -> jax.Array:
    """λ of the noise correlation ratio: `theory.eigenvalue_for_noise_correlation`, traced."""
    gamma, rest = config.noise_correlation, config.d - config.num_classes
    root = jnp.sqrt(jnp.maximum(gamma - 1, 0.0) * (gamma + 1 + rest - 2) / 4)
    return jnp.sqrt(gamma / 4 + root / 2)


def _noise(config: Config, key: jax.Array) -> jax.Array:
    if config.noise_distribution == "gaussian":
        return jax.random.normal(key, (config.d,))
    if config.noise_distribution == "uniform":
        return jax.random.uniform(key, (config.d,), minval=-(3.0**0.5), maxval=3.0**0.5)
    return jax.random.rademacher(key, (config.d,), jnp.zeros(()).dtype)


def _own_scales(config: Config) -> jax.Array:
    """Scales of the K tuned directions in each class: λ on its own, ½ on the others', (K, K)."""
    return jnp.where(jnp.eye(config.num_classes, dtype=bool), eigenvalue(config), 0.5)


def _scales(config: Config) -> jax.Array:
    """The diagonals of A_k, shape (num_classes, d)."""
    k = config.num_classes
    return jnp.concatenate([jnp.zeros((k, k)), _own_scales(config), jnp.full((k, config.d - 2 * k), 0.5)], axis=1)


def _scaled(config: Config, zeta: jax.Array) -> jax.Array:
    """ξ = A_y ζ, shape (n, d), class by class."""
    return (_scales(config)[:, None, :] * zeta).reshape(-1, config.d)


def _tuned(config: Config, draw: Draw) -> jax.Array:
    """ξ on the tuned directions alone, shape (n, num_classes)."""
    k = config.num_classes
    return (_own_scales(config)[:, None, :] * draw.train[..., k : 2 * k]).reshape(-1, k)


def _targets(config: Config, each: int) -> jax.Array:
    """One-hot labels of so many samples a class, class by class, shape (num_classes, n)."""
    return jnp.repeat(jnp.eye(config.num_classes), each, axis=1)


def active_samples(config: Config) -> jax.Array:
    """Which of the samples up to the capacity are in the training set, shape (n,)."""
    full = config.samples_per_class
    minority = jnp.maximum(jnp.round(config.minority_fraction * full), 1.0)
    sizes = jnp.where(jnp.arange(config.num_classes) == 0, minority, full)
    return (jnp.arange(config.capacity)[None, :] < sizes[:, None]).reshape(-1)


def batch_of(config: Config, draw: Draw, t: jax.Array) -> tuple[slice | jax.Array, jax.Array]:
    """Which samples update t is made from, and each one's share in its loss: all active ones, or some of them.

    Mini-batches go through a new permutation of the samples in each epoch; the last may be smaller.
    """
    active = active_samples(config)
    count = jnp.sum(active)
    if config.batch_size is None:
        return slice(None), active / count
    batches = -(-count // config.batch_size)
    order = jax.random.uniform(jax.random.fold_in(draw.batches, t // batches), active.shape)
    places = (t % batches) * config.batch_size + jnp.arange(config.batch_size)
    rows = jnp.argsort(jnp.where(active, order, 2.0))[jnp.minimum(places, len(active) - 1)]
    return rows, (places < count) / jnp.sum(places < count)


def _logits(config: Config, responses: Vectors, targets: jax.Array) -> jax.Array:
    return two_layer_cnn.logits_from_responses(*responses, targets, reduction=config.filter_reduction)


def _responses(config: Config, weights: jax.Array, noise: jax.Array) -> Vectors:
    return Vectors(config.u_norm * weights[..., : config.num_classes], weights @ noise.T)


def _span_responses(config: Config, draw: Draw, coefficients: Vectors, rows: slice | jax.Array) -> Vectors:
    """Responses to the features and to those rows of the noise.

    The Gram matrix of the noise is one that all Γ share, and one of rank K in λ.
    """
    k, scale, tuned = config.num_classes, config.d**-0.5, _tuned(config, draw)
    base = 0.5 * draw.shared_overlaps[..., rows] + draw.weights[..., k : 2 * k] @ tuned[rows].T
    added = 0.25 * (coefficients.noise @ draw.shared_gram[:, rows]) + (coefficients.noise @ tuned) @ tuned[rows].T
    signal = scale * config.u_norm * draw.weights[..., :k] + config.u_norm**2 * coefficients.signal
    return Vectors(signal, scale * base + added)


def weights_of(config: Config, draw: Draw, state: jax.Array | Vectors) -> jax.Array:
    """The weights of a state, shape (num_classes, m, d): the state itself, or rebuilt from its coefficients."""
    if not isinstance(state, Vectors):
        return state
    k = config.num_classes
    moved = state.noise @ _scaled(config, draw.train)
    signal = jnp.pad(config.u_norm * state.signal, ((0, 0), (0, 0), (0, config.d - k)))
    return config.d**-0.5 * draw.weights + moved + signal


def by_tail(level: jax.Array, correct: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Mean level and accuracy in each fifth of every class's samples, ordered by level, shape (5,)."""
    order = jnp.argsort(level, axis=1)
    tested = level.shape[1]
    bins = jnp.minimum(jnp.arange(tested) * TAIL_BINS // tested, TAIL_BINS - 1)
    member = (bins[None, :] == jnp.arange(TAIL_BINS)[:, None]).astype(level.dtype)  # (5, tested)
    size = level.shape[0] * jnp.maximum(jnp.sum(member, axis=1), 1.0)

    def mean(values: jax.Array) -> jax.Array:
        return jnp.sum(jnp.take_along_axis(values, order, axis=1) @ member.T, axis=0) / size

    return mean(level), mean(correct)


def check(config: Config) -> None:
    if config.d < 2 * config.num_classes + 1:
        raise ValueError(
            f"d is {config.d} with num_classes = {config.num_classes}; allowed: {2 * config.num_classes + 1} or more "
            "(a feature and a tuned direction for each class)"
        )


EXPERIMENT = Experiment(
    name="heterogeneous_noise",
    Config=Config,
    draw=draw,
    init=init,
    step=step,
    measure=measure,
    readings={
        "fitted": Config(),
        "printed": Config(filter_reduction="mean"),
        # 20 epochs of 500 samples in batches of 10: the number of updates that "20 epochs" may mean.
        "mini_batch": Config(filter_reduction="mean", batch_size=10, steps=1000),
    },
    check=check,
    metrics={
        **LEARNING,
        "class_accuracy": CLASS_ACCURACY,
        "signal": metric(symbol=r"$\max_r \langle w_{k,r}, u_k\rangle$", help="signal, mean over classes"),
        "noise": metric(symbol=r"$\max_{k,r,i} \langle w_{k,r}, \xi_i\rangle$", help="noise"),
        "tail_accuracy": metric(help="test accuracy in fifths of the samples by level $L$", dims=("tail_bin",)),
        "tail_level": metric(symbol="$L$", help="mean level of a fifth of the test samples", dims=("tail_bin",)),
        "equivalent_noise_accuracy": metric(
            help="test accuracy in fifths of the samples by $L$ in its own standard deviations", dims=("tail_bin",)
        ),
        "equivalent_noise": metric(
            symbol=r"$\zeta'$", help="mean of a fifth of the test samples, of variance 1", dims=("tail_bin",)
        ),
    },
)
