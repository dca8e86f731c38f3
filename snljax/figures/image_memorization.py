"""Figures and claims of paper 001 on images: influence scores, overlaps of classes, and what removal costs."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr

from snljax import plotting
from snljax.figures import Computed, Figure, Sweep
from snljax.figures.claims import Claim, above
from snljax.stats import t_interval as interval

PAPER = "001_bf8ff98528848446.txt"


def _extremes(dataset: str) -> xr.Dataset:
    return _statistics().influence_extremes(dataset)


def _correlations(dataset: str) -> xr.Dataset:
    return _statistics().class_correlations(dataset)


def _shapes(dataset: str, n: int, seeds: int) -> xr.Dataset:
    return _statistics().class_shapes(dataset, n=n, seeds=seeds)


def _statistics() -> Any:
    from snljax.measures import image_statistics  # brings JAX, which presets and pictures do not need

    return image_statistics


# --- Figure 5 ----------------------------------------------------------------------------------------

EXTREMES_PRESETS = {
    "quick": {"digits": Computed(_extremes, dataset="digits")},
    "paper": {name: Computed(_extremes, dataset=name) for name in ("mnist", "cifar10")},
}


def draw_extremes(datasets: dict[str, xr.Dataset]) -> dict[str, Any]:
    pictures = {}
    for label, ds in datasets.items():
        fig, axes = plt.subplots(1, 2, figsize=(9.2, 4.7), layout="constrained")
        for ax, end in zip(axes, ds.end.values, strict=True):
            ax.imshow(_tiles(ds.image.sel(end=end)), cmap="gray_r", vmin=0, vmax=255, interpolation="nearest")
            height = ds.sizes["height"] + 1
            ax.set_yticks(np.arange(ds.sizes["class"]) * height + height / 2, ds["class"].values)
            ax.set_xticks([])
            ax.tick_params(length=0)
            ax.spines[:].set_visible(False)
            ax.set_title(f"{end} influence", fontsize=10)
        axes[0].set_ylabel("class")
        pictures[f"influence-extremes-{label}"] = fig
    return pictures


def _tiles(images: xr.DataArray) -> np.ndarray:
    """Classes along rows, ranks along columns, a line between."""
    tiles = images.transpose("class", "rank", "height", "width", "channel").values
    edge = np.full(tiles.shape[-1], 255 if tiles.shape[-1] == 3 else 0, tiles.dtype)
    framed = np.broadcast_to(edge, (*tiles.shape[:2], tiles.shape[2] + 1, tiles.shape[3] + 1, tiles.shape[4])).copy()
    framed[:, :, :-1, :-1] = tiles
    page = framed.swapaxes(1, 2).reshape(-1, framed.shape[1] * framed.shape[3], framed.shape[4])
    return page if page.shape[-1] == 3 else page[..., 0]


def check_extremes(datasets: dict[str, xr.Dataset]) -> list[Claim]:
    claims = []
    for label, ds in datasets.items():
        error = ds.neighbour_error
        found = interval(error.sel(end="highest") - error.sel(end="lowest"))
        share = f"{ds.attrs['tail']:.0%}"
        means = {end: float(error.sel(end=end).mean()) for end in ("highest", "lowest")}
        claims.append(
            Claim(
                f"{label}: images of high influence are atypical, hard to classify",
                f"{PAPER} Section 5.2, Figure 5 (the measure is ours)",
                above(found),
                found,
                f"error of 5 nearest neighbours, highest {share} of a class minus lowest {share}: interval over "
                "classes above 0",
                f"{means['highest']:.3g} against {means['lowest']:.3g}",
            )
        )
    return claims


# --- Figure 6 ----------------------------------------------------------------------------------------

MATRIX_PRESETS = {
    "quick": {"digits": Computed(_correlations, dataset="digits")},
    "paper": {name: Computed(_correlations, dataset=name) for name in ("mnist", "cifar10")},
}


def draw_matrix(datasets: dict[str, xr.Dataset]) -> dict[str, Any]:
    fig, axes = plt.subplots(len(datasets), 2, figsize=(9.6, 4.1 * len(datasets)), layout="constrained", squeeze=False)
    for (left, right), (label, ds) in zip(axes, datasets.items(), strict=True):
        norm = ds.norm / ds.norm.max()
        _matrix(left, norm, "cividis", r"$\|\hat{A}_i^\top \hat{A}_j\|_F$, largest = 1", "{:.2f}")
        ratio = np.log10(ds.noise_correlation.mean("part"))
        reach = float(np.abs(ratio.values[np.isfinite(ratio.values)]).max())
        _matrix(right, ratio, "PuOr", r"$\log_{10} \Gamma_{ij}$", "{:.1f}", (-reach, reach))
        left.set_title(f"{label}: overlap of the classes' noise", fontsize=10)
        right.set_title(f"{label}: noise correlation ratio", fontsize=10)
    return {"noise-correlation-matrix": fig}


def _matrix(ax: Any, values: xr.DataArray, cmap: str, label: str, form: str, limits: Any = (None, None)) -> None:
    shown = values.transpose("class", "other").values
    image = ax.imshow(shown, cmap=cmap, vmin=limits[0], vmax=limits[1])
    names = values["class"].values
    turned = {"rotation": 45, "ha": "right"} if max(map(len, names)) > 2 else {}
    ax.set_xticks(range(len(names)), names, fontsize=8, **turned)
    ax.set_yticks(range(len(names)), names, fontsize=8)
    ax.set_xlabel("class $j$")
    ax.set_ylabel("class $i$")
    if len(names) <= 12:
        for i, j in np.ndindex(shown.shape):
            red, green, blue, _ = image.cmap(image.norm(shown[i, j]))
            dark = 0.3 * red + 0.59 * green + 0.11 * blue < 0.5
            ax.text(j, i, form.format(shown[i, j]), ha="center", va="center", fontsize=6, color="w" if dark else "k")
    ax.figure.colorbar(image, ax=ax, label=label)


def check_matrix(datasets: dict[str, xr.Dataset]) -> list[Claim]:
    claims = []
    for label, ds in datasets.items():
        source = f"{PAPER} Section 5.2, Figure 6, {label}"
        off = ~np.eye(ds.sizes["class"], dtype=bool)
        ratio, gamma = (v.transpose("part", "class", "other").values[:, off] for v in (ds.ratio, ds.noise_correlation))
        smallest = interval(ratio[:, ratio.mean(0).argmin()])
        gap = interval(1 - ds.cosine.transpose("part", "class", "other").values[:, off].mean(1))
        claims += [
            Claim(
                "the noise correlation ratios are large, of every class with every other",
                source,
                above(smallest, 1.0),
                smallest,
                "smallest ratio of any pair, sizes of the classes left out: interval over parts of the images above "
                "1, the value of equal noise (the theorem asks for a large constant)",
                f"Γ with sizes: smallest {gamma.mean(0).min():.3g}, median {np.median(gamma.mean(0)):.3g}, "
                f"largest {gamma.mean(0).max():.3g}",
            ),
            Claim(
                "noise is differently correlated in different classes",
                source,
                above(gap),
                gap,
                "1 minus the cosine of the covariances of two classes, mean over pairs: interval over parts of the "
                "images above 0",
            ),
        ]
    return claims


# --- Figure 7 ----------------------------------------------------------------------------------------

ORDERS = ("high", "low", "random")


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


def _accuracy(ds: xr.Dataset, order: str, within_class: bool) -> xr.DataArray:
    """Test accuracy over the fraction removed in one way, (fraction, seed), with nothing removed in front."""
    removed = {name: ds[f"remove_{name}"].values for name in ORDERS}
    nothing = sum(removed.values()) == 0
    # A random choice takes the same share of each class anyway.
    chosen = (removed[order] > 0) & (ds.within_class.values == (within_class and order != "random"))
    rows = np.r_[np.flatnonzero(nothing), np.flatnonzero(chosen)]
    out = (
        ds.test_accuracy.isel(removal=rows)
        .rename(removal="fraction")
        .drop_vars(list(ds.removal.coords), errors="ignore")
    )
    return out.assign_coords(fraction=removed[order][rows])


def _curves(ds: xr.Dataset, within_class: bool) -> xr.DataArray:
    joined = xr.concat([_accuracy(ds, order, within_class) for order in ORDERS], "removed")
    return joined.assign_coords(removed=["highest influence", "lowest influence", "at random"])


def draw_removal(datasets: dict[str, xr.Dataset]) -> dict[str, Any]:
    fig, axes = plt.subplots(
        len(datasets), 2, figsize=(8.8, 3.5 * len(datasets)), layout="constrained", squeeze=False, sharey="row"
    )
    for row, (label, ds) in zip(axes, datasets.items(), strict=True):
        for ax, within_class in zip(row, (False, True), strict=True):
            plotting.curves(_curves(ds, within_class), x="fraction", hue="removed", ax=ax, marker="o", ms=3)
            ax.set_xlabel("fraction of the training images removed")
            ax.set_ylabel("" if within_class else "test accuracy")
            ranking = "the same share of each class" if within_class else "one ranking of all images"
            ax.set_title(f"{label}: {ranking}", fontsize=10)
    return {"influence-removal": fig}


def check_removal(datasets: dict[str, xr.Dataset]) -> list[Claim]:
    return [
        claim
        for label, ds in datasets.items()
        for within_class in (False, True)
        for claim in _removal_claims(_curves(ds, within_class).isel(fraction=slice(1, None)), label, within_class)
    ]


def _removal_claims(accuracy: xr.DataArray, label: str, within_class: bool) -> list[Claim]:
    ranking = "the same share of each class (ours)" if within_class else "one ranking of all images"
    high, low, random = (accuracy.isel(removed=i) for i in range(3))
    ours = "" if within_class else " (ours)"

    def dearer(text: str, a: xr.DataArray, b: xr.DataArray, whose: str = "") -> Claim:
        found = interval((b - a).mean("fraction", skipna=False))
        by_fraction = ", ".join(
            f"{float(v):.3g} at {f:g}" for f, v in zip(a.fraction, (b - a).mean("seed"), strict=True)
        )
        return Claim(
            text,
            f"{PAPER} Section 5.2, Figure 7, {label}, {ranking}{whose}",
            above(found),
            found,
            "loss of test accuracy within a seed, mean over fractions, the second minus the first: interval over seeds "
            "(weights, orders, random choice; one training and one test set) above 0",
            by_fraction,
        )

    return [
        dearer("removing high influence costs more accuracy than removing low influence", high, low),
        dearer("removing high influence costs more than removing at random", high, random, ours),
        dearer("removing at random costs more than removing low influence", random, low, ours),
    ]


# --- Figure 1 ----------------------------------------------------------------------------------------

SHAPES_PRESETS = {
    "quick": {"digits": Computed(_shapes, dataset="digits", n=600, seeds=3)},
    "paper": {"mnist": Computed(_shapes, dataset="mnist", n=3000, seeds=5)},
}


def draw_shapes(datasets: dict[str, xr.Dataset]) -> dict[str, Any]:
    fig, axes = plt.subplots(len(datasets), 3, figsize=(11, 3.6 * len(datasets)), layout="constrained", squeeze=False)
    for row, (label, ds) in zip(axes, datasets.items(), strict=True):
        colors = plt.get_cmap("tab20")(np.linspace(0, 1, ds.sizes["class"]))
        for ax, kind in zip(row, ds.kind.values, strict=True):
            at, classes = ds.place.isel(seed=0).sel(kind=kind).values, ds.label.isel(seed=0).values
            for k, name in enumerate(ds["class"].values):
                ax.plot(*at[classes == k].T, ".", ms=2, color=colors[k])
                ax.text(*np.median(at[classes == k], axis=0), name, weight="bold", ha="center", va="center")
            ax.set_xticks([])
            ax.set_yticks([])
            title = {"own noise": "Gaussian, each class's noise", "equal noise": "Gaussian, one noise for all classes"}
            ax.set_title(f"t-SNE: {title.get(kind, label)}", fontsize=10)
    return {"class-shapes": fig}


def check_shapes(datasets: dict[str, xr.Dataset]) -> list[Claim]:
    claims = []
    for label, ds in datasets.items():
        spread = np.log(ds.elongation).std("class")
        found = interval(spread.sel(kind="own noise") - spread.sel(kind="equal noise"))
        means = {str(kind): float(spread.sel(kind=kind).mean()) for kind in spread.kind.values}
        claims.append(
            Claim(
                f"{label}: t-SNE shows shapes that differ between classes because their noise does",
                f"{PAPER} Figure 1 (the comparison is ours)",
                above(found),
                found,
                "standard deviation over classes of the logarithm of a class's elongation, Gaussian data with each "
                "class's covariance minus such with one for all: interval over seeds above 0",
                ", ".join(f"{kind} {mean:.3g}" for kind, mean in means.items()),
            )
        )
    return claims


FIGURES = {
    "influence-extremes": Figure(
        EXTREMES_PRESETS,
        draw_extremes,
        check_extremes,
    ),
    "noise-correlation-matrix": Figure(
        MATRIX_PRESETS,
        draw_matrix,
        check_matrix,
    ),
    "influence-removal": Figure(
        REMOVAL_PRESETS,
        draw_removal,
        check_removal,
    ),
    "class-shapes": Figure(
        SHAPES_PRESETS,
        draw_shapes,
        check_shapes,
    ),
}
