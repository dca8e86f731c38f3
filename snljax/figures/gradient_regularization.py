"""Figures and claims of paper 003: Figures 1 to 4 on one page, where the penalty helps, and the edges of that.

λ, η, σ_0 and T₁ of the theorems belong to the printed network, with 1/m and λ/2. Every network here is held to them in
that network's conventions (`theory.pegr_as_printed`), or has them translated to its own (`theory.pegr_schedule`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import xarray as xr

from snljax import plotting, theory
from snljax.figures import Figure, Sweep, Trace
from snljax.figures.claims import Claim, Finding, above, below, every, exact, on_side
from snljax.figures.datasets import alive, setting
from snljax.figures.presets import Preset
from snljax.papers import cite

READINGS = ("fitted", "printed", "rescaled")
ALGORITHMS = {"pegr": "PEGR", "fgr": "FGR", "none": "standard"}
# σ_p and σ_0 move together in the paper; it does not give σ_0 at 0.1.
NOISE = {"sigma_p": [0.1, 0.5, 1.0, 1.5], "sigma_0": [0.01, 0.01, 0.01, 0.001]}
TRAINED = 0.05  # nats; ln 2 = 0.69 at the start
EARLY = 0.45  # −ℓ' at the median training loss; it is ½ at the start, and Lemma 5.1's rates take it as that
REACHES_ONE = 0.99  # test accuracy that counts as tending to 1
OTHER_HALF = "test accuracy at the λ that is best for the other half of the seeds"


def _curves(reading: str, seeds: int) -> Sweep:
    return Sweep(
        "gradient_regularization",
        reading=reading,
        record_every=10,
        penalty=list(ALGORITHMS),
        level=NOISE,
        seed=range(seeds),
    )


def _noisy(penalty: str, seeds: int, **fields: Any) -> Sweep:
    """The printed network with one algorithm at its end, where noise is strong: ‖μ‖ + ‖μ‖⁴ ≪ σ_p√d, so not at 0.1."""
    level = {name: values[1:] for name, values in NOISE.items()}
    return Sweep(
        "gradient_regularization", reading="rescaled", penalty=penalty, level=level, **fields, seed=range(seeds)
    )


def _curves_preset(seeds: int, memorizing: int, fgr: int) -> Preset:
    """memorizing: for Theorem 3.3, with test samples enough to tell ½ from 1/2.01. fgr: over λ."""
    return {reading: _curves(reading, seeds) for reading in READINGS} | {
        "memorizing": _noisy("none", memorizing, n_test=10_000),
        "fgr": _noisy("fgr", fgr, penalty_weight=(0.05 * 2.0 ** np.arange(7)).tolist()),
    }


CURVES_PRESETS = {"quick": _curves_preset(10, 30, 10), "paper": _curves_preset(30, 100, 30)}


def draw_curves(datasets: dict[str, xr.Dataset]) -> dict[str, Any]:
    pages = {f"pegr-curves-{name}": _page(ds, name) for name, ds in datasets.items() if name in READINGS}
    return pages | {"pegr-fgr": _fgr_page(datasets["fgr"])} if "fgr" in datasets else pages


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


def _fgr_page(ds: xr.Dataset) -> Any:
    """Which seeds learn under FGR, over λ, and from where on it holds noise back."""
    fig, axes = plotting.panels(1, 1, width="column")
    ax, shares = axes[0, 0], (alive(ds).test_accuracy >= REACHES_ONE).mean("seed")
    # Of the mean gradient's norm a sample's noise makes up 1/n of what it makes up in PEGR's mean of norms.
    of_pegr = _schedule(ds, ds.sigma_p.values).least_weight * (0.5 if setting(ds, "penalty_half") else 1.0)
    least = setting(ds, "n") * of_pegr
    for i, (color, marker) in enumerate(zip(plotting.COLORS, "os^", strict=False)):
        label = rf"$\sigma_p$ = {float(ds.sigma_p[i]):g}"
        ax.plot(ds.penalty_weight, shares.isel(level=i), color=color, marker=marker, label=label)
        plotting.reference(ax, x=least[i], color=color, ls=":")
    ax.set(xscale="log", xlabel=r"$\lambda$ of FGR", ylabel="share with accuracy ≥ .99")
    ax.set_title(f"{ds.sizes['seed']} seeds; dotted: holds noise back from here on", fontsize="small")
    plotting.legend(fig)
    return fig


def _closing_steps(ds: xr.Dataset) -> list[int]:
    """T₁ of Theorem 3.2 for the network at hand: one for each σ_0."""
    return sorted(set(_schedule(ds, ds.sigma_p.values).closing_step.round().astype(int).tolist()))


def _schedule(ds: xr.Dataset, sigma_p: Any) -> theory.Schedule:
    """What Theorem 3.2 asks of the networks at hand."""
    mu, d, n, m, eta = (setting(ds, name) for name in ("mu", "d", "n", "m", "learning_rate"))
    conventions = (setting(ds, name) for name in ("filter_reduction", "penalty_half", "q"))
    return theory.pegr_schedule(mu, sigma_p, d, n, m, _either(ds, "sigma_0"), eta, *conventions)


def _either(ds: xr.Dataset, name: str) -> Any:
    """Values of a coordinate, or of a setting that no axis moves."""
    return ds[name].values if name in ds.coords else setting(ds, name)


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
    claims = [c for name, ds in datasets.items() if name in READINGS for c in _curve_claims(ds, name)]
    return claims + _memorizing_claims(datasets["memorizing"]) + _fgr_claims(datasets["fgr"])


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
            rule = every(accuracy[algorithm], "≥" if easy else "<", REACHES_ONE, "test accuracy")
            add(f"{ALGORITHMS[algorithm]}: test accuracy {tends} at σ_p = {sigma_p:g}", 4, rule)
        if not easy:
            ratio = at.noise.sel(penalty="pegr") / at.noise.sel(penalty="none")
            rule = below(ratio, 0.5, "Noise under PEGR over Noise under standard training")
            note = f"median {float(ratio.median()):.3g}"
            add(f"PEGR suppresses noise memorising at σ_p = {sigma_p:g}", 3, rule, note)
        grown = at.signal.sel(penalty="pegr") / ds.signal.sel(penalty="pegr").isel(level=i, step=0)
        rule = above(grown, 10, "Signal at the end over Signal at the start")
        add(f"PEGR: the signal grows at σ_p = {sigma_p:g}", 2, rule, f"median {float(grown.median()):.3g}")
    return claims + _condition_claims(ds, reading)


def _condition_claims(ds: xr.Dataset, reading: str) -> list[Claim]:
    """The paper's experiment against the paper's conditions, λ and T₁."""
    claims = []
    for i, sigma_p in enumerate(ds.sigma_p.values.tolist()):
        rule, note = _condition(ds.isel(level=i))
        text = f"the experiment at σ_p = {sigma_p:g} meets Condition 3.1"
        claims.append(Claim.of(text, f"{cite('003', 'Condition 3.1 and Section 4.1')}, {reading}", rule, note))
    weight, closed = (setting(ds, name) for name in ("penalty_weight", "close_at"))
    wanted = _schedule(ds, ds.sigma_p.values)
    for text, own, theirs, what in (
        ("λ is that of Theorem 3.2", weight, wanted.penalty_weight, "λ"),
        ("the penalty is closed at the T₁ of Theorem 3.2", closed, wanted.closing_step, "T₁ (δ = 0.01)"),
    ):
        rule = exact(np.abs(theirs / own - 1), "≤", 0.2, f"|{what} of the theorem/{own:g} − 1| at every σ_p")
        note = f"{what} from {theirs.min():.4g} to {theirs.max():.4g} for a network with these conventions"
        claims.append(Claim.of(text, f"{cite('003', 'Theorem 3.2 and Section 4.1')}, {reading}", rule, note))
    return claims


def _condition(ds: xr.Dataset) -> tuple[Finding, str]:
    """Condition 3.1 for networks of one σ_p, in the printed conventions, and what is not met."""
    d, n, m, mu = (setting(ds, name) for name in ("d", "n", "m", "mu"))
    conventions = (setting(ds, name) for name in ("filter_reduction", "penalty_half", "q"))
    printed = theory.pegr_as_printed(0.0, _either(ds, "sigma_0"), setting(ds, "learning_rate"), m, *conventions)
    ratios = theory.pegr_condition(d, n, m, mu, _either(ds, "sigma_p"), printed.sigma_0, printed.learning_rate)
    short = ", ".join(f"{name} {float(r):.2g}" for name, r in ratios.items() if r < 1)
    rule = exact(list(ratios.values()), "≥", 1.0, "every part with a number, constants and logarithms taken as 1,")
    return rule, short and f"not met: {short}"


def _memorizing_claims(ds: xr.Dataset) -> list[Claim]:
    claims = []
    for i, sigma_p in enumerate(ds.sigma_p.values.tolist()):
        at = ds.isel(level=i)
        text = f"standard training: the test error is at least 1/2.01 at σ_p = {sigma_p:g}"
        source = f"{cite('003', 'Theorem 3.3')}, rescaled"
        claims.append(Claim.of(text, source, _memorizes(alive(at).test_accuracy), _outside(at)))
    return claims


def _fgr_claims(ds: xr.Dataset) -> list[Claim]:
    claims = []
    for i, sigma_p in enumerate(ds.sigma_p.values.tolist()):
        chosen, held = _best_weight(alive(ds).test_accuracy.isel(level=i))
        rule = every(held, "<", REACHES_ONE, OTHER_HALF)
        text = f"FGR is unable to improve signal learning, whatever its λ, at σ_p = {sigma_p:g}"
        source = f"{cite('003', 'Section 3')} (ours: a range of λ), rescaled"
        claims.append(Claim.of(text, source, rule, f"λ = {chosen:g}"))
    return claims


def _best_weight(accuracy: xr.DataArray) -> tuple[float, xr.DataArray]:
    """The middle one of the λ that are best for every other seed, and what the seeds between have there."""
    choosing, fresh = accuracy.isel(seed=slice(0, None, 2)), accuracy.isel(seed=slice(1, None, 2))
    share = (choosing >= REACHES_ONE).mean("seed").values
    best = np.flatnonzero(share == share.max())
    chosen = float(accuracy.penalty_weight[best[len(best) // 2]])
    return chosen, (fresh if fresh.sizes["seed"] else choosing).sel(penalty_weight=chosen)


def _memorizes(accuracy: xr.DataArray) -> Finding:
    """Theorem 3.3, at its own threshold."""
    return above(1 - accuracy, theory.MEMORIZING_TEST_ERROR, "test error")


def _outside(ds: xr.Dataset) -> str:
    """That the theorem does not speak of such a network, if so."""
    note = _condition(ds)[1]
    return note and f"Condition 3.1 is {note}"


# --- where the penalty helps -------------------------------------------------------------------------

PAPERS_CLOSING = 800
SCALINGS = ("printed", "translated to the sum")  # of Theorem 3.2's λ
_SIZES: dict[str, Any] = {"mu": 1.0, "d": 400, "n": 20, "m": 10, "learning_rate": 0.02, "sigma_0": 0.001}
_CLOSING = round(float(theory.pegr_schedule(sigma_p=1.0, **_SIZES).closing_step))  # T₁; it does not depend on σ_p
# The paper's n and m in the dimension that Condition 3.1 asks of them; σ_p√d = 20, as in the paper at σ_p = 1.
_REGIME: dict[str, Any] = {"mu": 1.0, "d": 40_600, "n": 20, "m": 10, "learning_rate": 0.2, "sigma_0": 0.002}
_REGIME |= {"sigma_p": 20 / _REGIME["d"] ** 0.5}
CONVERGED = 0.05  # ε of the theorems


def _heatmap(sigma_p: Any, weights: Any, seeds: int) -> Sweep:
    return Sweep("gradient_regularization", sigma_p=sigma_p, penalty_weight=weights, sigma_0=0.001, seed=range(seeds))


def _theorem(sigma_p: list[float], seeds: int) -> Sweep:
    """Theorem 3.2's λ on the plain sum, as printed and then as translated; closed at its T₁, 2 T₁ and the paper's."""
    translated = theory.pegr_schedule(sigma_p=sigma_p, **_SIZES).penalty_weight
    weights = [*theory.pegr_weight(sigma_p, _SIZES["d"]), *translated]
    return Sweep(
        "gradient_regularization",
        level={"sigma_p": sigma_p * len(SCALINGS), "penalty_weight": [float(w) for w in weights]},
        close_at=[_CLOSING, 2 * _CLOSING, PAPERS_CLOSING],
        **_SIZES,
        seed=range(seeds),
    )


def _regime(seeds: int, n_test: int) -> Sweep:
    """The printed network where Condition 3.1 holds, with the theorem's λ and T₁, and without."""
    wanted = theory.pegr_schedule(**_REGIME, filter_reduction="mean", penalty_half=True)
    return Sweep(
        "gradient_regularization",
        reading="printed",
        record_every=250,
        penalty=["pegr", "none"],
        **_REGIME,
        penalty_weight=float(wanted.penalty_weight),
        close_at=round(float(wanted.closing_step)),
        steps=3000,
        n_test=n_test,
        seed=range(seeds),
    )


HEATMAP_PRESETS = {
    "quick": {
        "pegr": _heatmap(np.linspace(0.1, 2.0, 10).round(3), np.geomspace(1e-3, 1.0, 10).round(5), 10),
        "theorem": _theorem([0.5, 1.0, 1.5, 2.0, 3.0], 10),
        "regime": _regime(10, 200),
    },
    "paper": {
        "pegr": _heatmap(np.linspace(0.1, 3.0, 30).round(3), np.geomspace(1e-4, 1.0, 33).round(6), 10),
        "theorem": _theorem([0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0, 2.25, 2.5, 2.75, 3.0], 30),
        "regime": _regime(20, 500),
    },
}


def draw_heatmap(datasets: dict[str, xr.Dataset]) -> dict[str, Any]:
    return {"pegr-heatmap": _window_page(datasets["pegr"]), "pegr-theorem": _theorem_page(datasets)}


def _window_page(ds: xr.Dataset) -> Any:
    accuracy = ds.test_accuracy.mean("seed").assign_attrs(long_name="test accuracy")
    diverged = (ds.status == plotting.DIVERGED).mean("seed").assign_attrs(long_name="share of seeds that diverge")
    fig, axes = plotting.panels(1, 2)
    sigma_p = np.linspace(float(ds.sigma_p.min()), float(ds.sigma_p.max()), 200)
    least = _schedule(ds, sigma_p).least_weight
    for ax, values, lowest in zip(axes[0], (accuracy, diverged), (0.5, 0.0), strict=True):
        plotting.heatmap(values, x="sigma_p", y="penalty_weight", ax=ax, limits=(lowest, 1.0))
        for color, (name, (symbol, weight)) in zip(plotting.COLORS[1:], _lambdas(ds, sigma_p).items(), strict=False):
            plotting.reference(ax, x=sigma_p, y=weight, color=color, label=rf"$\lambda=$ {symbol}, {name}")
        plotting.reference(
            ax,
            x=sigma_p,
            y=least,
            color=plotting.COLORS[5],
            ls=":",
            lw=1.4,
            label="holds noise back from here on, Lemma 5.1",
        )
        ax.set_facecolor("0.6")
        ax.set(yscale="log", ylim=(float(ds.penalty_weight.min()), float(ds.penalty_weight.max())))
    axes[0, 0].set_title("grey: every seed diverges")
    plotting.legend(fig)
    fig.suptitle(f"PEGR, fitted, {ds.sizes['seed']} seeds, closed at step {setting(ds, 'close_at')}")
    return fig


def _theorem_page(datasets: dict[str, xr.Dataset]) -> Any:
    """Left: which seeds learn at the theorem's λ. Right: the theorem's own regime."""
    fig, axes = plotting.panels(1, 2, ratio=0.9)
    left, right = axes[0]
    ds, regime = datasets["theorem"], alive(datasets["regime"])
    (early, late, papers), lines = ds.close_at.values.tolist(), _scalings(ds)
    shown = [(SCALINGS[0], papers), (SCALINGS[1], early), (SCALINGS[1], late), (SCALINGS[1], papers)]
    named = {early: rf"$T_1$ = {early}", late: rf"$2\,T_1$ = {late}", papers: f"the paper's {papers}"}
    for color, marker, (scaling, closed) in zip(plotting.COLORS, "so^D", shown, strict=False):
        learns = (lines[scaling].sel(close_at=closed) >= REACHES_ONE).mean("seed")
        left.plot(learns.sigma_p, learns, color=color, marker=marker, label=f"{scaling}, closed at {named[closed]}")
    left.set(xlabel=plotting.label_of(ds.sigma_p), ylabel="share with accuracy ≥ .99")
    left.set_title(f"the paper's sizes, a plain sum, {ds.sizes['seed']} seeds")
    error = (1 - regime.test_accuracy).assign_attrs(long_name="test error")
    for i, (penalty, name) in enumerate((("pegr", "PEGR, λ and $T_1$ of Theorem 3.2"), ("none", "standard"))):
        plotting.curves(error.sel(penalty=penalty), x="step", colors=plotting.COLORS[4 + i :], label=name, ax=right)
    closed = setting(datasets["regime"], "close_at")
    plotting.reference(right, x=closed, ls=":", label=rf"penalty closed at $T_1$ = {closed}")
    plotting.reference(right, y=theory.MEMORIZING_TEST_ERROR, label="1/2.01, Theorem 3.3")
    right.set_title(f"inside Condition 3.1: d = {setting(datasets['regime'], 'd'):,}")
    for ax in (left, right):
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.22), fontsize="small")
    fig.suptitle(f"PEGR with λ = $\\sigma_p^{{-1}}d^{{-1/2}}$; right: {plotting.caption(regime)}")
    return fig


def _scalings(ds: xr.Dataset) -> dict[str, xr.DataArray]:
    """Test accuracy along σ_p, for λ as printed and as translated."""
    half, accuracy = ds.sizes["level"] // len(SCALINGS), alive(ds).test_accuracy
    parts = (accuracy.isel(level=slice(i * half, (i + 1) * half)) for i in range(len(SCALINGS)))
    return {name: part.swap_dims(level="sigma_p") for name, part in zip(SCALINGS, parts, strict=True)}


def _lambdas(ds: xr.Dataset, sigma_p: Any) -> dict[str, tuple[str, Any]]:
    """Theorem 3.2's weight, as it is printed and as the plain sum without ½ has to have it: symbol and values."""
    symbols = (r"$\sigma_p^{-1}d^{-1/2}$", r"$\sigma_p^{-1}d^{-1/2}/(2m)$")
    weights = theory.pegr_weight(sigma_p, setting(ds, "d")), _schedule(ds, sigma_p).penalty_weight
    return {name: (s, w) for name, s, w in zip(SCALINGS, symbols, weights, strict=True)}


def check_heatmap(datasets: dict[str, xr.Dataset]) -> list[Claim]:
    return [
        *_window_claims(datasets["pegr"]),
        *_weight_claims(datasets["theorem"]),
        *_regime_claims(datasets["regime"]),
    ]


def _window_claims(ds: xr.Dataset) -> list[Claim]:
    accuracy, claims = alive(ds).test_accuracy, []
    for sigma_p in ds.sigma_p.values[ds.sigma_p.values >= 0.5].tolist():
        at = accuracy.sel(sigma_p=sigma_p)
        chosen, held = _best_weight(at)
        rule = every(held, "≥", REACHES_ONE, OTHER_HALF)
        lost = float(at.isnull().mean("seed").max())
        note = f"λ = {chosen:g}; at most {lost:.0%} of seeds diverge at any λ"
        text = f"some λ lets every seed reach test accuracy 1 at σ_p = {sigma_p:g}"
        source = f"{cite('003', 'Theorem 3.2')} (ours: the whole range of λ)"
        claims.append(Claim.of(text, source, rule, note))
    return claims


def _weight_claims(ds: xr.Dataset) -> list[Claim]:
    """Theorem 3.2's λ at the paper's sizes, on the sum: as printed, translated, and with the T₁ that goes with it."""
    early, _, papers = ds.close_at.values.tolist()
    claims = []
    for scaling, closed in ((SCALINGS[0], papers), (SCALINGS[1], papers), (SCALINGS[1], early)):
        own = "the theorem's T₁" if closed == early else "the paper's step"
        accuracy = _scalings(ds)[scaling].sel(close_at=closed)
        for i, sigma_p in enumerate(accuracy.sigma_p.values.tolist()):
            text = f"λ = σ_p⁻¹d^(−1/2), {scaling}, closed at {own}, lets every seed reach 1 at σ_p = {sigma_p:g}"
            rule = every(accuracy.isel(sigma_p=i), "≥", REACHES_ONE, f"test accuracy, closed at step {closed},")
            claims.append(Claim.of(text, cite("003", "Theorem 3.2"), rule, _outside(ds.isel(level=i))))
    return claims


def _regime_claims(ds: xr.Dataset) -> list[Claim]:
    ended = alive(ds).isel(step=-1)
    rule, note = _condition(ds)
    claims = [Claim.of("the setting meets Condition 3.1", cite("003", "Condition 3.1"), rule, note)]
    for penalty, theorem, title in (("pegr", "3.2", "PEGR"), ("none", "3.3", "standard training")):
        at = ended.sel(penalty=penalty)
        text = f"inside Condition 3.1, {title}: the training loss converges below ε"
        rule = every(at.train_loss, "≤", CONVERGED, "training loss at the end")
        claims.append(Claim.of(text, cite("003", f"Theorem {theorem}, part 1"), rule))
    rule = every(ended.test_accuracy.sel(penalty="pegr"), "≥", REACHES_ONE, "test accuracy")
    text = "inside Condition 3.1, PEGR with the theorem's λ and T₁: the test error converges to 0"
    claims.append(Claim.of(text, cite("003", "Theorem 3.2, part 2"), rule))
    rule = _memorizes(ended.test_accuracy.sel(penalty="none"))
    text = "inside Condition 3.1, standard training: the test error is at least 1/2.01"
    return [*claims, Claim.of(text, cite("003", "Theorem 3.3, part 2"), rule)]


# --- the edges of the window -------------------------------------------------------------------------

REACHED = 0.75  # mean test accuracy: half of the seeds reach 1, the others guess


def _window(sigma_p: Any, weights: Any, seeds: tuple[int, int]) -> Trace:
    sweep = _heatmap(sigma_p, weights, seeds[1])
    return Trace(sweep, "test_accuracy", REACHED, net=7, seeds=seeds, diverged="below")


BOUNDARY_PRESETS = {
    "quick": {"pegr": _window(np.linspace(0.25, 3.0, 12).round(3), np.geomspace(1e-4, 1.0, 25).round(7), (4, 8))},
    "paper": {"pegr": _window(np.linspace(0.1, 3.0, 59).round(3), np.geomspace(1e-5, 1.0, 101).round(8), (5, 20))},
}


def draw_boundary(datasets: dict[str, xr.Dataset]) -> dict[str, Any]:
    ds = datasets["pegr"]
    sigma_p = np.linspace(float(ds.sigma_p.min()), float(ds.sigma_p.max()), 200)
    theories = [plotting.Curve(f"{s}, {n}", y, x=sigma_p) for n, (s, y) in _lambdas(ds, sigma_p).items()]
    theories.append(plotting.Curve(r"$1/(2\sigma_p^2d)$, Lemma 5.1", _schedule(ds, sigma_p).least_weight, x=sigma_p))
    names = ("guesses, or diverges", "learns")
    fig = plotting.phase_map(ds, x="sigma_p", y="penalty_weight", names=names, theory=theories, width="page")
    fig.suptitle(f"PEGR, fitted, closed at step {setting(ds, 'close_at')}, up to {ds.sizes['seed']} seeds")
    return {"pegr-boundary": fig}


def check_boundary(datasets: dict[str, xr.Dataset]) -> list[Claim]:
    ds = datasets["pegr"]
    claims = []
    for name, (_, values) in _lambdas(ds, ds.sigma_p.values).items():
        sides = _sides_along(ds, values)
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
    held = _schedule(ds, ds.sigma_p.values).least_weight
    for factor, side, text in ((2.0, 1, "twice as much is enough"), (0.5, -1, "half as much is not")):
        what = f"the cells nearest to {factor:g} times λ = m/(σ_p²d), translated, σ_p ≥ 0.5"
        rule = on_side(_sides_along(ds, factor * held).sel(sigma_p=slice(0.5, None)), side, what)
        text = f"the lower edge is where PEGR holds noise back by Lemma 5.1: {text}"
        claims.append(Claim.of(text, cite("003", "Lemma 5.1, ours"), rule))
    return claims


def _sides_along(ds: xr.Dataset, weights: np.ndarray) -> xr.DataArray:
    """The sides of the cells nearest to a curve over σ_p."""
    at = xr.DataArray(np.log(weights), dims="sigma_p")
    return ds.side.isel(penalty_weight=abs(np.log(ds.penalty_weight) - at).argmin("penalty_weight"))


FIGURES = {
    "pegr-boundary": Figure(BOUNDARY_PRESETS, draw_boundary, check_boundary),
    "pegr-curves": Figure(CURVES_PRESETS, draw_curves, check_curves),
    "pegr-heatmap": Figure(HEATMAP_PRESETS, draw_heatmap, check_heatmap),
}
