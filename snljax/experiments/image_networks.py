"""Which network an experiment on images trains: fields that name it, its width and how it computes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import flax.linen as nn

from snljax.experiment import field
from snljax.models.vision.cnn import CNN
from snljax.models.vision.lenet import LeNet
from snljax.models.vision.mlp import MLP
from snljax.models.vision.resnet import resnet18, resnet20_128, resnet32, resnet50
from snljax.models.vision.vgg import VGG16
from snljax.models.vision.vit import ViT

SHALLOW: Mapping[str, Any] = {"mlp": MLP, "lenet": LeNet, "cnn": CNN, "vit": ViT}
DEEP: Mapping[str, Any] = {
    "vgg16": VGG16,
    "resnet18": resnet18,
    "resnet32": resnet32,
    "resnet50": resnet50,
    "resnet20_128": resnet20_128,
}
NETWORKS = {**SHALLOW, **DEEP}

WIDTH = field(1.0, static=True, help="factor of its filters and hidden units", range="(0, inf)")
OF_DEEP: Mapping[str, Any] = {
    "compute_dtype": field(
        "float32",
        static=True,
        help="of products in deep networks; weights and state stay float32",
        choices=("float32", "bfloat16"),
    ),
    "remat": field(False, static=True, help="deep networks compute blocks again for gradients: less memory"),
}


def built(config: Any, classes: int) -> nn.Module:
    """The network that a Config names.

    Args:
        config: with the fields ``network``, ``width`` and those of deep networks.
        classes: outputs; 0 for the features of a deep network.

    Returns:
        The module.

    Raises:
        ValueError: fields of deep networks with another one.

    Example:
        >>> import types
        >>> asked = types.SimpleNamespace(network="lenet", width=1.0, compute_dtype="float32", remat=False)
        >>> built(asked, 10).num_classes
        10
    """
    check(config)
    if config.network in DEEP:
        return DEEP[config.network](classes, width=config.width, dtype=config.compute_dtype, remat=config.remat)
    return SHALLOW[config.network](classes, width=config.width)


def check(config: Any) -> None:
    """Whether the fields of deep networks go with the network.

    Args:
        config: as for `built`.

    Raises:
        ValueError: they are set, and it is another one.
    """
    for name, own in OF_DEEP.items():
        if config.network not in DEEP and getattr(config, name) != own.default:
            raise ValueError(
                f"{name}: {getattr(config, name)} with network {config.network!r}; allowed: {own.default}, or one of "
                f"{', '.join(DEEP)}"
            )
