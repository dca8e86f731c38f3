"""Figures and claims of paper 003: Figures 1 to 4 on one page, and where the penalty helps."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr

from snljax import plotting, theory
from snljax.stats import Interval, t_interval as interval
from snljax.figures import Figure, Sweep
from snljax.figures.claims import Claim, verdict
from snljax.figures.datasets import alive, setting

PAPER = "003_42eed53d19772e3c.txt"
ALGORITHMS = {"pegr": "PEGR", "fgr": "FGR", "none": "standard"}
# σ_p and σ_0 move together in the paper; it does not give σ_0 at 0.1.
NOISE = {"sigma_p": [0.1, 0.5, 1.0, 1.5], "sigma_0": [0.01, 0.01, 0.01, 0.001]}
TRAINED = 0.05  # nats; ln 2 = 0.69 at the start
REACHES_ONE = 0.99  # test accuracy that counts as tending to 1


def _curves(reading: str, seeds: int) -> Sweep:
    return Sweep(
        "gradient_regularization",
        reading=reading,
        record_every=10,
        penalty=list(ALGORITHMS),
        level=NOISE,
        seed=range(seeds),
    )


CURVES_PRESETS = {
    "quick": {"fitted": _curves("fitted", 10)},
    "paper": {"fitted": _curves("fitted", 30), "printed": _curves("printed", 30)},
}


def draw_curves(datasets: dict[str, xr.Dataset]) -> dict[str, Any]:
    return {f"pegr-curves-{reading}": _page(ds, reading) for reading, ds in datasets.items()}


def _page(ds: xr.Dataset, reading: str) -> Any:
    """Four quantities down, three algorithms across, one curve for each σ_p: Figures 1 to 4."""
    rows = {
        "train_loss": "training loss $L_S$ (nats)",
        "signal": r"$\max_{j,r}\,|\langle w_{j,r},\mu\rangle|$",
        "noise": r"$\max_{j,r,i}\,\langle w_{j,r},\xi_i\rangle$",
        "test_accuracy": "test accuracy",
    }
    closed = setting(ds, "close_at")
    fig, axes = plt.subplots(4, 3, figsize=(9.4, 10.4), layout="constrained", sharex=True, sharey="row")
    for line, (name, label) in zip(axes, rows.items(), strict=True):
        for ax, (algorithm, title) in zip(line, ALGORITHMS.items(), strict=True):
            # Quartiles: a network that blows up and stays finite would fill a mean with 10¹⁵.
            low, middle, high = alive(ds)[name].sel(penalty=algorithm).quantile([0.25, 0.5, 0.75], "seed")
            for i, (sigma_p, color) in enumerate(zip(ds.sigma_p.values, plotting.COLORS, strict=False)):
                ax.plot(ds.step, middle.isel(level=i), color=color, lw=1.4, label=rf"$\sigma_p$ = {sigma_p:g}")
                ax.fill_between(ds.step, low.isel(level=i), high.isel(level=i), color=color, alpha=0.2, lw=0)
            if name == "noise":  # negative where every filter has turned away from every noise vector
                ax.set_yscale("symlog", linthresh=0.1)
            elif name != "test_accuracy":
                ax.set_yscale("log")
            ax.axvline(closed, color="0.4", ls=":", lw=1) if algorithm != "none" else None
            ax.set_ylabel(label if ax is line[0] else "")
            ax.set_xlabel("gradient steps" if name == "test_accuracy" else "")
            if name == "train_loss":
                ax.set_title(title, fontsize=11)
                ax.legend(fontsize=8)
    lost = ds.status == plotting.DIVERGED
    told = f"; {int(lost.sum())} of {lost.size} networks diverged and are left out" if lost.any() else ""
    fig.suptitle(
        f"{reading}: median and quartiles of {ds.sizes['seed']} seeds, penalty closed at step {closed}{told}",
        fontsize=10,
    )
    return fig


def check_curves(datasets: dict[str, xr.Dataset]) -> list[Claim]:
    return [claim for reading, ds in datasets.items() for claim in _curve_claims(ds, reading)]


def _curve_claims(ds: xr.Dataset, reading: str) -> list[Claim]:
    source = f"{PAPER} Figures 1-4, {reading}"
    ended = alive(ds).isel(step=-1)
    lost = (ds.status == plotting.DIVERGED).mean("seed")
    claims = []
    for algorithm, title in ALGORITHMS.items():
        losses = ended.train_loss.sel(penalty=algorithm)
        worst = interval(losses.max("level"))
        claims.append(
            Claim(
                f"{title}: all training losses go to 0 after closing",
                f"{source}, Figure 1",
                verdict(bool((losses < TRAINED).all())),
                worst,
                f"training loss < {TRAINED} in every network at the end",
                f"largest {float(losses.max()):.3g}; {int((losses >= TRAINED).sum())} networks are not below, "
                f"{int((ds.status.sel(penalty=algorithm) == plotting.DIVERGED).sum())} diverged",
            )
        )
    for i, sigma_p in enumerate(ds.sigma_p.values.tolist()):
        at = ended.isel(level=i)
        pegr, share = at.test_accuracy.sel(penalty="pegr"), float(lost.sel(penalty="pegr").isel(level=i))
        reached = (pegr >= REACHES_ONE).mean()
        claims.append(
            Claim(
                f"PEGR: test accuracy tends to 1 at σ_p = {sigma_p:g}",
                f"{source}, Figure 4",
                verdict(bool((pegr >= REACHES_ONE).all())),
                interval(pegr),
                f"test accuracy ≥ {REACHES_ONE} for every seed",
                f"{float(reached):.0%} of seeds reach it, {share:.0%} diverge",
            )
        )
        for algorithm in ("fgr", "none"):
            accuracy = at.test_accuracy.sel(penalty=algorithm)
            easy = sigma_p <= 0.1
            tends = "tends to 1" if easy else "does not"
            claims.append(
                Claim(
                    f"{ALGORITHMS[algorithm]}: test accuracy {tends} at σ_p = {sigma_p:g}",
                    f"{source}, Figure 4",
                    verdict(bool((accuracy >= REACHES_ONE).all() if easy else (accuracy < 0.75).all())),
                    interval(accuracy),
                    f"test accuracy {f'≥ {REACHES_ONE}' if easy else '< 0.75'} for every seed",
                )
            )
        if sigma_p > 0.1:
            ratio = at.noise.sel(penalty="pegr") / at.noise.sel(penalty="none")
            claims.append(
                Claim(
                    f"PEGR suppresses noise memorising at σ_p = {sigma_p:g}",
                    f"{source}, Figure 3",
                    verdict(bool(interval(ratio).high < 0.5)),
                    interval(ratio),
                    "Noise under PEGR over Noise under standard training: interval below 0.5",
                    f"median {float(ratio.median()):.3g}",
                )
            )
        first = ds.signal.sel(penalty="pegr").isel(level=i, step=0)
        grown = at.signal.sel(penalty="pegr") / first
        claims.append(
            Claim(
                f"PEGR: the signal grows at σ_p = {sigma_p:g}",
                f"{source}, Figure 2",
                verdict(bool(interval(grown).low > 10)),
                interval(grown),
                "Signal at the end over Signal at the start: interval above 10",
                f"median {float(grown.median()):.3g}",
            )
        )
    return claims + _condition_claims(ds, source)


def _condition_claims(ds: xr.Dataset, source: str) -> list[Claim]:
    """The paper's experiment against the paper's conditions."""
    n, d, m, mu, eta = (setting(ds, name) for name in ("n", "d", "m", "mu", "learning_rate"))
    claims = []
    for sigma_p, sigma_0 in zip(ds.sigma_p.values.tolist(), ds.sigma_0.values.tolist(), strict=True):
        ratios = theory.pegr_condition(d, n, m, mu, sigma_p, sigma_0, eta)
        short = [f"{name} {float(r):.2g}" for name, r in ratios.items() if r < 1]
        claims.append(
            Claim(
                f"the experiment at σ_p = {sigma_p:g} meets Condition 3.1",
                f"{PAPER} Condition 3.1 and Section 4.1",
                verdict(not short),
                float(min(ratios.values())),
                "every part at least 1, constants and logarithms taken as 1",
                f"not met: {', '.join(short)}" if short else "",
            )
        )
    steps = theory.pegr_closing_step(mu, ds.sigma_0.values, eta, m, n)
    claims.append(
        Claim(
            "the penalty is closed at the T₁ of Theorem 3.2",
            f"{PAPER} Theorem 3.2 and Section 4.1",
            verdict(bool((np.abs(steps / 800 - 1) <= 0.2).all())),
            float(steps[0]),
            "T₁ (δ = 0.01) within 20 % of 800 for every σ_0",
            f"T₁ from {steps.min():.0f} to {steps.max():.0f}; without the printed 1/m it is m = {m} times smaller",
        )
    )
    return claims


# --- where the penalty helps -------------------------------------------------------------------------


def _heatmap(sigma_p: Any, weights: Any, seeds: int) -> Sweep:
    return Sweep("gradient_regularization", sigma_p=sigma_p, penalty_weight=weights, sigma_0=0.001, seed=range(seeds))


HEATMAP_PRESETS = {
    "quick": {"pegr": _heatmap(np.linspace(0.1, 2.0, 10).round(3), np.geomspace(1e-3, 1.0, 10).round(5), 10)},
    "paper": {"pegr": _heatmap(np.linspace(0.1, 3.0, 30).round(3), np.geomspace(1e-4, 1.0, 33).round(6), 10)},
}


def draw_heatmap(datasets: dict[str, xr.Dataset]) -> dict[str, Any]:
    ds = datasets["pegr"]
    accuracy = ds.test_accuracy.mean("seed")
    accuracy.attrs["long_name"] = "test accuracy (grey: every seed diverges)"
    diverged = (ds.status == plotting.DIVERGED).mean("seed")
    diverged.attrs["long_name"] = "share of seeds that diverge"
    fig, (left, right) = plt.subplots(1, 2, figsize=(9.6, 3.9), layout="constrained")
    sigma_p = np.linspace(float(ds.sigma_p.min()), float(ds.sigma_p.max()), 200)
    for ax, values, lowest in ((left, accuracy, 0.5), (right, diverged, 0.0)):
        plotting.heatmap(values, x="sigma_p", y="penalty_weight", ax=ax, limits=(lowest, 1.0))
        ax.set_facecolor("0.6")
        ax.set_yscale("log")
        weight = theory.pegr_weight(sigma_p, setting(ds, "d"))
        ax.plot(sigma_p, weight, color="#D55E00", ls="--", label=r"$\lambda=\sigma_p^{-1}d^{-1/2}$")
        ax.set_ylim(float(ds.penalty_weight.min()), float(ds.penalty_weight.max()))
    left.legend(fontsize=8, loc="upper right")
    fig.suptitle(f"PEGR, fitted, {ds.sizes['seed']} seeds, closed at step {setting(ds, 'close_at')}", fontsize=10)
    return {"pegr-heatmap": fig}


def check_heatmap(datasets: dict[str, xr.Dataset]) -> list[Claim]:
    ds = datasets["pegr"]
    finite = ds.status != plotting.DIVERGED
    helps = (ds.test_accuracy >= REACHES_ONE) & finite
    claims = []
    for sigma_p in ds.sigma_p.values.tolist():
        if sigma_p < 0.5:
            continue
        at = helps.sel(sigma_p=sigma_p).mean("seed")
        best = float(ds.penalty_weight[int(np.argmax(at.values))])
        lost = float(1 - finite.sel(sigma_p=sigma_p).mean("seed").min())
        claims.append(
            Claim(
                f"some λ lets every seed reach test accuracy 1 at σ_p = {sigma_p:g}",
                f"{PAPER} Theorem 3.2 (ours: the whole range of λ)",
                verdict(float(at.max()) == 1.0),
                float(at.max()),
                f"share of seeds with test accuracy ≥ {REACHES_ONE} is 1 at the best λ",
                f"best λ = {best:g}; at most {lost:.0%} of seeds diverge at any λ",
            )
        )
    noisy = ds.sigma_p.values[ds.sigma_p.values >= 0.5]
    away = np.abs(
        np.log(ds.penalty_weight.values)[None, :] - np.log(theory.pegr_weight(noisy, setting(ds, "d")))[:, None]
    )
    nearest = ds.penalty_weight.values[away.argmin(1)]
    ours = [float(helps.sel(sigma_p=s, penalty_weight=w).mean()) for s, w in zip(noisy, nearest, strict=True)]
    claims.append(
        Claim(
            "λ = σ_p⁻¹d^(−1/2) is such a λ for every σ_p ≥ 0.5",
            f"{PAPER} Theorem 3.2",
            verdict(min(ours) == 1.0),
            Interval(float(np.mean(ours)), min(ours), max(ours)),
            f"share of seeds with test accuracy ≥ {REACHES_ONE} is 1 at the nearest λ of the grid",
            "brackets: smallest and largest over σ_p",
        )
    )
    return claims


FIGURES = {
    "pegr-curves": Figure(
        CURVES_PRESETS,
        draw_curves,
        check_curves,
    ),
    "pegr-heatmap": Figure(
        HEATMAP_PRESETS,
        draw_heatmap,
        check_heatmap,
    ),
}
