"""Figures and claims of paper 001 on synthetic data: phase diagrams, minorities, long tails."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr

from snljax import plotting
from snljax.figures import Figure, Preset, Sweep
from snljax.figures.claims import Claim, verdict
from snljax.figures.datasets import setting
from snljax.stats import Interval
from snljax.stats import t_interval as interval

PAPER = "001_bf8ff98528848446.txt"
NEAR_OPTIMAL = 0.9  # test accuracy; the paper's "near-optimal"
FLAT = 0.1  # test accuracy; "remains in a constant order"


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
        "fitted-gaussian": _sweep(3, **_plane(20)),
        "fitted-uniform": _sweep(3, noise_distribution="uniform", **_plane(20)),
        "printed-gaussian": _sweep(3, "printed", **_plane(20)),
        "mini_batch-gaussian": _sweep(3, "mini_batch", **_plane(20)),
    },
}


def draw_noise(datasets: dict[str, xr.Dataset]) -> dict[str, Any]:
    rows = -(-len(datasets) // 2)
    fig, axes = plt.subplots(rows, 2, figsize=(8.8, 3.6 * rows), layout="constrained", squeeze=False)
    for ax, (label, ds) in zip(axes.flat, datasets.items(), strict=True):
        _accuracy_map(ds, "u_norm", "noise_correlation", ax)
        ax.set_title(label.replace("-", ", "), fontsize=10)
    return {"noise-heatmap": fig}


def _accuracy_map(ds: xr.Dataset, x: str, y: str, ax: Any) -> None:
    accuracy = ds.test_accuracy.mean("seed").assign_attrs(long_name="test accuracy")
    plotting.heatmap(accuracy, x=x, y=y, limits=(1 / setting(ds, "num_classes"), 1.0), status=ds.status, ax=ax)


def check_noise(datasets: dict[str, xr.Dataset]) -> list[Claim]:
    return [claim for label, ds in datasets.items() for claim in _noise_claims(ds, label)]


def _noise_claims(ds: xr.Dataset, label: str) -> list[Claim]:
    source = f"{PAPER} Section 5.1, Figure 3, {label}"
    weak = {"u_norm": float(ds.u_norm.min())}
    strong = {"u_norm": float(ds.u_norm.max())}
    alike = {"noise_correlation": float(ds.noise_correlation.min())}
    apart = {"noise_correlation": float(ds.noise_correlation.max())}
    corner = interval(ds.test_accuracy.sel(**weak, **apart))
    return [
        Claim(
            "all networks fit their training data",
            source,
            verdict(bool((ds.train_accuracy > 0.99).all())),
            float(ds.train_accuracy.min()),
            "training accuracy above 0.99 in every network",
        ),
        _rise(
            "test accuracy rises with the feature strength at Γ = 1",
            source,
            ds.test_accuracy.sel(**alike, **strong) - ds.test_accuracy.sel(**alike, **weak),
        ),
        _rise(
            "test accuracy rises with Γ at the weakest feature",
            source,
            ds.test_accuracy.sel(**weak, **apart) - ds.test_accuracy.sel(**weak, **alike),
        ),
        Claim(
            "without a feature, a high Γ alone makes the network near-optimal",
            source,
            verdict(corner.low > NEAR_OPTIMAL, not corner.low <= NEAR_OPTIMAL <= corner.high),
            corner,
            f"test accuracy at ‖u‖ = {weak['u_norm']:g}, Γ = {apart['noise_correlation']:g}: "
            f"interval above {NEAR_OPTIMAL}",
            "with few seeds the interval may not decide",
        ),
    ]


def _rise(text: str, source: str, change: xr.DataArray) -> Claim:
    found = interval(change)
    return Claim(text, source, verdict(found.low > 0), found, "difference within a seed: interval above 0")


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


def _readings(datasets: dict[str, xr.Dataset]) -> list[str]:
    return list(dict.fromkeys(label.split("-")[0] for label in datasets))


def draw_size(datasets: dict[str, xr.Dataset]) -> dict[str, Any]:
    readings = _readings(datasets)
    fig, axes = plt.subplots(len(readings), 2, figsize=(9.2, 3.7 * len(readings)), layout="constrained", squeeze=False)
    for (left, right), reading in zip(axes, readings, strict=True):
        feature, noise = datasets[f"{reading}-feature"], datasets[f"{reading}-noise"]
        _accuracy_map(feature, "u_norm", "samples_per_class", left)
        _accuracy_map(noise, "noise_correlation", "samples_per_class", right)
        left.set_title(f"{reading}: (a) Γ = {setting(feature, 'noise_correlation'):g}", fontsize=10)
        right.set_title(f"{reading}: (b) no feature", fontsize=10)
    return {"sample-size-heatmap": fig}


def check_size(datasets: dict[str, xr.Dataset]) -> list[Claim]:
    return [
        claim
        for reading in _readings(datasets)
        for claim in _size_claims(datasets[f"{reading}-feature"], datasets[f"{reading}-noise"], reading)
    ]


def _size_claims(feature: xr.Dataset, noise: xr.Dataset, reading: str) -> list[Claim]:
    with_feature, without = _gain(feature), interval(_gain(noise))
    within = without.low > -FLAT and without.high < FLAT
    source = f"{PAPER} Section 5.1, Figure 4%s, {reading}"
    return [
        _rise("with a feature, test accuracy rises with the number of samples", source % "a", with_feature),
        Claim(
            "without a feature, test accuracy stays of constant order in the number of samples",
            source % "b",
            verdict(within, within or without.low > FLAT or without.high < -FLAT),
            without,
            f"from 10 to 200 samples a class, mean over Γ: interval within ±{FLAT}",
            f"with a feature: {interval(with_feature).mean:.3g}",
        ),
    ]


def _gain(ds: xr.Dataset) -> xr.DataArray:
    """From the fewest to the most samples, mean over the other axis."""
    ends = ds.test_accuracy.isel(samples_per_class=-1) - ds.test_accuracy.isel(samples_per_class=0)
    return ends.mean([d for d in ends.dims if d != "seed"])


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


def draw_minority(datasets: dict[str, xr.Dataset]) -> dict[str, Any]:
    ds = datasets["fitted"]
    fig, (left, right) = plt.subplots(1, 2, figsize=(8.8, 3.4), layout="constrained", sharey=True)
    by_size = ds.class_accuracy.assign_coords(majority=ds.samples_per_class.values)
    by_size["majority"].attrs["long_name"] = "samples of each other class"
    plotting.curves(by_size.isel({"class": 0}), x="majority", hue="noise_correlation", ax=left, marker="o", ms=3)
    others = by_size.isel({"class": slice(1, None)}).mean("class")
    plotting.curves(others, x="majority", hue="noise_correlation", ax=right, marker="o", ms=3)
    left.set_title(f"class 0, {MINORITY} samples", fontsize=10)
    right.set_title("the other classes", fontsize=10)
    left.set_ylabel("test accuracy of the class")
    right.set_ylabel("")
    return {"minority-accuracy": fig}


def check_minority(datasets: dict[str, xr.Dataset]) -> list[Claim]:
    ds = datasets["fitted"]
    minority = ds.class_accuracy.isel({"class": 0})
    claims = []
    for gamma in ds.noise_correlation.values.tolist():
        change = (minority.isel(majority=-1) - minority.isel(majority=0)).sel(noise_correlation=gamma)
        first = float(minority.isel(majority=0).sel(noise_correlation=gamma).mean())
        claims.append(
            Claim(
                f"more samples of the other classes hurt class 0 at Γ = {gamma:g}",
                f"{PAPER} Theorem 1 and Section 3, fitted (ours: the paper does not simulate it)",
                verdict(interval(change).high < 0),
                interval(change),
                f"accuracy of class 0 from {_MAJORITY[0]} to {_MAJORITY[-1]} samples of each other class: "
                "interval below 0",
                f"from {first:.3g}",
            )
        )
    return claims


TAIL_PRESETS = {
    "quick": {"fitted": _sweep(4, noise_correlation=[1.0, 10.0, 100.0, 1400.0], u_norm=0.001)},
    "paper": {"fitted": _sweep(20, noise_correlation=[1.0, 10.0, 100.0, 400.0, 1400.0], u_norm=0.001, n_test=5000)},
}


def draw_tail(datasets: dict[str, xr.Dataset]) -> dict[str, Any]:
    ds = datasets["fitted"]
    fig, ax = plt.subplots(figsize=(5.2, 3.6), layout="constrained")
    for i, (gamma, color) in enumerate(zip(ds.noise_correlation.values, plotting.COLORS, strict=False)):
        at = ds.isel(noise_correlation=i)
        bands = [interval(at.tail_accuracy.isel(tail_bin=b)) for b in range(ds.sizes["tail_bin"])]
        level = at.tail_level.mean("seed")
        ax.plot(level, [b.mean for b in bands], "o-", color=color, ms=3, label=rf"$\Gamma$ = {gamma:g}")
        ax.fill_between(level, [b.low for b in bands], [b.high for b in bands], color=color, alpha=0.2, lw=0)
    ax.set_xlabel("level $L$ of Definition 1, mean of each fifth of the test samples")
    ax.set_ylabel("test accuracy")
    ax.legend(fontsize=8)
    return {"long-tail-accuracy": fig}


def check_tail(datasets: dict[str, xr.Dataset]) -> list[Claim]:
    ds = datasets["fitted"]
    claims = []
    for gamma in ds.noise_correlation.values.tolist():
        at = ds.tail_accuracy.sel(noise_correlation=gamma)
        found: Interval = interval(at.isel(tail_bin=-1) - at.isel(tail_bin=0))
        claims.append(
            Claim(
                f"longer-tailed test samples are classified better at Γ = {gamma:g}",
                f"{PAPER} Theorem 1, statement 2 (b), fitted",
                verdict(found.low > 0, gamma >= 100),
                found,
                "accuracy in the highest fifth of L minus that in the lowest: interval above 0",
                f"by fifths {', '.join(f'{v:.2f}' for v in at.mean('seed').values)}"
                + ("" if gamma >= 100 else "; the statement is about large Γ"),
            )
        )
    return claims


FIGURES = {
    "noise-heatmap": Figure(
        NOISE_PRESETS,
        draw_noise,
        check_noise,
    ),
    "sample-size-heatmap": Figure(
        SIZE_PRESETS,
        draw_size,
        check_size,
    ),
    "minority-accuracy": Figure(
        MINORITY_PRESETS,
        draw_minority,
        check_minority,
    ),
    "long-tail-accuracy": Figure(
        TAIL_PRESETS,
        draw_tail,
        check_tail,
    ),
}
