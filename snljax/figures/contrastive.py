"""Figures and claims of paper 004: trends in ε_min, single neurons, stages of training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from snljax import plotting, theory
from snljax.figures import Figure, Preset, Sweep
from snljax.figures.claims import Claim, above, below, every, within
from snljax.figures.datasets import Datasets, alive, of_each, setting
from snljax.papers import cite
from snljax.stats import t_interval

FEW: dict[str, Any] = {"n_test": 64, "n_probe": 64}  # where no figure looks at test pairs
# The reading ``fitted`` was chosen by the trends. Sizes, and seeds, that had no part in that:
OTHER_SIZES: dict[str, Any] = {"d1": 300, "m": 36, "tokens": 6, "batch": 48}


def _sweep(seeds: int, reading: str = "fitted", **fields: Any) -> Sweep:
    return Sweep("contrastive", reading=reading, seed=range(seeds), **fields)


def _others(seeds: int, **fields: Any) -> Sweep:
    return Sweep("contrastive", reading="fitted", seed=range(1000, 1000 + seeds), **fields, **OTHER_SIZES)


def slug(label: str) -> str:
    """Of a Dataset's name, for that of a picture."""
    return label.replace(" = ", "-").replace(" ", "-")


def _steps(start: float, stop: float, step: float) -> list[float]:
    return np.arange(start, stop + step / 2, step).round(3).tolist()


# --- trends in ε_min: Figures 2 to 5 -----------------------------------------------------------------

TRENDS = {  # metric -> sign of the paper's trend, its figure
    "aligned_neurons": (1, "Figure 2"),
    "max_alignment": (1, "Figure 3"),
    "pair_cosine": (1, "Figure 4"),
    "regression_mse": (-1, "Figure 5"),
}
_ALIGNMENT: dict[str, Any] = {"sigma_p": [0.01, 0.03, 0.05], **FEW}
ALIGNMENT_PRESETS = {
    "quick": {
        "fitted": _sweep(20, epsilon_min=[0.1, 0.4, 0.7, 1.0], **_ALIGNMENT),
        "other sizes": _others(20, epsilon_min=[0.1, 0.4, 0.7, 1.0], **_ALIGNMENT),
    },
    "paper": {
        "fitted": _sweep(100, epsilon_min=_steps(0.1, 1.0, 0.1), **_ALIGNMENT),
        "other sizes": _others(100, epsilon_min=_steps(0.1, 1.0, 0.1), **_ALIGNMENT),
        "printed": _sweep(20, "printed", epsilon_min=_steps(0.1, 1.0, 0.1), **_ALIGNMENT),
    },
}


def _rare(**fields: Any) -> dict[str, Preset]:
    """Up to ε_min = ½: Figures 4 and 5."""
    few: dict[str, Any] = {"epsilon_min": [0.05, 0.275, 0.5], "n_test": 1000, **fields}
    many: dict[str, Any] = {"epsilon_min": _steps(0.05, 0.5, 0.05), **fields}
    return {
        "quick": {"fitted": _sweep(10, **few), "other sizes": _others(10, **few)},
        "paper": {"fitted": _sweep(100, **many), "other sizes": _others(100, **many)},
    }


def _trends(presets: Mapping[str, Preset], *metrics: str) -> Figure:
    """These metrics over ε_min, for each reading."""

    def draw(datasets: Datasets) -> dict[str, Any]:
        return {
            f"{'-'.join(metrics)}-{slug(reading)}": _trend_page(ds, reading, metrics)
            for reading, ds in datasets.items()
        }

    claims = of_each(lambda ds, reading: [c for metric in metrics for c in _trend_claims(ds, reading, metric)])
    return Figure(presets, draw, claims)


def _trend_page(ds: xr.Dataset, reading: str, metrics: tuple[str, ...]) -> Any:
    fig, axes = plotting.panels(1, len(metrics), width="page" if len(metrics) > 1 else "column")
    for ax, metric in zip(axes[0], metrics, strict=True):
        plotting.curves(_by_ratio(ds, ds[metric]), x="epsilon_min", hue="nsr", ax=ax, marker="o")
        verdicts = [claim.verdict for claim in _trend_claims(ds, reading, metric)]
        corner = "upper left" if TRENDS[metric][0] > 0 else "lower left"  # where such a trend leaves room
        plotting.note(ax, f"trend holds at {verdicts.count('holds')} of {len(verdicts)} NSR", corner)
    plotting.legend(fig)
    fig.suptitle(f"{reading}: {plotting.caption(ds)}")
    return fig


def _by_ratio(ds: xr.Dataset, values: xr.DataArray) -> xr.DataArray:
    """Over the paper's noise-to-signal ratio σ² d₁ instead of σ."""
    ratio = (ds.sigma_p.values**2 * setting(ds, "d1")).round(2)
    return values.assign_coords(nsr=("sigma_p", ratio, {"long_name": "NSR"})).swap_dims(sigma_p="nsr")


def _trend_claims(ds: xr.Dataset, reading: str, metric: str) -> list[Claim]:
    """Consistently, as the paper says: from each ε_min to the next. How far, its text does not say."""
    sign, figure = TRENDS[metric]
    values = _by_ratio(ds, ds[metric]).transpose("nsr", "epsilon_min", "seed")
    claims = []
    for at in values:
        # Seed by seed: points of a seed share their draw.
        steps, slope = at.diff("epsilon_min"), np.polyfit(at.epsilon_min, at, 1)[0]
        mean = at.mean("seed").values
        way, rule = ("rises", above) if sign > 0 else ("falls", below)
        claims.append(
            Claim.of(
                f"{reading}: {plotting.label_of(values)} {way} consistently with ε_min at NSR = {float(at.nsr):.3g}",
                cite("004", f"Appendix A.2, {figure}"),
                rule(steps, 0, "change from each ε_min to the next, seed by seed"),
                f"mean {mean[0]:.3g} to {mean[-1]:.3g}, slope {t_interval(slope)}",
            )
        )
    return claims


# --- single neurons: Figure 6 ------------------------------------------------------------------------

_NEURONS: dict[str, Any] = {"num_minority": 4, "epsilon_min": 0.5, **FEW}
NEURONS_PRESETS = {"quick": {"fitted": _sweep(20, **_NEURONS)}, "paper": {"fitted": _sweep(100, **_NEURONS)}}


def draw_neurons(datasets: Datasets) -> dict[str, Any]:
    ds = alive(datasets["fitted"])
    minority, first = setting(ds, "num_minority"), ds.isel(seed=0)
    fig, axes = plotting.panels(1, 2, ratio=0.7)
    left, right = axes[0]
    feature = (np.arange(ds.sizes["feature"]), {"long_name": f"feature (last {minority}: minority)"})
    squares = (first.cosines**2).assign_attrs(long_name=r"$\cos^2(w_i, M_j)$")
    plotting.heatmap(squares.assign_coords(feature=("feature", *feature)), x="feature", y="neuron", ax=left)
    left.invert_yaxis()
    left.axvline(ds.sizes["feature"] - minority - 0.5, color="white")
    left.set_title(f"seed {int(first.seed)}")
    counts = [ds.lucky_neurons.values, ds.mixed_neurons.values]
    bins = np.arange(-0.5, ds.sizes["neuron"] + 1)
    right.hist(counts, bins, label=["lucky: one feature", "mixed: several features"])
    right.set(xlabel=f"neurons of {ds.sizes['neuron']} with |cos| ≥ {setting(ds, 'aligned'):g}", ylabel="seeds")
    right.margins(y=0.25)
    right.legend(loc="upper center", ncols=2)
    return {"contrastive-neurons": fig}


def check_neurons(datasets: Datasets) -> list[Claim]:
    ds = alive(datasets["fitted"])
    aligned, minority = f"|cos| ≥ {setting(ds, 'aligned'):g}", setting(ds, "num_minority")
    claims = [
        Claim.of(
            f"{kind} neurons occur",
            cite("004", "Appendix A.2, Experiment 5, fitted"),
            every(ds[f"{kind}_neurons"], "≥", 1, f"neurons with {what} of {aligned}"),
            f"of {ds.sizes['neuron']} neurons",
        )
        for kind, what in (("lucky", "exactly one feature"), ("mixed", "several features"))
    ]
    strong = (np.abs(ds.cosines) >= setting(ds, "aligned")).sum("neuron")
    few, many = (strong.isel(feature=part).mean("feature") for part in _rare_and_common(minority))
    fewer = Claim.of(
        "a minority feature has fewer neurons than a majority feature",
        cite("004", "Theorem 3.1, fitted"),
        below(few - many, 0, f"neurons of {aligned} for each minority feature minus those for each majority feature"),
        f"{float(few.mean()):.2f} against {float(many.mean()):.2f}",
    )
    return [*claims, fewer]


def _rare_and_common(minority: int) -> tuple[slice, slice]:
    """Where the minority features stand, and where the majority ones."""
    return slice(-minority, None), slice(None, -minority)


# --- stages: Figure 1 --------------------------------------------------------------------------------

_STAGES: dict[str, Any] = {"epsilon_min": 0.5, "record_every": 10, "steps": 800, **FEW}
STAGES_PRESETS = {"quick": {"fitted": _sweep(5, **_STAGES)}, "paper": {"fitted": _sweep(30, **_STAGES)}}


def projections(ds: xr.Dataset) -> xr.DataArray:
    """|⟨w_i, M_j⟩|."""
    return np.abs(ds.cosines) * ds.norms


def _times(ds: xr.Dataset) -> tuple[xr.DataArray, xr.DataArray]:
    """T₁ and T₂ of each seed, by eq. 34 and 61 for the mean over neurons; NaN where they are not reached."""

    def first(reached: xr.DataArray) -> xr.DataArray:
        return reached.step.where(reached).min("step")

    squared, t1 = (ds.norms**2).mean("neuron"), first(ds.feature_share >= 0.5)
    at_t1 = xr.where(t1.isnull(), np.nan, squared.sel(step=t1.fillna(0)))
    return t1, first((squared >= setting(ds, "d") * at_t1) & (ds.step >= t1))


def draw_stages(datasets: Datasets) -> dict[str, Any]:
    ds = datasets["fitted"]
    fig, axes = plotting.panels(1, 3, ratio=1.1)
    left, right, last = axes[0]
    largest = projections(ds).max("neuron")
    rare, common = (
        largest.isel(feature=part).mean("feature") for part in _rare_and_common(setting(ds, "num_minority"))
    )
    others = np.sqrt((1 - ds.feature_share) / (setting(ds, "d1") - ds.sizes["feature"]))
    norm, black = ds.norms.mean("neuron"), plotting.COLORS[6]
    plotting.curves(common, x="step", ax=left, label="majority features")
    plotting.curves(rare, x="step", ax=left, color=plotting.COLORS[1], label="minority feature")
    plotting.curves(norm * others, x="step", ax=left, color=black, label="other directions, each")
    _learned(left, ds)
    plotting.curves(ds.feature_share, x="step", ax=right, color=plotting.COLORS[2], label=r"$\|MM^\top w\|^2/\|w\|^2$")
    plotting.curves(norm, x="step", ax=right, color=plotting.COLORS[3], label=r"$\|w\|$")
    left.set(yscale="log", ylabel=r"largest $|\langle w_i, M_j\rangle|$")
    right.set_ylabel("mean over neurons")
    plotting.curves(ds.train_loss, x="step", ax=last, color=plotting.COLORS[4], label="training loss")
    plotting.reference(
        last,
        y=loss_floor(ds, setting(ds, "epsilon_min")),
        color=plotting.COLORS[4],
        label="collision floor, pure embeddings",
    )
    for ax in axes[0]:
        plotting.reference(ax, x=setting(ds, "bias_start"), color="0.75", ls="-", label="bias set")
        for name, time, style in zip(("$T_1$", "$T_2$"), _times(ds), ("--", ":"), strict=True):
            if time.notnull().any():
                plotting.reference(ax, x=time.mean(), ls=style, label=f"{name} = {float(time.mean()):.0f}")
    plotting.legend(fig)
    fig.suptitle(rf"$\epsilon_{{\min}}$ = {setting(ds, 'epsilon_min'):g}, {plotting.caption(ds)}")
    return {"contrastive-stages": fig}


def loss_floor(ds: xr.Dataset, epsilon_min: float) -> float:
    """Least training loss of a pure embedding at the frequencies of the training pairs."""
    frequency = np.full(setting(ds, "d"), setting(ds, "active"))
    rare, _ = _rare_and_common(setting(ds, "num_minority"))
    frequency[rare] *= epsilon_min
    return theory.collision_floor(setting(ds, "batch"), frequency)


def _learned(ax: Any, ds: xr.Dataset) -> None:
    """Both ends of α_ij (eq. 12) at ε_j / ε_max of majority and minority, from T₃ on, which the theorem is about."""
    tau, m, d, d1, epsilon = (setting(ds, name) for name in ("temperature", "m", "d", "d1", "epsilon_min"))
    ends = theory.learned_weights([1.0, epsilon], tau, m, d, d1, epsilon)
    third, last = float(theory.stages(d, d1, setting(ds, "learning_rate"), tau).third), float(ds.step[-1])
    if third < last:
        for end in (ends.low, ends.high):
            for alpha, color in zip(end.tolist(), plotting.COLORS, strict=False):
                plotting.reference(ax, x=[third, last], y=[alpha, alpha], ls="-.", color=color)
        plotting.reference(ax, x=[], y=[], ls="-.", label=r"ends of $\alpha_{ij}$, eq. 12")


def check_stages(datasets: Datasets) -> list[Claim]:
    ds = datasets["fitted"]
    last, (t1, t2) = int(ds.step[-1]), _times(ds)
    squared = (ds.norms**2).mean("neuron")
    least = squared.min("step")
    eta, decay, epsilon = (setting(ds, name) for name in ("learning_rate", "weight_decay", "epsilon_min"))
    early = ds.sel(step=slice(0, setting(ds, "bias_start")))  # no bias yet: the linear stage
    steps = int(early.step[-1])
    energy = (projections(early) ** 2).sum("neuron")
    growth = np.log(energy.isel(step=-1) / energy.isel(step=0)) / (2 * steps) + eta * decay
    rare, common = (growth.isel(feature=part).mean("feature") for part in _rare_and_common(setting(ds, "num_minority")))
    outside = (squared * (1 - ds.feature_share)).sel(step=[0, steps])
    shrink = np.log(outside.isel(step=1) / outside.isel(step=0)) / (2 * steps) / (-eta * decay)
    return [
        Claim.of(
            "stage 1: the growth rate of a feature is in proportion to its frequency ε_j",
            cite("004", "Lemma 3.1, eq. 7, fitted"),
            within(
                rare / common / epsilon,
                0.8,
                1.2,
                "(rate + ηλ) of minority over majority until the bias is set, over ε_min",
            ),
        ),
        Claim.of(
            "stage 1: directions without features shrink by weight decay alone",
            cite("004", "Lemma 3.1, eq. 8, fitted"),
            within(shrink, 0.8, 1.2, "rate over −ηλ"),
        ),
        Claim.of(
            "T₁ is reached: half of the weights lie in the features",
            cite("004", "eq. 34, fitted"),
            every(t1, "≤", last, "T₁"),
        ),
        Claim.of(
            "T₂ is reached: squared norms have grown by the factor d since T₁",
            cite("004", "eq. 61, fitted"),
            every(t2, "≤", last, "T₂"),
            f"squared norm at the end over its smallest: {float((squared.isel(step=-1) / least).mean()):.2f}",
        ),
    ]


FIGURES = {
    "contrastive-alignment": _trends(ALIGNMENT_PRESETS, "aligned_neurons", "max_alignment"),
    "contrastive-similarity": _trends(_rare(sigma_p=[0.05, 0.075, 0.1], n_probe=64), "pair_cosine"),
    "contrastive-regression": _trends(_rare(sigma_p=[0.03, 0.05, 0.075]), "regression_mse"),
    "contrastive-neurons": Figure(NEURONS_PRESETS, draw_neurons, check_neurons),
    "contrastive-stages": Figure(STAGES_PRESETS, draw_stages, check_stages),
}
