"""Paper 001 on images: LeNet, trained without the images of highest or lowest influence score.

Removed images stay in the batches with weight 0, so that which ones are removed is a number of one
program, and all networks of a seed see their images in the same order: with the network's first weights
and the order shared, differences between them come from what was removed. An epoch so has the same number
of updates whatever is removed, and batches that are smaller by the share removed.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from numpy.typing import NDArray

from snljax.data import images
from snljax.experiment import field, metric
from snljax.measures import memorization
from snljax.models.vision.lenet import LeNet
from snljax.supervised.door import supervised
from snljax.supervised.fields import module_level

FIELDS = {
    "remove_high": field(0.0, symbol="removed, highest", help="share of highest influence", range="[0, 1)"),
    "remove_low": field(0.0, symbol="removed, lowest", help="share of lowest influence", range="[0, 1)"),
    "remove_random": field(0.0, symbol="removed, random", help="share at random", range="[0, 1)"),
    "within_class": field(False, help="the same share of each class, or one ranking over all classes"),
    "learning_rate": 0.05,
    "momentum": field(0.9, help="of stochastic gradient descent", range="[0, 1)"),
    "epochs": 0.0,
    "steps": 1000,
    "batch_size": 64,
    "dataset": field("digits", static=True, help="a name known to data.images, or a folder with one of each class"),
    "side": field(0, static=True, help="pixels to which images are resized; 0: as they are", range="[0, inf)"),
    "measured": 10**6,
}


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


def samples(config: Any) -> tuple[NDArray, ...]:
    """Images and labels of both splits; where each training image stands, among all and among those of its class."""
    size = (config.side, config.side) if config.side else None
    train, test = (images.load(config.dataset, split, size=size) for split in ("train", "test"))
    scores = memorization.influence_scores(train.images, train.labels)
    position = np.stack([positions(scores, np.zeros_like(train.labels)), positions(scores, train.labels)])
    return train.images, train.labels, test.images, test.labels, position


def positions(scores: NDArray, groups: NDArray) -> NDArray:
    """Where each score stands in its group, from the highest (near 0) to the lowest (near 1), float32."""
    out = np.zeros(len(scores), np.float32)
    for group in np.unique(groups):
        order = memorization.highest_first(scores, groups, group)
        out[order] = (np.arange(len(order)) + 0.5) / len(order)
    return out


def kept(config: Any, ranks: jax.Array, position: jax.Array) -> jax.Array:
    """1 for each training image that is not removed, shape (n,)."""
    place = jnp.where(config.within_class, position[1], position[0])
    removed = (place < config.remove_high) | (place > 1 - config.remove_low)
    return jnp.where(removed | (ranks < config.remove_random), 0.0, 1.0)


TRAINED = supervised(
    lambda config, classes: LeNet(classes),
    samples,
    optimizer=lambda config: optax.sgd(config.learning_rate, momentum=config.momentum),
    fields=FIELDS,
    weights=kept,
    metrics=Metrics._fields[:-1],
    name="influence_removal",
)


Config = module_level(TRAINED.Config, __name__, "Influence removal (paper 001): which images can a network do without?")


# Functions of this module, which a process that sweeps again knows by their names.


def data(config: Any) -> Any:
    assert TRAINED.data is not None
    return TRAINED.data(config)


def draw(config: Any, key: jax.Array, data: Any) -> Any:
    return TRAINED.draw(config, key, data)


def init(config: Any, draw: Any, data: Any) -> Any:
    return TRAINED.init(config, draw, data)


def step(config: Any, draw: Any, state: Any, t: jax.Array, data: Any) -> Any:
    return TRAINED.step(config, draw, state, t, data)


def measure(config: Any, draw: Any, state: Any, data: Any) -> Metrics:
    """As `supervised` measures, and how many images of each class were left."""
    found, classes = TRAINED.measure(config, draw, state, data), jnp.arange(len(data.tested))
    of_class = data.y[None, :] == classes[:, None]
    left = jnp.sum(jnp.where(of_class, kept(config, draw.ranks, data.more)[None, :], 0.0), axis=1)
    return Metrics(**{n: getattr(found, n) for n in Metrics._fields[:-1]}, kept=left)


EXPERIMENT = TRAINED._replace(
    data=data,
    draw=draw,
    init=init,
    step=step,
    measure=measure,
    readings={"fitted": Config()},
    metrics={
        **TRAINED.metrics,
        "kept": metric(help="training images of the class that were not removed", dims=("class",)),
    },
)
