"""Paper 001 on images: LeNet or ResNet-18, trained without the images of highest or lowest influence score.

Batches are made of the images that are left, so that running means of a network never see a removed one. Which ones
are removed is a number of one program; all networks of a seed start from the same weights, take what is left in the
same order, and make the same number of updates on batches of the same size, whatever is removed.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from snljax.experiment import field, metric
from snljax.experiments import image_classification, image_networks, image_sets, schedules
from snljax.measures import memorization
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
    **image_sets.FIELDS,
    "network": field("lenet", static=True, help="which network", choices=tuple(image_networks.NETWORKS)),
    "width": image_networks.WIDTH,
    **image_networks.OF_DEEP,
    "augment": image_classification.FIELDS["augment"],
    "weight_decay": field(0.0, help="weight decay", range="[0, inf)"),
    **schedules.FIELDS,
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
    x, y, x_test, y_test = image_sets.samples(config)
    scores = memorization.influence_scores(x, y)
    position = np.stack([positions(scores, np.zeros_like(y)), positions(scores, y)])
    return x, y, x_test, y_test, position


def positions(scores: NDArray, groups: NDArray) -> NDArray:
    """Where each score stands in its group, from the highest (near 0) to the lowest (near 1), float32."""
    out = np.zeros(len(scores), np.float32)
    for group in np.unique(groups):
        order = memorization.highest_first(scores, groups, group)
        out[order] = (np.arange(len(order)) + 0.5) / len(order)
    return out


def kept(config: Any, ranks: jax.Array, position: jax.Array) -> jax.Array:
    """Whether a training image is left, shape (n,)."""
    place = jnp.where(config.within_class, position[1], position[0])
    removed = (place < config.remove_high) | (place > 1 - config.remove_low)
    return ~(removed | (ranks < config.remove_random))


TRAINED = supervised(
    image_networks.built,
    samples,
    optimizer=schedules.descent,
    augment=image_classification.augmented,
    select=kept,
    fields=FIELDS,
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
    left = jnp.sum(of_class & kept(config, draw.ranks, data.more)[None, :], axis=1).astype(found.test_loss.dtype)
    return Metrics(**{n: getattr(found, n) for n in Metrics._fields[:-1]}, kept=left)


def check(config: Any) -> None:
    image_networks.check(config)
    schedules.check(config)
    assert TRAINED.check is not None
    TRAINED.check(config)


EXPERIMENT = TRAINED._replace(
    check=check,
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
