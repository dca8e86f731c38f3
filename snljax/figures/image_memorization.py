"""Figures and claims of paper 001 on images: influence scores, overlaps of classes, and what removal costs."""

from __future__ import annotations

import functools
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr

from snljax import plotting
from snljax.figures import Computed, Figure, Sweep
from snljax.figures.claims import Claim, above
from snljax.figures.datasets import Datasets, of_each
from snljax.figures.image_sets import cited, said, smaller, untrained
from snljax.measures.image_statistics import class_correlations, class_shapes, influence_extremes
from snljax.papers import cite

# --- Figure 5 ----------------------------------------------------------------------------------------

EXTREMES_PRESETS = {
    "quick": {"digits": Computed(influence_extremes, dataset="digits")},
    "paper": {name: Computed(influence_extremes, dataset=name) for name in ("mnist", "cifar10")},
}


def draw_extremes(datasets: Datasets) -> dict[str, Any]:
    return {f"influence-extremes-{label}": _extremes_page(ds) for label, ds in datasets.items()}


def _extremes_page(ds: xr.Dataset) -> Any:
    fig, axes = plotting.panels(1, 2, ratio=1.02)
    row = ds.sizes["height"] + 1
    for ax, end in zip(axes[0], ds.end.values, strict=True):
        ax.imshow(_tiles(ds.image.sel(end=end)), cmap="gray_r", vmin=0, vmax=255, interpolation="nearest")
        ax.set_yticks(np.arange(ds.sizes["class"]) * row + row / 2, ds["class"].values)
        ax.set(xticks=[], title=f"{end} influence")
        ax.tick_params(length=0)
        ax.spines[:].set_visible(False)
    axes[0, 0].set_ylabel("class")
    return fig


def _tiles(images: xr.DataArray) -> np.ndarray:
    """Classes along rows, ranks along columns, a line between."""
    tiles = images.transpose("class", "rank", "height", "width", "channel").values
    edge = np.full(tiles.shape[-1], 255 if tiles.shape[-1] == 3 else 0, tiles.dtype)
    framed = np.broadcast_to(edge, (*tiles.shape[:2], tiles.shape[2] + 1, tiles.shape[3] + 1, tiles.shape[4])).copy()
    framed[:, :, :-1, :-1] = tiles
    page = framed.swapaxes(1, 2).reshape(-1, framed.shape[1] * framed.shape[3], framed.shape[4])
    return page if page.shape[-1] == 3 else page[..., 0]


@of_each
def check_extremes(ds: xr.Dataset, label: str) -> list[Claim]:
    high, low = (ds.neighbour_error.sel(end=end) for end in ("highest", "lowest"))
    ends = f"highest {ds.attrs['tail']:.0%} of a class minus lowest, over classes"
    return [
        Claim.of(
            f"{label}: images of high influence are atypical, hard to classify",
            cite("001", "Section 5.2, Figure 5 (the measure is ours)"),
            above(high - low, 0, f"error of 5 nearest neighbours, {ends}"),
            f"{float(high.mean()):.3g} against {float(low.mean()):.3g}",
        )
    ]


# --- Figure 6 ----------------------------------------------------------------------------------------

MATRIX_PRESETS = {
    "quick": {"digits": Computed(class_correlations, dataset="digits")},
    "paper": {name: Computed(class_correlations, dataset=name) for name in ("mnist", "cifar10")},
}


def draw_matrix(datasets: Datasets) -> dict[str, Any]:
    fig, axes = plotting.panels(len(datasets), 2, ratio=0.85)
    for (left, right), (label, ds) in zip(axes, datasets.items(), strict=True):
        share = 100 * ds.overlap / ds.overlap.max()
        overlap = share.assign_attrs(long_name=r"$\|\hat{A}_i^\top \hat{A}_j\|_F^2$, largest = 100")
        plotting.matrix(overlap, x="other", y="class", form="{:.0f}", ax=left)
        ratio = np.log10(ds.noise_correlation.mean("part")).assign_attrs(long_name=r"$\log_{10} \Gamma_{ij}$")
        plotting.matrix(ratio, x="other", y="class", form="{:.1f}", around_zero=True, ax=right)
        left.set(xlabel="class $j$", ylabel="class $i$", title=f"{label}: overlap of the classes' noise")
        right.set(xlabel="class $j$", ylabel="class $i$", title=f"{label}: noise correlation ratio")
    return {"noise-correlation-matrix": fig}


@of_each
def check_matrix(ds: xr.Dataset, label: str) -> list[Claim]:
    source = cite("001", f"Section 5.2, Figure 6, {label}")
    off = ~np.eye(ds.sizes["class"], dtype=bool)
    ratio, gamma, cosine = (
        v.transpose("part", "class", "other").values[:, off] for v in (ds.ratio, ds.noise_correlation, ds.cosine)
    )
    pairs = xr.DataArray(ratio, dims=("seed", "pair"))  # a part of the images is what a seed is elsewhere
    return [
        Claim.of(
            "the noise correlation ratios are large, of every class with every other",
            source,
            above(pairs, 1.0, "ratio of a pair, sizes of the classes left out, over parts of the images"),
            "1 is the value of equal noise, the theorem asks for a large constant; "
            f"Γ with sizes: smallest {gamma.mean(0).min():.3g}, median {np.median(gamma.mean(0)):.3g}, "
            f"largest {gamma.mean(0).max():.3g}",
        ),
        Claim.of(
            "noise is differently correlated in different classes",
            source,
            above(
                1 - cosine.mean(1),
                0,
                "1 minus the cosine of the covariances of two classes, mean over pairs, over parts of the images",
            ),
        ),
    ]


# --- Figure 7 ----------------------------------------------------------------------------------------

ORDERS = {"high": "highest influence", "low": "lowest influence", "random": "at random"}


def _removal(dataset: str, fractions: list[float], seeds: int, **settings: Any) -> Sweep:
    """Nothing removed, each fraction from either end and at random, and from either end of each class."""
    rows = [(0.0, 0.0, 0.0, False)]
    for f in fractions:
        rows += [(f, 0.0, 0.0, False), (0.0, f, 0.0, False), (0.0, 0.0, f, False)]
        rows += [(f, 0.0, 0.0, True), (0.0, f, 0.0, True)]
    names = ("remove_high", "remove_low", "remove_random", "within_class")
    columns = dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
    return Sweep("influence_removal", dataset=dataset, removal=columns, seed=range(seeds), **settings)


REMOVAL_PRESETS = {
    "quick": {"digits": _removal("digits", [0.1, 0.3, 0.5], 10, steps=450)},
    "paper": {"mnist": _removal("mnist", [0.1, 0.2, 0.3, 0.5], 5, steps=2814)},  # three epochs
}


def _on_cifar(fractions: list[float], seeds: int, steps: int, **settings: Any) -> dict[str, Any]:
    """The paper names no setting of its ResNet-18: those are the usual ones."""
    usual = {"network": "resnet18", "learning_rate": 0.1, "weight_decay": 5e-4, "schedule": "cosine"}
    name = settings.get("dataset", "cifar10")
    given = {"dataset": "cifar10", **usual, "schedule_steps": steps, "steps": steps, **settings}
    return {name: _removal(given.pop("dataset"), fractions, seeds, **given)}


_SMALL = smaller("cifar10", {"n_train": 1000, "n_test": 1000, "side": 16}, {"side": 16, "n_train": 1000})
CIFAR_PRESETS = {
    "quick": _on_cifar([0.3], 3, 60, width=0.125, batch_size=64, learning_rate=0.05, **_SMALL),
    "medium": _on_cifar(
        [0.1, 0.3, 0.5],
        5,
        600,
        width=0.25,
        batch_size=128,
        augment="crop_flip",
        **smaller("cifar10", {"n_train": 10_000, "n_test": 5000, "side": 16}, {"side": 16}),
    ),
    "paper": _on_cifar([0.1, 0.2, 0.3, 0.5], 3, 39_100, batch_size=128, augment="crop_flip"),  # 100 epochs
}


def _accuracy(ds: xr.Dataset, order: str, within_class: bool) -> xr.DataArray:
    """Test accuracy over the fraction removed in one way, (fraction, seed), with nothing removed in front."""
    removed = {name: ds[f"remove_{name}"].values for name in ORDERS}
    nothing = sum(removed.values()) == 0
    # A random choice takes the same share of each class anyway.
    chosen = (removed[order] > 0) & (ds.within_class.values == (within_class and order != "random"))
    rows = np.r_[np.flatnonzero(nothing), np.flatnonzero(chosen)]
    accuracy = ds.test_accuracy.isel(removal=rows).drop_vars(ds.removal.coords, errors="ignore")
    about = {"long_name": "fraction of the training images removed"}
    return accuracy.rename(removal="fraction").assign_coords(fraction=("fraction", removed[order][rows], about))


def _by_order(ds: xr.Dataset, within_class: bool) -> xr.DataArray:
    joined = xr.concat([_accuracy(ds, order, within_class) for order in ORDERS], "removed")
    return joined.assign_coords(removed=list(ORDERS.values()))


def draw_removal(figure: str, datasets: Datasets) -> dict[str, Any]:
    fig, axes = plotting.panels(len(datasets), 2, sharey="row")
    for row, (label, ds) in zip(axes, datasets.items(), strict=True):
        for ax, within_class in zip(row, (False, True), strict=True):
            plotting.curves(_by_order(ds, within_class), x="fraction", hue="removed", ax=ax, marker="o")
            ax.set_title(f"{label}: {'the same share of each class' if within_class else 'one ranking of all images'}")
        row[1].set_ylabel("")
    plotting.legend(fig)
    fig.suptitle(
        plotting.caption(ds) if figure == "influence-removal" else f"{said(ds, 'cifar10')}\n{plotting.caption(ds)}"
    )
    return {figure: fig}


@of_each
def check_removal(ds: xr.Dataset, label: str) -> list[Claim]:
    return [claim for within_class in (False, True) for claim in _removal_claims(ds, label, within_class)]


def _removal_claims(ds: xr.Dataset, label: str, within_class: bool) -> list[Claim]:
    ranking = "the same share of each class (ours)" if within_class else "one ranking of all images"
    by_order = _by_order(ds, within_class).isel(fraction=slice(1, None))
    high, low, random = (by_order.isel(removed=i) for i in range(3))
    ours = "" if within_class else " (ours)"
    blind = untrained(_accuracy(ds, "high", within_class).isel(fraction=0), ds.sizes["class"])
    of = "the second minus the first, over seeds (weights, orders, random choice; one training and one test set)"
    claims = []
    for text, whose, lost in (
        ("removing high influence costs more accuracy than removing low influence", "", low - high),
        ("removing high influence costs more than removing at random", ours, random - high),
        ("removing at random costs more than removing low influence", ours, low - random),
    ):
        means = zip(lost.fraction.values, lost.mean("seed").values, strict=True)
        mean = lost.mean("fraction", skipna=False)
        claims.append(
            Claim.of(
                text,
                cited("001", f"Section 5.2, Figure 7, {label}, {ranking}{whose}", ds, label),
                above(mean, 0, f"loss of test accuracy within a seed, mean over fractions, {of}").untestable(blind),
                ", ".join(f"{mean:.3g} at {fraction:g}" for fraction, mean in means),
            )
        )
    return claims


# --- Figure 1 ----------------------------------------------------------------------------------------

SHAPES_PRESETS = {
    "quick": {"digits": Computed(class_shapes, dataset="digits", n=600, seeds=3)},
    "paper": {"mnist": Computed(class_shapes, dataset="mnist", n=3000, seeds=5)},
}
_KINDS = {"own noise": "Gaussian, each class's noise", "equal noise": "Gaussian, one noise for all"}


def draw_shapes(datasets: Datasets) -> dict[str, Any]:
    fig, axes = plotting.panels(len(datasets), 3, ratio=1.05)
    for row, (label, ds) in zip(axes, datasets.items(), strict=True):
        colors = plt.get_cmap("tab20")(np.linspace(0, 1, ds.sizes["class"]))
        for ax, kind in zip(row, ds.kind.values, strict=True):
            at, classes = ds.place.isel(seed=0).sel(kind=kind).values, ds.label.isel(seed=0).values
            for k, name in enumerate(ds["class"].values):
                ax.plot(*at[classes == k].T, ".", color=colors[k])
                ax.text(*np.median(at[classes == k], axis=0), name, weight="bold", ha="center", va="center")
            ax.set(xticks=[], yticks=[], title=f"t-SNE: {_KINDS.get(kind, label)}")
    return {"class-shapes": fig}


@of_each
def check_shapes(ds: xr.Dataset, label: str) -> list[Claim]:
    spread = np.log(ds.elongation).std("class")
    kinds = "Gaussian data with each class's covariance minus such with one for all"
    return [
        Claim.of(
            f"{label}: t-SNE shows shapes that differ between classes because their noise does",
            cite("001", "Figure 1 (the comparison is ours)"),
            above(
                spread.sel(kind="own noise") - spread.sel(kind="equal noise"),
                0,
                f"standard deviation over classes of the logarithm of a class's elongation, {kinds}",
            ),
            ", ".join(f"{kind} {float(spread.sel(kind=kind).mean()):.3g}" for kind in spread.kind.values),
        )
    ]


FIGURES = {
    "influence-extremes": Figure(EXTREMES_PRESETS, draw_extremes, check_extremes),
    "noise-correlation-matrix": Figure(MATRIX_PRESETS, draw_matrix, check_matrix),
    "influence-removal": Figure(REMOVAL_PRESETS, functools.partial(draw_removal, "influence-removal"), check_removal),
    "influence-removal-cifar10": Figure(
        CIFAR_PRESETS, functools.partial(draw_removal, "influence-removal-cifar10"), check_removal
    ),
    "class-shapes": Figure(SHAPES_PRESETS, draw_shapes, check_shapes),
}
