"""Figures and claims of paper 000 on images: dynamic TopK pruning of a CNN and a vision transformer under noise."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import xarray as xr
from scipy.stats import rankdata

from snljax import plotting, stats
from snljax.figures import Figure, Sweep
from snljax.figures.claims import Claim, above, below
from snljax.figures.datasets import Datasets, alive
from snljax.figures.image_sets import SIZES, cited, said, smaller, steps

DENSE = 1.0
# The paper names no optimiser, batch, interval between prunings or length of training.
_COMMON: dict[str, Any] = {"optimizer": "adam", "learning_rate": 1e-3, "pruning": "topk", "prune_every": 10}
_CNN: dict[str, Any] = {"network": "cnn", "prune_scope": "filter", **_COMMON}
_VIT: dict[str, Any] = {"network": "vit", "prune_scope": "layer", **_COMMON}
# Few enough images to be fitted in the steps that there is time for, as the papers' networks fit theirs.
_PART: dict[str, Any] = {"n_train": 1000, "n_test": 2000, "width": 0.5, "learning_rate": 3e-3}


# --- Figures 3 and 4 ---------------------------------------------------------------------------------

KEPT = [0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.8, 0.9, 1.0]
FEW = [0.05, 0.1, 0.2, 0.3, 0.5, 0.8, 1.0]
PLACES = {"mnist": "Figure 3", "cifar10": "Figure 4"}


def _shares(name: str, noise: float, seeds: int, **here: Any) -> dict[str, Any]:
    """'Mild random perturbations during training': new ones in each epoch, of a size that is ours."""
    common: dict[str, Any] = {**_CNN, "noise_std": noise, "fresh_noise": True}
    quick = common | smaller(name, {**_PART, **here}, digits={"steps": steps(30, SIZES["digits"][0])})
    whole = common | {"dataset": name, "steps": steps(50, SIZES[name][0], 128), "batch_size": 128}
    return {
        "quick": {name: Sweep("image_classification", **quick, keep_fraction=FEW, seed=range(seeds))},
        "paper": {name: Sweep("image_classification", **whole, keep_fraction=KEPT, seed=range(5))},
    }


def draw_shares(datasets: Datasets) -> dict[str, Any]:
    ((name, ds),) = datasets.items()
    fig, axes = plotting.panels(1, 2)
    shown = alive(ds)
    for ax, metric in zip(axes[0], ("test_accuracy", "train_loss"), strict=True):
        plotting.curves(shown[metric], x="keep_fraction", ax=ax, marker="o")
        ax.set_xscale("log")
        plotting.ticks(ax, x=ds.keep_fraction.values)
        ax.tick_params(axis="x", rotation=45)
        ax.set_xlabel("share of the weights that is kept")
    axes[0, 0].set_title(plotting.caption(ds))
    axes[0, 1].set_title("with the noise of training")
    fig.suptitle(said(ds, name))
    return {f"topk-{name}": fig}


def check_shares(datasets: Datasets) -> list[Claim]:
    ((name, ds),) = datasets.items()
    source = cited("000", f"Appendix A.2, {PLACES[name]}", ds, name)
    ended = alive(ds)
    test, train = ended.test_accuracy, ended.train_accuracy
    own = test.sel(keep_fraction=slice(0.1, 0.9)) - test.sel(keep_fraction=DENSE)
    steps = test.isel(keep_fraction=slice(None, -1)) - test.isel(keep_fraction=slice(1, None)).values
    best = float(own.mean("seed").max())
    claims = [
        Claim.of(
            "the more weights are kept, the better the training data are fitted",
            source,
            above(_rank_correlation(train), 0.0, "rank correlation of kept share and training accuracy"),
        ),
        Claim.of(
            "test accuracy is best at an intermediate share of kept weights",
            source,
            above(own, 0.0, "test accuracy at shares of .1 to .9, minus that of the dense network", cells="some"),
            f"largest mean difference {best:+.4f}",
        ),
    ]
    if name == "mnist":
        drops = "test accuracy minus that at the next larger share"
        rule = above(steps, 0.0, drops, cells="some")
        claims.append(Claim.of("test accuracy does not improve with every step of the kept share", source, rule))
    else:
        rule = above(
            steps.isel(keep_fraction=-1), 0.0, "test accuracy at the largest share below 1, minus the dense one"
        )
        claims.append(Claim.of("test accuracy degrades as the network becomes dense", source, rule))
    return claims


def _rank_correlation(values: xr.DataArray) -> xr.DataArray:
    """Spearman's, of the values with the kept share, for each seed."""
    rows = values.transpose("seed", "keep_fraction").values
    ranks = rankdata(np.where(np.isnan(rows), -np.inf, rows), axis=1)
    found = [np.corrcoef(row, np.arange(len(row)))[0, 1] if np.ptp(row) else 0.0 for row in ranks]
    return xr.DataArray(found, dims="seed")


# --- Tables 1 and 2 ----------------------------------------------------------------------------------

NOISE = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0]
TABLE = [0.1, 0.3, 0.5, 0.8, DENSE]
NEAR = 0.1  # chance: accuracy that says nothing of what pruning costs
STRONG = 5.0  # from here on noise is "strong" or "extreme"
SETS = {"topk-vit-table": "mnist", "topk-cifar100-table": "cifar100"}
# Dense accuracy in percent, and what is gained or lost at 80, 50, 30 and 10 %; rows as in NOISE.
PRINTED = {
    "topk-cifar100-table": [
        (66.84, 0.78, 0.80, 0.54, -0.11),
        (63.96, 0.85, 0.60, 0.53, 0.01),
        (57.38, 1.09, 0.85, 0.58, -0.76),
        (51.93, 0.54, 0.81, 0.71, -0.45),
        (47.41, 1.48, 1.12, 0.89, -1.59),
        (44.16, 1.17, 1.03, 0.20, -0.84),
        (14.98, 0.16, 0.23, 0.40, 1.07),
        (13.43, 0.57, 0.45, -0.21, 0.81),
        (11.83, -0.38, 0.05, -0.65, -0.24),
        (10.91, 0.16, -0.06, 0.54, 0.56),
        (10.44, -0.03, -0.44, -0.09, -0.24),
        (9.43, -0.20, -0.02, -0.18, -0.41),
    ],
    "topk-vit-table": [
        (98.16, 0.03, 0.05, -0.01, -0.97),
        (98.17, 0.04, -0.03, 0.02, -1.20),
        (98.46, 0.03, -0.02, -0.11, -0.91),
        (98.56, 0.01, 0.01, -0.16, -1.17),
        (98.52, 0.08, 0.03, -0.10, -1.15),
        (98.43, 0.03, -0.03, -0.03, -1.58),
        (93.08, 0.24, 0.18, -0.85, -4.80),
        (90.49, 0.33, 0.04, -1.02, -6.53),
        (88.74, -0.04, -0.11, -1.50, -6.53),
        (85.58, -0.01, -0.03, -0.86, -7.82),
        (84.65, -0.13, -0.55, -2.15, -7.80),
        (82.32, -0.26, -0.38, -1.62, -5.41),
    ],
}


def _table(noise: list[float], seeds: int, **fields: Any) -> dict[str, Any]:
    return {
        "accuracy": Sweep("image_classification", **fields, noise_std=noise, keep_fraction=TABLE, seed=range(seeds))
    }


VIT_PRESETS = {
    "quick": _table([0.0, 0.5, 5.0], 3, **_VIT | smaller("mnist", {**_PART, "side": 12, "steps": 320}, {"steps": 320})),
    # Half an hour on two cores.
    "medium": _table(
        [0.0, 0.3, 0.5, 5.0, 10.0],
        3,
        **_VIT | smaller("mnist", {**_PART, "n_train": 20_000, "side": 16, "steps": 1880}, {"steps": 1880}),
    ),
    "paper": _table(NOISE, 5, **_VIT, dataset="mnist", steps=steps(30, 60_000, 128), batch_size=128),
}
CNN_PRESETS = {
    "quick": _table(
        [0.0, 0.1, 0.3, 0.5, 5.0],
        3,
        **_CNN | smaller("cifar10", {**_PART, "side": 16, "steps": 400}, {"steps": 400}),
    ),
    "paper": _table(NOISE, 5, **_CNN, dataset="cifar100", steps=steps(100, 50_000, 128), batch_size=128),
}


def printed(figure: str) -> xr.Dataset:
    """What the paper's table says: ``dense`` in percent over noise, ``gain`` over noise and kept share."""
    rows = np.array(PRINTED[figure])
    coords = {"noise_std": NOISE, "keep_fraction": [0.8, 0.5, 0.3, 0.1]}
    gain = (("noise_std", "keep_fraction"), rows[:, 1:])
    return xr.Dataset({"dense": ("noise_std", rows[:, 0]), "gain": gain}, coords)


def _gains(ds: xr.Dataset) -> xr.Dataset:
    """What each kept share gains over the dense network, paired by seed, in percent points."""
    shares = [share for share in ds.keep_fraction.values.tolist()[::-1] if share != DENSE]
    found = [stats.compare(ds, "keep_fraction", share, DENSE, "test_accuracy") for share in shares]
    return xr.concat(found, xr.DataArray(shares, dims="keep_fraction", name="keep_fraction"))


def _draw_table(figure: str, datasets: Datasets) -> dict[str, Any]:
    ds = datasets["accuracy"]
    gains, dense = _gains(ds), alive(ds).test_accuracy.sel(keep_fraction=DENSE).mean("seed")
    theirs = printed(figure).sel(noise_std=ds.noise_std.values)
    fig, axes = plotting.panels(1, 2, ratio=0.3 + 0.11 * ds.sizes["noise_std"])
    for ax, gain, accuracy, title in (
        (axes[0, 0], 100 * gains.difference, 100 * dense, "ours"),
        (axes[0, 1], theirs.gain, theirs.dense, "as printed"),
    ):
        rows = [f"{s:g} ({a:.1f} %)" for s, a in zip(ds.noise_std.values, accuracy.values, strict=True)]
        columns = [f"{share:.0%}" for share in gain.keep_fraction.values]
        shown = gain.assign_coords(noise_std=rows, keep_fraction=columns)
        shown.attrs = {"long_name": "percent points over dense"}
        plotting.matrix(shown, x="keep_fraction", y="noise_std", form="{:+.2f}", around_zero=True, ax=ax)
        ax.set(xlabel="kept weights", ylabel="noise (accuracy, dense)", title=title, aspect="auto")
    sure = ((gains.low > 0) | (gains.high < 0)).transpose("noise_std", "keep_fraction").values.ravel()
    for text, apart in zip(axes[0, 0].texts, sure, strict=True):
        text.set_text(text.get_text() + ("*" if apart else ""))
    seeds = f"{ds.sizes['seed']} seeds, * the 95 % interval leaves 0 out"
    fig.suptitle(f"{said(ds, SETS[figure])}\n{seeds}")
    return {figure: fig}


def _check_table(figure: str, datasets: Datasets) -> list[Claim]:
    ds = datasets["accuracy"]
    accuracy = alive(ds).test_accuracy
    gain = accuracy - accuracy.sel(keep_fraction=DENSE)
    mild, strong = (gain.isel(noise_std=at) for at in (gain.noise_std < STRONG, gain.noise_std >= STRONG))
    over = "test accuracy minus that of the dense network, within a seed"
    reached = float(accuracy.sel(keep_fraction=DENSE).isel(noise_std=gain.noise_std >= STRONG).mean())
    chance = 1 / ds.sizes["class"]
    blind = f"under strong noise the dense network is at chance, {reached:.3g}" if reached < chance + NEAR else ""
    if figure == "topk-vit-table":
        place, least = "B.2, Table 2", 0.1
        costs = [part.sel(keep_fraction=least).mean("noise_std", skipna=False) for part in (strong, mild)]
        rules = {
            "light pruning (80 % kept) improves accuracy under no to moderate noise": above(
                mild.sel(keep_fraction=0.8), 0.0, over
            ),
            "keeping 10 % degrades accuracy": below(gain.sel(keep_fraction=least), 0.0, over),
            "keeping 10 % degrades it more under strong noise": below(
                costs[0] - costs[1], 0.0, f"{over}: mean under strong noise minus mean under the other"
            ).untestable(blind),
        }
    else:
        place, moderate = "B.1, Table 1", mild.isel(noise_std=mild.noise_std > 0)
        rules = {
            "80, 50 and 30 % outperform the dense network under moderate noise": above(
                moderate.sel(keep_fraction=[0.8, 0.5, 0.3]), 0.0, over
            ),
            "keeping 10 % is harmful under extreme noise": below(strong.sel(keep_fraction=0.1), 0.0, over).untestable(
                blind
            ),
        }
    source = cited("000", f"Appendix {place}", ds, SETS[figure])
    ours, theirs = xr.align(gain.drop_sel(keep_fraction=DENSE).mean("seed"), printed(figure).gain / 100, join="inner")
    note = f"over all cells {float(ours.mean()):+.4f}, printed {float(theirs.mean()):+.4f}"
    return [Claim.of(text, source, rule, note) for text, rule in rules.items()]


def _table_figure(figure: str, presets: dict[str, Any]) -> Figure:
    return Figure(presets, functools.partial(_draw_table, figure), functools.partial(_check_table, figure))


FIGURES = {
    "topk-mnist": Figure(_shares("mnist", 0.3, 10, side=14, steps=960), draw_shares, check_shares),
    "topk-cifar10": Figure(_shares("cifar10", 0.1, 5, side=16, steps=640), draw_shares, check_shares),
    "topk-vit-table": _table_figure("topk-vit-table", VIT_PRESETS),
    "topk-cifar100-table": _table_figure("topk-cifar100-table", CNN_PRESETS),
}
