"""Planted answers for paper 003 on images: pegr-mnist."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from planted.building import dataset, spread
from snljax.figures.datasets import Datasets

SEEDS = 5
NOISE = [0.0, 5.0, 10.0]
FULL = {"network": "lenet", "dataset": "mnist", "width": 1.0, "side": 0, "n_train": 0, "steps": 100, "batch_size": 64}


def lenet(
    gain: float, *, seeds: int = SEEDS, wide: float = 0.005, end: float = 0.5, falls: float = 0.1, **settings: Any
) -> Datasets:
    """Two records; the penalty gains so much accuracy over what is .9 without noise and falls with it.

    wide: how much of that accuracy seeds differ by, the gain with them and the fall against them. end: training loss.
    """
    apart = spread(seeds, wide) - 1 if seeds > 1 else np.zeros(1)
    level = 0.9 - falls * np.arange(3)[:, None] + apart * np.array([1, -1, 1])[:, None]
    gains = np.array([gain, 0.0])[:, None, None] + np.array([1, 0])[:, None, None] * apart
    accuracy = np.stack([np.full((2, 3, seeds), 0.1), level + gains], axis=-1)
    loss = np.broadcast_to(np.array([2.3, end]), accuracy.shape)
    coords = {
        "penalty": ("algorithm", ["pegr", "none"]),
        "penalty_weight": ("algorithm", [0.1, 0.0]),
        "noise_std": NOISE,
        "seed": range(seeds),
        "step": [0, 100],
    }
    values = {"test_accuracy": accuracy, "train_loss": loss}
    ds = dataset(values, ("algorithm", "noise_std", "seed", "step"), coords, FULL | settings)
    return {"lenet": ds.assign(status=ds.status.isel(step=0, drop=True))}


CASES = {
    "pegr-mnist": {
        "as the paper says": functools.partial(lenet, 0.05),
        "all wrong": functools.partial(lenet, -0.05, end=2.5, falls=-0.1),
        "seeds far apart": functools.partial(lenet, 0.0, wide=0.5),
        "one seed": functools.partial(lenet, 0.05, seeds=1),
    }
}
