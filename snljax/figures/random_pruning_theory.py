"""Figures and claims of paper 002: mild pruning and over-pruning in the theory's own regime."""

from __future__ import annotations

import json
import math
import types
from typing import Any

import numpy as np
import xarray as xr

from snljax import plotting, stats, theory
from snljax.figures import Figure, Sweep
from snljax.figures.claims import Claim, Finding, above, below, every, exact, within
from snljax.figures.datasets import Datasets, error_rate, setting
from snljax.papers import cite
from snljax.theory.random_pruning import conditions

KEPT = (1.0, 0.7, 0.5, 0.35, 0.2, 0.14, 0.1, 0.05, 0.02, 0.01, 0.007, 0.005, 0.003, 0.002, 0.00145, 0.001)
MILD = (1.0, 0.7, 0.5, 0.35, 0.2, 0.14)  # log d / m and more, at m = 50
LITTLE = (0.05, 0.02, 0.01)
# The constant of Theorem 3.1's O(Kε), from the proof of Theorem D.26: e^(F_j' − F_y) ≤ 2Kε e².
GENERALIZATION = 2 * math.e**2
HALF = (0.4, 0.6)  # an exponent of ½, ± 0.1


def _theory(seeds: int, **settings: Any) -> Sweep:
    return Sweep("random_pruning", reading="theory", seed=range(seeds), **settings)


# Plain gradient descent beside the normalised steps, with the largest rate of Condition 2.2.
_PLAIN: dict[str, Any] = {"keep_fraction": (1.0, 0.2, 0.02, 0.00145), "step_rule": "plain", "learning_rate": 1.0}
# Condition 2.2(4), μ = σ_n √d log d: so little noise.
_WEAK: dict[str, Any] = {"sigma_p": 1 / (1000**0.5 * np.log(1000)), "m": [50], "decomposition": True}
_CLASSES: dict[str, Any] = {"num_classes": 3, "n": 30, "m": [50]}
# All of Condition 2.2 that has a number: small enough that plain steps get there. σ_0 is nine times m⁻⁴n⁻¹μ⁻¹, which
# its Θ allows (a factor of ten, as everywhere here): training takes as many times longer as σ_0 is smaller.
_MET: dict[str, Any] = {"d": 100, "m": 8, "n": 54, "step_rule": "plain", "learning_rate": 1.0}
_MET |= {"sigma_p": 1 / (100**0.5 * np.log(100)), "sigma_0": 9 / (8**4 * 54)}
THEORY_PRESETS = {
    "quick": {
        "random": _theory(10, keep_fraction=(1.0, 0.5, 0.2, 0.14, 0.05, 0.02, 0.01, 0.005, 0.002, 0.00145), m=[50]),
        "coefficients": _theory(10, keep_fraction=(1.0, 0.5, 0.2, 0.14), m=[50], decomposition=True),
        "regime": _theory(10, keep_fraction=(1.0, 0.5, 0.2, 0.14, 0.00145), **_WEAK),
        "classes": _theory(10, keep_fraction=(1.0, 0.14, 0.02, 0.01, 0.005, 0.00096), **_CLASSES),
        "condition": _theory(5, keep_fraction=[1.0], steps=60_000, **_MET),
        "plain": _theory(3, **_PLAIN),
    },
    "paper": {
        "random": _theory(30, keep_fraction=KEPT, m=[25, 50, 100]),
        "magnitude": _theory(30, keep_fraction=KEPT, m=[50], mask="magnitude"),
        "coefficients": _theory(30, keep_fraction=MILD, m=[50], decomposition=True),
        "regime": _theory(10, keep_fraction=(*MILD, *LITTLE, 0.00145), steps=20_000, **_WEAK),
        "classes": _theory(10, keep_fraction=(*MILD[::2], *LITTLE, 0.005, 0.00096), steps=6000, **_CLASSES),
        "condition": _theory(10, keep_fraction=(1.0, 0.8, 0.6), steps=100_000, **_MET),
        "plain": _theory(10, steps=20_000, **_PLAIN),
    },
}


def draw_theory(datasets: Datasets) -> dict[str, Any]:
    """Both regimes at strong noise; at the noise of Condition 2.2(4); and of more than two classes."""
    masks = {f"{mask} mask": datasets[mask].sel(m=50) for mask in ("random", "magnitude") if mask in datasets}
    return {
        "random-pruning-theory": _theory_page(masks),
        "random-pruning-theory-regime": _theory_page({"random mask": datasets["regime"].sel(m=50)}),
        "random-pruning-theory-classes": _theory_page({"random mask": datasets["classes"].sel(m=50)}),
    }


def _theory_page(masks: Datasets) -> Any:
    """The first of them is the random mask."""
    ds = next(iter(masks.values()))
    m, d, classes = int(ds.m), setting(ds, "d"), setting(ds, "num_classes")
    fig, axes = plotting.panels(1, 3, ratio=1.1)
    left, right, responses = axes[0]
    look: dict[str, Any] = {"x": "keep_fraction", "spread": "error"}
    for (mask, at), color in zip(masks.items(), plotting.COLORS, strict=False):
        plotting.points(error_rate(at), **look, ax=left, fmt="o-", color=color, label=f"test error, {mask}")
        plotting.points(at.test_loss, **look, ax=right, fmt="o-", color=color, label=f"test loss, {mask}")
    plotting.points(ds.train_loss, **look, ax=right, fmt="s:", color=plotting.COLORS[2], label="training loss")
    over, mild = float(theory.over_pruning_keep(classes, m, d)), float(theory.mild_pruning_keep(d, m))
    p = np.geomspace(float(ds.keep_fraction.min()), 1, 300)
    plotting.reference(left, x=p, y=_lost_error(p, m, classes), label="classes guessed that no filter can learn (ours)")
    collapse = _collapse(_by_log(error_rate(ds)), _guessing(ds))
    if np.isfinite(collapse) and (ds.keep_fraction < mild).sum() > 2:  # few cells are no curve
        star = {"color": plotting.COLORS[6], "ms": 9, "label": f"measured collapse, p = {collapse:.2g}"}
        left.plot(collapse, _guessing(ds) / 2, "*", **star)
    plotting.reference(right, y=np.log(classes), label="log K (guessing)")
    bound = GENERALIZATION * classes * setting(ds, "target_loss")
    plotting.reference(right, y=bound, ls=":", label="2e² K ε, Thm 3.1")
    measured = _responses(ds)
    for (label, values), marker, place in zip(measured.items(), "os^", (4, 5, 6), strict=False):
        plotting.points(values, **look, ax=responses, fmt=f"{marker}-", color=plotting.COLORS[place], label=label)
    _coefficients(responses, ds, p, mild, over)
    for ax in axes[0]:
        plotting.reference(ax, x=over, ls="-", color=plotting.COLORS[3], label="1/(K m log d), Thm 4.1")
        plotting.reference(ax, x=mild, ls="-.", color=plotting.COLORS[2], label="log d / m, Thm 3.1")
        ax.set(xscale="log", xlabel="kept fraction $p$")
    left.set(ylabel="test error", ylim=(-0.02, _guessing(ds) + 0.1))
    right.set(ylabel="loss (nats)", yscale="log")
    responses.set(ylabel="coefficient" if "zeta" in ds else "largest response", yscale="log")
    means = np.concatenate([values.mean("seed").values for values in measured.values()])
    scale = float(theory.pruned_noise_scale(setting(ds, "sigma_0"), setting(ds, "sigma_p"), mild, d))
    responses.set_ylim(bottom=min([scale, *means[means > 0]]) / 2)  # a bar may reach down to 0
    plotting.legend(fig, columns=3)
    noise = setting(ds, "sigma_p") * d**0.5
    sizes = f"K = {classes}, m = {m}, d = {d}, n = {setting(ds, 'n')}, σₙ√d = {noise:.3g}"
    fig.suptitle(f"theory: ReLU³, {sizes}, normalised steps; {plotting.caption(ds, 'error')}")
    return fig


def _responses(ds: xr.Dataset) -> dict[str, xr.DataArray]:
    """What the third panel shows: coefficients of Definition C.1 where they were recorded, else responses."""
    if "zeta" not in ds:
        return {"signal, random mask": ds.signal, "noise, random mask": ds.noise}
    return {
        "γ, smallest over classes of the largest": _own_gamma(ds),
        "ζ, largest": _largest(ds, "zeta"),
        "|ω|, largest": _largest(ds, "omega"),
    }


def _own_gamma(ds: xr.Dataset) -> xr.DataArray:
    """min_j max_r γ_{j,r,j}."""
    classes = xr.DataArray(np.arange(setting(ds, "num_classes")), dims="own")
    own = ds.gamma.isel({"class": classes, "signal_of_class": classes})
    return own.max("filter").min("own")


def _other_gamma(ds: xr.Dataset) -> xr.DataArray:
    """max_{j≠k,r} |γ_{j,r,k}|."""
    classes = np.arange(setting(ds, "num_classes"))
    own = xr.DataArray(classes[:, None] == classes, dims=("class", "signal_of_class"))
    return abs(ds.gamma).where(~own).max(["class", "filter", "signal_of_class"])


def _largest(ds: xr.Dataset, name: str) -> xr.DataArray:
    return abs(ds[name]).max(["class", "filter", "sample"])


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


def check_theory(datasets: Datasets) -> list[Claim]:
    random, weak = datasets["random"], datasets["regime"].sel(m=50)
    claims = []
    for m in random.m.values.tolist():
        claims += _regime_claims(random.sel(m=m), f"m = {m}") + _collapse_claims(random.sel(m=m), f"m = {m}")
    if random.sizes["m"] > 1:
        exponent = stats.bootstrap(_by_log(error_rate(random)), lambda e: _collapse_exponent(e, _guessing(random)))
        rule = within(exponent, -1.25, -0.75, "exponent of m, −1 ± 0.25")
        claims.append(_in_theory("the kept fraction at which the network collapses falls as 1/m", "Theorem 4.1", rule))
    claims += _coefficient_claims(datasets["coefficients"].sel(m=50), "m = 50")
    claims += _regime_claims(weak, "μ = σ_n√d log d") + _coefficient_claims(weak, "μ = σ_n√d log d")
    classes = datasets["classes"].sel(m=50)
    said = f"K = {setting(classes, 'num_classes')}"
    claims += _regime_claims(classes, said) + _collapse_claims(classes, said)
    return claims + _met_claims(datasets["condition"]) + _plain_claims(datasets["plain"])


def _in_theory(text: str, place: str, rule: Finding, note: str = "", steps: str = "normalised") -> Claim:
    return Claim.of(text, f"{cite('002', place)}, reading theory, {steps} steps", rule, note)


def _mild(ds: xr.Dataset) -> xr.Dataset:
    """Where enough is kept for Theorem 3.1."""
    return ds.sel(keep_fraction=ds.keep_fraction >= float(theory.mild_pruning_keep(setting(ds, "d"), int(ds.m))))


def _in_time(found: Finding, ds: xr.Dataset, keep: float | None = None) -> Finding:
    """Not testable if the loss is still too high after fewer steps than the theorem takes, its O as 1.

    keep: of Theorem 4.1; without it the time is Theorem 3.1's.
    """
    numbers = {n: setting(ds, n) for n in ("mu", "sigma_0", "sigma_p", "n", "d", "num_classes", "learning_rate", "q")}
    c, m, epsilon = types.SimpleNamespace(**numbers), int(ds.m), setting(ds, "target_loss")
    needed = theory.mild_pruning_steps(c.mu, c.sigma_0, m, c.num_classes, c.learning_rate, epsilon, c.q)
    if keep is not None:
        needed = theory.over_pruning_steps(keep, c.sigma_0, c.sigma_p, c.n, m, c.d, c.learning_rate, epsilon, c.q)
    steps = setting(ds, "steps")
    late = found.verdict == "refuted" and steps < float(needed)
    return found.untestable(f"{steps} of {float(needed):.2g} steps of the theorem" if late else "")


def _if_trained(found: Finding, trains: Finding) -> Finding:
    """A theorem says what a network does at the time at which its training loss is ε."""
    return found.untestable("" if trains.verdict == "holds" else "not all of these networks are trained")


def _generalizes(loss: xr.DataArray, ds: xr.Dataset, what: str) -> Finding:
    """Theorem 3.1, part 2; e^(−n²/p) adds nothing."""
    bound = theory.mild_pruning_test_loss(
        GENERALIZATION * setting(ds, "target_loss"), setting(ds, "num_classes"), setting(ds, "n")
    )
    return below(loss, float(bound), f"test loss {what}, against 2e² K ε")


def _regime_claims(ds: xr.Dataset, said: str) -> list[Claim]:
    """Theorems 3.1 and 4.1 in one setting."""
    d, classes, m = setting(ds, "d"), setting(ds, "num_classes"), int(ds.m)
    target, mildly, full = setting(ds, "target_loss"), _mild(ds), ds.sel(keep_fraction=1.0)
    mild, over = float(theory.mild_pruning_keep(d, m)), float(theory.over_pruning_keep(classes, m, d))
    trains = _in_time(every(mildly.train_loss, "≤", target, f"training loss at p ≥ log d / m = {mild:.3f}"), ds)
    least = float(mildly.keep_fraction.min())
    pruned = mildly.test_loss.sel(keep_fraction=mildly.keep_fraction < 1)
    gain = ds.test_loss.sel(keep_fraction=least) - full.test_loss
    lowers = below(gain, 0.0, f"test loss at p = {least:g} minus that at p = 1, paired")
    nearest = float(ds.keep_fraction[abs(np.log(ds.keep_fraction / over)).argmin("keep_fraction")])
    at_over = ds.sel(keep_fraction=nearest)
    still = every(at_over.train_loss, "≤", target, f"training loss at p = {nearest:g} (1/(K m log d) = {over:.5f})")
    still = _in_time(still, ds, nearest)
    guess = above(at_over.test_loss, np.log(classes), f"test loss at p = {nearest:g}, against log K")
    guess = _if_trained(guess, still)
    error = f"test error {stats.t_interval(error_rate(at_over))}"

    def claim(text: str, place: str, rule: Finding, note: str = "") -> Claim:
        return _in_theory(f"{said}: {text}", place, rule, note)

    generalizes = _if_trained(_generalizes(full.test_loss, ds, "at p = 1"), trains)
    still_does = _if_trained(_generalizes(pruned, ds, "at log d / m ≤ p < 1"), trains)
    reduces = within(_exponent(mildly.noise_others), *HALF, "exponent of p in max_(j≠y_i) |⟨w, ξ_i⟩|, ½ ± 0.1")
    return [
        claim("mildly pruned networks train below ε", "Theorem 3.1, part 1", trains),
        claim("the full network generalises, L_D ≤ O(K ε)", "Theorem 3.1, part 2", generalizes),
        claim("mildly pruned networks generalise, L_D ≤ O(K ε)", "Theorem 3.1, part 2", still_does),
        claim("mild pruning lowers the test loss", "Theorem 3.1, part 2", lowers),
        claim("mild pruning reduces the response to other classes' noise by √p", "Lemma 3.3, part 2", reduces),
        claim("over-pruned networks train below ε", "Theorem 4.1, part 1", still),
        claim("over-pruned networks do no better than guessing", "Theorem 4.1, part 2", guess, error),
        *_condition_claims(ds, said),
    ]


def _exponent(values: xr.DataArray) -> xr.DataArray:
    """Slope of the logarithm over log p, of each seed."""
    log = values.copy(data=np.log(values.where(values > 0)))
    by_log = log.assign_coords(keep_fraction=np.log(values.keep_fraction))
    return by_log.polyfit("keep_fraction", 1).polyfit_coefficients.sel(degree=1)


def _coefficient_claims(ds: xr.Dataset, said: str) -> list[Claim]:
    """Theorem D.1, items 2 to 4, of the coefficients themselves: neither initial weights nor the own class count in.

    For the logarithms in the Õ of items 3 and 4 stand those of Lemma 3.2, where both scales come from.
    """
    ds = _mild(ds)
    d, m, classes = setting(ds, "d"), int(ds.m), setting(ds, "num_classes")
    of_signal = np.sqrt(2 * np.log(8 * ds.keep_fraction * m * classes * d))
    of_noise = np.sqrt(2 * np.log(classes * m * d))
    sizes = [setting(ds, name) for name in ("sigma_0", "sigma_p", "mu", "d", "q")]
    scales = theory.mild_pruning_coefficients(ds.keep_fraction, m, *sizes)
    gamma, others, noise, _ = (ds.keep_fraction.copy(data=scale) for scale in scales)
    zeta, omega = _largest(ds, "zeta"), _largest(ds, "omega")
    learned = every(_own_gamma(ds) / gamma, "≥", 1.0, "min_j max_r γ_(j,r,j) over m^(−1/q)")
    other, both = _other_gamma(ds) / (of_signal * others), np.maximum(zeta, omega) / (of_noise * noise)
    apart = every(other, "≤", 1.0, "max |γ_(j,r,k)|, k ≠ j, over √(2 log(8pmKd)) σ_0 μ")
    quiet = every(both, "≤", 1.0, "max(ζ, |ω|) over √(2 log(Kmd)) σ_0 σ_n √(pd)")

    def claim(text: str, item: str, rule: Finding) -> Claim:
        return _in_theory(f"{said}: {text}", f"Theorem D.1, item {item}", rule)

    return [
        claim("mildly pruned networks learn each class's signal", "2", learned),
        claim("they learn no other class's signal, |γ| ≤ Õ(σ_0 μ)", "3", apart),
        claim("no noise, ζ and |ω| ≤ Õ(σ_0 σ_n √(pd))", "4", quiet),
        claim("ζ falls as √p", "4", within(_exponent(zeta), *HALF, "exponent of p in max ζ, ½ ± 0.1")),
        claim("|ω| falls as √p", "4", within(_exponent(omega), *HALF, "exponent of p in max |ω|, ½ ± 0.1")),
    ]


def _collapse_claims(ds: xr.Dataset, said: str) -> list[Claim]:
    d, classes, m, error = setting(ds, "d"), setting(ds, "num_classes"), int(ds.m), error_rate(ds)
    over, kept = float(theory.over_pruning_keep(classes, m, d)), ds.keep_fraction.values
    collapse = stats.bootstrap(_by_log(error), lambda e: _collapse(e, _guessing(ds)))
    lies = within(
        collapse, over / 3, 3 * over, "p where the mean test error crosses half of guessing, within a factor 3"
    )
    p = np.geomspace(1e-6, 1, 2000)
    ours = np.interp(-_guessing(ds) / 2, -_lost_error(p, m, classes), p)
    chance = f"1/(K m log d) = {over:.5f}; half of guessing by signals that no filter can learn: p = {ours:.5f}"
    few = error.sel(keep_fraction=kept[kept <= 0.02])
    residual = few - few.keep_fraction.copy(data=_lost_error(few.keep_fraction.values, m, classes))
    law = "s − (1 − (1 − s)^K)/K, s = (1 − p/2)^m"
    as_often = within(residual.mean("keep_fraction"), -0.1, 0.1, f"test error minus {law}, mean over p ≤ 0.02")
    text = "the test error is that of guessing the classes whose signal no filter can learn (ours)"
    return [
        _in_theory(f"{said}: the collapse lies at 1/(K m log d)", "Theorem 4.1", lies, chance),
        _in_theory(f"{said}: {text}", "Section 4", as_often),
    ]


def _lost_error(keep: Any, m: int, classes: int) -> Any:
    """Test error if a class is known as soon as one of its filters can learn its signal, and the others are guessed.

    Each class is lost with probability s. Of L lost ones, guessing finds one: (L − 1)/K is wrong, in the mean
    s − (1 − (1 − s)^K)/K; of two classes that is s²/2.
    """
    lost = theory.signal_loss_probability(keep, m)
    return lost - (1 - (1 - lost) ** classes) / classes


def _condition_claims(ds: xr.Dataset, said: str) -> list[Claim]:
    """Condition 2.2 at p = 1: its fourth part, and all that have a number."""
    settings = json.loads(ds.attrs["settings"]) | {"m": int(ds.m), "keep_fraction": 1.0}
    found = conditions(types.SimpleNamespace(**settings))
    strength = [c for c in found.conditions if c.source == "Condition 2.2 (4)"]
    note = "; ".join(f"{c.says}: {c.value:.3g} against {c.bound:.3g}" for c in strength)
    met = exact([c.factor for c in strength], "≥", 1.0, "factor by which it is met, Θ as within 10,")
    failed = exact([len(found.failed)], "≤", 0, "parts with a number that are not met,")
    names = ", ".join(c.says.partition(":")[0] for c in found.failed)
    strong = f"{said}: the signal is as strong as the theorems want it"
    return [
        Claim.of(strong, cite("002", "Condition 2.2(4)"), met, note),
        Claim.of(f"{said}: the setting meets Condition 2.2", cite("002", "Condition 2.2"), failed, names),
    ]


def _met_claims(ds: xr.Dataset) -> list[Claim]:
    """Theorem 3.1 where its condition is met, by the steps that it is about."""
    ds = ds.assign_coords(m=setting(ds, "m"))
    claims = _condition_claims(ds, f"d = {setting(ds, 'd')}, m = {int(ds.m)}")
    for keep in _mild(ds).keep_fraction.values.tolist():
        at, said = ds.sel(keep_fraction=keep), f"Condition 2.2 met, p = {keep:g}"
        what = f"training loss after {setting(ds, 'steps')} steps"
        trains = _in_time(every(at.train_loss, "≤", setting(ds, "target_loss"), what), ds)
        known = _if_trained(_generalizes(at.test_loss, ds, f"at p = {keep:g}"), trains)
        claims += [
            _in_theory(f"{said}: networks train below ε", "Theorem 3.1, part 1", trains, steps="plain"),
            _in_theory(f"{said}: networks generalise, L_D ≤ O(K ε)", "Theorem 3.1, part 2", known, steps="plain"),
        ]
    return claims


def _guessing(ds: xr.Dataset) -> float:
    """Test error of a network that knows nothing."""
    return 1 - 1 / setting(ds, "num_classes")


def _by_log(error: xr.DataArray) -> xr.DataArray:
    """Over log p, ascending, which is where crossings are interpolated; seeds last."""
    by_log = error.assign_coords(keep_fraction=np.log(error.keep_fraction)).sortby("keep_fraction")
    return by_log.transpose("m", "keep_fraction", "seed", missing_dims="ignore")


def _collapse(error: xr.DataArray, guessing: float) -> float:
    """Kept fraction where the mean test error, from `_by_log`, crosses half of guessing.

    A single seed's error is near 0 or near guessing, by chance at any p: only a mean has a crossing.
    """
    return float(np.exp(_crossing(error, guessing / 2)))


def _collapse_exponent(error: xr.DataArray, guessing: float) -> float:
    """Slope of log p at the collapse over log m."""
    return float(np.polyfit(np.log(error.m), _crossing(error, guessing / 2), 1)[0])


def _crossing(error: xr.DataArray, half: float) -> np.ndarray:
    """log p where the mean over seeds first falls below half of guessing: `boundary.edge`, quick enough to resample."""
    mean = np.nanmean(error.values, axis=-1)
    place, before, after = error.keep_fraction.values, mean[..., :-1], mean[..., 1:]
    falls = (before >= half) & (after < half)
    between = place[:-1] + np.diff(place) * (before - half) / np.where(falls, before - after, 1.0)
    first = np.take_along_axis(between, falls.argmax(-1)[..., None], -1)[..., 0]
    return np.where(falls.any(-1), first, np.nan)


def _plain_claims(ds: xr.Dataset) -> list[Claim]:
    ds = ds.assign_coords(m=setting(ds, "m"))
    what = f"training loss after {setting(ds, 'steps')} steps, η = {setting(ds, 'learning_rate'):g}"
    enough = float(theory.mild_pruning_keep(setting(ds, "d"), int(ds.m)))
    claims = []
    for keep in ds.keep_fraction.values.tolist():
        found = every(ds.train_loss.sel(keep_fraction=keep), "≤", setting(ds, "target_loss"), what)
        place = "Theorem 3.1, part 1" if keep >= enough else "Theorem 4.1, part 1"
        found = _in_time(found, ds, None if keep >= enough else keep)
        claims.append(_in_theory(f"plain gradient descent trains below ε at p = {keep:g}", place, found, steps="plain"))
    return claims


FIGURES = {"random-pruning-theory": Figure(THEORY_PRESETS, draw_theory, check_theory)}
