"""Figures and claims of paper 002 on images: an MLP on MNIST, pruned at random or by magnitude in levels."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from snljax import plotting
from snljax.figures import Figure, Sweep
from snljax.figures.claims import Claim, above
from snljax.figures.datasets import Datasets, alive, setting
from snljax.figures.image_sets import cited, said, smaller, steps

WANTED = "mnist"
LEFT = 0.8  # of the weights, by each level
COMPETITIVE = 0.01  # test accuracy; the paper's "no much worse"
STEADY = 0.21  # share kept where the paper sees the end of it
METHODS = {"random": "random pruning", "imp": "iterative magnitude pruning"}


def _levels(levels: list[int], images: int, **fields: Any) -> dict[str, Any]:
    """Random masks of each sparsity, each trained once; and networks that go through all levels one after the other.

    Three runs of 120 epochs with batches of 128, as published.
    """
    common = Sweep("image_classification", network="mlp", batch_size=128, **fields, seed=range(3))
    level = steps(120, images, 128)
    kept = [round(LEFT**k, 6) for k in levels]
    imp = {"prune_every": level, "prune_fraction": round(1 - LEFT, 6), "keep_fraction": kept[-1]}
    return {
        "random": common.but(pruning="random", keep_fraction=kept, steps=level),
        "imp": common.but(pruning="imp", **imp, steps=(levels[-1] + 1) * level, record_every=level),
    }


_PART = smaller(WANTED, {"n_train": 1024, "n_test": 2000, "width": 0.25}, {"width": 0.25})
PRESETS = {
    "quick": _levels([0, 2, 4, 6, 7, 8, 10, 12, 14, 16], 1024, **_PART),
    "paper": _levels(list(range(21)), 60_000, dataset=WANTED),
}


def _by_share(datasets: Datasets) -> xr.Dataset:
    """Both methods over the share that is kept, those of the random masks."""
    random, imp = (alive(datasets[name]) for name in METHODS)
    every = setting(datasets["imp"], "prune_every")
    levels = imp.isel(step=slice(1, None))
    shares = LEFT ** (levels.step.values / every - 1)
    levels = levels.assign_coords(step=shares).rename(step="keep_fraction")
    levels = levels.sel(keep_fraction=random.keep_fraction.values, method="nearest", tolerance=1e-4)
    names = ["test_accuracy", "train_accuracy"]
    both = [ds[names].assign_coords(keep_fraction=random.keep_fraction.values) for ds in (random, levels)]
    return xr.concat(both, xr.DataArray(list(METHODS.values()), dims="way", name="way"), coords="minimal")


def draw(datasets: Datasets) -> dict[str, Any]:
    found = _by_share(datasets)
    fig, axes = plotting.panels(1, 2, sharex=True)
    for ax, metric in zip(axes[0], ("test_accuracy", "train_accuracy"), strict=True):
        values = found[metric].assign_attrs(long_name=metric.replace("_", " "))
        plotting.curves(values, x="keep_fraction", hue="way", legend=False, ax=ax, marker="o")
        plotting.reference(ax, x=STEADY, ls=":", label="21 % kept")
        ax.set_xscale("log")
        ax.set(xlabel="share of the weights that is kept, $0.8^k$")
        plotting.ticks(ax, x=found.keep_fraction.values[::2].round(3))
        ax.tick_params(axis="x", rotation=45)
    axes[0, 0].invert_xaxis()
    plotting.legend(fig)
    fig.suptitle(f"{said(datasets['random'], WANTED)} at each sparsity\n{plotting.caption(found)}")
    return {"random-pruning-mnist": fig}


def check(datasets: Datasets) -> list[Claim]:
    found = _by_share(datasets)
    ds = datasets["random"]
    source = cited("002", "Section 5.2, Figure 3a", ds, WANTED)
    claims = []
    for name in METHODS.values():
        accuracy = found.test_accuracy.sel(way=name)
        loss = (accuracy - accuracy.sel(keep_fraction=1.0)).drop_sel(keep_fraction=1.0)
        steady = loss.isel(keep_fraction=loss.keep_fraction.values > STEADY - 0.001)
        rule = above(steady, -COMPETITIVE, "test accuracy minus that of the dense network, within a seed")
        pairs = zip(steady.keep_fraction.values.tolist(), steady.mean("seed").values.tolist(), strict=True)
        note = ", ".join(f"{mean:+.4f} at {share:.3g}" for share, mean in pairs)
        claims.append(Claim.of(f"{name}: competitive to the dense network below 79 % sparsity", source, rule, note))
    later = _last_level(found.train_accuracy) - _last_level(found.test_accuracy)
    for name in METHODS.values():
        rule = above(later.sel(way=name), 0.0, "levels of .8 by which training accuracy falls later than test accuracy")
        text = f"{name}: the training error rises later than the test error"
        claims.append(Claim.of(text, source, rule, f"falls: by more than {COMPETITIVE:g} below dense (ours)"))
    return claims


def _last_level(accuracy: xr.DataArray) -> xr.DataArray:
    """How many levels a network goes down until its accuracy is for the first time far below the dense one."""
    order = accuracy.sortby("keep_fraction", ascending=False)
    far = order < order.sel(keep_fraction=1.0) - COMPETITIVE
    levels = np.log(order.keep_fraction) / np.log(LEFT)
    return xr.where(far.any("keep_fraction"), levels.isel(keep_fraction=far.argmax("keep_fraction")), levels.max())


FIGURES = {"random-pruning-mnist": Figure(PRESETS, draw, check)}
