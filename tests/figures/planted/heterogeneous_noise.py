"""Paper 001 on synthetic data, with planted answers."""

from __future__ import annotations

import numpy as np
import xarray as xr

from planted.building import dataset, sided, spread
from snljax import theory

SETTINGS = {"num_classes": 5, "noise_correlation": 1.2, "samples_per_class": 100, "d": 1000, "n_test": 1000}
GUESS = 0.2


def torn(one, other):
    """Two seeds that contradict each other decide nothing."""
    return {name: xr.concat([one[name].isel(seed=[0]), other[name].isel(seed=[1])], "seed") for name in one}


def alone(datasets):
    return {name: ds.isel(seed=[0]) for name, ds in datasets.items()}


# --- noise-heatmap -----------------------------------------------------------------------------------


def plane(feature=0.75, correlation=0.75, trained=1.0, seeds=6):
    """Accuracy of guessing in the corner, and so much more along each axis, the larger of the two."""
    u, gamma = np.linspace(0.001, 3.8, 4), np.linspace(1, 1400, 4)
    by_feature, by_noise = feature * (u / 3.8)[:, None], correlation * ((gamma - 1) / 1399)[None, :]
    larger = np.where(np.abs(by_feature) > np.abs(by_noise), by_feature, by_noise)
    accuracy = GUESS + larger[..., None] * spread(seeds)
    variables = {"test_accuracy": accuracy, "train_accuracy": np.full_like(accuracy, trained)}
    coords = {"u_norm": u, "noise_correlation": gamma, "seed": range(seeds)}
    return dataset(variables, ("u_norm", "noise_correlation", "seed"), coords, SETTINGS)


def both(**changes):
    return {"fitted-gaussian": plane(**changes), "fitted-uniform": plane(**changes)}


def falling():
    return both(feature=-0.15, correlation=-0.15, trained=0.9)


NOISE = {
    "both help": both,
    "both hurt": falling,
    "seeds contradict": lambda: torn(both(), falling()),
    "one seed": lambda: alone(both()),
}


# --- sample-size-heatmap -----------------------------------------------------------------------------


def by_size(along, place, strength, seeds=4):
    """Accuracy 1 − (1 − 1/K) exp(−S) for a strength S of samples and a place, with a spread of S over seeds."""
    n = np.array([10, 50, 100, 200])
    bound = np.exp(-strength(n[:, None, None], place[None, :, None]) * spread(seeds))
    coords = {"samples_per_class": n, along: place, "seed": range(seeds)}
    accuracy = {"test_accuracy": 1 - (1 - GUESS) * bound}
    return dataset(accuracy, ("samples_per_class", along, "seed"), coords, SETTINGS)


def sizes(feature_order=1.0, noise_order=0.0):
    """S = n‖u‖⁴ and S = Γ as in Theorem 1, with n to other powers on demand, on finely divided axes."""
    u, gamma = np.linspace(0.01, 4, 40), np.linspace(1, 800, 40)
    return {
        "fitted-feature": by_size("u_norm", u, lambda n, u: (n / 50) ** feature_order * u**4 / 20),
        "fitted-noise": by_size("noise_correlation", gamma, lambda n, g: (n / 50) ** noise_order * g / 200),
    }


SIZE = {
    "Theorem 1": sizes,
    "samples hurt, and count without a feature": lambda: sizes(-0.5, 1.0),
    "seeds contradict": lambda: torn(sizes(), sizes(-0.5, 1.0)),
}


# --- minority-accuracy -------------------------------------------------------------------------------


def classes(slope, seeds=6):
    """Accuracy of each class over the size of the majority; class 0 moves by slope."""
    n, gamma = np.array([50, 100, 200]), np.array([10.0, 100.0, 1400.0])
    accuracy = np.full((3, 3, seeds, 5), 0.6) * spread(seeds)[:, None]
    accuracy[..., 0] += (slope * spread(seeds)) * np.array([0, 0.5, 1])[:, None, None]
    dims = ("majority", "noise_correlation", "seed", "class")
    coords = {"samples_per_class": ("majority", n), "noise_correlation": gamma, "seed": range(seeds)}
    ds = dataset({"class_accuracy": accuracy}, dims, coords, SETTINGS)
    return {"fitted": ds.assign(status=ds.status.isel({"class": 0}))}


MINORITY = {
    "a majority hurts": lambda: classes(-0.3),
    "a majority helps": lambda: classes(0.3),
    "seeds contradict": lambda: torn(classes(-0.3), classes(0.3)),
}


# --- long-tail-accuracy ------------------------------------------------------------------------------


def tails(slope, by_gamma=0.1, seeds=6):
    """Accuracy over fifths of either level, and so much more of it from each Γ to the next."""
    bins, gamma = np.arange(5), np.array([1.0, 10.0, 100.0, 1400.0])
    rise = slope * bins / 4 + by_gamma * np.arange(4)[:, None]
    accuracy = 0.5 + rise[:, None, :] * spread(seeds)[:, None]
    level = np.broadcast_to(bins - 1.0, accuracy.shape)
    variables = {"tail_accuracy": accuracy, "equivalent_noise_accuracy": accuracy}
    variables |= {"tail_level": level, "equivalent_noise": level / 2}
    coords = {"noise_correlation": gamma, "seed": range(seeds)}
    ds = dataset(variables, ("noise_correlation", "seed", "tail_bin"), coords, SETTINGS)
    return {"fitted": ds.assign(status=ds.status.isel(tail_bin=0))}


TAIL = {
    "longer tails are better": lambda: tails(0.2),
    "longer tails are worse": lambda: tails(-0.2, -0.1),
    "seeds contradict": lambda: torn(tails(0.2), tails(-0.2, -0.1)),
}


# --- noise-boundary ----------------------------------------------------------------------------------


def benign(exponent, tail=True, seeds=(0.97, 1.0, 1.03)):
    """Accuracy .9 where ‖u‖ is 2 · (border of 2(a))^exponent and, with a tail, everywhere beyond Γ = 1000.

    exponent: of all seeds, or one for each.
    """
    u, gamma = np.linspace(0.001, 3.8, 30), np.geomspace(1, 1400, 12)
    border = theory.signal_strength_for_ratio(1.0, gamma, 100, 1000, 5)
    edge = 2 * (border / border[0])[:, None] ** exponent * seeds
    accuracy = GUESS + 0.7 * u[:, None, None] / edge
    accuracy = np.where(tail & (gamma[:, None] > 1000), 0.95, np.minimum(accuracy, 0.99))
    return traced(accuracy, u, gamma)


def traced(accuracy, u, gamma):
    """Sides as the seeds' smallest and largest accuracy have them."""
    axes = {"u_norm": u, "noise_correlation": gamma, "seed": range(accuracy.shape[-1])}
    ds = dataset({"test_accuracy": accuracy}, ("u_norm", "noise_correlation", "seed"), axes, SETTINGS)
    side = (accuracy.min(-1) >= 0.9).astype(int) - (accuracy.max(-1) < 0.9)
    return {"fitted": sided(ds, side, "test_accuracy", 0.9, "u_norm", "noise_correlation", "below")}


def harmful():
    """Near-optimal in the corner without feature and correlation alone: nothing of the theorem, and no boundary."""
    u, gamma = np.linspace(0.001, 3.8, 30), np.geomspace(1, 1400, 12)
    accuracy = np.where((u < 1)[:, None] & (gamma < 10), 0.95, 0.5)[..., None] * np.ones(3)
    return traced(accuracy, u, gamma)


def split():
    """Seeds of which some know the theorem and some its opposite."""
    known, opposite = benign(np.array([1.0, -1.0, 1.0]))["fitted"], harmful()["fitted"]
    corner = xr.zeros_like(known.test_accuracy.isel(seed=0), bool)
    corner[[0, 0, -1], [0, -1, 0]] = True
    accuracy = known.test_accuracy.where(~corner | (known.seed < 2), opposite.test_accuracy)
    plane = ("u_norm", "noise_correlation")
    return traced(accuracy.transpose(*plane, "seed").values, *(known[name].values for name in plane))


BOUNDARY = {
    "the border of 2(a), and a tail": lambda: benign(1.0),
    "the border falls": lambda: benign(-1.0, tail=False),
    "the opposite of the theorem": harmful,
    "seeds contradict": split,
}

CASES = {
    "noise-heatmap": NOISE,
    "sample-size-heatmap": SIZE,
    "minority-accuracy": MINORITY,
    "long-tail-accuracy": TAIL,
    "noise-boundary": BOUNDARY,
}
