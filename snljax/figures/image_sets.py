"""What figures of networks on images share: which set is at hand, and what of it was used."""

from __future__ import annotations

from typing import Any

import xarray as xr

from snljax.data import images
from snljax.figures.datasets import setting
from snljax.papers import cite

SIZES = {"digits": (1442, 8), "mnist": (60_000, 28), "cifar10": (50_000, 32), "cifar100": (50_000, 32)}
NAMES = {"digits": "scikit-learn's digits", "mnist": "MNIST", "cifar10": "CIFAR-10", "cifar100": "CIFAR-100"}
NETWORKS = {
    "mlp": "MLP-1024-1024",
    "lenet": "LeNet-5",
    "cnn": "CNN",
    "vit": "ViT-tiny",
    "vgg16": "VGG-16",
    "resnet18": "ResNet-18",
    "resnet32": "ResNet-32",
    "resnet50": "ResNet-50",
    "resnet20_128": "ResNet-20-128",
}
NEAR_CHANCE = 0.1  # accuracy above chance, below which a network has not learned what it would be judged by


def steps(epochs: int, count: int, batch_size: int = 64) -> int:
    """Gradient steps of so many epochs, a last short batch included: a preset that says them reads no images.

    Args:
        epochs: passes over the images.
        count: how many images there are.
        batch_size: images a step.

    Returns:
        The number.

    Example:
        >>> steps(2, 1000, 64)
        32
    """
    return epochs * -(-count // batch_size)


def smaller(name: str, here: dict[str, Any], digits: dict[str, Any]) -> dict[str, Any]:
    """Settings of a sweep on a part of an image set, or on scikit-learn's digits where the set is not at hand.

    Args:
        name: of the set.
        here: settings if it is at hand.
        digits: settings if it is not.

    Returns:
        Fields of ``image_classification``.

    Example:
        >>> smaller("no set", {"n_train": 1000}, {"epochs": 30})
        {'dataset': 'digits', 'epochs': 30}
    """
    return {"dataset": name, **here} if images.at_hand(name) else {"dataset": "digits", **digits}


def said(ds: xr.Dataset, wanted: str) -> str:
    """Which network learned which images, and what was reduced, for the title of a page.

    Args:
        ds: of ``image_classification``.
        wanted: the set that the paper has.

    Returns:
        One line.
    """
    name, width = setting(ds, "dataset"), setting(ds, "width")
    network = NETWORKS[setting(ds, "network")] + (f" at {width:g} of its width" if width != 1 else "")
    used = ", ".join([network, NAMES.get(name, name), *_less(ds, wanted)])
    return f"{used}; {setting(ds, 'steps'):,} steps of {setting(ds, 'batch_size')}"


def _less(ds: xr.Dataset, wanted: str) -> list[str]:
    """What of the images is other than in the paper."""
    name, parts = setting(ds, "dataset"), []
    number, side = SIZES.get(name, (0, 0))
    if name != wanted:
        parts.append(f"in place of {NAMES.get(wanted, wanted)}")
    if (n := setting(ds, "n_train")) not in (0, number):
        parts.append(f"{n:,} of {number:,} images" if number else f"{n:,} images")
    if (own := setting(ds, "side")) not in (0, side):
        parts.append(f"at {own} × {own} pixels")
    return parts


def untrained(accuracy: xr.DataArray, classes: int) -> str:
    """Why nothing can be said of networks that have not learned their task.

    Args:
        accuracy: test accuracy of the networks that others are compared with.
        classes: of the task.

    Returns:
        The reason, for `claims.Finding.untestable`; empty where they have learned it.

    Example:
        >>> untrained(xr.DataArray([0.15, 0.11]), 10), untrained(xr.DataArray([0.6, 0.7]), 10)
        ('the networks that are compared with are at chance, accuracy 0.13', '')
    """
    reached = float(accuracy.mean())
    if reached >= 1 / classes + NEAR_CHANCE:
        return ""
    return f"the networks that are compared with are at chance, accuracy {reached:.3g}"


def is_reduced(ds: xr.Dataset, wanted: str) -> bool:
    """Whether less was trained than the paper says: another set, fewer or smaller images, or a narrower network.

    Args:
        ds, wanted: as for `said`.

    Returns:
        Whether.
    """
    return bool(_less(ds, wanted)) or setting(ds, "width") != 1


def cited(number: str, place: str, ds: xr.Dataset, wanted: str) -> str:
    """A paper's place, and that what is held against it was reduced, if it was.

    Args:
        number: of the paper.
        place: as for `papers.cite`.
        ds, wanted: as for `said`.

    Returns:
        The source of a claim.
    """
    return cite(number, place) + (", reduced" if is_reduced(ds, wanted) else "")
