"""Paper 000 on images: accuracies over the kept share, and what pruning gains over the dense network under noise."""

from __future__ import annotations

import numpy as np

from planted.building import dataset, spread

FULL = {"network": "cnn", "width": 1.0, "side": 0, "n_train": 0, "steps": 100, "batch_size": 64, "epochs": 50}
SEEDS = 5

# --- Figures 3 and 4 ---------------------------------------------------------------------------------

SHARES = [0.05, 0.1, 0.3, 0.5, 0.8, 1.0]
RISING = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


def shares(test, train=RISING, name="mnist", wide=0.0, seeds=SEEDS, **settings):
    """Accuracies over the kept share.

    wide: how far seeds are apart, in the slope of test accuracy below the dense network; training accuracy then falls
    for some of them.
    """
    off, own = wide * np.linspace(-1, 1, seeds), spread(seeds, 1e-4)
    sparse = (np.array(SHARES) < 1)[:, None]
    rise = np.array(train)[:, None]
    rise = np.where(off < -0.1, rise[::-1], rise)
    variables = {"test_accuracy": np.array(test)[:, None] * own + off * sparse * np.arange(6)[:, None]}
    variables |= {"train_accuracy": rise, "train_loss": 1 - rise}
    axes = {"keep_fraction": SHARES, "seed": range(seeds)}
    ds = dataset(variables, ("keep_fraction", "seed"), axes, FULL | {"dataset": name} | settings)
    return {name: ds}


def of_shares(name):
    return {
        "best between": lambda: shares([0.3, 0.6, 0.8, 0.9, 0.8, 0.7], name=name),
        "more is better": lambda: shares([0.3, 0.4, 0.5, 0.6, 0.7, 0.8], name=name),
        "training gets worse": lambda: shares([0.5] * 6, train=RISING[::-1], name=name),
        "seeds apart": lambda: shares([0.5] * 6, name=name, wide=0.2),
    }


# --- Tables 1 and 2 ----------------------------------------------------------------------------------

AS_PRINTED = [(-0.01, 0.01, 0.01, 0.02), (-0.01, 0.01, 0.01, 0.02), (-0.05, -0.01, 0.01, 0.02)]
OPPOSITE = [tuple(-g for g in row) for row in AS_PRINTED]


def table(gain, dense=(0.9, 0.8, 0.6), wide=0.01):
    """Gains of 10, 30, 50 and 80 % over the dense network, a row for each noise, times 1 ± wide by seed."""
    gains = np.array(gain, float)[..., None] * spread(SEEDS, wide)
    accuracy = np.array(dense)[:, None, None] + np.concatenate([gains, 0 * gains[:, :1]], axis=1)
    axes = {"noise_std": [0.0, 0.5, 5.0], "keep_fraction": [0.1, 0.3, 0.5, 0.8, 1.0], "seed": range(SEEDS)}
    settings = FULL | {"dataset": "mnist"}
    ds = dataset({"test_accuracy": accuracy}, ("noise_std", "keep_fraction", "seed"), axes, settings)
    return {"accuracy": ds.assign(class_accuracy=("class", np.zeros(10)))}


OF_TABLES = {
    "as printed": lambda: table(AS_PRINTED),
    "the opposite": lambda: table(OPPOSITE),
    "seeds apart": lambda: table(AS_PRINTED, wide=3.0),
}

CASES = {
    "topk-mnist": of_shares("mnist"),
    "topk-cifar10": of_shares("cifar10"),
    "topk-vit-table": OF_TABLES,
    "topk-cifar100-table": OF_TABLES,
}
