"""Figures and claims of paper 003: Figures 1 to 4 on one page, where the penalty helps, and the edges of that."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import xarray as xr

from snljax import plotting, theory
from snljax.figures import Figure, Sweep, Trace
from snljax.figures.claims import Claim, Finding, above, below, every, exact, on_side
from snljax.figures.datasets import alive, setting
from snljax.papers import cite

ALGORITHMS = {"pegr": "PEGR", "fgr": "FGR", "none": "standard"}
# σ_p and σ_0 move together in the paper; it does not give σ_0 at 0.1.
NOISE = {"sigma_p": [0.1, 0.5, 1.0, 1.5], "sigma_0": [0.01, 0.01, 0.01, 0.001]}
TRAINED = 0.05  # nats; ln 2 = 0.69 at the start
EARLY = 0.45  # −ℓ' at the median training loss; it is ½ at the start, and Lemma 5.1's rates take it as that
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
    scales = {"train_loss": "log", "signal": "log", "noise": "symlog", "test_accuracy": "linear"}
    shown, closed, theorem = alive(ds).swap_dims(level="sigma_p"), setting(ds, "close_at"), _closing_steps(ds)
    fig, axes = plotting.panels(4, 3, sharex=True, sharey="row")
    for line, (name, scale) in zip(axes, scales.items(), strict=True):
        for ax, (algorithm, title) in zip(line, ALGORITHMS.items(), strict=True):
            # Quartiles: a network that blows up and stays finite would fill a mean with 10¹⁵.
            values = shown[name].sel(penalty=algorithm)
            plotting.curves(values, x="step", hue="sigma_p", spread="quartiles", legend=False, ax=ax)
            # Noise is negative where every filter has turned away from every noise vector.
            ax.set_yscale(scale, **({"linthresh": 0.1} if scale == "symlog" else {}))
            trained = ax.get_xlim()  # T₁ may lie beyond it
            if algorithm != "none":
                plotting.reference(ax, x=closed, ls=":", label=f"penalty closed at step {closed}")
            if algorithm == "pegr":
                label = f"Theorem 3.2 closes at {' or '.join(map(str, theorem))}"
                for step in theorem:
                    plotting.reference(ax, x=step, ls="-.", label=label)
            for step, response in _early_lines(ds, name, algorithm):
                plotting.reference(ax, x=step, y=response, color="k", label="early, by Lemma 5.1")
            ax.set(xlim=trained, xlabel="gradient steps", title=title if name == "train_loss" else "")
            ax.label_outer()
    plotting.legend(fig)
    lost = ds.status == plotting.DIVERGED
    left_out = f"; {int(lost.sum())} of {lost.size} networks diverged and are left out" if lost.any() else ""
    fig.suptitle(f"{reading}: {plotting.caption(ds, 'quartiles')}{left_out}")
    return fig


def _closing_steps(ds: xr.Dataset) -> list[int]:
    """T₁ of Theorem 3.2 for the network at hand: one for each σ_0."""
    mu, d, n, m, eta = (setting(ds, name) for name in ("mu", "d", "n", "m", "learning_rate"))
    conventions = (setting(ds, name) for name in ("filter_reduction", "penalty_half", "q"))
    found = theory.pegr_schedule(mu, ds.sigma_p.values, d, n, m, ds.sigma_0.values, eta, *conventions)
    return sorted(set(found.closing_step.round().astype(int).tolist()))


def _early_lines(ds: xr.Dataset, name: str, algorithm: str) -> Iterator[tuple[Any, Any]]:
    """Steps, and the response that Lemma 5.1 has at them from the measured start: for each σ_p, as long as it is early.

    The lemma has rates of signal and noise, under PEGR and without a penalty; none under FGR.
    """
    if name not in ("signal", "noise") or algorithm == "fgr":
        return
    mu, d, n, m, eta = (setting(ds, key) for key in ("mu", "d", "n", "m", "learning_rate"))
    conventions = [setting(ds, key) for key in ("filter_reduction", "penalty_half")]
    weights = setting(ds, "penalty_weight") if algorithm == "pegr" else 0.0, 0.0  # before and after closing
    for i in range(ds.sizes["level"]):
        runs = alive(ds).sel(penalty=algorithm).isel(level=i).dropna("seed", subset=["train_loss"])
        if not runs.sizes["seed"]:
            continue
        slope = -np.expm1(-runs.train_loss.median("seed").values)
        last = int(ds.step.values[np.logical_and.accumulate(slope >= EARLY)].max(initial=0))
        norm = float(runs.sigma_p) * np.sqrt(d)
        rates = [getattr(theory.early_rates(mu, norm, n, m, eta, weight, *conventions), name) for weight in weights]
        step = np.arange(last + 1)
        start = runs[name].isel(step=0).median("seed")
        if last:
            yield step, theory.early_curve(start, rates[0], step, setting(ds, "close_at"), rates[1])


def check_curves(datasets: dict[str, xr.Dataset]) -> list[Claim]:
    return [claim for reading, ds in datasets.items() for claim in _curve_claims(ds, reading)]


def _curve_claims(ds: xr.Dataset, reading: str) -> list[Claim]:
    ended = alive(ds).isel(step=-1)
    lost = ds.status == plotting.DIVERGED
    claims = []

    def add(text: str, figure: int, rule: Finding, note: str = "") -> None:
        claims.append(Claim.of(text, f"{cite('003', f'Figure {figure}')}, {reading}", rule, note))

    for algorithm, title in ALGORITHMS.items():
        rule = every(ended.train_loss.sel(penalty=algorithm), "<", TRAINED, "training loss at the end")
        note = f"{int(lost.sel(penalty=algorithm).sum())} diverged"
        add(f"{title}: all training losses go to 0 after closing", 1, rule, note)
    for i, sigma_p in enumerate(ds.sigma_p.values.tolist()):
        at = ended.isel(level=i)
        accuracy = {name: at.test_accuracy.sel(penalty=name) for name in ALGORITHMS}
        rule = every(accuracy["pegr"], "≥", REACHES_ONE, "test accuracy")
        share = float(lost.sel(penalty="pegr").isel(level=i).mean("seed"))
        add(f"PEGR: test accuracy tends to 1 at σ_p = {sigma_p:g}", 4, rule, f"{share:.0%} of seeds diverge")
        easy = sigma_p <= 0.1
        for algorithm in ("fgr", "none"):
            tends = "tends to 1" if easy else "does not"
            reached = every(accuracy[algorithm], "≥", REACHES_ONE, "test accuracy")
            rule = reached if easy else every(accuracy[algorithm], "<", 0.75, "test accuracy")
            add(f"{ALGORITHMS[algorithm]}: test accuracy {tends} at σ_p = {sigma_p:g}", 4, rule)
        if not easy:
            ratio = at.noise.sel(penalty="pegr") / at.noise.sel(penalty="none")
            rule = below(ratio, 0.5, "Noise under PEGR over Noise under standard training")
            note = f"median {float(ratio.median()):.3g}"
            add(f"PEGR suppresses noise memorising at σ_p = {sigma_p:g}", 3, rule, note)
        grown = at.signal.sel(penalty="pegr") / ds.signal.sel(penalty="pegr").isel(level=i, step=0)
        rule = above(grown, 10, "Signal at the end over Signal at the start")
        add(f"PEGR: the signal grows at σ_p = {sigma_p:g}", 2, rule, f"median {float(grown.median()):.3g}")
    return claims + _condition_claims(ds)


def _condition_claims(ds: xr.Dataset) -> list[Claim]:
    """The paper's experiment against the paper's conditions."""
    n, d, m, mu, eta = (setting(ds, name) for name in ("n", "d", "m", "mu", "learning_rate"))
    claims = []
    for sigma_p, sigma_0 in zip(ds.sigma_p.values.tolist(), ds.sigma_0.values.tolist(), strict=True):
        ratios = theory.pegr_condition(d, n, m, mu, sigma_p, sigma_0, eta)
        short = ", ".join(f"{name} {float(r):.2g}" for name, r in ratios.items() if r < 1)
        rule = exact(list(ratios.values()), "≥", 1.0, "every part, constants and logarithms taken as 1,")
        text = f"the experiment at σ_p = {sigma_p:g} meets Condition 3.1"
        claims.append(Claim.of(text, cite("003", "Condition 3.1 and Section 4.1"), rule, short and f"not met: {short}"))
    steps = theory.pegr_closing_step(mu, ds.sigma_0.values, eta, m, n)
    rule = exact(np.abs(steps / 800 - 1), "≤", 0.2, "|T₁/800 − 1| for every σ_0 (δ = 0.01)")
    note = f"T₁ from {steps.min():.0f} to {steps.max():.0f}; without the printed 1/m it is m = {m} times smaller"
    text = "the penalty is closed at the T₁ of Theorem 3.2"
    return [*claims, Claim.of(text, cite("003", "Theorem 3.2 and Section 4.1"), rule, note)]


# --- where the penalty helps -------------------------------------------------------------------------


def _heatmap(sigma_p: Any, weights: Any, seeds: int) -> Sweep:
    return Sweep("gradient_regularization", sigma_p=sigma_p, penalty_weight=weights, sigma_0=0.001, seed=range(seeds))


HEATMAP_PRESETS = {
    "quick": {"pegr": _heatmap(np.linspace(0.1, 2.0, 10).round(3), np.geomspace(1e-3, 1.0, 10).round(5), 10)},
    "paper": {"pegr": _heatmap(np.linspace(0.1, 3.0, 30).round(3), np.geomspace(1e-4, 1.0, 33).round(6), 10)},
}


def draw_heatmap(datasets: dict[str, xr.Dataset]) -> dict[str, Any]:
    ds = datasets["pegr"]
    accuracy = ds.test_accuracy.mean("seed").assign_attrs(long_name="test accuracy")
    diverged = (ds.status == plotting.DIVERGED).mean("seed").assign_attrs(long_name="share of seeds that diverge")
    fig, axes = plotting.panels(1, 2)
    sigma_p = np.linspace(float(ds.sigma_p.min()), float(ds.sigma_p.max()), 200)
    weight = theory.pegr_weight(sigma_p, setting(ds, "d"))
    for ax, values, lowest in zip(axes[0], (accuracy, diverged), (0.5, 0.0), strict=True):
        plotting.heatmap(values, x="sigma_p", y="penalty_weight", ax=ax, limits=(lowest, 1.0))
        look = {"color": plotting.COLORS[1], "label": r"$\lambda=\sigma_p^{-1}d^{-1/2}$"}
        plotting.reference(ax, x=sigma_p, y=weight, **look)
        ax.set_facecolor("0.6")
        ax.set(yscale="log", ylim=(float(ds.penalty_weight.min()), float(ds.penalty_weight.max())))
    axes[0, 0].set_title("grey: every seed diverges")
    axes[0, 0].legend(loc="upper right")
    fig.suptitle(f"PEGR, fitted, {ds.sizes['seed']} seeds, closed at step {setting(ds, 'close_at')}")
    return {"pegr-heatmap": fig}


def check_heatmap(datasets: dict[str, xr.Dataset]) -> list[Claim]:
    ds = datasets["pegr"]
    accuracy, weights = alive(ds).test_accuracy, ds.penalty_weight.values
    noisy = ds.sigma_p.values[ds.sigma_p.values >= 0.5]
    source = f"{cite('003', 'Theorem 3.2')} (ours: the whole range of λ)"
    claims = []
    for sigma_p in noisy.tolist():
        at = accuracy.sel(sigma_p=sigma_p)
        best = float(weights[int((at >= REACHES_ONE).mean("seed").argmax("penalty_weight"))])
        rule = every(at.sel(penalty_weight=best), "≥", REACHES_ONE, "test accuracy at the best λ")
        lost = float(at.isnull().mean("seed").max())
        note = f"best λ = {best:g}; at most {lost:.0%} of seeds diverge at any λ"
        text = f"some λ lets every seed reach test accuracy 1 at σ_p = {sigma_p:g}"
        claims.append(Claim.of(text, source, rule, note))
    wanted = theory.pegr_weight(noisy, setting(ds, "d"))
    nearest = weights[np.abs(np.log(weights)[None, :] - np.log(wanted)[:, None]).argmin(1)]
    there = accuracy.sel(sigma_p=xr.DataArray(noisy, dims="pair"), penalty_weight=xr.DataArray(nearest, dims="pair"))
    rule = every(there, "≥", REACHES_ONE, "test accuracy at the nearest λ of the grid")
    text = "λ = σ_p⁻¹d^(−1/2) is such a λ for every σ_p ≥ 0.5"
    return [*claims, Claim.of(text, cite("003", "Theorem 3.2"), rule)]


# --- the edges of the window -------------------------------------------------------------------------

REACHED = 0.75  # mean test accuracy: half of the seeds reach 1, the others guess


def _window(sigma_p: Any, weights: Any, seeds: tuple[int, int]) -> Trace:
    sweep = _heatmap(sigma_p, weights, seeds[1])
    return Trace(sweep, "test_accuracy", REACHED, net=7, seeds=seeds, diverged="below")


BOUNDARY_PRESETS = {
    "quick": {"pegr": _window(np.linspace(0.25, 3.0, 12).round(3), np.geomspace(1e-4, 1.0, 25).round(7), (4, 8))},
    "paper": {"pegr": _window(np.linspace(0.1, 3.0, 59).round(3), np.geomspace(1e-5, 1.0, 101).round(8), (5, 20))},
}


def _lambdas(ds: xr.Dataset, sigma_p: Any) -> dict[str, tuple[str, Any]]:
    """Theorem 3.2's weight, as it is printed and as the plain sum without ½ has to have it: symbol and values."""
    d, n, m, mu, eta, sigma_0 = (setting(ds, name) for name in ("d", "n", "m", "mu", "learning_rate", "sigma_0"))
    conventions = setting(ds, "filter_reduction"), setting(ds, "penalty_half"), setting(ds, "q")
    schedule = theory.pegr_schedule(mu, sigma_p, d, n, m, sigma_0, eta, *conventions)
    return {
        "translated to the sum": (r"$\sigma_p^{-1}d^{-1/2}/(2m)$", schedule.penalty_weight),
        "printed": (r"$\sigma_p^{-1}d^{-1/2}$", theory.pegr_weight(sigma_p, d)),
    }


def draw_boundary(datasets: dict[str, xr.Dataset]) -> dict[str, Any]:
    ds = datasets["pegr"]
    sigma_p = np.linspace(float(ds.sigma_p.min()), float(ds.sigma_p.max()), 200)
    theories = [plotting.Curve(f"{s}, {n}", y, x=sigma_p) for n, (s, y) in _lambdas(ds, sigma_p).items()]
    names = ("guesses, or diverges", "learns")
    fig = plotting.phase_map(ds, x="sigma_p", y="penalty_weight", names=names, theory=theories, width="page")
    fig.suptitle(f"PEGR, fitted, closed at step {setting(ds, 'close_at')}, up to {ds.sizes['seed']} seeds")
    return {"pegr-boundary": fig}


def check_boundary(datasets: dict[str, xr.Dataset]) -> list[Claim]:
    ds = datasets["pegr"]
    claims = []
    for name, (_, values) in _lambdas(ds, ds.sigma_p.values).items():
        at = xr.DataArray(np.log(values), dims="sigma_p")
        nearest = abs(np.log(ds.penalty_weight) - at).argmin("penalty_weight")
        sides = ds.side.isel(penalty_weight=nearest)
        for least, most in ((0.5, 1.0), (1.0, 2.0), (2.0, 3.0)):
            inside = sides.sel(sigma_p=slice(least, most))
            what = f"the cells nearest to the curve, σ_p from {least:g} to {most:g}"
            open_at = [f"{s:g}" for s in inside.sigma_p.values[(inside != 1).values]]
            note = f"not at σ_p = {', '.join(open_at)}" if open_at else ""
            text = f"λ = σ_p⁻¹d^(−1/2), {name}, makes most seeds reach test accuracy 1"
            claims.append(Claim.of(text, cite("003", "Theorem 3.2"), on_side(inside, 1, what), note))
    top, bottom = ds.side.isel(penalty_weight=-1), ds.side.isel(penalty_weight=0)
    noisy = ds.sigma_p >= 0.75
    for text, row in (("a weight that is too small does not help", bottom), ("one too large harms", top)):
        rule = on_side(row.where(noisy, drop=True).astype(int), -1, "the smallest or largest λ, σ_p ≥ 0.75")
        claims.append(Claim.of(f"the window has two edges: {text}", cite("003", "Theorem 3.2, ours"), rule))
    return claims


FIGURES = {
    "pegr-boundary": Figure(BOUNDARY_PRESETS, draw_boundary, check_boundary),
    "pegr-curves": Figure(CURVES_PRESETS, draw_curves, check_curves),
    "pegr-heatmap": Figure(HEATMAP_PRESETS, draw_heatmap, check_heatmap),
}
