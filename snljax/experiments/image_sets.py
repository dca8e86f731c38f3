"""Which images an experiment trains on: fields that name a set, its size and that of its images."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snljax.data import images
from snljax.experiment import field

FIELDS = {
    "dataset": field("digits", static=True, help="a name known to data.images, or a folder with one of each class"),
    "side": field(0, static=True, help="pixels to which images are resized; 0: as they are", range="[0, inf)"),
    "n_train": field(0, static=True, help="training images, the first of a random order; 0: all", range="[0, inf)"),
    "n_test": field(0, static=True, help="test images, likewise", range="[0, inf)"),
}


def samples(config: Any) -> tuple[NDArray, ...]:
    """Images and labels of both splits, as many as are asked for.

    The same images are not decoded again: those asked for last are kept, until a file of theirs changes.

    Args:
        config: with the fields above.

    Returns:
        X, y, X_test, y_test; not to be written to.

    Raises:
        ValueError: more images than the set has, or what `data.images.load` refuses.

    Example:
        >>> import types
        >>> asked = types.SimpleNamespace(dataset="digits", side=0, n_train=100, n_test=0)
        >>> [part.shape for part in samples(asked)]
        [(100, 8, 8, 1), (100,), (355, 8, 8, 1), (355,)]
    """
    asked = (config.dataset, config.side, config.n_train, config.n_test)
    return _samples(*asked, images.stamp(config.dataset))


@functools.lru_cache(maxsize=1)  # figures train one sweep after the other on the same images
def _samples(dataset: str, side: int, n_train: int, n_test: int, stamp: tuple[Any, ...]) -> tuple[NDArray, ...]:
    size = (side, side) if side else None
    found = []
    for split, count in (("train", n_train), ("test", n_test)):
        given = images.load(dataset, split, size=size)
        if count > len(given.labels):
            raise ValueError(f"n_{split}: {count} is out of range; allowed: [0, {len(given.labels)}], its images")
        # Sets may be sorted by class.
        chosen = np.sort(np.random.default_rng(0).permutation(len(given.labels))[: count or None])
        found += [given.images[chosen], given.labels[chosen]]
    for part in found:
        part.setflags(write=False)
    return tuple(found)
