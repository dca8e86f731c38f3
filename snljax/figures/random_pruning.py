"""Figures and claims of paper 002: Figure 2, and mild and over-pruning in the theory's own regime."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from snljax import boundary, plotting, stats, theory
from snljax.figures import Figure, Preset, Sweep
from snljax.figures.claims import Claim, Finding, above, below, every, exact, within
from snljax.figures.datasets import setting
from snljax.papers import cite

PRUNED = (0, 0.1, 0.3, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.97, 0.99)
SIGMA_0 = (0.1, 0.01)  # "variance 0.01", and the same number taken as a standard deviation
SIMILAR = 0.05  # test error; the paper's "similar level"
DRAMATIC = 0.1  # test error; "increases dramatically"
PERFECT = 0.01  # training error


# --- Figure 2 ----------------------------------------------------------------------------------------


def _kept(pruned: Any) -> list[float]:
    return [round(1 - p, 6) for p in pruned]


def _errors(reading: str, pruned: Any, seeds: int) -> Preset:
    common = Sweep("random_pruning", reading=reading, sigma_0=SIGMA_0, seed=range(seeds))
    return {
        reading: common.but(sigma_p=[0.5, 1.0], keep_fraction=_kept(pruned)),
        f"{reading}-training": common.but(sigma_p=1.0, keep_fraction=[1.0, 0.5], record_every=20),
    }


ERROR_PRESETS = {
    "quick": _errors("fitted", (0, 0.3, 0.5, 0.8, 0.9, 0.97), 10),
    "paper": {**_errors("fitted", PRUNED, 30), **_errors("printed", PRUNED, 30)},
}


def draw_error(datasets: dict[str, xr.Dataset]) -> dict[str, Any]:
    return {
        f"random-pruning-error-{reading}": _error_page(ds, datasets[f"{reading}-training"], reading)
        for reading, ds in datasets.items()
        if not reading.endswith("-training")
    }


def _error_page(ds: xr.Dataset, training: xr.Dataset, reading: str) -> Any:
    fig, axes = plotting.panels(1, 3, ratio=1.1, sharey=True)
    for ax, letter, sigma_p in zip(axes[0], "ab", ds.sigma_p.values, strict=False):
        at = _pruned(ds.sel(sigma_p=sigma_p))
        for sigma_0, color in zip(at.sigma_0.values, plotting.COLORS, strict=False):
            for name, style in (("test", "o-"), ("train", "s:")):
                error = _error(at, name).sel(sigma_0=sigma_0)
                label = rf"{name}, $\sigma_0$ = {sigma_0:g}"
                plotting.points(error, x="prune_fraction", spread="error", ax=ax, fmt=style, color=color, label=label)
        ax.set(xlabel="pruned fraction $1-p$", title=rf"({letter}) $\sigma_n$ = {sigma_p:g}")
    axes[0, 0].set_ylim(-0.02, 0.75)
    last = axes[0, 2]
    for sigma_0, pair in zip(training.sigma_0.values, ((0, 5), (1, 4)), strict=False):
        for keep, place, line in zip(training.keep_fraction.values, pair, ("-", "--"), strict=True):
            error = _error(training).sel(sigma_0=sigma_0, keep_fraction=keep)
            label = rf"{1 - keep:.0%}, $\sigma_0$ = {sigma_0:g}"
            look: dict[str, Any] = {"color": plotting.COLORS[place], "ls": line, "label": label}
            plotting.curves(error, x="step", spread="error", ax=last, **look)
    last.set(xlabel="gradient steps", title=rf"(c) test error, $\sigma_n$ = {setting(training, 'sigma_p'):g}")
    last.legend(title="pruned", loc="upper right")
    axes[0, 0].legend(loc="upper left")
    for ax in axes[0]:
        ax.label_outer()
    network = setting(ds, "network").replace("_", " ")
    fig.suptitle(f"{reading} ({network}): {plotting.caption(ds, 'error')}")
    return fig


def _error(ds: xr.Dataset, name: str = "test") -> xr.DataArray:
    return (1 - ds[f"{name}_accuracy"]).assign_attrs(long_name="error")


def _pruned(ds: xr.Dataset) -> xr.Dataset:
    """Over the pruned fraction, as the paper's experiments count, in place of the kept one."""
    return ds.assign_coords(prune_fraction=(1 - ds.keep_fraction).round(6)).swap_dims(keep_fraction="prune_fraction")


def check_error(datasets: dict[str, xr.Dataset]) -> list[Claim]:
    claims = []
    for reading, ds in datasets.items():
        if reading.endswith("-training"):
            continue
        for sigma_0 in ds.sigma_0.values.tolist():
            claims += _error_claims(_pruned(ds.sel(sigma_0=sigma_0)), f"{reading}, σ_0 = {sigma_0:g}")
    return claims


def _error_claims(ds: xr.Dataset, reading: str) -> list[Claim]:
    test, train = _error(ds), _error(ds, "train")
    pruned = ds.prune_fraction.values
    quiet, noisy = ((test - test.sel(prune_fraction=0)).sel(sigma_p=s) for s in (0.5, 1.0))
    paired = "test error minus the full model's, paired"
    similar = below(quiet.sel(prune_fraction=pruned[(pruned > 0) & (pruned <= 0.5)]), SIMILAR, f"{paired}, up to 0.5")
    better = below(quiet.sel(prune_fraction=0.3), 0.0, paired)
    beyond = pruned[pruned > 0.5].tolist()
    rises = {p: above(quiet.sel(prune_fraction=p), DRAMATIC, f"{paired}, at {p:g}") for p in beyond}
    risen = [p for p, rule in rises.items() if rule.verdict == "holds"]
    first = f"first above it at {risen[0]:g}" if risen else f"nowhere above it up to {pruned.max():g}"
    where = risen[0] if risen else beyond[-1]
    trained = below(train.sel(sigma_p=0.5, prune_fraction=where), PERFECT, f"training error at {where:g}")
    trained = trained.untestable("" if risen else "no rise")
    bad = above(test.sel(sigma_p=1.0, prune_fraction=0), 0.25, "test error")
    improved = below(noisy.sel(prune_fraction=0.5), 0.0, f"{paired}, at 0.5")
    zero = below(train.sel(sigma_p=1.0), PERFECT, "training error")
    order = stats.bootstrap(test.sel(sigma_p=0.5), _rank_correlation)
    ordered = above(order, 0.5, "rank correlation of mean and standard deviation over pruned fractions")
    spread = test.sel(sigma_p=0.5).std("seed")
    spreads = f"standard deviation {float(spread.min()):.3f} to {float(spread.max()):.3f}"

    def claim(text: str, place: str, rule: Finding, note: str = "") -> Claim:
        return Claim.of(text, f"{cite('002', place)}, {reading}", rule, note)

    left, right, section = "Section 5.1, Figure 2a", "Section 5.1, Figure 2b", "Section 5.1"
    return [
        claim("σ_n = 0.5: up to 50 % pruned, the test error stays at the level of the full model", left, similar),
        claim("σ_n = 0.5: noticeably better at 30 % pruned", left, better),
        claim("σ_n = 0.5: past 50 % the test error rises dramatically", left, rises[beyond[0]], first),
        claim("σ_n = 0.5: where it rises, the training error is still zero", left, trained),
        claim("σ_n = 1: the full model does not generalise well", right, bad),
        claim("σ_n = 1: mild pruning improves generalisation", f"{right} and 2c", improved),
        claim("σ_n = 1: the training error is zero at all pruned fractions", "Figure 2, caption", zero),
        claim("σ_n = 0.5: the spread over runs is large where the test error is large", section, ordered, spreads),
    ]


def _rank_correlation(error: xr.DataArray) -> float:
    """Of the mean over seeds and the standard deviation over seeds; NaN where one of them is everywhere the same."""
    from scipy.stats import spearmanr  # slow to import

    mean, spread = error.mean("seed").values, error.std("seed").values
    return float(spearmanr(mean, spread).statistic) if np.ptp(mean) and np.ptp(spread) else np.nan


# --- the theory's regime -----------------------------------------------------------------------------

KEPT = (1.0, 0.7, 0.5, 0.35, 0.2, 0.14, 0.1, 0.05, 0.02, 0.01, 0.007, 0.005, 0.003, 0.002, 0.00145, 0.001)


def _theory(seeds: int, **settings: Any) -> Sweep:
    return Sweep("random_pruning", reading="theory", seed=range(seeds), **settings)


# Plain gradient descent beside the normalised steps, with the largest rate of Condition 2.2.
_PLAIN: dict[str, Any] = {"keep_fraction": (1.0, 0.2, 0.02, 0.00145), "step_rule": "plain", "learning_rate": 1.0}
THEORY_PRESETS = {
    "quick": {
        "random": _theory(10, keep_fraction=(1.0, 0.5, 0.2, 0.14, 0.05, 0.02, 0.01, 0.005, 0.002, 0.00145), m=[50]),
        "plain": _theory(3, **_PLAIN),
    },
    "paper": {
        "random": _theory(30, keep_fraction=KEPT, m=[25, 50, 100]),
        "magnitude": _theory(30, keep_fraction=KEPT, m=[50], mask="magnitude"),
        "plain": _theory(10, steps=20_000, **_PLAIN),
    },
}


def draw_theory(datasets: dict[str, xr.Dataset]) -> dict[str, Any]:
    ds, m = datasets["random"].sel(m=50), 50
    d, classes = setting(ds, "d"), setting(ds, "num_classes")
    fig, axes = plotting.panels(1, 3, ratio=1.1)
    left, right, responses = axes[0]
    look: dict[str, Any] = {"x": "keep_fraction", "spread": "error"}
    for (mask, at), color in zip(_by_mask(datasets), plotting.COLORS, strict=False):
        plotting.points(_error(at), **look, ax=left, fmt="o-", color=color, label=f"test error, {mask} mask")
        plotting.points(at.test_loss, **look, ax=right, fmt="o-", color=color, label=f"test loss, {mask} mask")
    plotting.points(ds.train_loss, **look, ax=right, fmt="s:", color=plotting.COLORS[2], label="training loss")
    p = np.geomspace(float(ds.keep_fraction.min()), 1, 300)
    lost = _guessing(ds) * theory.signal_loss_probability(p, classes * m)
    plotting.reference(left, x=p, y=lost, label="(1 − 1/K) · P(no filter can learn its signal)")
    collapse = _collapse(_by_log(_error(ds)), _guessing(ds))
    star = {"color": plotting.COLORS[6], "ms": 9, "label": f"measured collapse, p = {collapse:.2g}"}
    left.plot(collapse, _guessing(ds) / 2, "*", **star)
    plotting.reference(right, y=np.log(classes), label="log K (guessing)")
    over, mild = theory.over_pruning_keep(classes, m, d), theory.mild_pruning_keep(d, m)
    for name, marker, color in (("signal", "o-", plotting.COLORS[4]), ("noise", "s-", plotting.COLORS[5])):
        plotting.points(ds[name], **look, ax=responses, fmt=marker, color=color, label=f"{name}, random mask")
    _coefficients(responses, ds, p, float(mild), float(over))
    for ax in axes[0]:
        plotting.reference(ax, x=over, ls="-", color=plotting.COLORS[3], label="1/(K m log d), Thm 4.1")
        plotting.reference(ax, x=mild, ls="-.", color=plotting.COLORS[2], label="log d / m, Thm 3.1")
        ax.set(xscale="log", xlabel="kept fraction $p$")
    left.set(ylabel="test error", ylim=(-0.02, 0.6))
    right.set(ylabel="loss (nats)", yscale="log")
    responses.set(ylabel="largest response", yscale="log")
    plotting.legend(fig, columns=3)
    fig.suptitle(
        f"theory's regime: ReLU³, K = {classes}, m = {m}, d = {d}, n = {setting(ds, 'n')}, normalised steps; "
        f"{plotting.caption(ds, 'error')}"
    )
    return {"random-pruning-theory": fig}


def _coefficients(ax: Any, ds: xr.Dataset, p: Any, mild: float, over: float) -> None:
    """γ from below and ζ, ω from above where enough is kept (Theorem D.1), ζ from below where too little is (E.1).

    Too little: p within a factor of ten of Theorem 4.1's. γ is 0 there.
    """
    sizes = [setting(ds, name) for name in ("sigma_0", "sigma_p", "mu", "d", "q")]
    enough, little = p[p >= mild], p[p <= 10 * over]
    kept = theory.mild_pruning_coefficients(enough, int(ds.m), *sizes)
    pruned = theory.over_pruning_coefficients(little, int(ds.m), *sizes)
    for x, y, color in ((enough, kept.gamma, 4), (enough, kept.zeta, 5), (little, pruned.zeta, 5)):
        plotting.reference(ax, x=x, y=y, color=plotting.COLORS[color])
    plotting.reference(ax, x=[], y=[], label="scales of γ, ζ, ω, Thms D.1 and E.1")


def _by_mask(datasets: dict[str, xr.Dataset]) -> list[tuple[str, xr.Dataset]]:
    return [(mask, datasets[mask].sel(m=50)) for mask in ("random", "magnitude") if mask in datasets]


def check_theory(datasets: dict[str, xr.Dataset]) -> list[Claim]:
    ds = datasets["random"]
    claims = [claim for m in ds.m.values.tolist() for claim in _regime_claims(ds.sel(m=m), m)]
    if ds.sizes["m"] > 1:
        exponent = stats.bootstrap(_by_log(_error(ds)), lambda e: _collapse_exponent(e, _guessing(ds)))
        rule = within(exponent, -1.25, -0.75, "exponent of m, −1 ± 0.25")
        claims.append(_in_theory("the kept fraction at which the network collapses falls as 1/m", "Theorem 4.1", rule))
    return claims + _plain_claims(datasets["plain"])


def _in_theory(text: str, place: str, rule: Finding, note: str = "", steps: str = "normalised") -> Claim:
    return Claim.of(text, f"{cite('002', place)}, reading theory, {steps} steps", rule, note)


def _regime_claims(ds: xr.Dataset, m: int) -> list[Claim]:
    d, classes = setting(ds, "d"), setting(ds, "num_classes")
    target, kept = setting(ds, "target_loss"), ds.keep_fraction.values
    mild, over = float(theory.mild_pruning_keep(d, m)), float(theory.over_pruning_keep(classes, m, d))
    nearest = kept[np.abs(np.log(kept / over)).argmin()]
    error, at_over, mildly = _error(ds), ds.sel(keep_fraction=nearest), ds.sel(keep_fraction=kept >= mild)
    trains = every(mildly.train_loss, "≤", target, f"training loss at p ≥ log d / m = {mild:.3f}")
    least = float(mildly.keep_fraction.min())
    gain = ds.test_loss.sel(keep_fraction=least) - ds.test_loss.sel(keep_fraction=1.0)
    lowers = below(gain, 0.0, f"test loss at p = {least:g} minus that at p = 1, paired")
    response = np.log(mildly.noise.transpose("keep_fraction", "seed"))
    growth = np.polyfit(np.log(mildly.keep_fraction), response, 1)[0]
    reduces = above(growth, 0.5, "exponent of p in max ⟨w, ξ⟩ over p ≥ log d / m (the theorem's Õ is an upper bound)")
    still = every(at_over.train_loss, "≤", target, f"training loss at p = {nearest:g} (1/(K m log d) = {over:.5f})")
    guess = above(at_over.test_loss, np.log(classes), f"test loss at p = {nearest:g}, against log K")
    at_nearest = f"test error {stats.t_interval(error.sel(keep_fraction=nearest))}"
    collapse = stats.bootstrap(_by_log(error), lambda e: _collapse(e, _guessing(ds)))
    lies = within(
        collapse, over / 3, 3 * over, "p where the mean test error crosses half of guessing, within a factor 3"
    )
    ours = 2 * (1 - 0.5 ** (1 / (classes * m)))
    chance = f"1/(K m log d) = {over:.5f}; no filter can learn its signal with probability ½ at p = {ours:.5f}"
    few = error.sel(keep_fraction=kept[kept <= 0.02])
    lost = theory.signal_loss_probability(few.keep_fraction, classes * m)
    residual = (few - _guessing(ds) * few.keep_fraction.copy(data=lost)).mean("keep_fraction")
    as_often = within(residual, -0.1, 0.1, "test error minus (1 − 1/K)(1 − p/2)^(K m), mean over p ≤ 0.02")

    def claim(text: str, place: str, rule: Finding, note: str = "") -> Claim:
        return _in_theory(f"m = {m}: {text}", place, rule, note)

    return [
        claim("mildly pruned networks train below ε", "Theorem 3.1, part 1", trains),
        claim("mild pruning lowers the test loss", "Theorem 3.1, part 2", lowers),
        claim("mild pruning reduces the response to noise by √p or more", "Theorem D.1, part 4", reduces),
        claim("over-pruned networks train below ε", "Theorem 4.1, part 1", still),
        claim("over-pruned networks do no better than guessing", "Theorem 4.1, part 2", guess, at_nearest),
        claim("the collapse lies at 1/(K m log d)", "Theorem 4.1", lies, chance),
        claim("over-pruned networks guess as often as no filter can learn its signal (ours)", "Section 4", as_often),
        _condition_claim(ds, m),
    ]


def _condition_claim(ds: xr.Dataset, m: int) -> Claim:
    numbers = [setting(ds, name) for name in ("num_classes", "mu", "sigma_p", "sigma_0", "learning_rate")]
    ratios = theory.random_pruning_condition(setting(ds, "d"), setting(ds, "n"), m, *numbers)
    parts = {name: float(ratio) for name, ratio in ratios.items()}
    of_order_1 = ("signal_over_noise", "initialization")
    met = [min(r, 1 / r) / 0.1 if name in of_order_1 else r for name, r in parts.items()]
    rule = exact(met, "≥", 1.0, "parts over their thresholds: 1, and of those of order 1 a factor 10 either way,")
    note = ", ".join(f"{name} {r:.2g}" for name, r in parts.items())
    return Claim.of(f"m = {m}: the setting meets Condition 2.2", cite("002", "Condition 2.2"), rule, note)


def _guessing(ds: xr.Dataset) -> float:
    """Test error of a network that knows nothing."""
    return 1 - 1 / setting(ds, "num_classes")


def _by_log(error: xr.DataArray) -> xr.DataArray:
    """Over log p, ascending, which is where crossings are interpolated."""
    return error.assign_coords(keep_fraction=np.log(error.keep_fraction)).sortby("keep_fraction")


def _collapse(error: xr.DataArray, guessing: float) -> float:
    """Kept fraction where the mean test error, from `_by_log`, crosses half of guessing.

    A single seed's error is near 0 or near guessing, by chance at any p: only a mean has a crossing.
    """
    return float(np.exp(boundary.edge(error.mean("seed"), "keep_fraction", guessing / 2, side="lower")))


def _collapse_exponent(error: xr.DataArray, guessing: float) -> float:
    """Slope of log p at the collapse over log m."""
    at = np.exp(boundary.edge(error.mean("seed"), "keep_fraction", guessing / 2, side="lower"))
    return float(np.polyfit(np.log(error.m), np.log(at), 1)[0])


def _plain_claims(ds: xr.Dataset) -> list[Claim]:
    what = f"training loss after {setting(ds, 'steps')} steps, η = {setting(ds, 'learning_rate'):g}"
    return [
        _in_theory(
            f"plain gradient descent trains below ε at p = {keep:g}",
            "Theorems 3.1 and 4.1, part 1",
            every(ds.train_loss.sel(keep_fraction=keep), "≤", setting(ds, "target_loss"), what),
            steps="plain",
        )
        for keep in ds.keep_fraction.values.tolist()
    ]


FIGURES = {
    "random-pruning-error": Figure(ERROR_PRESETS, draw_error, check_error),
    "random-pruning-theory": Figure(THEORY_PRESETS, draw_theory, check_theory),
}
