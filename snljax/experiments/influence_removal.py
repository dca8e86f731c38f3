"""Paper 001 on images: LeNet, trained without the images of highest or lowest influence score.

Removed images stay in the batches with weight 0, so that which ones are removed is a number of one
program, and all networks of a seed see their images in the same order: with the network's first weights
and the order shared, differences between them come from what was removed. An epoch so has the same number
of updates whatever is removed, and batches that are smaller by the share removed.
"""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from numpy.typing import NDArray

from snljax.data import images
from snljax.experiment import Experiment, field, metric
from snljax.measures import evaluation, memorization
from snljax.metrics import CLASS_ACCURACY, LEARNING
from snljax.models.vision.lenet import LeNet

SHUFFLES = 8  # orders of the images; the ninth epoch repeats the first


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Config:
    """Influence removal (paper 001): which images can a network do without?"""

    remove_high: float = field(0.0, symbol="removed, highest", help="share of highest influence", range="[0, 1)")
    remove_low: float = field(0.0, symbol="removed, lowest", help="share of lowest influence", range="[0, 1)")
    remove_random: float = field(0.0, symbol="removed, random", help="share at random", range="[0, 1)")
    within_class: bool = field(False, help="the same share of each class, or one ranking over all classes")
    learning_rate: float = field(0.05, symbol=r"$\eta$", help="step size", range="(0, inf)")
    momentum: float = field(0.9, help="of stochastic gradient descent", range="[0, 1)")
    steps: int = field(1000, symbol="steps", help="gradient steps", range="[0, inf)")
    batch_size: int = field(64, static=True, help="images a step, removed ones included", range="[1, inf)")
    dataset: str = field("digits", static=True, help="a name known to data.images, or a folder with one of each class")
    side: int | None = field(None, static=True, help="pixels to which images are resized", range="[8, inf)")


class Data(NamedTuple):
    """n training images and then the test images, as bytes, (n + n_test, height, width, channels); their labels.

    position: of each training image from the highest (0) to the lowest (1) score, among all images and
    among those of its class, (2, n). tested: test images of each class, (num_classes,).
    """

    images: NDArray
    labels: NDArray
    position: NDArray
    tested: NDArray


class Draw(NamedTuple):
    params: Any
    orders: jax.Array  # (SHUFFLES, n)
    position: jax.Array  # of each training image in a random order, in [0, 1], (n,)


class State(NamedTuple):
    params: Any
    velocity: Any


class Metrics(NamedTuple):
    """class_accuracy: of the test images of each class. kept: training images of each class that were not removed.

    Training loss and accuracy are over those.
    """

    train_loss: jax.Array
    test_loss: jax.Array
    train_accuracy: jax.Array
    test_accuracy: jax.Array
    class_accuracy: jax.Array
    kept: jax.Array


def data(config: Config) -> Data:
    size = None if config.side is None else (config.side, config.side)
    train, test = (images.load(config.dataset, split, size=size) for split in ("train", "test"))
    scores = memorization.influence_scores(train.images, train.labels)
    return Data(
        np.concatenate([train.images, test.images]),
        np.concatenate([train.labels, test.labels]).astype(np.int32),
        np.stack([positions(scores, np.zeros_like(train.labels)), positions(scores, train.labels)]),
        np.bincount(test.labels, minlength=len(test.classes)).astype(np.float32),
    )


def positions(scores: NDArray, groups: NDArray) -> NDArray:
    """Where each score stands in its group, from the highest (near 0) to the lowest (near 1), float32."""
    out = np.zeros(len(scores), np.float32)
    for group in np.unique(groups):
        order = memorization.highest_first(scores, groups, group)
        out[order] = (np.arange(len(order)) + 0.5) / len(order)
    return out


def draw(config: Config, key: jax.Array, data: Data) -> Draw:
    weight_key, order_key = jax.random.split(key)
    n = data.position.shape[1]
    params = LeNet(len(data.tested)).init(weight_key, _pixels(data.images[:1]))
    # One sort for all orders: a permutation each takes ten seconds to compile.
    orders = jnp.argsort(jax.random.uniform(order_key, (SHUFFLES + 1, n)), axis=1)
    return Draw(params, orders[:SHUFFLES], (orders[SHUFFLES] + 0.5) / n)


def init(config: Config, draw: Draw, data: Data) -> State:
    return State(draw.params, _descent(config).init(draw.params))


def step(config: Config, draw: Draw, state: State, t: jax.Array, data: Data) -> State:
    n = data.position.shape[1]
    size = min(config.batch_size, n)
    batches = -(-n // size)
    places = (t % batches) * size + jnp.arange(size)
    rows = draw.orders[(t // batches) % SHUFFLES][jnp.minimum(places, n - 1)]
    weights = jnp.where(places < n, _kept(config, draw, data)[rows], 0.0)

    def loss(params: Any) -> jax.Array:
        logits = _logits(data, params, data.images[rows])
        found = evaluation.cross_entropies(logits, _targets(data, data.labels[rows]))
        # A batch of which nothing is left teaches nothing.
        return jnp.sum(weights * found) / jnp.maximum(jnp.sum(weights), 1.0)

    updates, velocity = _descent(config).update(jax.grad(loss)(state.params), state.velocity)
    return State(optax.apply_updates(state.params, updates), velocity)


def measure(config: Config, draw: Draw, state: State, data: Data) -> Metrics:
    classes, kept = jnp.arange(len(data.tested)), _kept(config, draw, data)
    n, tests = len(kept), len(data.labels) - len(kept)
    train = jnp.concatenate([kept, jnp.zeros(tests)])
    test = jnp.concatenate([jnp.zeros(n), jnp.ones(tests)])

    def per_sample(samples: Any) -> Any:
        pictures, labels, in_train, in_test = samples
        logits, targets = _logits(data, state.params, pictures), _targets(data, labels)
        loss, hit = evaluation.cross_entropies(logits, targets), evaluation.hits(logits, targets)
        return in_train * loss, in_train * hit, in_test * loss, (in_test * hit)[:, None] * targets.T

    means = evaluation.chunked_mean(per_sample, (data.images, data.labels, train, test))
    train_loss, train_hits, test_loss, class_hits = jax.tree.map(lambda v: v * (n + tests), means)
    size = jnp.where(jnp.sum(kept) > 0, jnp.sum(kept), jnp.nan)  # nothing was trained on
    return Metrics(
        train_loss=train_loss / size,
        test_loss=test_loss / tests,
        train_accuracy=train_hits / size,
        test_accuracy=jnp.sum(class_hits) / tests,
        class_accuracy=class_hits / data.tested,
        kept=jnp.sum(jnp.where(data.labels[None, :n] == classes[:, None], kept[None, :], 0.0), axis=1),
    )


def _logits(data: Data, params: Any, pictures: jax.Array) -> jax.Array:
    """Shape (num_classes, n), as the losses take them."""
    logits: Any = LeNet(len(data.tested)).apply(params, _pixels(pictures))
    return logits.T


def _targets(data: Data, labels: jax.Array) -> jax.Array:
    return jax.nn.one_hot(labels, len(data.tested), axis=0)


def _pixels(pictures: Any) -> jax.Array:
    return pictures.astype(jnp.zeros(()).dtype) / 255.0


def _descent(config: Config) -> optax.GradientTransformation:
    return optax.sgd(config.learning_rate, momentum=config.momentum)


def _kept(config: Config, draw: Draw, data: Data) -> jax.Array:
    """1 for each training image that is not removed, shape (n,)."""
    position = jnp.where(config.within_class, data.position[1], data.position[0])
    removed = (position < config.remove_high) | (position > 1 - config.remove_low)
    return jnp.where(removed | (draw.position < config.remove_random), 0.0, 1.0)


EXPERIMENT = Experiment(
    name="influence_removal",
    Config=Config,
    draw=draw,
    init=init,
    step=step,
    measure=measure,
    readings={"fitted": Config()},
    data=data,
    metrics={
        **LEARNING,
        "class_accuracy": CLASS_ACCURACY,
        "kept": metric(help="training images of the class that were not removed", dims=("class",)),
    },
)
