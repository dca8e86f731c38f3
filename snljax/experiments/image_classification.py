"""The papers' networks on images: an MLP, two convolutional networks and a vision transformer, under noise, pruning
and penalties.

All networks of a seed start from the same weights, and see the same images in the same order with the same noise.
"""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import optax
from numpy.typing import NDArray

from snljax.data import images
from snljax.experiment import field
from snljax.models.vision.cnn import CNN
from snljax.models.vision.lenet import LeNet
from snljax.models.vision.mlp import MLP
from snljax.models.vision.vit import ViT
from snljax.supervised.door import supervised
from snljax.supervised.fields import module_level
from snljax.supervised.system import Metrics

NETWORKS = {"mlp": MLP, "lenet": LeNet, "cnn": CNN, "vit": ViT}
OPTIMIZERS = ("sgd", "momentum", "adam")

FIELDS = {
    "network": field("cnn", static=True, help="which network", choices=tuple(NETWORKS)),
    "width": field(1.0, static=True, help="factor of its filters and hidden units", range="(0, inf)"),
    "dataset": field("digits", static=True, help="a name known to data.images, or a folder with one of each class"),
    "side": field(0, static=True, help="pixels to which images are resized; 0: as they are", range="[0, inf)"),
    "n_train": field(0, static=True, help="training images, the first of a random order; 0: all", range="[0, inf)"),
    "n_test": field(0, static=True, help="test images, likewise", range="[0, inf)"),
    "sigma_0": field(
        0.0, symbol=r"$\sigma_0$", help="initial weights' standard deviation; 0: the network's own", range="[0, inf)"
    ),
    "optimizer": field("sgd", static=True, help="what descends", choices=OPTIMIZERS),
    "momentum": field(0.9, help="of the optimizer of that name", range="[0, 1)"),
    "weight_decay": field(0.0, help="of all weights; adam has it decoupled", range="[0, inf)"),
    "learning_rate": 0.1,
    "epochs": 0.0,
    "steps": 1000,
}


def samples(config: Any) -> tuple[NDArray, ...]:
    """Images and labels of both splits, as many as are asked for."""
    size = (config.side, config.side) if config.side else None
    found = []
    for split, count in (("train", config.n_train), ("test", config.n_test)):
        given = images.load(config.dataset, split, size=size)
        if count > len(given.labels):
            raise ValueError(f"n_{split}: {count} is out of range; allowed: [0, {len(given.labels)}], its images")
        # Sets may be sorted by class.
        chosen = np.sort(np.random.default_rng(0).permutation(len(given.labels))[: count or None])
        found += [given.images[chosen], given.labels[chosen]]
    return tuple(found)


def network(config: Any, classes: int) -> nn.Module:
    """The one that the Config names."""
    return NETWORKS[config.network](classes, width=config.width)


def optimizer(config: Any) -> optax.GradientTransformation:
    """Stochastic gradient descent, with or without momentum, or Adam."""
    if config.optimizer == "adam":
        return optax.adamw(config.learning_rate, weight_decay=config.weight_decay)
    momentum = config.momentum if config.optimizer == "momentum" else None
    decay = optax.add_decayed_weights(config.weight_decay)
    return optax.chain(decay, optax.sgd(config.learning_rate, momentum=momentum))


TRAINED = supervised(network, samples, optimizer=optimizer, fields=FIELDS, name="image_classification")
Config = module_level(
    TRAINED.Config, __name__, "Image classification (papers 000, 002, 003): do pruning and penalties suppress noise?"
)


# Functions of this module, which a process that sweeps again knows by their names.


def data(config: Any) -> Any:
    assert TRAINED.data is not None
    return TRAINED.data(config)


def draw(config: Any, key: jax.Array, data: Any) -> Any:
    return TRAINED.draw(config, key, data)


def step(config: Any, draw: Any, state: Any, t: jax.Array, data: Any) -> Any:
    return TRAINED.step(config, draw, state, t, data)


def measure(config: Any, draw: Any, state: Any, data: Any) -> Metrics:
    return TRAINED.measure(config, draw, state, data)


def init(config: Any, draw: Any, data: Any) -> Any:
    """The network before the first update, with weights of the standard deviation that is asked for."""
    own, tree = jax.flatten_util.ravel_pytree(draw.params)
    normals = tree(jax.random.normal(jax.random.fold_in(draw.key, 4), own.shape))  # `supervised` has keys 0 to 3

    def started(own: jax.Array, normal: jax.Array) -> jax.Array:
        given = config.sigma_0 * normal if own.ndim >= 2 else jnp.zeros_like(own)  # biases
        return jnp.where(config.sigma_0 > 0, given, own)

    return TRAINED.init(config, draw._replace(params=jax.tree.map(started, draw.params, normals)), data)


EXPERIMENT = TRAINED._replace(
    data=data, draw=draw, init=init, step=step, measure=measure, readings={"fitted": Config()}
)
