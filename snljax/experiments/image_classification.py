"""The papers' networks on images: an MLP, convolutional networks from LeNet to ResNet and a vision transformer, under
noise, pruning and penalties.

All networks of a seed start from the same weights, and see the same images in the same order with the same noise.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.flatten_util
import jax.numpy as jnp
import optax

from snljax import constraints
from snljax.data import views
from snljax.experiment import field
from snljax.experiments import image_networks, image_sets, schedules
from snljax.supervised.door import supervised
from snljax.supervised.fields import module_level
from snljax.supervised.system import Metrics

OPTIMIZERS = ("sgd", "momentum", "adam")

FIELDS = {
    "network": field("cnn", static=True, help="which network", choices=tuple(image_networks.NETWORKS)),
    "width": image_networks.WIDTH,
    **image_networks.OF_DEEP,
    **image_sets.FIELDS,
    "augment": field(
        "none",
        static=True,
        help="of training images: as they are, or shifted by up to 4 pixels and mirrored by chance",
        choices=("none", "crop_flip"),
    ),
    "sigma_0": field(
        0.0, symbol=r"$\sigma_0$", help="initial weights' standard deviation; 0: the network's own", range="[0, inf)"
    ),
    "optimizer": field("sgd", static=True, help="what descends", choices=OPTIMIZERS),
    "momentum": field(0.9, help="of the optimizer of that name", range="[0, 1)"),
    "weight_decay": field(0.0, help="of all weights; adam has it decoupled", range="[0, inf)"),
    **schedules.FIELDS,
    "learning_rate": 0.1,
    "epochs": 0.0,
    "steps": 1000,
}


def augmented(config: Any, key: jax.Array, x: jax.Array) -> jax.Array:
    """A batch of training images, shifted and mirrored where that is asked for."""
    if config.augment == "none":
        return x
    return views.flip(jax.random.fold_in(key, 0), views.crop_padded(jax.random.fold_in(key, 1), x))


def optimizer(config: Any) -> optax.GradientTransformation:
    """Stochastic gradient descent, with or without momentum, or Adam."""
    rate = schedules.learning_rate(config)
    if config.optimizer == "adam":
        return optax.adamw(rate, weight_decay=config.weight_decay)
    momentum = config.momentum if config.optimizer == "momentum" else None
    decay = optax.add_decayed_weights(config.weight_decay)
    return optax.chain(decay, optax.sgd(rate, momentum=momentum))


TRAINED = supervised(
    image_networks.built,
    image_sets.samples,
    optimizer=optimizer,
    augment=augmented,
    fields=FIELDS,
    name="image_classification",
)
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

    def started(name: str, own: jax.Array, normal: jax.Array) -> jax.Array:
        if own.ndim < 2 and not name.endswith("bias"):
            return own  # scales of norms: at 0 nothing would come through
        given = config.sigma_0 * normal if own.ndim >= 2 else jnp.zeros_like(own)
        return jnp.where(config.sigma_0 > 0, given, own)

    names = jax.tree.unflatten(jax.tree.structure(draw.params), constraints.leaf_names(draw.params))
    params = jax.tree.map(started, names, draw.params, normals)
    return TRAINED.init(config, draw._replace(params=params), data)


def check(config: Any) -> None:
    image_networks.check(config)
    schedules.check(config)
    assert TRAINED.check is not None
    TRAINED.check(config)


EXPERIMENT = TRAINED._replace(
    data=data, draw=draw, init=init, step=step, measure=measure, check=check, readings={"fitted": Config()}
)
