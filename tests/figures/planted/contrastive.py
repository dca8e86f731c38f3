"""Paper 004: contrastive learning under imbalance."""

from __future__ import annotations

import json

import numpy as np
import xarray as xr

from snljax.figures import contrastive, contrastive_pruning

SETTINGS = {"d": 9, "d1": 500, "num_minority": 1, "aligned": 0.3, "learning_rate": 0.02, "weight_decay": 0.1}
SETTINGS |= {"epsilon_min": 0.5, "bias_start": 60, "steps": 200}
SETTINGS |= {"batch": 64, "active": 0.2, "temperature": 1.0, "m": 24}


def with_settings(variables, coords, **changes):
    return xr.Dataset(variables, coords, {"settings": json.dumps(SETTINGS | changes)})


def trends(sign=1.0, noise=0.01, seeds=12):
    """Every metric follows the paper, times sign."""
    epsilon, sigma = np.array([0.1, 0.5, 1.0]), np.array([0.03, 0.05])
    jitter = noise * np.random.default_rng(0).normal(size=(3, 2, seeds))
    dims = ("epsilon_min", "sigma_p", "seed")
    data = {
        name: (dims, 2 + sign * way * epsilon[:, None, None] + jitter) for name, (way, _) in contrastive.TRENDS.items()
    }
    return with_settings(data, {"epsilon_min": epsilon, "sigma_p": sigma, "seed": range(seeds)})


def neurons(majority=3, minority=1, mixed=2, seeds=6):
    """So many neurons of cosine 0.5 for each feature; mixed ones show two features."""
    cosines = np.zeros((seeds, 24, 9))
    row = 0
    for j in range(9):
        for _ in range(majority if j < 5 else minority):
            cosines[:, row, j] = 0.5
            row += 1
    cosines[:, :mixed, 1] = 0.5
    cosines += np.random.default_rng(0).uniform(0, 0.1, (seeds, 24, 9))
    cosines[0, -1, :] = 0.0
    strong = (cosines >= 0.3).sum(-1)
    data = {
        "cosines": (("seed", "neuron", "feature"), cosines),
        "lucky_neurons": ("seed", (strong == 1).sum(1)),
        "mixed_neurons": ("seed", (strong > 1).sum(1)),
        "status": ("seed", np.ones(seeds, np.int8)),
    }
    return with_settings(data, {"seed": range(seeds)}, num_minority=4)


def mixed_neurons():
    """No neuron has one feature alone."""
    ds = neurons(majority=1, minority=3)
    return ds.assign(lucky_neurons=0 * ds.lucky_neurons)


def undecided_neurons():
    """The minority has more in one seed and fewer in the other, and so it is with lucky and mixed ones."""
    parts = neurons(3, 1, seeds=2).isel(seed=[0]), neurons(1, 3, seeds=2).isel(seed=[1])
    return xr.concat(parts, "seed").assign_attrs(parts[0].attrs)


def stages(ratio=0.5, shrink=1.0, seeds=4, spread=0.0):
    """Exponential growth of features at rates 0.004·ε_j − ηλ, decay elsewhere at ηλ; seeds' rates differ by spread."""
    step = np.arange(0, 801, 10)
    apart = 1 + spread * np.linspace(-1, 1, seeds)
    rates = 0.02 * np.where(np.arange(9) == 8, ratio * apart[:, None], 1.0)  # (seed, feature)
    features = 0.01 * np.exp((rates - 0.002)[:, None, :] * step[:, None])  # (seed, step, feature)
    outside = 0.5 * np.exp(-0.002 * shrink * apart[:, None] * step)
    norms = np.sqrt((features**2).sum(-1) + outside**2)
    sizes = 1 + 0.02 * np.arange(seeds)
    cosines = np.broadcast_to((features / norms[..., None])[:, :, None, :], (seeds, len(step), 2, 9))
    data = {
        "cosines": (("seed", "step", "neuron", "feature"), cosines),
        "norms": (("seed", "step", "neuron"), sizes[:, None, None] * norms[..., None] * np.ones(2)),
        "feature_share": (("seed", "step"), 1 - outside**2 / norms**2),
        "train_loss": (("seed", "step"), np.broadcast_to(1.5 + 2.5 * np.exp(-step / 200), (seeds, len(step)))),
    }
    return with_settings(data, {"seed": range(seeds), "step": step}, steps=800)


def regime(faster=1.0, slower=0.0, even=1.0, other=0.0, affected=0.0, spread=0.01, seeds=6):
    """Specialised neurons, six of three features; the minority's weigh ε until pruning begins at step 1000.

    faster: what pruning adds to ln⟨w, M_j*⟩ in the first 500 steps. slower: the same for other features. even: its
    weight ratio at the end, over that with ε = 1. other: component of another feature. affected: of pairs without it.
    """
    epsilon, step = np.array([0.2, 0.5]), np.array([0, 1000, 1500, 2000])
    apart = spread * np.linspace(-1, 1, seeds)
    protocols, m, d = len(contrastive_pruning.PROTOCOLS), 6, 3
    masked = np.array([0.0, 1.0, 1.0, 1.0, 0.0])[:, None, None] * (1 + apart)  # by none and at random: nothing
    dims = ("protocol", "epsilon_min", "seed", "step")
    weight = np.ones((protocols, len(epsilon), seeds, len(step), m))
    lucky = np.arange(m) % d == d - 1
    base = epsilon[:, None]
    soon = np.exp(faster * masked + apart)
    end = np.where(masked > 0, base + (even * (1 + 5 * apart) - base) * masked, base * (1 + apart))
    rare = np.stack([base + 0 * masked, base * np.exp(apart) + 0 * masked, base * soon, end], -1)
    weight[..., lucky] = rare[..., None]
    weight[..., 2, :][..., ~lucky] = np.exp(slower * masked)[..., None]
    cosines = np.zeros((*weight.shape, d))
    cosines[..., np.arange(m), np.arange(m) % d] = 1.0
    cosines[..., lucky, 0] = other
    gaps = 0.1 + 0.1 * np.sign(faster) * masked + 0 * base, 0.3 + affected * masked + 0 * base
    data = {
        "cosines": ((*dims, "neuron", "feature"), cosines),
        "norms": ((*dims, "neuron"), weight),
        "gap_minority": (dims, gaps[0][..., None] + np.zeros(4)),
        "gap_others": (dims, gaps[1][..., None] + np.zeros(4)),
        "train_loss": (dims, 0.6 + np.zeros(weight.shape[:-1])),
    }
    coords = {"epsilon_min": epsilon, "step": step, "seed": range(seeds)}
    return with_settings(data, coords, d=d, m=m, first_prune=1000, batch=8, active=0.06)


def bridge(gain=0.2, neurons=None, seeds=6, spread=0.1):
    """Weight ratios 0.5, 1 and 0.1 of the minority, with two, two and no neurons; pruning adds gain to each.

    Of three masked neurons 2.5 are the minority's, or 0.5 where pruning harms.
    """
    apart = 1 + spread * np.linspace(-1, 1, seeds)
    epsilon, ratio = np.array([0.3, 0.5, 0.7]), np.array([0.5, 1.0, 0.1])
    neurons = np.array([2.0, 2.0, 0.0] if neurons is None else neurons)
    step = np.array([0, contrastive_pruning.CONVERGED, contrastive_pruning.CONVERGED + contrastive_pruning.SETTLED])
    helps = np.array([0.0, 1.0, 1.0, 1.0, 0.0, 1.0])[:, None] * gain * apart
    values = ratio[:, None] + helps[:, None, :] * np.array([0, 0, 1])[:, None, None, None]  # (step, protocol, ε, seed)
    values = values[:, :, :, None, None, :]
    dims = ("step", "protocol", "epsilon_min", "bias", "weight_decay", "seed")
    data = {
        "weight_ratio": (dims, values),
        "aligned_neurons": (dims, np.broadcast_to(neurons[:, None, None, None], values.shape).copy()),
        "masked_minority": (dims, 1.5 + np.sign(gain) * apart + 0 * values),
    }
    coords = {"step": step, "epsilon_min": epsilon, "bias": [0.1], "weight_decay": [0.01], "seed": range(seeds)}
    return with_settings(data, coords)


TRENDS = {
    "the paper is right": lambda: dict.fromkeys(("fitted", "other sizes"), trends()),
    "the other way": lambda: dict.fromkeys(("fitted", "other sizes"), trends(-1.0)),
    "no trend": lambda: dict.fromkeys(("fitted", "other sizes"), trends(0.0, 1.0)),
}


def planted(**changes):
    return lambda: {"regime": regime(**changes)}


CASES = {
    "contrastive-alignment": TRENDS,
    "contrastive-similarity": TRENDS,
    "contrastive-regression": TRENDS,
    "contrastive-neurons": {
        "the paper is right": lambda: {"fitted": neurons()},
        "none mixed": lambda: {"fitted": neurons(mixed=0)},
        "none lucky": lambda: {"fitted": mixed_neurons()},
        "seeds disagree": lambda: {"fitted": undecided_neurons()},
        "one seed": lambda: {"fitted": neurons(seeds=1)},
    },
    "contrastive-stages": {
        "the paper is right": lambda: {"fitted": stages()},
        "other rates": lambda: {"fitted": stages(ratio=0.8, shrink=2.0).sel(step=slice(0, 60))},
        "seeds disagree": lambda: {"fitted": stages(spread=1.0)},
        "one seed": lambda: {"fitted": stages(seeds=1)},
    },
    "contrastive-pruning": {
        "the paper is right": planted(),
        "pruning harms": planted(faster=-1.0, slower=1.0, even=0.1, other=0.9, affected=0.5),
        "seeds disagree": planted(spread=3.0),
        "one seed": planted(seeds=1),
    },
    "contrastive-bridge": {
        "pruning helps": lambda: {"m = 3d": bridge()},
        "pruning harms": lambda: {"m = 3d": bridge(-0.2)},
        "seeds disagree": lambda: {"m = 3d": bridge(spread=30.0)},
    },
}
