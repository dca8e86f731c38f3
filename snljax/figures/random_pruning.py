"""Figures and claims of paper 002: training and test error over the pruned fraction (Figure 2)."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from snljax import plotting, stats
from snljax.figures import Figure, Preset, Sweep
from snljax.figures.claims import Claim, Finding, above, below, within
from snljax.figures.datasets import Datasets, error_rate, setting
from snljax.papers import cite

PRUNED = (0, 0.1, 0.3, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.97, 0.99)
SIGMA_0 = (0.1, 0.01)  # "variance 0.01", and the same number taken as a standard deviation
SHARED = {  # mask_shared_by -> which mask that is; the text says neither
    "none": "a new mask for each run",
    "runs": "one mask for all runs",
    "filters": "a mask of the input for each run",  # the same for all filters
    "filters_and_runs": "a mask of the input for all runs",
}
SIMILAR = 0.05  # test error; the paper's "similar level"
DRAMATIC = 0.1  # test error; "increases dramatically"
PERFECT = 0.01  # training error


def _kept(pruned: Any) -> list[float]:
    return [round(1 - p, 6) for p in pruned]


def _errors(reading: str, pruned: Any, seeds: int) -> Preset:
    common = Sweep("random_pruning", reading=reading, seed=range(seeds), keep_fraction=_kept(pruned))
    training = common.but(sigma_0=SIGMA_0, sigma_p=1.0, keep_fraction=[1.0, 0.5])
    shared = common.but(sigma_0=SIGMA_0[0], sigma_p=0.5, mask_shared_by=list(SHARED)[1:])
    return {
        reading: common.but(sigma_0=SIGMA_0, sigma_p=[0.5, 1.0]),
        f"{reading}-training": training.but(record_every=50),
        f"{reading}-masks": shared.but(keep_fraction=_kept(pruned[1:])),  # without pruning there is no mask
    }


ERROR_PRESETS = {
    "quick": _errors("fitted", (0, 0.3, 0.5, 0.8, 0.9, 0.97), 10),
    "paper": {**_errors("fitted", PRUNED, 30), **_errors("printed", PRUNED, 30)},
}


def draw_error(datasets: Datasets) -> dict[str, Any]:
    return {f"random-pruning-error-{reading}": _error_page(datasets, reading) for reading in _readings(datasets)}


def _readings(datasets: Datasets) -> list[str]:
    return [name for name in datasets if f"{name}-training" in datasets]


def _error_page(datasets: Datasets, reading: str) -> Any:
    ds, training = datasets[reading], datasets[f"{reading}-training"]
    fig, axes = plotting.panels(2, 2, ratio=0.75, sharey=True)
    for ax, letter, sigma_p in zip(axes[0], "ab", ds.sigma_p.values, strict=False):
        at = _pruned(ds.sel(sigma_p=sigma_p))
        for sigma_0, color in zip(at.sigma_0.values, plotting.COLORS, strict=False):
            for name, style in (("test", "o-"), ("train", "s:")):
                error = error_rate(at, name).sel(sigma_0=sigma_0)
                label = rf"{name}, $\sigma_0$ = {sigma_0:g}"
                plotting.points(error, x="prune_fraction", spread="error", ax=ax, fmt=style, color=color, label=label)
        ax.set(xlabel="pruned fraction $1-p$", title=rf"({letter}) $\sigma_n$ = {sigma_p:g}")
    axes[0, 0].set_ylim(-0.02, 0.9)
    axes[0, 0].legend(loc="upper left")
    _training_panel(axes[1, 0], training)
    _masks_panel(axes[1, 1], _by_mask_sharing(ds, datasets[f"{reading}-masks"]))
    for ax in axes[:, 0]:
        ax.set_ylabel("error")
    for ax in axes[:, 1]:
        ax.set_ylabel("")
    network = setting(ds, "network").replace("_", " ")
    fig.suptitle(f"{reading} ({network}): {plotting.caption(ds, 'error')}")
    return fig


def _training_panel(ax: Any, training: xr.Dataset) -> None:
    """Figure 2c: the text names the quantity, the noise and the pruned fraction; beside it the full model, ours."""
    for sigma_0, pair in zip(training.sigma_0.values, ((0, 5), (1, 4)), strict=False):
        for keep, place, line in zip(training.keep_fraction.values, pair, ("-", "--"), strict=True):
            error = error_rate(training).sel(sigma_0=sigma_0, keep_fraction=keep)
            label = rf"{1 - keep:.0%}, $\sigma_0$ = {sigma_0:g}"
            look: dict[str, Any] = {"color": plotting.COLORS[place], "ls": line, "label": label}
            plotting.curves(error, x="step", spread="error", ax=ax, **look)
    ax.set(xlabel="gradient steps", title=rf"(c) test error, $\sigma_n$ = {setting(training, 'sigma_p'):g}")
    ax.legend(title="pruned", loc="upper right")


def _masks_panel(ax: Any, ds: xr.Dataset) -> None:
    for sharing, place, mark in zip(ds.mask_shared_by.values, (0, 3, 2, 6), "oD^v", strict=True):
        error = error_rate(ds).sel(mask_shared_by=sharing)
        look: dict[str, Any] = {"fmt": f"{mark}-", "color": plotting.COLORS[place], "label": SHARED[str(sharing)]}
        plotting.points(error, x="prune_fraction", spread="error", ax=ax, **look)
    title = rf"(d) test error, $\sigma_n$ = 0.5, $\sigma_0$ = {SIGMA_0[0]:g}"
    ax.set(xlabel="pruned fraction $1-p$", title=title)
    ax.legend(loc="upper left")


def _pruned(ds: xr.Dataset) -> xr.Dataset:
    """Over the pruned fraction, as the paper's experiments count, in place of the kept one."""
    return ds.assign_coords(prune_fraction=(1 - ds.keep_fraction).round(6)).swap_dims(keep_fraction="prune_fraction")


def _by_mask_sharing(ds: xr.Dataset, masks: xr.Dataset) -> xr.Dataset:
    """All readings of the mask beside each other at σ_n = 0.5: the ordinary one, whose full model is that of all."""
    names = ["test_accuracy", "train_accuracy", "signal_filters"]
    ordinary = ds[names].sel(sigma_0=SIGMA_0[0], sigma_p=0.5)
    shared = masks[names].reindex(keep_fraction=ordinary.keep_fraction)
    shared = xr.where(shared.keep_fraction == 1, ordinary, shared)
    both = [ordinary.expand_dims(mask_shared_by=["none"]), shared]
    return _pruned(xr.concat(both, "mask_shared_by", coords="minimal", compat="override"))


def check_error(datasets: Datasets) -> list[Claim]:
    claims = []
    for reading in _readings(datasets):
        ds = datasets[reading]
        for sigma_0 in ds.sigma_0.values.tolist():
            at, said = _pruned(ds.sel(sigma_0=sigma_0)), f"{reading}, σ_0 = {sigma_0:g}"
            claims += _quiet_claims(at.sel(sigma_p=0.5), said) + _noisy_claims(at.sel(sigma_p=1.0), said)
            claims.append(_training_claim(datasets[f"{reading}-training"].sel(sigma_0=sigma_0), said))
        masks = _by_mask_sharing(ds, datasets[f"{reading}-masks"])
        for sharing in list(SHARED)[1:]:
            at, said = masks.sel(mask_shared_by=sharing), f"{reading}, σ_0 = {SIGMA_0[0]:g}, {SHARED[sharing]}"
            # Where a mask of the input for all runs loses the signal is one number's chance: no sentence goes by that.
            claims += _quiet_claims(at, said) if sharing != "filters_and_runs" else []
            claims += _lost_claims(at, said) if sharing != "runs" else []
    return claims


def _figure_2(reading: str, text: str, place: str, rule: Finding, note: str = "") -> Claim:
    return Claim.of(text, f"{cite('002', place)}, {reading}", rule, note)


PAIRED = "test error minus the full model's, paired"


def _quiet_claims(ds: xr.Dataset, reading: str) -> list[Claim]:
    test, train = error_rate(ds), error_rate(ds, "train")
    pruned = ds.prune_fraction.values
    over = test - test.sel(prune_fraction=0)
    similar = below(over.sel(prune_fraction=pruned[(pruned > 0) & (pruned <= 0.5)]), SIMILAR, f"{PAIRED}, up to 0.5")
    better = below(over.sel(prune_fraction=0.3), 0.0, PAIRED)
    beyond = pruned[pruned > 0.5].tolist()
    rises = {p: above(over.sel(prune_fraction=p), DRAMATIC, f"{PAIRED}, at {p:g}") for p in beyond}
    risen = [p for p, rule in rises.items() if rule.verdict == "holds"]
    first = f"first above it at {risen[0]:g}" if risen else f"nowhere above it up to {pruned.max():g}"
    where = risen[0] if risen else beyond[-1]
    trained = below(train.sel(prune_fraction=where), PERFECT, f"training error at {where:g}")
    trained = trained.untestable("" if risen else "no rise")
    ordered = above(
        stats.bootstrap(test.drop_vars(list(test.coords)), _rank_correlation),
        0.5,
        "rank correlation of mean and standard deviation over pruned fractions",
    )
    spread = test.std("seed")
    spreads = f"standard deviation {float(spread.min()):.3f} to {float(spread.max()):.3f}"
    left = "Section 5.1, Figure 2a"
    level = "σ_n = 0.5: up to 50 % pruned, the test error stays at the level of the full model"
    varies = "σ_n = 0.5: the spread over runs is large where the test error is large"
    return [
        _figure_2(reading, level, left, similar),
        _figure_2(reading, "σ_n = 0.5: noticeably better at 30 % pruned", left, better),
        _figure_2(reading, "σ_n = 0.5: past 50 % the test error rises dramatically", left, rises[beyond[0]], first),
        _figure_2(reading, "σ_n = 0.5: where it rises, the training error is still zero", left, trained),
        _figure_2(reading, varies, "Section 5.1", ordered, spreads),
    ]


def _noisy_claims(ds: xr.Dataset, reading: str) -> list[Claim]:
    test = error_rate(ds)
    bad = above(test.sel(prune_fraction=0), 0.25, "test error")
    improved = below((test - test.sel(prune_fraction=0)).sel(prune_fraction=0.5), 0.0, f"{PAIRED}, at 0.5")
    zero = below(error_rate(ds, "train"), PERFECT, "training error")
    right = "Section 5.1, Figure 2b"
    return [
        _figure_2(reading, "σ_n = 1: the full model does not generalise well", right, bad),
        _figure_2(reading, "σ_n = 1: mild pruning improves generalisation", f"{right} and 2c", improved),
        _figure_2(reading, "σ_n = 1: the training error is zero at all pruned fractions", "Figure 2, caption", zero),
    ]


def _training_claim(ds: xr.Dataset, reading: str) -> Claim:
    """All that the text says of Figure 2c: the test error over the iterations, at half pruned, suggests a benefit."""
    error = error_rate(ds).sel(keep_fraction=0.5)
    falls = below(error.isel(step=-1) - error.isel(step=0), 0.0, "test error at the end minus that at the start")
    return _figure_2(reading, "σ_n = 1: 50 % pruned, training lowers the test error", "Figure 2c", falls)


def _lost_claims(ds: xr.Dataset, reading: str) -> list[Claim]:
    """Where one mask covers all filters, a run is as good as its mask: it has kept the signal's coordinate or not."""
    test, train = error_rate(ds), error_rate(ds, "train")
    lost = (ds.signal_filters == 0).all("class")
    over = (test - test.sel(prune_fraction=0)).where(~lost & (ds.prune_fraction > 0))
    kept = below(over.mean("prune_fraction"), SIMILAR, f"{PAIRED}, mean over the masks that keep the signal")
    without = test.where(lost).mean("prune_fraction")
    guesses = within(without, 0.45, 0.55, "test error, mean over the masks that have lost it, ½ ± 0.05")
    first = train.isel(prune_fraction=lost.argmax("prune_fraction")).where(lost.any("prune_fraction"))
    trained = below(first, PERFECT, "training error at the first pruned fraction without it")
    shares = zip(ds.prune_fraction.values.tolist(), lost.mean("seed").values.tolist(), strict=True)
    note = "share of masks without it: " + ", ".join(f"{share:.2f} at {pruned:g}" for pruned, share in shares)
    place = "Figure 2a (ours: which mask)"
    return [
        _figure_2(reading, "σ_n = 0.5: with the signal's coordinate a run is as good as the full model", place, kept),
        _figure_2(reading, "σ_n = 0.5: without it a run guesses", place, guesses, note),
        _figure_2(reading, "σ_n = 0.5: and its training error is still zero", place, trained),
    ]


def _rank_correlation(error: xr.DataArray) -> float:
    """Of the mean over seeds and the standard deviation over seeds; NaN where one of them is everywhere the same."""
    seed = error.get_axis_num("seed")
    both = np.stack([np.nanmean(error.values, seed), np.nanstd(error.values, seed)])
    ranks = np.sign(both[:, :, None] - both[:, None]).sum(-1)  # how many are smaller, less how many are larger
    return float(np.corrcoef(ranks)[0, 1]) if np.ptp(both, axis=1).all() else np.nan


FIGURES = {"random-pruning-error": Figure(ERROR_PRESETS, draw_error, check_error)}
