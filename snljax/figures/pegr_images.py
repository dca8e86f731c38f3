"""Figures and claims of paper 003 on images: LeNet-5 on noisy MNIST, with and without the gradient penalty."""

from __future__ import annotations

import itertools
from typing import Any

import xarray as xr

from snljax import plotting
from snljax.figures import Figure, Sweep
from snljax.figures.claims import Claim, Finding, above, below, every
from snljax.figures.datasets import Datasets, alive, setting
from snljax.figures.image_sets import SIZES, cited, said, smaller, steps

WANTED = "mnist"
CLOSED = 25  # epochs
STANDARD = "standard"
PRINTED_WEIGHT = 0.1
AS_GOOD = 0.01  # test accuracy
_PRINTED: dict[str, Any] = {
    "network": "lenet",
    "sigma_0": 0.1,
    "learning_rate": 0.01,
    "batch_size": 64,
    "close_at": CLOSED,
    "algorithm": {"penalty": ["pegr", "none"], "penalty_weight": [PRINTED_WEIGHT, 0.0]},
}
PRINTED_NOISE = [0.0, 5.0, 10.0, 15.0]
# What can be learned of a mean under noise goes with σ_p/√n: with a hundredth of the images, a tenth of the noise.
_PART: dict[str, Any] = {"n_train": 512, "n_test": 500, "steps": steps(75, 512), "noise_std": [0.0, 0.5, 1.0, 1.5]}
_DIGITS: dict[str, Any] = {"n_train": 512, "steps": 3000, "noise_std": [0.0, 0.5, 1.0, 1.5]}

PRESETS = {
    "quick": {
        "lenet": Sweep(
            "image_classification", record_every=50, **_PRINTED, **smaller(WANTED, _PART, _DIGITS), seed=range(3)
        )
    },
    "paper": {
        "lenet": Sweep(
            "image_classification",
            record_every=938,
            **_PRINTED,
            dataset=WANTED,
            steps=steps(50, 60_000),
            noise_std=PRINTED_NOISE,
            seed=range(5),
        )
    },
}


def draw(datasets: Datasets) -> dict[str, Any]:
    ds = datasets["lenet"]
    shown = _named(alive(ds))
    levels = ds.noise_std.values
    fig, axes = plotting.panels(2, len(levels), ratio=1.0, sharex=True, sharey="row")
    images = setting(ds, "n_train") or SIZES[setting(ds, "dataset")][0]
    closed = steps(CLOSED, images, setting(ds, "batch_size"))
    for row, metric in zip(axes, ("train_loss", "test_accuracy"), strict=True):
        for ax, sigma_p in zip(row, levels, strict=True):
            plotting.curves(shown[metric].sel(noise_std=sigma_p), x="step", hue="algorithm", legend=False, ax=ax)
            plotting.reference(ax, x=closed, ls=":")
            ax.set(xlabel="gradient steps", title=rf"$\sigma_p$ = {sigma_p:g}" if metric == "train_loss" else "")
            ax.label_outer()
    plotting.legend(fig)
    lost = int((ds.status == plotting.DIVERGED).sum())
    other = "" if levels.tolist() == PRINTED_NOISE else "; noise smaller than 0, 5, 10, 15, as there are fewer images"
    left_out = f"; {lost} of {ds.status.size} networks diverged and are left out" if lost else ""
    fig.suptitle(f"{said(ds, WANTED)}{other}\n{plotting.caption(ds)}; dotted: penalty closed{left_out}")
    return {"pegr-mnist": fig}


def _named(ds: xr.Dataset) -> xr.Dataset:
    """Along the algorithms' names."""
    pairs = zip(ds.penalty.values, ds.penalty_weight.values, strict=True)
    names = [STANDARD if penalty == "none" else f"PEGR, λ = {weight:g}" for penalty, weight in pairs]
    return ds.drop_vars(["penalty", "penalty_weight"]).assign_coords(algorithm=names)


def check(datasets: Datasets) -> list[Claim]:
    ds = datasets["lenet"]
    shown, lost = _named(alive(ds)), _named(ds).status == plotting.DIVERGED
    names = shown.algorithm.values.tolist()
    accuracy, plain = shown.test_accuracy.isel(step=-1), shown.test_accuracy.isel(step=-1).sel(algorithm=STANDARD)
    gains, claims = accuracy - plain, []
    over = "test accuracy of PEGR minus that of standard training, within a seed"

    def add(text: str, figure: int, name: str, rule: Finding, note: str = "") -> None:
        whose = " (the weight is ours)" if name not in (STANDARD, f"PEGR, λ = {PRINTED_WEIGHT:g}") else ""
        source = cited("003", f"Section 4.2, Figure {figure}", ds, WANTED) + whose
        claims.append(Claim.of(f"{name}: {text}", source, rule, note))

    for name in names:
        loss = shown.train_loss.sel(algorithm=name)
        fallen = every(loss.isel(step=-1) / loss.isel(step=0), "<", 1.0, "training loss, end over start")
        add("the training loss decreases", 5, name, fallen, f"{int(lost.sel(algorithm=name).sum())} diverged")
    for name, sigma_p in itertools.product(names, ds.noise_std.values.tolist()):
        gain = gains.sel(algorithm=name, noise_std=sigma_p)
        means = [float(a.sel(noise_std=sigma_p).mean("seed")) for a in (accuracy.sel(algorithm=name), plain)]
        note = f"{means[0]:.3g} against {means[1]:.3g}"
        if name != STANDARD and sigma_p > 0:
            add(f"higher test accuracy than without at σ_p = {sigma_p:g}", 6, name, above(gain, 0.0, over), note)
        elif name != STANDARD:
            rule = above(gain, -AS_GOOD, over)
            add("without noise the signal is learned as well", 6, name, rule, f"{note}; {AS_GOOD:g} is ours")
    for name in names:
        falls = below(accuracy.sel(algorithm=name).diff("noise_std"), 0.0, "test accuracy minus that at less noise")
        add("test accuracy decreases as the noise grows", 6, name, falls)
    return claims


FIGURES = {"pegr-mnist": Figure(PRESETS, draw, check)}
