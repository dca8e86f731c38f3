"""Figures and claims of paper 004: trends in ε_min, single neurons, stages of training, and what pruning does."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr

from snljax import plotting
from snljax.figures import Figure, Sweep
from snljax.figures.claims import Claim, verdict
from snljax.figures.datasets import alive, setting
from snljax.stats import Interval
from snljax.stats import t_interval as interval

PAPER = "004_4649f4726ba76075.txt"
FEW: dict[str, Any] = {"n_test": 64, "n_probe": 64}  # where no figure looks at test pairs


def _sweep(seeds: int, reading: str = "fitted", **fields: Any) -> Sweep:
    return Sweep("contrastive", reading=reading, seed=range(seeds), **fields)


def _steps(start: float, stop: float, step: float) -> list[float]:
    return np.arange(start, stop + step / 2, step).round(3).tolist()


# --- trends in ε_min: Figures 2 to 5 -----------------------------------------------------------------

ALIGNMENT: dict[str, Any] = {"sigma_p": [0.01, 0.03, 0.05], **FEW}
SIMILARITY: dict[str, Any] = {"sigma_p": [0.05, 0.075, 0.1], "n_probe": 64}
REGRESSION: dict[str, Any] = {"sigma_p": [0.03, 0.05, 0.075]}
TRENDS = {  # metric -> what it is, sign of the paper's trend, its figure
    "aligned_neurons": ("neurons with |cos| ≥ 0.3, minority", 1, "Figure 2"),
    "max_alignment": ("largest |cos|, minority", 1, "Figure 3"),
    "pair_cosine": ("mean cosine of positive test pairs", 1, "Figure 4"),
    "regression_mse": ("test MSE of the linear probe", -1, "Figure 5"),
}
ALIGNMENT_PRESETS = {
    "quick": {"fitted": _sweep(20, epsilon_min=[0.1, 0.3, 0.5, 0.7, 1.0], **ALIGNMENT)},
    "paper": {
        "fitted": _sweep(100, epsilon_min=_steps(0.1, 1.0, 0.1), **ALIGNMENT),
        "printed": _sweep(20, "printed", epsilon_min=_steps(0.1, 1.0, 0.1), **ALIGNMENT),
    },
}
SIMILARITY_PRESETS = {
    "quick": {"fitted": _sweep(10, epsilon_min=[0.05, 0.2, 0.35, 0.5], n_test=1000, **SIMILARITY)},
    "paper": {"fitted": _sweep(100, epsilon_min=_steps(0.05, 0.5, 0.05), **SIMILARITY)},
}
REGRESSION_PRESETS = {
    "quick": {"fitted": _sweep(10, epsilon_min=[0.05, 0.2, 0.35, 0.5], n_test=1000, **REGRESSION)},
    "paper": {"fitted": _sweep(100, epsilon_min=_steps(0.05, 0.5, 0.05), **REGRESSION)},
}


def _draw_trends(*metrics: str) -> Any:
    def draw(datasets: dict[str, xr.Dataset]) -> dict[str, Any]:
        return {f"{'-'.join(metrics)}-{reading}": _trend_page(ds, reading, metrics) for reading, ds in datasets.items()}

    return draw


def _trend_page(ds: xr.Dataset, reading: str, metrics: tuple[str, ...]) -> Any:
    fig, axes = plt.subplots(1, len(metrics), figsize=(4.5 * len(metrics), 3.4), layout="constrained", squeeze=False)
    for ax, metric in zip(axes[0], metrics, strict=True):
        plotting.curves(_by_ratio(ds, ds[metric]), x="epsilon_min", hue="nsr", ax=ax, marker="o", ms=3)
        ax.set_ylabel(TRENDS[metric][0])
    fig.suptitle(f"{reading}: mean and 95 % interval of {ds.sizes['seed']} seeds", fontsize=10)
    return fig


def _by_ratio(ds: xr.Dataset, values: xr.DataArray) -> xr.DataArray:
    """Over the paper's noise-to-signal ratio σ² d₁ instead of σ."""
    ratio = (ds.sigma_p.values**2 * setting(ds, "d1")).round(4)
    named = values.assign_coords(nsr=("sigma_p", ratio)).swap_dims(sigma_p="nsr")
    named.nsr.attrs["long_name"] = "NSR"
    return named


def _check_trends(*metrics: str) -> Any:
    def check(datasets: dict[str, xr.Dataset]) -> list[Claim]:
        return [c for reading, ds in datasets.items() for metric in metrics for c in _trend_claims(ds, reading, metric)]

    return check


def _trend_claims(ds: xr.Dataset, reading: str, metric: str) -> list[Claim]:
    label, sign, figure = TRENDS[metric]
    claims = []
    for sigma_p in ds.sigma_p.values.tolist():
        values = ds[metric].sel(sigma_p=sigma_p)
        slope = _slope(values, "epsilon_min")
        mean = values.mean("seed").values
        steps = sign * np.diff(mean)
        claims.append(
            Claim(
                f"{label} {'rises' if sign > 0 else 'falls'} with ε_min at NSR = {sigma_p**2 * setting(ds, 'd1'):.3g}",
                f"{PAPER} Appendix A.2, {figure}, {reading}",
                verdict(slope.low > 0 if sign > 0 else slope.high < 0),
                slope,
                f"slope over ε_min, seed by seed: interval {'above' if sign > 0 else 'below'} 0",
                f"mean {mean[0]:.3g} to {mean[-1]:.3g}, {int((steps > 0).sum())} of {len(steps)} steps that way",
            )
        )
    return claims


def _slope(values: xr.DataArray, along: str) -> Interval:
    """Least-squares slope of each seed by itself: points of a seed share their draw."""
    position = values[along].values.astype(float)
    return interval(np.polyfit(position, values.transpose(along, "seed").values, 1)[0])


# --- single neurons: Figure 6 ------------------------------------------------------------------------

_NEURONS: dict[str, Any] = {"num_minority": 4, "epsilon_min": 0.5, **FEW}
NEURONS_PRESETS = {"quick": {"fitted": _sweep(20, **_NEURONS)}, "paper": {"fitted": _sweep(100, **_NEURONS)}}


def draw_neurons(datasets: dict[str, xr.Dataset]) -> dict[str, Any]:
    ds = alive(datasets["fitted"])
    first = ds.isel(seed=0)
    fig, (left, right) = plt.subplots(1, 2, figsize=(9.4, 5.2), layout="constrained", width_ratios=(1.1, 1))
    squares = (first.cosines**2).assign_attrs(long_name=r"$\cos^2(w_i, M_j)$")
    feature = f"feature (the last {setting(ds, 'num_minority')} are minority features)"
    squares = squares.assign_coords(feature=("feature", np.arange(ds.sizes["feature"]), {"long_name": feature}))
    plotting.heatmap(squares, x="feature", y="neuron", ax=left)
    left.invert_yaxis()
    left.axvline(ds.sizes["feature"] - setting(ds, "num_minority") - 0.5, color="white", lw=1.5)
    left.set_title(f"seed {int(first.seed)}", fontsize=10)
    names = {"lucky_neurons": "lucky: one feature", "mixed_neurons": "mixed: several features"}
    bins = np.arange(-0.5, ds.sizes["neuron"] + 1)
    for (name, label), color in zip(names.items(), plotting.COLORS, strict=False):
        right.hist(ds[name].values, bins=bins, color=color, alpha=0.6, label=f"{label}, |cos| ≥ 0.3")
    right.set_xlabel(f"neurons of {ds.sizes['neuron']}")
    right.set_ylabel("seeds")
    right.set_ylim(top=1.25 * right.get_ylim()[1])
    right.legend(fontsize=8)
    return {"contrastive-neurons": fig}


def check_neurons(datasets: dict[str, xr.Dataset]) -> list[Claim]:
    ds = alive(datasets["fitted"])
    minority = setting(ds, "num_minority")
    strong = (np.abs(ds.cosines) >= setting(ds, "aligned")).sum("neuron")
    per_feature = (
        strong.isel(feature=slice(None, -minority)).mean("feature"),
        strong.isel(feature=slice(-minority, None)).mean("feature"),
    )
    fewer = per_feature[1] - per_feature[0]
    claims = [
        Claim(
            f"{name} neurons occur",
            f"{PAPER} Appendix A.2, Experiment 5, fitted",
            verdict(bool((ds[f"{name}_neurons"] > 0).all())),
            interval(ds[f"{name}_neurons"]),
            f"at least one neuron with {what} of |cos| ≥ 0.3 in every seed",
            f"of {ds.sizes['neuron']}; at least {int(ds[f'{name}_neurons'].min())}",
        )
        for name, what in (("lucky", "exactly one feature"), ("mixed", "several features"))
    ]
    claims.append(
        Claim(
            "a minority feature has fewer neurons than a majority feature",
            f"{PAPER} Theorem 3.1, fitted",
            verdict(interval(fewer).high < 0),
            interval(fewer),
            "neurons of |cos| ≥ 0.3 for each minority feature minus those for each majority feature: interval below 0",
            f"{float(per_feature[1].mean()):.2f} against {float(per_feature[0].mean()):.2f}",
        )
    )
    return claims


# --- stages: Figure 1 --------------------------------------------------------------------------------

_STAGES: dict[str, Any] = {"epsilon_min": 0.5, "record_every": 10, "steps": 800, **FEW}
STAGES_PRESETS = {"quick": {"fitted": _sweep(5, **_STAGES)}, "paper": {"fitted": _sweep(30, **_STAGES)}}


def _projections(ds: xr.Dataset) -> xr.DataArray:
    """|⟨w_i, M_j⟩|."""
    return np.abs(ds.cosines) * ds.norms


def _times(ds: xr.Dataset) -> tuple[xr.DataArray, xr.DataArray]:
    """T₁ and T₂ of each seed, by eq. 34 and 61 for the mean over neurons; NaN where they are not reached."""
    share, squared = ds.feature_share, (ds.norms**2).mean("neuron")
    t1 = _first(share >= 0.5)
    at_t1 = xr.where(t1.isnull(), np.nan, squared.sel(step=t1.fillna(0)))
    return t1, _first((squared >= setting(ds, "d") * at_t1) & (ds.step >= t1))


def _first(reached: xr.DataArray) -> xr.DataArray:
    return reached.step.where(reached).min("step")


def draw_stages(datasets: dict[str, xr.Dataset]) -> dict[str, Any]:
    ds = datasets["fitted"]
    largest = _projections(ds).max("neuron")
    first_minority = ds.sizes["feature"] - setting(ds, "num_minority")
    outside = (ds.norms.mean("neuron") * np.sqrt(1 - ds.feature_share)) / np.sqrt(
        setting(ds, "d1") - ds.sizes["feature"]
    )
    fig, (left, right) = plt.subplots(1, 2, figsize=(9.4, 3.6), layout="constrained")
    for values, label, color in (
        (largest.isel(feature=slice(None, first_minority)).mean("feature"), "majority features", 0),
        (largest.isel(feature=slice(first_minority, None)).mean("feature"), "minority feature", 1),
        (outside, "other directions, each", 6),
    ):
        plotting.curves(values, x="step", ax=left, color=plotting.COLORS[color], label=label)
    left.set_yscale("log")
    left.set_ylabel(r"largest $|\langle w_i, M_j\rangle|$")
    plotting.curves(ds.feature_share, x="step", ax=right, color=plotting.COLORS[2], label=r"$\|MM^\top w\|^2/\|w\|^2$")
    plotting.curves(ds.norms.mean("neuron"), x="step", ax=right, color=plotting.COLORS[3], label=r"$\|w\|$")
    right.set_ylabel("mean over neurons")
    for name, time, style in zip(("$T_1$", "$T_2$"), _times(ds), ("--", ":"), strict=True):
        if time.notnull().any():
            for ax in (left, right):
                ax.axvline(float(time.mean()), color="0.4", ls=style, label=f"{name} = {float(time.mean()):.0f}")
    for ax in (left, right):
        ax.axvline(setting(ds, "bias_start"), color="0.8", lw=1, label="bias set")
        ax.set_xlabel("gradient steps")
        ax.legend(fontsize=7.5)
    fig.suptitle(
        f"ε_min = {setting(ds, 'epsilon_min'):g}, mean and 95 % interval of {ds.sizes['seed']} seeds", fontsize=10
    )
    return {"contrastive-stages": fig}


def check_stages(datasets: dict[str, xr.Dataset]) -> list[Claim]:
    ds = datasets["fitted"]
    t1, t2 = _times(ds)
    squared = (ds.norms**2).mean("neuron")
    lowest = squared.min("step")
    eta, decay, epsilon = (setting(ds, name) for name in ("learning_rate", "weight_decay", "epsilon_min"))
    early = ds.sel(step=slice(0, setting(ds, "bias_start")))  # no bias yet: the linear stage
    steps = int(early.step[-1])
    energy = (_projections(early) ** 2).sum("neuron")
    growth = np.log(energy.isel(step=-1) / energy.isel(step=0)) / (2 * steps) + eta * decay
    minority = setting(ds, "num_minority")
    majority = growth.isel(feature=slice(None, -minority)).mean("feature")
    ratio = growth.isel(feature=slice(-minority, None)).mean("feature") / majority
    outside = ((ds.norms**2).mean("neuron") * (1 - ds.feature_share)).sel(step=[0, steps])
    shrink = np.log(outside.isel(step=1) / outside.isel(step=0)) / (2 * steps) / (-eta * decay)
    return [
        Claim(
            "stage 1: the growth rate of a feature is in proportion to its frequency ε_j",
            f"{PAPER} Lemma 3.1, eq. 7, fitted",
            verdict(interval(ratio).low <= epsilon <= interval(ratio).high),
            interval(ratio),
            f"(rate + ηλ) of minority over majority, until the bias is set: interval contains ε_min = {epsilon:g}",
        ),
        Claim(
            "stage 1: directions without features shrink by weight decay alone",
            f"{PAPER} Lemma 3.1, eq. 8, fitted",
            verdict(interval(shrink).low >= 0.8 and interval(shrink).high <= 1.2),
            interval(shrink),
            "rate over −ηλ: interval within 20 % of 1",
        ),
        Claim(
            "T₁ is reached: half of the weights lie in the features",
            f"{PAPER} eq. 34, fitted",
            verdict(bool(t1.notnull().all())),
            interval(t1),
            f"within {int(ds.step[-1])} steps in every seed",
        ),
        Claim(
            "T₂ is reached: squared norms have grown by the factor d since T₁",
            f"{PAPER} eq. 61, fitted",
            verdict(bool(t2.notnull().all())),
            interval(t2),
            f"within {int(ds.step[-1])} steps in every seed",
            f"squared norm at the end over its smallest: {float((squared.isel(step=-1) / lowest).mean()):.2f}",
        ),
    ]


# --- pruning: ours -----------------------------------------------------------------------------------

ALPHA = 0.25  # six of 24 neurons
_KINDS: dict[str, Any] = {"mask_gradient": ["logits", "literal"], "mask": ["magnitude", "random"]}
_SATURATED: dict[str, Any] = {"bias": 0.0}
_TESTED: dict[str, Any] = {"n_test": 1000, "n_probe": 1000}
PRUNING_PRESETS = {
    "quick": {
        "finite-time": _sweep(6, prune_fraction=[0.0, 0.25, 0.5], epsilon_min=[0.3, 0.5, 1.0], **_KINDS, **_TESTED),
        "saturated": _sweep(
            4, prune_fraction=[0.0, 0.25], epsilon_min=[0.3, 0.5], steps=600, **_KINDS, **_TESTED, **_SATURATED
        ),
    },
    "paper": {
        "finite-time": _sweep(
            30, prune_fraction=[0.0, 0.125, 0.25, 0.5, 0.75], epsilon_min=[0.1, 0.2, 0.3, 0.5, 0.7, 1.0], **_KINDS
        ),
        "saturated": _sweep(
            30,
            prune_fraction=[0.0, 0.125, 0.25, 0.5, 0.75],
            epsilon_min=[0.1, 0.2, 0.3, 0.5, 0.7, 1.0],
            steps=2000,
            **_KINDS,
            **_SATURATED,
        ),
    },
}
PRUNING = {  # metric -> axis label, which sign would be a help to the minority
    "max_alignment": ("largest |cos|, minority", 1),
    "weight_ratio": ("weight, minority / majority", 1),
    "regression_mse_minority": ("probe MSE, minority", -1),
}


def draw_pruning(datasets: dict[str, xr.Dataset]) -> dict[str, Any]:
    return {f"contrastive-pruning-{label}": _pruning_page(ds, label) for label, ds in datasets.items()}


def _pruning_page(ds: xr.Dataset, label: str) -> Any:
    kinds = [(g, m) for g in ds.mask_gradient.values.tolist() for m in ds["mask"].values.tolist()]
    fig, axes = plt.subplots(
        3, len(kinds), figsize=(2.6 * len(kinds), 6.6), layout="constrained", sharex=True, sharey="row"
    )
    for line, (metric, (name, _)) in zip(axes, PRUNING.items(), strict=True):
        for ax, (gradient, mask) in zip(line, kinds, strict=True):
            values = ds[metric].sel(mask_gradient=gradient, mask=mask)
            plotting.curves(values, x="prune_fraction", hue="epsilon_min", ax=ax, marker="o", ms=3)
            ax.set_ylabel(name if ax is line[0] else "")
            ax.set_xlabel(plotting.label_of(values, "prune_fraction") if metric == "regression_mse_minority" else "")
            if metric == "max_alignment":
                ax.set_title(f"{gradient}, {mask} mask", fontsize=9)
            if metric != "max_alignment" or ax is not line[0]:
                ax.get_legend().remove()
    fig.suptitle(
        f"{label} ({setting(ds, 'steps')} steps): mean and 95 % interval of {ds.sizes['seed']} seeds", fontsize=10
    )
    return fig


def check_pruning(datasets: dict[str, xr.Dataset]) -> list[Claim]:
    return [claim for label, ds in datasets.items() for claim in _pruning_claims(ds, label)]


def _pruning_claims(ds: xr.Dataset, label: str) -> list[Claim]:
    """What α = 0.25 changes, paired within a seed, as a mean over the imbalanced ε_min."""
    imbalanced = ds.sel(epsilon_min=ds.epsilon_min.values[ds.epsilon_min.values < 1])
    claims = []
    for gradient in ds.mask_gradient.values.tolist():
        of_reading = imbalanced.sel(mask_gradient=gradient)
        for metric, (name, sign) in PRUNING.items():
            values = of_reading[metric].mean("epsilon_min")
            change = (values - values.sel(prune_fraction=0.0)).sel(prune_fraction=ALPHA)
            by_size, by_chance = change.sel(mask="magnitude"), change.sel(mask="random")
            helps = interval(by_size)
            more = interval(by_size - by_chance)
            whole = values.sel(mask="magnitude", prune_fraction=0.0)
            claims.append(
                Claim(
                    f"{label}: magnitude pruning helps the minority feature ({name})",
                    f"{PAPER} Theorem 3.2, fitted, mask gradient {gradient} (ours: the paper does not simulate it)",
                    verdict(helps.low > 0 if sign > 0 else helps.high < 0),
                    helps,
                    f"change from α = 0 to {ALPHA}, mean over ε_min < 1: interval {'above' if sign > 0 else 'below'} 0",
                    f"from {float(whole.mean()):.4g}; beyond a random mask of the same size: {more}",
                )
            )
    return claims


FIGURES = {
    "contrastive-alignment": Figure(
        ALIGNMENT_PRESETS,
        _draw_trends("aligned_neurons", "max_alignment"),
        _check_trends("aligned_neurons", "max_alignment"),
    ),
    "contrastive-similarity": Figure(
        SIMILARITY_PRESETS,
        _draw_trends("pair_cosine"),
        _check_trends("pair_cosine"),
    ),
    "contrastive-regression": Figure(
        REGRESSION_PRESETS,
        _draw_trends("regression_mse"),
        _check_trends("regression_mse"),
    ),
    "contrastive-neurons": Figure(
        NEURONS_PRESETS,
        draw_neurons,
        check_neurons,
    ),
    "contrastive-stages": Figure(
        STAGES_PRESETS,
        draw_stages,
        check_stages,
    ),
    "contrastive-pruning": Figure(
        PRUNING_PRESETS,
        draw_pruning,
        check_pruning,
    ),
}
