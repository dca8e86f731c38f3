"""Figures and claims of paper 000: Figures 1 and 2, and the pruning protocols."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from snljax import boundary, plotting, theory
from snljax.figures import Figure, Preset, Sweep
from snljax.figures.claims import Claim, Finding, above, below, every, within
from snljax.figures.datasets import setting
from snljax.figures.presets import table
from snljax.figures.topk_boundaries import FALL, PAPER_STEPS, THRESHOLD, fall, upper_claims
from snljax.papers import cite

# The paper's Θ and Õ hide constants: a scale is met when the measured value is within this factor.
SCALE_FACTOR = 10.0

# --- Figures 1 and 2 ---------------------------------------------------------------------------

# Without pruning, so that the coefficients are those of Definition 5.1. At sigma_p = 15 (SNR < 1/n)
# the learning rate and initial scale shrink with the noise, as Condition 4.1 asks.
_REGIMES = {
    "sigma_p": [0.02, 1.0, 15.0],
    "learning_rate": [0.05, 0.05, 0.05 / 15**2],
    "sigma_0": [0.01, 0.01, 0.01 / 15],
}


def _heatmap_sweeps(sigma_p: Any, K: Any, seeds: int, steps: int, readings: tuple[str, ...]) -> Preset:
    sweeps = {
        r: Sweep("topk_pruning", reading=r, sigma_p=sigma_p, K=K, seed=range(seeds), steps=steps) for r in readings
    }
    without_pruning = Sweep(
        "topk_pruning",
        record_every=steps // 5,
        regime=_REGIMES,
        seed=range(max(seeds, 10)),
        steps=steps,
        first_prune=None,
        decomposition=True,
        n_test=2000,
    )
    return {**sweeps, "without_pruning": without_pruning}


HEATMAP_PRESETS = {
    "quick": _heatmap_sweeps(
        np.linspace(0.05, 1.0, 12).round(4), np.linspace(2, 200, 12).astype(int), 2, 1000, ("fitted",)
    ),
    "paper": _heatmap_sweeps(
        np.linspace(0.01, 1.0, 100).round(4),
        np.linspace(2, 200, 100).astype(int),
        3,
        PAPER_STEPS,
        ("fitted", "printed"),
    ),
}


def draw_heatmap(datasets: dict[str, xr.Dataset]) -> dict[str, Any]:
    readings = [r for r in ("fitted", "printed") if r in datasets]
    fig, axes = plotting.panels(len(readings), 2)
    for (left, right), reading in zip(axes, readings, strict=True):
        ds = datasets[reading]
        loss = ds.test_loss.mean("seed", keep_attrs=True)
        plotting.heatmap(loss, x="sigma_p", y="K", threshold=THRESHOLD, log=True, status=ds.status, ax=left)
        plotting.threshold_map(loss, x="sigma_p", y="K", threshold=THRESHOLD, status=ds.status, ax=right)
        sigma_p = np.linspace(float(ds.sigma_p.min()), float(ds.sigma_p.max()), 400)
        for curve, label, style, color in (
            (theory.topk_upper_boundary(sigma_p), r"$95\,\sigma_p^{-2}$", "-", 1),
            (theory.topk_lower_boundary(sigma_p), r"$120\,e^{-1/(2\sigma_p^2)}$", "--", 4),
            (theory.over_pruning_bound(sigma_p, setting(ds, "d")), "Theorem 4.5", ":", 6),
        ):
            plotting.reference(right, x=sigma_p, y=curve, label=label, ls=style, color=plotting.COLORS[color])
        right.legend(loc="center left")
        left.set_title(f"{reading}: {setting(ds, 'steps')} steps, mean of {ds.sizes['seed']} seeds")
        right.set_title(rf"blue: $L_\mathcal{{D}} < {THRESHOLD:g}$")
    return {"topk-heatmap": fig}


def check_heatmap(datasets: dict[str, xr.Dataset]) -> list[Claim]:
    claims = []
    for label, ds in datasets.items():
        claims += _regime_claims(ds) if label == "without_pruning" else _heatmap_claims(ds, label)
    return claims


def _heatmap_claims(ds: xr.Dataset, reading: str) -> list[Claim]:
    steps, d = setting(ds, "steps"), setting(ds, "d")
    short = "" if steps >= PAPER_STEPS else f"{steps} of {PAPER_STEPS} steps"
    trained = every(ds.train_loss, "<", 0.01, "training loss").untestable(short)
    source = f"{cite('000', 'A.1')}, {reading}"
    claims = [Claim.of("training loss below 0.01 in every cell", source, trained), *upper_claims(ds, source, short)]
    for text, place, curve in (
        (
            "test loss at least 2 below the lower curve 120·exp(−1/(2σ_p²))",
            "Figure 2",
            theory.topk_lower_boundary(ds.sigma_p),
        ),
        (
            "over-pruning, K ≤ d(1 − √(1 − exp(−2μ²/(πσ_p²)))), leaves the test loss of order log 𝒯",
            "Theorem 4.5",
            theory.over_pruning_bound(ds.sigma_p, d),
        ),
    ):
        under = xr.DataArray(curve, dims="sigma_p") >= ds.K
        share = (ds.test_loss >= THRESHOLD).where(under).mean(("sigma_p", "K"))
        rule = above(share, 0.9, "share of cells under the curve with L_D ≥ 2").untestable(short)
        claims.append(Claim.of(text, f"{cite('000', place)}, {reading}", rule))
    # Not Theorem 4.4, which supposes SNR ≤ 1/n: see topk-lower-boundary.
    at_one, source = ds.test_loss.sel(sigma_p=1.0, method="nearest"), f"{cite('000', 'Figure 2')}, {reading}"
    dense = above(at_one.sel(K=d), THRESHOLD, "L_D at K = d")
    pruned = below(at_one.where(d > ds.K, drop=True), THRESHOLD, "L_D at σ_p = 1, K < d", cells="some")
    best = int(at_one.mean("seed").idxmin("K"))
    return [
        *claims,
        Claim.of("at σ_p = 1 the dense network has a test loss above 2", source, dense.untestable(short)),
        Claim.of("at σ_p = 1 some K < d has one below 2", source, pruned.untestable(short), f"best K = {best}"),
    ]


def _regime_claims(ds: xr.Dataset) -> list[Claim]:
    """Theorems 4.2 and 4.3 and Proposition 5.2, without pruning."""
    n, d, num_classes = (setting(ds, name) for name in ("n", "d", "num_classes"))
    end = ds.isel(step=-1)
    own_gamma = xr.concat([end.gamma.isel({"class": j, "signal_of_class": j}) for j in range(num_classes)], "class")
    signal = own_gamma.max("filter").min("class")
    largest_gamma = abs(end.gamma).max(("class", "filter", "signal_of_class"))
    rho = end.rho_bar.max(("class", "filter", "sample"))
    largest_rho = xr.apply_ufunc(np.maximum, rho, -end.rho_underbar.min(("class", "filter", "sample")))
    class_rho = end.rho_bar.max(("filter", "sample")).min("class")
    claims = []
    for i, sigma_p in enumerate(ds.sigma_p.values.tolist()):
        snr = float(theory.snr(1.0, sigma_p, d))
        scale = float(theory.coefficient_ratio_scale(1.0, sigma_p, d, n, num_classes))
        where = f"no pruning, σ_p = {sigma_p:g}, SNR = {snr:.3g}"

        def add(text: str, place: str, rule: Finding, note: str = "", where: str = where) -> None:
            claims.append(Claim.of(text, f"{cite('000', place)}, {where}", rule, note))

        if snr >= theory.signal_learning_snr(num_classes, n):
            rule = above(signal.isel(regime=i), 0.1, "min_j max_r γ")
            add("high SNR learns the signal: min_j max_r γ = Ω(1)", "Theorem 4.2", rule)
            noise_scale = float(theory.topk_noise_scale(1.0, sigma_p, d, n, num_classes))
            level = SCALE_FACTOR * noise_scale
            rule = below(largest_rho.isel(regime=i), level, f"max |ρ|, {SCALE_FACTOR:g} × the scale")
            add("high SNR does not memorise: max |ρ| = Õ(𝒯 n⁻¹ SNR⁻²)", "Theorem 4.2", rule)
            share = end.test_loss / theory.signal_learning_test_loss(end.train_loss, num_classes, n)
            rule = below(share.isel(regime=i), 1.0, "L_D over the bound")
            add("high SNR generalises: L_D ≤ 8e⁴ 𝒯 L_S + exp(−n²)", "Theorem 4.2", rule)
        if snr <= theory.memorization_snr(n):
            rule = above(class_rho.isel(regime=i), 0.1, "min_j max_ri ρ")
            add("low SNR memorises noise: min_j max_ri ρ = Ω(1)", "Theorem 4.3", rule)
            rule = below(largest_gamma.isel(regime=i), SCALE_FACTOR * scale, f"max |γ|, {SCALE_FACTOR:g} × the scale")
            add("low SNR does not learn the signal: max |γ| = Õ(𝒯⁻¹ n SNR²)", "Theorem 4.3", rule)
            rule = above(end.test_loss.isel(regime=i), float(theory.memorization_test_loss(num_classes)), "L_D")
            add("low SNR leaves a test loss of constant order, ½ log(1 + (𝒯−1)/e) or more", "Theorem 4.3", rule)
        trained = ds.isel(regime=i, step=slice(1, None)) / scale
        least, most = float(trained.coefficient_ratio_low.min()), float(trained.coefficient_ratio_high.max())
        rule = within(trained.coefficient_ratio, 1 / SCALE_FACTOR, SCALE_FACTOR, "ratio over scale at the records")
        text = "γ/ρ = Θ(n·SNR²/𝒯) at all times (ratio of means over active filters)"
        add(text, "Proposition 5.2", rule, f"over single filters and samples {least:.2g} to {most:.2g}")
    return claims


# --- Under which protocol does over-pruning appear? --------------------------------------------

_BASE: dict[str, Any] = {
    "prune_every": 10,
    "first_prune": 0,
    "regrow": True,
    "monotone": False,
    "prune_scope": "filter",
    "batch_size": None,
    "measure_pruned": True,
    "relu_grad_at_zero": 1.0,
    "n": 200,
    "descent": "span",
    "filter_reduction": "sum",
}
_FROZEN = {"regrow": False, "descent": "dense"}
PROTOCOLS: dict[str, dict[str, Any]] = {
    "fitted: every 10 steps": {},
    "every step": {"prune_every": 1},
    "mask frozen at step 0": _FROZEN,
    "monotone masks": {"monotone": True, "descent": "dense"},
    "σ'(0) = 0": {"relu_grad_at_zero": 0.0},
    "a class ranked together": {"prune_scope": "class"},
    "batches of 6": {"batch_size": 6},
    "every 500, unpruned": {"prune_every": 500, "measure_pruned": False},
    "printed: mean over filters": {"filter_reduction": "mean"},
}
_MORE: dict[str, dict[str, Any]] = {
    "every 30 steps": {"prune_every": 30},
    "every 100 steps": {"prune_every": 100},
    "from step 500": {"first_prune": 500},
    "mask frozen at step 100": _FROZEN | {"first_prune": 100},
    "σ'(0) = 0, from step 500": {"relu_grad_at_zero": 0.0, "first_prune": 500},
    "n = 50 (5 a class)": {"n": 50},
    "n = 20 (2 a class)": {"n": 20},
    "batches of 6, every step": {"batch_size": 6, "prune_every": 1, "descent": "dense"},
    "batches of 6, 10 epochs": {"batch_size": 6, "prune_every": 330},
    "a class together, frozen": _FROZEN | {"prune_scope": "class"},
    "every 1000, unpruned": {"prune_every": 1000, "measure_pruned": False},
}


def _protocol_sweeps(
    protocols: list[dict[str, Any]], sigma_p: list[float], K: list[int], seeds: int, steps: int
) -> Preset:
    columns = table([_BASE | protocol for protocol in protocols])
    return {"protocols": Sweep("topk_pruning", protocol=columns, sigma_p=sigma_p, K=K, seed=range(seeds), steps=steps)}


PROTOCOL_PRESETS = {
    "quick": _protocol_sweeps([*PROTOCOLS.values()], [0.5, 1.0], [2, 8, 30, 80, 200], 3, 1000),
    "paper": _protocol_sweeps([*PROTOCOLS.values(), *_MORE.values()], [0.5, 1.0], [2, 8, 30, 80, 200], 10, 1000),
}


def draw_protocols(datasets: dict[str, xr.Dataset]) -> dict[str, Any]:
    loss = datasets["protocols"].test_loss.mean("seed", keep_attrs=True)
    names = _protocol_names(loss)
    columns = 3 if len(names) <= len(PROTOCOLS) else 4
    fig, axes = plotting.panels(-(-len(names) // columns), columns, sharex=True, sharey=True)
    colors = plotting.shades(loss.sizes["sigma_p"])
    for ax, (i, name) in zip(axes.flat, enumerate(names), strict=True):
        of_protocol = loss.isel(protocol=i)
        plotting.curves(of_protocol, x="K", hue="sigma_p", colors=colors, legend=False, ax=ax, marker="o")
        for j, color in enumerate(colors):
            row = of_protocol.isel(sigma_p=j)
            best = row.idxmin("K")
            ax.plot(best, row.sel(K=best), marker="*", ms=8, color=color, mec="black", mew=0.5)
        plotting.reference(ax, y=THRESHOLD, ls=":")
        ax.set(xscale="log", yscale="log", title=name)
        ax.label_outer()
    plotting.ticks(ax, x=[2, 5, 20, 50, 200])
    steps, seeds = setting(datasets["protocols"], "steps"), datasets["protocols"].sizes["seed"]
    fig.suptitle(rf"star: best $K$, dotted: $L_\mathcal{{D}} = 2$; {steps} steps, mean of {seeds} seeds")
    plotting.legend(fig)
    return {"topk-protocols": fig}


def _protocol_names(loss: xr.DataArray) -> list[str]:
    """A Dataset numbers its protocols; these are their names, in the presets' order."""
    return [*PROTOCOLS, *_MORE][: loss.sizes["protocol"]]


def check_protocols(datasets: dict[str, xr.Dataset]) -> list[Claim]:
    """Is the test loss above 2 at the smallest K, and below it at a larger one (over-pruning), at some noise level?"""
    ds = datasets["protocols"]
    claims = []
    for i, name in enumerate(_protocol_names(ds.test_loss)):
        loss = ds.test_loss.isel(protocol=i)
        rule = above(fall(loss), 0.0, FALL, "some")
        lower = boundary.edge(loss, "K", THRESHOLD, "lower", log_axes=()).mean("seed", skipna=False)  # of all seeds
        crossings = [
            f"K = {float(v):.3g} at σ_p = {float(s):g}"
            for s, v in zip(lower.sigma_p, lower, strict=True)
            if np.isfinite(v)
        ]
        trained = float((ds.train_loss.isel(protocol=i) < 0.01).mean())
        note = f"L_D falls through 2 at {'; '.join(crossings) or 'no K'}; {trained:.0%} of cells train to < 0.01"
        text = "a lower boundary L_D = 2 exists: too small a K loses the signal"
        claims.append(Claim.of(text, f"{cite('000', 'Figure 2')}, protocol {name}", rule, note))
    return claims


FIGURES = {
    "topk-heatmap": Figure(HEATMAP_PRESETS, draw_heatmap, check_heatmap),
    "topk-protocols": Figure(PROTOCOL_PRESETS, draw_protocols, check_protocols),
}
