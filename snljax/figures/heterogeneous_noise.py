"""Figures and claims of paper 001 on synthetic data: phase diagrams, minorities, long tails."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from snljax import boundary, plotting, theory
from snljax.figures import Figure, Preset, Sweep, Trace
from snljax.figures.claims import Claim, above, below, every, on_side, within
from snljax.figures.datasets import Datasets, of_each, setting
from snljax.papers import cite
from snljax.stats import t_interval

NEAR_OPTIMAL = 0.9  # test accuracy; the paper's "near-optimal"
LARGE = 100  # Γ from which statement 2(b), about a large one, is held to what it says


def _sweep(seeds: int, reading: str = "fitted", **fields: Any) -> Sweep:
    return Sweep("heterogeneous_noise", reading=reading, seed=range(seeds), **fields)


def _apart(start: float, stop: float, number: int) -> list[float]:
    return np.linspace(start, stop, number).round(6).tolist()


# --- Figure 3 ----------------------------------------------------------------------------------------


def _plane(number: int) -> dict[str, Any]:
    return {"u_norm": _apart(0.001, 3.8, number), "noise_correlation": _apart(1, 1400, number)}


NOISE_PRESETS = {
    "quick": {
        "fitted-gaussian": _sweep(2, **_plane(8)),
        "fitted-uniform": _sweep(2, noise_distribution="uniform", **_plane(8)),
    },
    "paper": {
        "fitted-gaussian": _sweep(5, **_plane(20)),
        "fitted-uniform": _sweep(5, noise_distribution="uniform", **_plane(20)),
        "printed-gaussian": _sweep(3, "printed", **_plane(20)),
        "mini_batch-gaussian": _sweep(3, "mini_batch", **_plane(20)),
    },
}


def draw_noise(datasets: Datasets) -> dict[str, Any]:
    fig, axes = plotting.panels(-(-len(datasets) // 2), 2)
    for ax, (label, ds) in zip(axes.flat, datasets.items(), strict=True):
        _accuracy_map(ds, "u_norm", "noise_correlation", ax, label.replace("-", ", "))
        _feature_borders(ds, "noise_correlation", 0, ax)
        _noise_border(ds, "u_norm", 0, ax)
    plotting.legend(fig)
    return {"noise-heatmap": fig}


def _accuracy_map(ds: xr.Dataset, x: str, y: str, ax: Any, title: str) -> None:
    accuracy, guessing = ds.test_accuracy.mean("seed", keep_attrs=True), 1 / setting(ds, "num_classes")
    plotting.heatmap(accuracy, x=x, y=y, limits=(guessing, 1.0), status=ds.status, ax=ax)
    ax.set_title(title)


def _feature_borders(ds: xr.Dataset, along: str, row: int, ax: Any) -> None:
    """Statement 2(a)'s border on a map over ‖u‖: C₁ as 1, and so that it holds in one row of the map."""

    def sizes(place: Any) -> list[Any]:
        names = ("noise_correlation", "samples_per_class", "d", "num_classes")
        return [place if name == along else setting(ds, name) for name in names]

    fitted_at = ds.isel({along: row})
    constant = theory.signal_ratio(_near_optimal(fitted_at, "u_norm"), *sizes(fitted_at[along].item()))
    up = np.linspace(float(ds[along].min()), float(ds[along].max()), 200)
    for ratio, ls, says in ((1.0, "--", "$C_1$ = 1"), (constant, "-", f"$C_1$ fitted at {_place(fitted_at, along)}")):
        border = theory.signal_strength_for_ratio(ratio, *sizes(up))
        _border(ax, x=border, y=up, ls=ls, color=plotting.COLORS[1], label=f"Theorem 1 (2a), {says}")


def _noise_border(ds: xr.Dataset, other: str, row: int, ax: Any) -> None:
    """Statement 2(b)'s border Γ = C₂, so that it holds in one row of the map: neither ‖u‖ nor n enters it.

    There is none with C₂ as 1, since Γ is 1 or more everywhere.
    """
    fitted_at = ds.isel({other: row})
    axis = "y" if other == "u_norm" else "x"
    says = f"Theorem 1 (2b), $C_2$ fitted at {_place(fitted_at, other)}"
    place = {axis: _near_optimal(fitted_at, "noise_correlation")}
    _border(ax, **place, ls="-", color=plotting.COLORS[3], label=says)


def _border(ax: Any, **curve: Any) -> None:
    """A curve within the map's limits; none where the constant could not be fitted."""
    limits = {"xlim": ax.get_xlim(), "ylim": ax.get_ylim()}
    if all(np.isfinite(curve[axis]).any() for axis in ("x", "y") if axis in curve):
        plotting.reference(ax, **curve, lw=1.2)
        ax.set(**limits)


def _near_optimal(ds: xr.Dataset, along: str) -> float:
    """Where the mean test accuracy of a row becomes near-optimal; NaN if it does not."""
    return float(boundary.edge(ds.test_accuracy.mean("seed"), along, NEAR_OPTIMAL, "upper", inside="below"))


def _place(ds: xr.Dataset, name: str) -> str:
    return f"{plotting.label_of(ds.test_accuracy, name)} = {ds[name].item():g}"


@of_each
def check_noise(ds: xr.Dataset, label: str) -> list[Claim]:
    source = cite("001", f"Section 5.1, Figure 3, {label}")
    weak, strong = (ds.test_accuracy.sel(u_norm=v) for v in (ds.u_norm.min(), ds.u_norm.max()))
    alike, apart = ({"noise_correlation": v} for v in (ds.noise_correlation.min(), ds.noise_correlation.max()))
    corner = f"test accuracy at ‖u‖ = {float(weak.u_norm):g}, Γ = {float(apart['noise_correlation']):g}"
    return [
        Claim.of(
            "all networks fit their training data", source, every(ds.train_accuracy, ">", 0.99, "training accuracy")
        ),
        _rise("test accuracy rises with the feature strength at Γ = 1", source, strong.sel(alike) - weak.sel(alike)),
        _rise("test accuracy rises with Γ at the weakest feature", source, weak.sel(apart) - weak.sel(alike)),
        Claim.of(
            "without a feature, a high Γ alone makes the network near-optimal",
            source,
            above(weak.sel(apart), NEAR_OPTIMAL, corner),
        ),
        _no_fall(
            "at no Γ does test accuracy fall as the feature gets stronger", source, ds.test_accuracy, "u_norm", ds
        ),
        _no_fall(
            "at no feature strength does test accuracy fall as Γ grows",
            source,
            ds.test_accuracy,
            "noise_correlation",
            ds,
        ),
    ]


def _rise(text: str, source: str, change: xr.DataArray) -> Claim:
    return Claim.of(text, source, above(change, 0, "difference within a seed"))


def _no_fall(text: str, source: str, accuracy: xr.DataArray, along: str, ds: xr.Dataset, share: float = 1.0) -> Claim:
    """From each cell to the next along an axis, wherever else: no fall of more than a test set can tell.

    That is the standard error of a difference of two accuracies, each of so many test samples, at its largest. Where
    accuracy has reached its end, or not left guessing, nothing finer than that could ever be shown. share: of the test
    samples that an accuracy is about.
    """
    steps, samples = accuracy.diff(along), share * setting(ds, "n_test")
    told = f"change of accuracy from one cell to the next, within a seed (1/√(2n) of n = {samples:g} test samples)"
    rule = above(steps, -((2 * samples) ** -0.5), told)
    return Claim.of(text, source, rule, f"smallest mean change {float(steps.mean('seed').min()):.2g}")


# --- Figure 3 by its boundary ------------------------------------------------------------------------


def _edge(number: int, seeds: int, net: int) -> Trace:
    plane = {"u_norm": _apart(0.001, 3.8, number), "noise_correlation": np.geomspace(1, 1400, number).round(4).tolist()}
    return Trace(_sweep(seeds, **plane), "test_accuracy", NEAR_OPTIMAL, net=net, each_seed=True, diverged="below")


BOUNDARY_PRESETS = {"quick": {"fitted": _edge(16, 3, 4)}, "paper": {"fitted": _edge(64, 5, 9)}}


def draw_edge(datasets: Datasets) -> dict[str, Any]:
    ds = datasets["fitted"]
    sizes = [setting(ds, name) for name in ("samples_per_class", "d", "num_classes")]
    gamma = np.geomspace(1, float(ds.noise_correlation.max()), 200)
    border = [theory.signal_strength_for_ratio(ratio, gamma, *sizes) for ratio in (1.0, _ratio_at_one(ds))]
    theories = [
        plotting.Curve("Theorem 1 (2a), $C_1 = 1$", gamma, x=border[0]),
        plotting.Curve(r"(2a), $C_1$ fitted at $\Gamma = 1$", gamma, x=border[1], fitted=True),
    ]
    names = ("harmful", "benign")
    fig = plotting.phase_map(ds, x="u_norm", y="noise_correlation", names=names, theory=theories, width="page")
    return {"noise-boundary": fig}


def _ratio_at_one(ds: xr.Dataset) -> float:
    """The constant of statement 2(a) that puts its border where the measured one is at Γ = 1."""
    sizes = [setting(ds, name) for name in ("samples_per_class", "d", "num_classes")]
    return float(theory.signal_ratio(_near_optimal(ds.isel(noise_correlation=0), "u_norm"), 1.0, *sizes))


@of_each
def check_edge(ds: xr.Dataset, label: str) -> list[Claim]:
    source, weak, strong = f"Theorem 1, {label}", {"u_norm": 0}, {"u_norm": -1}
    alike, apart = {"noise_correlation": 0}, {"noise_correlation": -1}
    claims = []
    for text, place, at, wanted in (
        ("a strong feature alone is benign", "2(a)", strong | alike, 1),
        ("a high Γ alone is benign", "2(b)", weak | apart, 1),
        ("without either, overfitting is harmful", "3", weak | alike, -1),
    ):
        cell = ds.side.isel(at)
        where = f"‖u‖ = {float(cell.u_norm):g}, Γ = {float(cell.noise_correlation):g}"
        rule = on_side(cell, wanted, f"test accuracy against {NEAR_OPTIMAL:g} at {where}")
        claims.append(Claim.of(text, cite("001", f"{source}, statement {place}"), rule))
    edge = boundary.edge(ds.test_accuracy, "u_norm", NEAR_OPTIMAL, "upper", inside="below")
    sizes = [setting(ds, name) for name in ("samples_per_class", "d", "num_classes")]
    border = theory.signal_strength_for_ratio(1.0, ds.noise_correlation.values, *sizes)
    exponent = _exponent(edge.assign_coords(border=("noise_correlation", border)), "border")
    rule = within(exponent, 0.75, 1.25, "exponent of the border of 2(a) in ‖u‖ at the boundary")
    text = "over Γ the boundary follows the border of 2(a) alone, ‖u‖⁴ ∝ ‖A_kᵀA_j‖_F²/|S_k|"
    note = f"{int(edge.count())} crossings; C₁ fitted at Γ = 1 is {_ratio_at_one(ds):.3g}"
    claims.append(Claim.of(text, cite("001", f"{source}, statement 2(a)"), rule, note))
    ends = _crossed(edge).isel(noise_correlation=[0, -1])
    falls = ends.isel(noise_correlation=0) - ends.isel(noise_correlation=1)
    rule = above(falls, 0.0, "‖u‖ at the boundary at the smallest Γ, less that at the largest with one in every seed")
    claims.append(Claim.of("a larger Γ needs a weaker feature", cite("001", source), rule))
    return claims


def _crossed(edge: xr.DataArray) -> xr.DataArray:
    """An edge where every seed has one; NaN throughout where that is not so at two places."""
    (along,) = (name for name in edge.dims if name != "seed")
    there = edge.dropna(along)
    return there if there.sizes[along] > 1 else xr.full_like(edge, np.nan)


def _exponent(edge: xr.DataArray, parameter: str) -> xr.DataArray:
    """Exponent of a parameter along an edge in each seed; NaN where no two places have the edge."""
    (along,) = (name for name in edge.dims if name != "seed")
    if edge.dropna(along, how="all").sizes[along] < 2:
        return xr.full_like(edge.isel({along: 0}), np.nan)
    return boundary.scaling(edge, [parameter]).of_seeds.value.sel(constant=parameter)


# --- Figure 4 ----------------------------------------------------------------------------------------


def _sizes(number: int) -> list[int]:
    return np.linspace(10, 200, number).round().astype(int).tolist()


def _by_size(number: int, **axis: Any) -> dict[str, Any]:
    return {"samples_per_class": _sizes(number), "capacity": 200} | axis


def _both(seeds: int, number: int, *readings: str) -> Preset:
    """The two planes of Figure 4 under each reading. A mini-batch makes 1000 updates whatever the size."""
    feature = _by_size(number, noise_correlation=1.2, u_norm=_apart(0.01, 4, number))
    noise = _by_size(number, u_norm=1e-6, noise_correlation=_apart(1, 800, number))
    return {
        f"{reading}-{part}": _sweep(seeds, reading, **plane)
        for reading in readings
        for part, plane in (("feature", feature), ("noise", noise))
    }


SIZE_PRESETS = {"quick": _both(2, 6, "fitted"), "paper": _both(3, 20, "fitted", "printed", "mini_batch")}


def _readings(datasets: Datasets) -> dict[str, tuple[xr.Dataset, xr.Dataset]]:
    """Reading -> its planes with a feature and without."""
    names = dict.fromkeys(label.split("-")[0] for label in datasets)
    return {name: (datasets[f"{name}-feature"], datasets[f"{name}-noise"]) for name in names}


def draw_size(datasets: Datasets) -> dict[str, Any]:
    readings = _readings(datasets)
    fig, axes = plotting.panels(len(readings), 2)
    for (left, right), (reading, (feature, noise)) in zip(axes, readings.items(), strict=True):
        gamma = setting(feature, "noise_correlation")
        _accuracy_map(feature, "u_norm", "samples_per_class", left, f"{reading}: (a) Γ = {gamma:g}")
        _feature_borders(feature, "samples_per_class", -1, left)
        _accuracy_map(noise, "noise_correlation", "samples_per_class", right, f"{reading}: (b) no feature")
        _noise_border(noise, "samples_per_class", -1, right)
        for ax, ds, along in ((left, feature, "u_norm"), (right, noise, "noise_correlation")):
            needed = boundary.edge(ds.test_accuracy.mean("seed"), along, _halfway(ds), "upper", inside="below")
            _border(ax, x=needed, y=ds.samples_per_class, ls=":", color="k", label=f"accuracy {_halfway(ds):g}")
    plotting.legend(fig, columns=2)
    return {"sample-size-heatmap": fig}


def _halfway(ds: xr.Dataset) -> float:
    """The accuracy half-way between guessing and 1."""
    return (1 + 1 / setting(ds, "num_classes")) / 2


def check_size(datasets: Datasets) -> list[Claim]:
    return [c for reading, planes in _readings(datasets).items() for c in _size_claims(*planes, reading)]


def _size_claims(feature: xr.Dataset, noise: xr.Dataset, reading: str) -> list[Claim]:
    """Of what order the samples matter, held to the theorem's own terms.

    Theorem 1 bounds the error by exp(−c₁ n‖u‖⁴ / ‖A_kᵀA_j‖_F²) with a feature (2a) and by exp(−c₂ L²Γ) without (2b):
    the one is of first order in the number of samples, the other of constant order. So what half of the way from
    guessing to 1 needs, ‖u‖⁴ or Γ, goes as n to the power of −1 or of 0, and an exponent is of the order that it is
    nearer to.
    """
    accuracy, source = f"an accuracy of {_halfway(feature):g} needs", f"Section 5.1, Figure 4%s, {reading}"
    first = within(4 * _order(feature, "u_norm"), -1.5, -0.5, f"exponent of the samples in the ‖u‖⁴ that {accuracy}")
    none = within(_order(noise, "noise_correlation"), -0.5, 0.5, f"exponent of the samples in the Γ that {accuracy}")
    a, b = (cite("001", source % part) for part in "ab")
    return [
        _rise("with a feature, test accuracy rises with the number of samples", a, _gain(feature)),
        _no_fall(
            "at no feature strength does test accuracy fall with the number of samples",
            a,
            feature.test_accuracy,
            "samples_per_class",
            feature,
        ),
        Claim.of("with a feature, samples count as statement 2(a) has it, n‖u‖⁴", a, first, _gains(feature)),
        Claim.of(
            "without a feature, test accuracy stays of constant order in the number of samples", b, none, _gains(noise)
        ),
    ]


def _order(ds: xr.Dataset, along: str) -> xr.DataArray:
    """Exponent of the number of samples in what half of the way needs, of seeds that get there with every number."""
    needed = boundary.edge(ds.test_accuracy, along, _halfway(ds), "upper", inside="below")
    return _exponent(needed.where(needed.notnull().all("samples_per_class")), "samples_per_class")


def _gain(ds: xr.Dataset, start: int = 0) -> xr.DataArray:
    """From one number of samples to the most, mean over the other axis."""
    ends = ds.test_accuracy.isel(samples_per_class=-1) - ds.test_accuracy.isel(samples_per_class=start)
    return ends.mean([d for d in ends.dims if d != "seed"])


def _gains(ds: xr.Dataset) -> str:
    """How much more accurate more samples make it, from the fewest and from about a quarter of the most."""
    sizes = ds.samples_per_class.values
    told = []
    for start in (0, int(np.abs(sizes - sizes[-1] / 4).argmin())):
        told.append(f"{t_interval(_gain(ds, start))} from {sizes[start]} to {sizes[-1]}")
    return f"change of accuracy, mean over the other axis: {', '.join(told)}"


# --- minorities and long tails: ours -----------------------------------------------------------------

MINORITY = 50  # samples of class 0
_MAJORITY = [50, 100, 200, 400]
_GROWING: dict[str, Any] = {
    "majority": {"samples_per_class": _MAJORITY, "minority_fraction": [MINORITY / n for n in _MAJORITY]},
    "capacity": 400,
    "u_norm": 0.001,
}
MINORITY_PRESETS = {
    "quick": {"fitted": _sweep(4, noise_correlation=[10.0, 100.0, 1400.0], **_GROWING)},
    "paper": {"fitted": _sweep(20, noise_correlation=[10.0, 100.0, 400.0, 1400.0], n_test=5000, **_GROWING)},
}


def draw_minority(datasets: Datasets) -> dict[str, Any]:
    fig, axes = plotting.panels(1, 2, sharey=True)
    ds = datasets["fitted"]
    own, others = _minority_and_others(ds)
    titles = (f"class 0, {MINORITY} samples", "the other classes")
    for ax, accuracy, title in zip(axes[0], (own, others), titles, strict=True):
        plotting.curves(accuracy, x="samples", hue="noise_correlation", ax=ax, marker="o")
        ax.set_title(title)
        ax.label_outer()
    plotting.legend(fig)
    fig.suptitle(plotting.caption(ds))
    return {"minority-accuracy": fig}


def _minority_and_others(ds: xr.Dataset) -> tuple[xr.DataArray, xr.DataArray]:
    """Test accuracy of class 0, and of the others in the mean, over how many samples each of these has."""
    samples = ("majority", ds.samples_per_class.values, {"long_name": "samples of each other class"})
    accuracy = ds.class_accuracy.assign_coords(samples=samples)
    return accuracy.isel({"class": 0}), accuracy.isel({"class": slice(1, None)}).mean("class", keep_attrs=True)


def check_minority(datasets: Datasets) -> list[Claim]:
    minority, _ = _minority_and_others(datasets["fitted"])
    return [
        Claim.of(
            f"more samples of the other classes hurt class 0 at Γ = {float(at.noise_correlation):g}",
            cite("001", "Theorem 1 and Section 3, fitted (ours: the paper does not simulate it)"),
            below(
                at.isel(majority=-1) - at.isel(majority=0),
                0,
                f"change of the accuracy of class 0 from {_MAJORITY[0]} to {_MAJORITY[-1]} samples of each other class",
            ),
            f"from {float(at.isel(majority=0).mean()):.3g}",
        )
        for at in minority.transpose("noise_correlation", ...)
    ]


TAIL_PRESETS = {
    "quick": {"fitted": _sweep(4, noise_correlation=[1.0, 10.0, 100.0, 1400.0], u_norm=0.001)},
    "paper": {"fitted": _sweep(20, noise_correlation=[1.0, 10.0, 100.0, 400.0, 1400.0], u_norm=0.001, n_test=5000)},
}


# The two levels: what is measured in fifths, where they lie, and what a source calls them.
_LEVELS = {
    "to the letter": ("tail_accuracy", "tail_level", "level $L$ of Definition 1, to the letter"),
    "in units of its own standard deviation": (
        "equivalent_noise_accuracy",
        "equivalent_noise",
        "equivalent noise ζ′, of variance 1",
    ),
}


def draw_tail(datasets: Datasets) -> dict[str, Any]:
    ds = datasets["fitted"]
    fig, axes = plotting.panels(1, 2, sharey=True)
    for ax, (reading, (accuracy, level, says)) in zip(axes[0], _LEVELS.items(), strict=True):
        place = ds[level].mean("seed").assign_attrs(long_name=says)
        plotting.curves(ds[accuracy].assign_coords(level=place), x="level", hue="noise_correlation", ax=ax, marker="o")
        ax.set(title=f"$L$ {reading}", ylabel="test accuracy in a fifth")
        ax.label_outer()
    plotting.legend(fig)
    fig.suptitle(plotting.caption(ds))
    return {"long-tail-accuracy": fig}


def check_tail(datasets: Datasets) -> list[Claim]:
    return [claim for reading in _LEVELS for claim in _tail_claims(datasets["fitted"], reading)]


def _tail_claims(ds: xr.Dataset, reading: str) -> list[Claim]:
    accuracy = ds[_LEVELS[reading][0]].transpose("noise_correlation", ...)
    better = accuracy.isel(tail_bin=-1) - accuracy.isel(tail_bin=0)
    alike = f"the same difference at Γ = {float(better.noise_correlation[0]):g} is {float(better[0].mean()):.2f}"
    claims = [
        Claim.of(
            f"longer-tailed test samples are classified better at Γ = {float(at.noise_correlation):g}",
            cite("001", f"Theorem 1, statement 2 (b), fitted, L {reading}"),
            above(more, 0, "accuracy in the highest fifth of L minus that in the lowest"),
            f"by fifths {', '.join(f'{v:.2f}' for v in at.mean('seed').values)}; {alike}",
        )
        for at, more in zip(accuracy, better, strict=True)
        if at.noise_correlation >= LARGE
    ]
    of_longest = accuracy.isel(tail_bin=-1)
    text = "the accuracy of long-tailed data, the highest fifth of L, never falls as Γ grows"
    source = cite("001", f"Section 3, fitted, L {reading}")
    return [*claims, _no_fall(text, source, of_longest, "noise_correlation", ds, 1 / accuracy.sizes["tail_bin"])]


FIGURES = {
    "noise-boundary": Figure(BOUNDARY_PRESETS, draw_edge, check_edge),
    "noise-heatmap": Figure(NOISE_PRESETS, draw_noise, check_noise),
    "sample-size-heatmap": Figure(SIZE_PRESETS, draw_size, check_size),
    "minority-accuracy": Figure(MINORITY_PRESETS, draw_minority, check_minority),
    "long-tail-accuracy": Figure(TAIL_PRESETS, draw_tail, check_tail),
}
