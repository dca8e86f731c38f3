"""Paper 004 on images, with planted answers."""

from __future__ import annotations

import numpy as np

from planted.building import dataset

RHO = [1.0, 100.0]
SETTINGS = {
    "network": "resnet18", "dataset": "cifar10", "width": 1.0, "n_train": 0, "side": 0, "steps": 10, "batch_size": 4,
}  # fmt: skip


def ways(gain, gap, plain=(0.7, 0.6), wide=0.001, start=0.3, seeds=5):
    """Accuracy and gap without pruning, and what each way adds, at ρ = 1 and 100; seeds differ in what it adds."""
    found = {}
    gain, gap = ({**given, "equation": given.get("neurons", (0.0, 0.0))} for given in (gain, gap))
    for i, way in enumerate(("none", "neurons", "random", "equation", "weights")):
        size = wide if way != "none" else wide / 2
        z = np.array([[1.0], [-0.5]]) * np.linspace(-1, 1, seeds)[None] * (size if i % 2 else -size)
        added = np.asarray(gain.get(way, (0.0, 0.0)))[:, None]
        opened = np.asarray(gap.get(way, (0.0, 0.0)))[:, None]
        accuracy = np.asarray(plain)[:, None] + added + z
        gaps = np.array([[0.0], [gap["opens"]]]) + opened + z
        first = np.full_like(accuracy, start)
        values = {"test_accuracy": np.stack([first, accuracy], -1), "head_tail_gap": np.stack([0 * gaps, gaps], -1)}
        axes = {"imbalance_ratio": RHO, "seed": range(seeds), "step": [0, 10]}
        ds = dataset(values, ("imbalance_ratio", "seed", "step"), axes, SETTINGS)
        found[f"cifar10-{way}"] = ds.assign(status=ds.status.isel(step=0, drop=True))
    return found


CASES = {
    "contrastive-longtail-table": {
        "as the paper says": lambda: ways(
            {"neurons": (0.02, 0.08), "random": (-0.01, -0.01), "weights": (0.01, 0.02)},
            {"opens": 0.1, "neurons": (-0.02, -0.05)},
        ),
        "all wrong": lambda: ways(
            {"neurons": (-0.01, -0.05), "random": (0.01, 0.02), "weights": (-0.01, -0.02)},
            {"opens": -0.1, "neurons": (0.02, 0.05)},
            plain=(0.6, 0.7),
        ),
        "seeds that decide nothing": lambda: ways({}, {"opens": 0.0}, plain=(0.65, 0.65), wide=0.1),
        "nothing was learned": lambda: ways({}, {"opens": 0.0}, start=0.8),
    }
}
