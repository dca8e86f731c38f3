"""Paper 004 on images: contrastive learning of a ResNet on long-tailed sets, with and without pruning, and a linear
probe of what it learned.

Which classes are rare, and which images are left, is drawn by the seed; how rare they are is a number of one program.
"""

from __future__ import annotations

from typing import Any

import flax.linen as nn

from snljax.contrastive import door
from snljax.contrastive.system import Metrics
from snljax.data import downloads, images
from snljax.experiment import field
from snljax.experiments import image_networks, image_sets, schedules
from snljax.models.vision.projection import ProjectionHead
from snljax.supervised.fields import module_level

FIELDS = {
    "network": field("resnet18", static=True, help="the encoder", choices=tuple(image_networks.DEEP)),
    "width": image_networks.WIDTH,
    **image_networks.OF_DEEP,
    "embedding": field(128, static=True, help="numbers of an embedding, behind the projection head", range="[1, inf)"),
    **image_sets.FIELDS,
    **schedules.FIELDS,
}


def encoder(config: Any) -> nn.Module:
    """The network that the Config names, without its classifier."""
    return image_networks.built(config, 0)


def head(config: Any) -> nn.Module:
    """Dense, ReLU, dense."""
    return ProjectionHead(config.embedding)


TRAINED = door.contrastive(
    encoder, image_sets.samples, head=head, optimizer=schedules.descent, fields=FIELDS, name="contrastive_images"
)
Config = module_level(
    TRAINED.Config, __name__, "Contrastive learning on images (paper 004): does pruning help the rare classes?"
)


# Functions of this module, which a process that sweeps again knows by their names.


def data(config: Any) -> Any:
    assert TRAINED.data is not None
    return TRAINED.data(config)


def draw(config: Any, key: Any, data: Any) -> Any:
    return TRAINED.draw(config, key, data)


def init(config: Any, draw: Any, data: Any) -> Any:
    return TRAINED.init(config, draw, data)


def step(config: Any, draw: Any, state: Any, t: Any, data: Any) -> Any:
    return TRAINED.step(config, draw, state, t, data)


def measure(config: Any, draw: Any, state: Any, data: Any) -> Metrics:
    return TRAINED.measure(config, draw, state, data)


def check(config: Any) -> None:
    """Whether fields fit each other, and the images where these load without a download."""
    image_networks.check(config)
    schedules.check(config)
    assert TRAINED.check is not None
    if config.dataset not in downloads.ARCHIVES or images.at_hand(config.dataset):
        TRAINED.check(config)


EXPERIMENT = TRAINED._replace(
    data=data, draw=draw, init=init, step=step, measure=measure, check=check, readings={"fitted": Config()}
)
