"""Figures and claims of paper 000: Figures 1 and 2, the upper boundary, and the pruning protocols."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr

from snljax import boundary, plotting, theory
from snljax.stats import t_interval as interval
from snljax.figures import Figure, Preset, Sweep
from snljax.figures.claims import Claim, verdict
from snljax.figures.datasets import setting

PAPER = "000_00bc3c8244f7a20d.txt"
THRESHOLD = 2.0  # of the test loss, Figure 2
PAPER_STEPS = 5000
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
        seed=range(max(seeds, 2)),
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
    fig, axes = plt.subplots(len(readings), 2, figsize=(9.2, 3.9 * len(readings)), layout="constrained", squeeze=False)
    for (left, right), reading in zip(axes, readings, strict=True):
        ds = datasets[reading]
        loss = ds.test_loss.mean("seed")
        loss.attrs["long_name"] = r"test loss $L_\mathcal{D}$ (nats)"
        plotting.heatmap(loss, x="sigma_p", y="K", log=True, status=ds.status, ax=left)
        plotting.threshold_map(loss, x="sigma_p", y="K", threshold=THRESHOLD, status=ds.status, ax=right)
        d = setting(ds, "d")
        sigma_p = np.linspace(float(ds.sigma_p.min()), float(ds.sigma_p.max()), 400)
        right.plot(sigma_p, theory.topk_upper_boundary(sigma_p), color="#D55E00", label=r"$95\,\sigma_p^{-2}$")
        right.plot(
            sigma_p, theory.topk_lower_boundary(sigma_p), color="#E69F00", ls="--", label=r"$120\,e^{-1/(2\sigma_p^2)}$"
        )
        right.plot(sigma_p, theory.over_pruning_bound(sigma_p, d), color="black", ls=":", label="Theorem 4.5")
        half_cell = 0.5 * float(ds.K[1] - ds.K[0])
        right.set_ylim(float(ds.K.min()) - half_cell, float(ds.K.max()) + half_cell)
        right.legend(loc="center left", fontsize=8)
        seeds, steps = ds.sizes["seed"], setting(ds, "steps")
        left.set_title(f"{reading}: {steps} steps, mean of {seeds} seeds", fontsize=10)
        right.set_title(rf"blue: $L_\mathcal{{D}} < {THRESHOLD:g}$", fontsize=10)
    return {"topk-heatmap": fig}


def check_heatmap(datasets: dict[str, xr.Dataset]) -> list[Claim]:
    claims = []
    for reading in ("fitted", "printed"):
        if reading in datasets:
            claims += _heatmap_claims(datasets[reading], reading)
    return claims + _regime_claims(datasets["without_pruning"])


def _heatmap_claims(ds: xr.Dataset, reading: str) -> list[Claim]:
    steps, d = setting(ds, "steps"), setting(ds, "d")
    full = steps >= PAPER_STEPS
    short = "" if full else f"{steps} of {PAPER_STEPS} steps"
    source = f"{PAPER} A.1, {reading}"
    axes = ("sigma_p", "K")
    claims = [
        _trained_claim(ds, "training loss below 0.01 in every cell", source, full, short),
        *_upper_claims(ds, source, full, short),
    ]
    for text, name, curve in (
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
        below = xr.DataArray(curve, dims="sigma_p") >= ds.K
        share = interval((ds.test_loss >= THRESHOLD).where(below).mean(axes))
        claims.append(
            Claim(
                text,
                f"{PAPER} {name}, {reading}",
                verdict(share.mean >= 0.9, full),
                share,
                "share of cells under the curve with L_D ≥ 2 at least 0.9",
                short,
            )
        )
    at_one = ds.sel(sigma_p=1.0, method="nearest")
    dense = interval(at_one.test_loss.sel(K=d))
    best = int(at_one.test_loss.mean("seed").idxmin("K"))
    pruned = interval(at_one.test_loss.sel(K=best))
    claims.append(
        Claim(
            "at σ_p = 1 the dense network generalises badly",
            f"{PAPER} Theorem 4.4, {reading}",
            verdict(dense.mean >= THRESHOLD, full),
            dense,
            "L_D ≥ 2 at K = d",
            short,
        )
    )
    claims.append(
        Claim(
            "at σ_p = 1 some K < d generalises well",
            f"{PAPER} Theorem 4.4, {reading}",
            verdict(pruned.mean < THRESHOLD, full),
            pruned,
            "smallest L_D over K below 2",
            _join(short, f"at K = {best}"),
        )
    )
    return claims


def _trained_claim(ds: xr.Dataset, text: str, source: str, full: bool, short: str = "") -> Claim:
    below = ds.train_loss < 0.01  # false where a cell diverged
    return Claim(
        text,
        source,
        verdict(bool(below.all()), full),
        interval(ds.train_loss.max(("sigma_p", "K"))),
        "largest training loss < 0.01",
        _join(short, f"{float(below.mean()):.0%} of cells are below"),
    )


def _upper_claims(ds: xr.Dataset, source: str, full: bool, short: str = "") -> list[Claim]:
    edge = boundary.extract(ds.test_loss, "K", THRESHOLD, "upper")
    law = boundary.fit_power_law(edge, "sigma_p")
    constant = interval((edge * ds.sigma_p**2).mean("sigma_p"))
    enough = full and law.points >= 2 * ds.sizes["seed"]
    note = _join(short, f"{law.points} crossings" if law.points else "no crossing inside the grid")
    return [
        Claim(
            "upper boundary: K·σ_p² = 95",
            source,
            verdict(abs(constant.mean / 95 - 1) <= 0.2, enough),
            constant,
            "mean of K·σ_p² at L_D = 2 within 20 % of 95",
            note,
        ),
        Claim(
            "upper boundary: exponent −2 in σ_p",
            source,
            verdict(abs(law.exponent.mean + 2) <= 0.25, enough),
            law.exponent,
            "exponent within 0.25 of −2",
            _join(note, f"constant of the fit {law.constant}"),
        ),
    ]


def _regime_claims(ds: xr.Dataset) -> list[Claim]:
    """Theorems 4.2 and 4.3 and Proposition 5.2, without pruning."""
    n, d, num_classes = (setting(ds, name) for name in ("n", "d", "num_classes"))
    end = ds.isel(step=-1)
    own_gamma = xr.concat([end.gamma.isel({"class": j, "signal_of_class": j}) for j in range(num_classes)], "class")
    signal = own_gamma.max("filter").min("class")
    rho = end.rho_bar.max(("class", "filter", "sample"))
    largest_rho = xr.apply_ufunc(np.maximum, rho, -end.rho_underbar.min(("class", "filter", "sample")))
    class_rho = end.rho_bar.max(("filter", "sample")).min("class")
    claims = []
    for i, sigma_p in enumerate(ds.sigma_p.values.tolist()):
        snr = float(theory.snr(1.0, sigma_p, d))
        ratio_scale = float(theory.coefficient_ratio_scale(1.0, sigma_p, d, n, num_classes))
        where = f"no pruning, σ_p = {sigma_p:g}, SNR = {snr:.3g}"
        if snr >= theory.signal_learning_snr(num_classes, n):
            learned, noise = interval(signal.isel(regime=i)), interval(largest_rho.isel(regime=i))
            claims += [
                Claim(
                    "high SNR learns the signal: min_j max_r γ = Ω(1)",
                    f"{PAPER} Theorem 4.2, {where}",
                    verdict(learned.mean >= 0.1),
                    learned,
                    "at least 0.1",
                ),
                Claim(
                    "high SNR does not memorise: max |ρ| = Õ(𝒯 n⁻¹ SNR⁻²)",
                    f"{PAPER} Theorem 4.2, {where}",
                    verdict(noise.mean <= SCALE_FACTOR / ratio_scale),
                    noise,
                    f"at most {SCALE_FACTOR:g} × {1 / ratio_scale:.3g}",
                ),
            ]
        if snr <= theory.memorization_snr(n):
            memorised, learned = (
                interval(class_rho.isel(regime=i)),
                interval(abs(end.gamma).max(("class", "filter", "signal_of_class")).isel(regime=i)),
            )
            loss = interval(end.test_loss.isel(regime=i))
            claims += [
                Claim(
                    "low SNR memorises noise: min_j max_ri ρ = Ω(1)",
                    f"{PAPER} Theorem 4.3, {where}",
                    verdict(memorised.mean >= 0.1),
                    memorised,
                    "at least 0.1",
                ),
                Claim(
                    "low SNR does not learn the signal: max |γ| = Õ(𝒯⁻¹ n SNR²)",
                    f"{PAPER} Theorem 4.3, {where}",
                    verdict(learned.mean <= SCALE_FACTOR * ratio_scale),
                    learned,
                    f"at most {SCALE_FACTOR:g} × {ratio_scale:.3g}",
                ),
                Claim(
                    "low SNR leaves a test loss of constant order",
                    f"{PAPER} Theorem 4.3, {where}",
                    verdict(loss.mean >= 1),
                    loss,
                    "L_D at least 1",
                ),
            ]
        trained = ds.isel(regime=i, step=slice(1, None))
        typical = trained.coefficient_ratio / ratio_scale
        low, high = float(typical.mean("seed").min()), float(typical.mean("seed").max())
        least = float((trained.coefficient_ratio_low / ratio_scale).min())
        most = float((trained.coefficient_ratio_high / ratio_scale).max())
        claims.append(
            Claim(
                "γ/ρ = Θ(n·SNR²/𝒯) at all times (ratio of means over active filters)",
                f"{PAPER} Proposition 5.2, {where}",
                verdict(low >= 1 / SCALE_FACTOR and high <= SCALE_FACTOR),
                interval(typical.isel(step=-1)),
                f"ratio / scale within 1/{SCALE_FACTOR:g} to {SCALE_FACTOR:g} at every record",
                f"over training {low:.3g} to {high:.3g}; over single filters and samples {least:.2g} to {most:.2g}",
            )
        )
    return claims


# --- The upper boundary, inside and beyond the plotted range -----------------------------------


def _boundary_sweeps(sigma_p: list[float], K: Any, seeds: int) -> Preset:
    common = Sweep("topk_pruning", sigma_p=sigma_p, K=K, seed=range(seeds), steps=PAPER_STEPS)
    return {reading: common.but(reading=reading) for reading in ("fitted", "printed")}


BOUNDARY_PRESETS = {
    "quick": _boundary_sweeps([1.0, 1.5, 2.0], [10, 20, 35, 55, 80, 100, 120, 160], 3),
    "paper": _boundary_sweeps(
        [0.7, 0.85, 1.0, 1.25, 1.5, 1.75, 2.0, 2.5],
        [4, 8, 12, 16, 20, 25, 30, 35, 45, 55, 65, 75, 85, 95, 105, 115, 125, 140, 155, 170, 185, 200],
        5,
    ),
}


def draw_boundary(datasets: dict[str, xr.Dataset]) -> dict[str, Any]:
    fig, axes = plt.subplots(1, 3, figsize=(11.5, 3.6), layout="constrained")
    for ax, reading in zip(axes, ("fitted", "printed"), strict=False):
        loss = datasets[reading].test_loss.transpose("sigma_p", "K", "seed")
        loss.attrs["long_name"] = r"test loss $L_\mathcal{D}$ (nats)"
        plotting.curves(loss, x="K", hue="sigma_p", ax=ax, marker="o", ms=3)
        ax.axhline(THRESHOLD, color="0.4", lw=0.8, ls=":")
        ax.set_yscale("log" if float(loss.min()) < 1 else "linear")
        ax.set_title(f"{reading}, {loss.sizes['seed']} seeds", fontsize=10)
    last = axes[2]
    for reading, color, marker in (("fitted", plotting.COLORS[0], "o"), ("printed", plotting.COLORS[1], "s")):
        edge = boundary.extract(datasets[reading].test_loss, "K", THRESHOLD, "upper")
        bands = [interval(edge.sel(sigma_p=s)) for s in edge.sigma_p]
        mean = np.array([b.mean for b in bands])
        spread = np.array([[b.mean - b.low, b.high - b.mean] for b in bands]).T
        last.errorbar(edge.sigma_p, mean, spread, fmt=marker, color=color, capsize=3, label=f"{reading} reading")
    sigma_p = np.linspace(float(edge.sigma_p.min()), float(edge.sigma_p.max()), 200)
    last.plot(sigma_p, theory.topk_upper_boundary(sigma_p), color="black", label=r"paper: $95\,\sigma_p^{-2}$")
    last.set(xscale="log", yscale="log", xlabel=r"$\sigma_p$", ylabel=rf"$K$ where $L_\mathcal{{D}} = {THRESHOLD:g}$")
    last.set_xticks(edge.sigma_p.values, [f"{t:g}" for t in edge.sigma_p.values])
    last.set_yticks([10, 20, 50, 100, 200], ["10", "20", "50", "100", "200"])
    last.minorticks_off()
    last.legend(fontsize=8)
    return {"topk-boundary": fig}


def check_boundary(datasets: dict[str, xr.Dataset]) -> list[Claim]:
    claims = []
    for reading, ds in datasets.items():
        source = f"{PAPER} A.1, {reading}"
        text = "training loss below 0.01 in every cell (here beyond the paper's σ_p too)"
        claims.append(_trained_claim(ds, text, source, full=True))
        claims += _upper_claims(ds, source, full=True)
        edge = boundary.extract(ds.test_loss, "K", THRESHOLD, "upper")
        for sigma_p in ds.sigma_p.values.tolist():
            constant = interval(edge.sel(sigma_p=sigma_p) * sigma_p**2)
            found = not np.isnan(constant.mean)
            claims.append(
                Claim(
                    f"K·σ_p² = 95 at σ_p = {sigma_p:g}",
                    source,
                    verdict(abs(constant.mean / 95 - 1) <= 0.2, found),
                    constant,
                    "within 20 % of 95",
                    "" if found else "no crossing inside the grid",
                )
            )
    return claims


# --- Under which protocol does over-pruning appear? --------------------------------------------

_BASE = {
    "prune_every": 10,
    "first_prune": 0,
    "regrow": True,
    "relu_grad_at_zero": 1.0,
    "n": 200,
    "descent": "span",
    "filter_reduction": "sum",
}
PROTOCOLS: dict[str, dict[str, Any]] = {
    "fitted: every 10 steps": {},
    "every step": {"prune_every": 1},
    "every 30 steps": {"prune_every": 30},
    "every 100 steps": {"prune_every": 100},
    "from step 500": {"first_prune": 500},
    "mask frozen at step 0": {"regrow": False, "descent": "dense"},
    "mask frozen at step 100": {"regrow": False, "descent": "dense", "first_prune": 100},
    "σ'(0) = 0": {"relu_grad_at_zero": 0.0},
    "σ'(0) = 0, from step 500": {"relu_grad_at_zero": 0.0, "first_prune": 500},
    "n = 50 (5 a class)": {"n": 50},
    "n = 20 (2 a class)": {"n": 20},
    "printed: mean over filters": {"filter_reduction": "mean"},
}


def _protocol_sweeps(sigma_p: list[float], K: list[int], seeds: int, steps: int) -> Preset:
    columns = {name: [(_BASE | p)[name] for p in PROTOCOLS.values()] for name in _BASE}
    return {"protocols": Sweep("topk_pruning", protocol=columns, sigma_p=sigma_p, K=K, seed=range(seeds), steps=steps)}


PROTOCOL_PRESETS = {
    "quick": _protocol_sweeps([0.3, 1.0, 3.0], [2, 8, 20, 60, 120, 200], 1, 1000),
    "paper": _protocol_sweeps([0.3, 0.5, 1.0, 2.0, 3.0, 4.0], [2, 5, 10, 20, 40, 70, 100, 150, 200], 2, 3000),
}


def draw_protocols(datasets: dict[str, xr.Dataset]) -> dict[str, Any]:
    ds = datasets["protocols"]
    loss = ds.test_loss.mean("seed")
    fig, axes = plt.subplots(3, 4, figsize=(11, 8), layout="constrained", sharex=True, sharey=True)
    colors = plt.get_cmap("viridis")(np.linspace(0, 0.92, ds.sizes["sigma_p"]))
    for ax, (i, name) in zip(axes.flat, enumerate(PROTOCOLS), strict=True):
        for j, sigma_p in enumerate(ds.sigma_p.values):
            row = loss.isel(protocol=i, sigma_p=j)
            ax.plot(row.K, row, color=colors[j], marker="o", ms=2.5, lw=1.2, label=rf"$\sigma_p = {sigma_p:g}$")
            best = row.idxmin("K")
            ax.plot(best, row.sel(K=best), marker="*", ms=9, color=colors[j], mec="black", mew=0.5)
        ax.axhline(THRESHOLD, color="0.4", lw=0.8, ls=":")
        ax.set_title(name, fontsize=9)
        ax.set(xscale="log", yscale="log")
        ax.set_xticks([2, 5, 10, 20, 50, 100, 200], ["2", "5", "10", "20", "50", "100", "200"])
        ax.minorticks_off()
    fig.supxlabel("$K$, weights kept per filter")
    fig.supylabel(r"test loss $L_\mathcal{D}$ (nats); star: best $K$, dotted: $L_\mathcal{D} = 2$")
    axes[-1, -1].legend(fontsize=8, loc="lower left", ncols=2)  # the panel with room
    return {"topk-protocols": fig}


def check_protocols(datasets: dict[str, xr.Dataset]) -> list[Claim]:
    """Where is the smallest K worse than a larger one (over-pruning), and where does it cross L_D = 2?"""
    ds = datasets["protocols"]
    claims = []
    for i, name in enumerate(PROTOCOLS):
        here = ds.isel(protocol=i)
        lower = boundary.extract(here.test_loss, "K", THRESHOLD, "lower").mean("seed")
        crossings = [
            f"K = {float(v):.3g} at σ_p = {float(s):g}"
            for s, v in zip(lower.sigma_p, lower, strict=True)
            if np.isfinite(v)
        ]
        excess = np.log(here.test_loss.isel(K=0) / here.test_loss.min("K")).mean("sigma_p")
        trained = float((here.train_loss < 0.01).mean())
        claims.append(
            Claim(
                "a lower boundary L_D = 2 exists: too small a K loses the signal",
                f"{PAPER} Figure 2, protocol {name}",
                verdict(bool(crossings)),
                interval(excess),
                "L_D falls through 2 as K grows, at some σ_p; measured: mean over σ_p of log(L_D(K=2) / smallest L_D)",
                _join("; ".join(crossings) or "no crossing", f"{trained:.0%} of cells train to < 0.01"),
            )
        )
    return claims


def _join(*parts: str) -> str:
    return "; ".join(p for p in parts if p)


FIGURES = {
    "topk-heatmap": Figure(
        HEATMAP_PRESETS,
        draw_heatmap,
        check_heatmap,
    ),
    "topk-boundary": Figure(
        BOUNDARY_PRESETS,
        draw_boundary,
        check_boundary,
    ),
    "topk-protocols": Figure(
        PROTOCOL_PRESETS,
        draw_protocols,
        check_protocols,
    ),
}
