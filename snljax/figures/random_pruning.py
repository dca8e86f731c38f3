"""Figures and claims of paper 002: Figure 2, and mild and over-pruning in the theory's own regime."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from scipy import stats

from snljax import boundary, plotting, theory
from snljax.stats import t_interval as interval
from snljax.figures import Figure, Preset, Sweep
from snljax.figures.claims import Claim, verdict
from snljax.figures.datasets import setting

PAPER = "002_e556ebe0d8150778.txt"
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
    fig, axes = plt.subplots(1, 3, figsize=(10.2, 3.4), layout="constrained", sharey=True)
    for ax, letter, sigma_p in zip(axes, "ab", ds.sigma_p.values, strict=False):
        at = _pruned(ds.sel(sigma_p=sigma_p))
        for sigma_0, color in zip(at.sigma_0.values, plotting.COLORS, strict=False):
            for name, style in (("test", "o-"), ("train", "s:")):
                error = 1 - at[f"{name}_accuracy"].sel(sigma_0=sigma_0)
                _error_bars(ax, error, "prune_fraction", style, color, rf"{name}, $\sigma_0$ = {sigma_0:g}")
        ax.set_xlabel("pruned fraction $1-p$")
        ax.set_title(rf"({letter}) $\sigma_n$ = {sigma_p:g}", fontsize=10)
    axes[0].set_ylabel("error")
    axes[0].set_ylim(-0.02, 0.62)
    axes[0].legend(fontsize=7.5, loc="upper left", ncols=2)
    pairs = [(s, k) for s in training.sigma_0.values for k in training.keep_fraction.values]
    for (sigma_0, keep), color in zip(pairs, ("#0072B2", "#56B4E9", "#D55E00", "#E69F00"), strict=False):
        error = 1 - training.test_accuracy.sel(sigma_0=sigma_0, keep_fraction=keep)
        label = rf"{1 - keep:.0%} pruned, $\sigma_0$ = {sigma_0:g}"
        _error_band(axes[2], error, color, "-" if keep == 1 else "--", label)
    axes[2].set_xlabel("gradient steps")
    axes[2].set_title(rf"(c) test error, $\sigma_n$ = {setting(training, 'sigma_p'):g}", fontsize=10)
    axes[2].legend(fontsize=7.5, loc="lower left")
    network = setting(ds, "network").replace("_", " ")
    fig.suptitle(f"{reading} ({network}): mean and standard error of {ds.sizes['seed']} runs", fontsize=10)
    return fig


def _error_bars(ax: Any, values: xr.DataArray, x: str, style: str, color: str, label: str) -> None:
    mean, error = _mean_and_error(values)
    ax.errorbar(values[x], mean, error, fmt=style, color=color, ms=3, lw=1.2, capsize=2, label=label)


def _error_band(ax: Any, values: xr.DataArray, color: str, style: str, label: str) -> None:
    mean, error = _mean_and_error(values)
    ax.plot(values.step, mean, style, color=color, lw=1.4, label=label)
    ax.fill_between(values.step, mean - error, mean + error, color=color, alpha=0.2, lw=0)


def _mean_and_error(values: xr.DataArray) -> tuple[xr.DataArray, xr.DataArray]:
    """Mean over runs and its standard error."""
    return values.mean("seed"), values.std("seed", ddof=1) / np.sqrt(values.sizes["seed"])


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
    test, train = 1 - ds.test_accuracy, 1 - ds.train_accuracy
    pruned = ds.prune_fraction.values

    def against_dense(sigma_p: float) -> xr.DataArray:
        """Differences within a seed: same data, same initial weights."""
        return (test - test.sel(prune_fraction=0)).sel(sigma_p=sigma_p)

    quiet, noisy = against_dense(0.5), against_dense(1.0)
    upto_half = [interval(quiet.sel(prune_fraction=p)) for p in pruned if 0 < p <= 0.5]
    worst = max(upto_half, key=lambda one: one.high)
    beyond = [(p, interval(quiet.sel(prune_fraction=p))) for p in pruned if p > 0.5]
    trained = {p: float(train.sel(sigma_p=0.5, prune_fraction=p).mean()) for p in pruned}
    risen = [p for p, one in beyond if one.low > DRAMATIC]
    first, at_first = beyond[0]
    still = [p for p in risen if trained[p] < PERFECT]
    means, spread = (getattr(test.sel(sigma_p=0.5), name)("seed").values for name in ("mean", "std"))
    order = float(stats.spearmanr(means, spread).statistic)
    dense = interval(test.sel(sigma_p=1.0, prune_fraction=0))
    half = interval(noisy.sel(prune_fraction=0.5))
    imperfect = float(train.sel(sigma_p=1.0).mean("seed").max())
    return [
        Claim(
            "σ_n = 0.5: up to 50 % pruned, the test error stays at the level of the full model",
            f"{PAPER} Section 5.1, Figure 2a, {reading}",
            verdict(worst.high < SIMILAR),
            worst,
            f"test error minus the full model's, paired: interval below {SIMILAR} at every pruned fraction ≤ 0.5",
        ),
        Claim(
            "σ_n = 0.5: noticeably better at 30 % pruned",
            f"{PAPER} Section 5.1, Figure 2a, {reading}",
            verdict(interval(quiet.sel(prune_fraction=0.3)).high < 0),
            interval(quiet.sel(prune_fraction=0.3)),
            "test error minus the full model's, paired: interval below 0",
        ),
        Claim(
            "σ_n = 0.5: past 50 % the test error rises dramatically",
            f"{PAPER} Section 5.1, Figure 2a, {reading}",
            verdict(at_first.low > DRAMATIC),
            at_first,
            f"test error minus the full model's, paired: interval above {DRAMATIC} at {first:g}",
            f"first above it at {risen[0]:g}" if risen else f"nowhere above it up to {pruned.max():g}",
        ),
        Claim(
            "σ_n = 0.5: where it rises, the training error is still zero",
            f"{PAPER} Section 5.1, Figure 2a, {reading}",
            verdict(bool(still) and still[0] == risen[0], bool(risen)),
            trained[risen[0]] if risen else float("nan"),
            f"mean training error < {PERFECT} at the first pruned fraction with a risen test error",
            f"risen at {', '.join(f'{p:g} (training error {trained[p]:.3f})' for p in risen)}" if risen else "no rise",
        ),
        Claim(
            "σ_n = 1: the full model does not generalise well",
            f"{PAPER} Section 5.1, Figure 2b, {reading}",
            verdict(dense.low > 0.25),
            dense,
            "test error: interval above 0.25",
        ),
        Claim(
            "σ_n = 1: mild pruning improves generalisation",
            f"{PAPER} Section 5.1, Figure 2b and 2c, {reading}",
            verdict(half.high < 0),
            half,
            "test error at 50 % pruned minus the full model's, paired: interval below 0",
        ),
        Claim(
            "σ_n = 1: the training error is zero at all pruned fractions",
            f"{PAPER} Figure 2, caption, {reading}",
            verdict(imperfect < PERFECT),
            imperfect,
            f"largest mean training error < {PERFECT}",
        ),
        Claim(
            "σ_n = 0.5: the spread over runs is large where the test error is large",
            f"{PAPER} Section 5.1, {reading}",
            verdict(order > 0.5),
            order,
            "rank correlation of mean and standard deviation over pruned fractions above 0.5",
            f"standard deviation {float(spread.min()):.3f} to {float(spread.max()):.3f}",
        ),
    ]


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
    fig, (left, right) = plt.subplots(1, 2, figsize=(9.4, 3.8), layout="constrained")
    for (mask, at), color in zip(_by_mask(datasets), plotting.COLORS, strict=False):
        _error_bars(left, 1 - at.test_accuracy, "keep_fraction", "o-", color, f"test error, {mask} mask")
        _error_bars(right, at.test_loss, "keep_fraction", "o-", color, f"test loss, {mask} mask")
    _error_bars(right, ds.train_loss, "keep_fraction", "s:", plotting.COLORS[2], "training loss")
    p = np.geomspace(float(ds.keep_fraction.min()), 1, 300)
    left.plot(
        p,
        _guessing(ds) * theory.signal_loss_probability(p, classes * m),
        color="0.35",
        ls="--",
        label="(1 − 1/K) · P(no filter can learn its signal)",
    )
    collapse = _collapse(_by_log(1 - ds.test_accuracy), _guessing(ds))
    left.plot(collapse, _guessing(ds) / 2, "*", color="#D55E00", ms=12, label=f"measured collapse, p = {collapse:.2g}")
    right.axhline(np.log(classes), color="0.35", ls="--", lw=1, label="log K (guessing)")
    for ax in (left, right):
        ax.axvline(theory.over_pruning_keep(classes, m, d), color="#CC79A7", lw=1.2, label="1/(K m log d), Thm 4.1")
        ax.axvline(theory.mild_pruning_keep(d, m), color="#009E73", lw=1.2, ls="-.", label="log d / m, Thm 3.1")
        ax.set_xscale("log")
        ax.set_xlabel("kept fraction $p$")
    left.set_ylabel("test error")
    left.set_ylim(-0.02, 0.6)
    right.set_ylabel("loss (nats)")
    right.set_yscale("log")
    left.legend(fontsize=7.5, loc="upper right")
    right.legend(fontsize=7.5, loc="upper right")
    fig.suptitle(
        f"theory's regime: ReLU³, K = {classes}, m = {m}, d = {d}, n = {setting(ds, 'n')}, normalised steps; "
        f"mean and standard error of {ds.sizes['seed']} seeds",
        fontsize=9.5,
    )
    return {"random-pruning-theory": fig}


def _by_mask(datasets: dict[str, xr.Dataset]) -> list[tuple[str, xr.Dataset]]:
    return [(mask, datasets[mask].sel(m=50)) for mask in ("random", "magnitude") if mask in datasets]


def check_theory(datasets: dict[str, xr.Dataset]) -> list[Claim]:
    ds = datasets["random"]
    source = f"{PAPER} %s, reading theory, normalised steps"
    claims = []
    for m in ds.m.values.tolist():
        claims += _regime_claims(ds.sel(m=m), m, source)
    if ds.sizes["m"] > 1:
        exponent = stats.bootstrap(_by_log(1 - ds.test_accuracy), lambda e: _collapse_exponent(e, _guessing(ds)))
        claims.append(
            Claim(
                "the kept fraction at which the network collapses falls as 1/m",
                source % "Theorem 4.1",
                verdict(exponent.low <= -1 <= exponent.high),
                exponent,
                "exponent of m: bootstrap interval over seeds contains −1",
            )
        )
    return claims + _plain_claims(datasets["plain"])


def _regime_claims(ds: xr.Dataset, m: int, source: str) -> list[Claim]:
    d, classes = setting(ds, "d"), setting(ds, "num_classes")
    target, kept = setting(ds, "target_loss"), ds.keep_fraction.values
    mild, over = float(theory.mild_pruning_keep(d, m)), float(theory.over_pruning_keep(classes, m, d))
    nearest = kept[np.abs(np.log(kept / over)).argmin()]
    error, at_over = 1 - ds.test_accuracy, ds.sel(keep_fraction=nearest)
    within = ds.sel(keep_fraction=kept >= mild)
    least = float(within.keep_fraction.min())
    gain = within.test_loss.sel(keep_fraction=least) - ds.test_loss.sel(keep_fraction=1.0)
    growth = xr.DataArray(
        [
            np.polyfit(np.log(within.keep_fraction), np.log(within.noise.sel(seed=s).transpose("keep_fraction")), 1)[0]
            for s in ds.seed.values
        ]
    )
    measured = stats.bootstrap(_by_log(error), lambda e: _collapse(e, _guessing(ds)))
    ours = 2 * (1 - 0.5 ** (1 / (classes * m)))
    few = error.sel(keep_fraction=kept[kept <= 0.02])
    lost = theory.signal_loss_probability(few.keep_fraction, classes * m)
    residual = interval((few - _guessing(ds) * few.keep_fraction.copy(data=lost)).mean("keep_fraction"))
    ratios = theory.random_pruning_condition(
        d, setting(ds, "n"), m, classes, *(setting(ds, v) for v in ("mu", "sigma_p", "sigma_0", "learning_rate"))
    )
    return [
        Claim(
            f"m = {m}: mildly pruned networks train below ε",
            source % "Theorem 3.1, part 1",
            verdict(bool((within.train_loss <= target).all())),
            float(within.train_loss.max()),
            f"training loss ≤ {target} in every network with p ≥ log d / m = {mild:.3f}",
        ),
        Claim(
            f"m = {m}: mild pruning lowers the test loss",
            source % "Theorem 3.1, part 2",
            verdict(interval(gain).high < 0),
            interval(gain),
            f"test loss at p = {least:g} minus that at p = 1, paired: interval below 0",
        ),
        Claim(
            f"m = {m}: mild pruning reduces the response to noise by √p or more",
            source % "Theorem D.1, part 4",
            verdict(interval(growth).high >= 0.5),
            interval(growth),
            "exponent of p in max ⟨w, ξ⟩ over p ≥ log d / m: interval not below ½ (the theorem's Õ is an upper bound)",
        ),
        Claim(
            f"m = {m}: over-pruned networks train below ε",
            source % "Theorem 4.1, part 1",
            verdict(bool((at_over.train_loss <= target).all())),
            float(at_over.train_loss.max()),
            f"training loss ≤ {target} in every network at p = {nearest:g} (1/(K m log d) = {over:.5f})",
        ),
        Claim(
            f"m = {m}: over-pruned networks do no better than guessing",
            source % "Theorem 4.1, part 2",
            verdict(interval(at_over.test_loss).low >= np.log(classes)),
            interval(at_over.test_loss),
            f"test loss at p = {nearest:g}: interval above log K = {np.log(classes):.3f}",
            f"test error {interval(error.sel(keep_fraction=nearest))}",
        ),
        Claim(
            f"m = {m}: the collapse lies at 1/(K m log d)",
            source % "Theorem 4.1",
            verdict(over / 3 <= measured.mean <= 3 * over),
            measured,
            f"p where the mean test error crosses half of guessing, within a factor 3 of {over:.5f}",
            f"no filter can learn its signal with probability ½ at p = {ours:.5f}; brackets: bootstrap over seeds",
        ),
        Claim(
            f"m = {m}: over-pruned networks guess as often as no filter can learn its signal (ours)",
            source % "Section 4",
            verdict(residual.low > -0.1 and residual.high < 0.1, residual.high - residual.low < 0.2),
            residual,
            "test error minus (1 − 1/K)(1 − p/2)^(K m), mean over p ≤ 0.02: interval within ±0.1",
        ),
        Claim(
            f"m = {m}: the setting meets Condition 2.2",
            f"{PAPER} Condition 2.2",
            verdict(
                all(float(ratios[name]) >= 1 for name in ("classes", "learning_rate"))
                and all(0.1 <= float(ratios[name]) <= 10 for name in ("signal_over_noise", "initialization"))
            ),
            float(ratios["initialization"]),
            "classes and learning rate ≥ 1, signal over noise and initialisation within a factor 10 of 1",
            ", ".join(f"{name} {float(r):.2g}" for name, r in ratios.items()),
        ),
    ]


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
    return float(np.exp(boundary.extract(error.mean("seed"), "keep_fraction", guessing / 2, side="lower")))


def _collapse_exponent(error: xr.DataArray, guessing: float) -> float:
    """Slope of log p at the collapse over log m."""
    at = np.exp(boundary.extract(error.mean("seed"), "keep_fraction", guessing / 2, side="lower"))
    return float(np.polyfit(np.log(error.m), np.log(at), 1)[0])


def _plain_claims(ds: xr.Dataset) -> list[Claim]:
    target, steps = setting(ds, "target_loss"), setting(ds, "steps")
    claims = []
    for keep in ds.keep_fraction.values.tolist():
        losses = ds.train_loss.sel(keep_fraction=keep)
        claims.append(
            Claim(
                f"plain gradient descent trains below ε at p = {keep:g}",
                f"{PAPER} Theorems 3.1 and 4.1, part 1, reading theory, plain steps",
                verdict(bool((losses <= target).all())),
                interval(losses),
                f"training loss ≤ {target} in every network after {steps} steps, η = {setting(ds, 'learning_rate'):g}",
            )
        )
    return claims


FIGURES = {
    "random-pruning-error": Figure(
        ERROR_PRESETS,
        draw_error,
        check_error,
    ),
    "random-pruning-theory": Figure(
        THEORY_PRESETS,
        draw_theory,
        check_theory,
    ),
}
