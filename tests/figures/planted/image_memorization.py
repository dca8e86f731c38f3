"""Paper 001 on images, with planted answers."""

from __future__ import annotations

import json

import numpy as np
import xarray as xr

from snljax import figures

CLASSES = ["a", "b", "c"]
SETTINGS = {
    "network": "resnet18",
    "dataset": "cifar10",
    "width": 1.0,
    "n_train": 0,
    "side": 0,
    "steps": 10,
    "batch_size": 4,
}


def extremes(highest, lowest):
    """Errors of the two ends of each class; a number for all, or one for each."""
    rng = np.random.default_rng(0)
    error = np.stack([highest + rng.uniform(0, 0.02, 3), lowest + rng.uniform(0, 0.02, 3)], axis=1)
    image = rng.integers(0, 256, (3, 2, 4, 5, 6, 1)).astype(np.uint8)
    return xr.Dataset(
        {
            "image": (("class", "end", "rank", "height", "width", "channel"), image),
            "neighbour_error": (("class", "end"), error),
        },
        {"class": CLASSES, "end": ["highest", "lowest"]},
        {"tail": 0.1},
    )


EXTREMES = {
    "high influence is hard": lambda: {"digits": extremes(0.4, 0.1)},
    "high influence is easy": lambda: {"digits": extremes(0.1, 0.4)},
    "classes contradict": lambda: {"digits": extremes(np.array([0.4, 0.1, 0.3]), 0.3)},
}


def correlations(ratio, cosine, parts=4):
    """Ratios and cosines of pairs of classes in parts of the images; one pair has ratio 5.

    The same in all parts up to a little noise, or one number for each part.
    """
    rng, diagonal, shape = np.random.default_rng(0), np.eye(3, dtype=bool)[None], (parts, 3, 3)
    ratio, cosine = (np.broadcast_to(np.reshape(v, (-1, 1, 1)), shape) for v in (ratio, cosine))
    ratios = np.where(diagonal, 1.0, ratio + rng.uniform(0, 0.01, shape))
    ratios[:, 0, 1] = 5
    along = ("part", "class", "other")
    return xr.Dataset(
        {
            "overlap": (("class", "other"), np.eye(3) + 1),
            "noise_correlation": (along, 2 * ratios),
            "ratio": (along, ratios),
            "cosine": (along, np.where(diagonal, 1.0, cosine + rng.uniform(-0.01, 0.01, shape))),
        },
        {"class": CLASSES, "other": CLASSES},
    )


MATRIX = {
    "each class's noise is its own": lambda: {"digits": correlations(2.0, 0.3)},
    "classes overlap more with others": lambda: {"digits": correlations(0.8, 1.2)},
    "equal noise": lambda: {"digits": correlations(0.995, 1.0)},
}


def removal(high, low, random, within_high, seeds=5):
    """Accuracy .9 less so much at half removed, in proportion at less; seeds share what moves all alike."""
    rows = [(0.0, 0.0, 0.0, False, 0.0)]
    for f in (0.25, 0.5):
        rows += [(f, 0.0, 0.0, False, high), (0.0, f, 0.0, False, low), (0.0, 0.0, f, False, random)]
        rows += [(f, 0.0, 0.0, True, within_high), (0.0, f, 0.0, True, low)]
    columns, rng = np.array(rows, float).T, np.random.default_rng(0)
    removed = columns[:3].sum(0)
    noise = 0.01 * rng.normal(size=(1, seeds)) + 1e-4 * rng.normal(size=(len(rows), seeds))
    accuracy = 0.9 - (removed / 0.5 * columns[4])[:, None] + noise
    names = ("remove_high", "remove_low", "remove_random")
    coords = {name: ("removal", column) for name, column in zip(names, columns[:3], strict=True)}
    return xr.Dataset(
        {"test_accuracy": (("removal", "seed"), accuracy)},
        coords
        | {"within_class": ("removal", columns[3] > 0), "seed": range(seeds), "removal": range(len(rows))}
        | {"class": CLASSES},
        {"settings": json.dumps(SETTINGS)},
    )


def torn():
    """Two seeds that contradict each other decide nothing."""
    one, other = removal(0.3, 0.1, 0.2, 0.3), removal(0.1, 0.3, 0.2, 0.1)
    return xr.concat([one.isel(seed=[0]), other.isel(seed=[1])], "seed")


REMOVAL = {
    "influence counts": lambda: {"digits": removal(0.3, 0.1, 0.2, 0.3)},
    "influence counts the other way": lambda: {"digits": removal(0.1, 0.3, 0.2, 0.1)},
    "seeds contradict": lambda: {"digits": torn()},
}


def shapes(own, equal, seeds=4):
    """Elongations that spread so much over classes, with each class's noise and with one for all."""
    stretch, rng = np.array([0.5, 1.0, 1.5]), np.random.default_rng(0)
    kinds = np.stack([2 * stretch, own * stretch, equal * stretch])
    elongation = np.exp(kinds + 0.01 * rng.normal(size=(seeds, 3, 3)))
    return xr.Dataset(
        {
            "place": (("seed", "kind", "sample", "axis"), rng.normal(size=(seeds, 3, 30, 2))),
            "label": (("seed", "sample"), np.tile(np.arange(30) % 3, (seeds, 1))),
            "elongation": (("seed", "kind", "class"), elongation),
        },
        {"seed": range(seeds), "kind": ["data", "own noise", "equal noise"], "class": CLASSES},
    )


SHAPES = {
    "noise makes the shapes": lambda: {"digits": shapes(1.0, 0.3)},
    "equal noise shows more": lambda: {"digits": shapes(0.3, 1.0)},
    "noise makes no difference": lambda: {"digits": shapes(0.5, 0.5)},
}

(QUICK_SET,) = figures.get("influence-removal-cifar10").presets["quick"]

CASES = {
    "influence-extremes": EXTREMES,
    "noise-correlation-matrix": MATRIX,
    "influence-removal": REMOVAL,
    "influence-removal-cifar10": {
        case: lambda made=made: {QUICK_SET: made()["digits"]} for case, made in REMOVAL.items()
    },
    "class-shapes": SHAPES,
}
