"""Figures and claims of paper 000: its upper boundary, and whether there is a lower one, by protocol and by regime."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from scipy.special import ndtri

from snljax import boundary, plotting, theory
from snljax.figures import Figure, Preset, Sweep, Trace
from snljax.figures.claims import Claim, Finding, above, every, exact, within
from snljax.figures.datasets import setting
from snljax.figures.presets import table
from snljax.papers import cite
from snljax.variables import PENDING

THRESHOLD = 2.0  # of the test loss, Figure 2
PAPER_STEPS = 5000

# --- The upper boundary, inside and beyond the plotted range -----------------------------------

# Θ(μ² √n / (𝒯 σ_p²)), Theorem 4.4: exponents, and how far an interval may lie from each.
EXPONENTS = {"sigma_p": -2.0, "mu": 2.0, "n": 0.5, "num_classes": -1.0}
OFF = 0.25


def _sizes(factors: list[float]) -> dict[str, list[Any]]:
    """Settings in which one number at a time differs from the paper's, by these factors."""
    base: dict[str, Any] = {"sigma_p": 1.25, "mu": 1.0, "n": 200, "num_classes": 10}
    rows = [base] + [base | {name: type(base[name])(f * base[name])} for name in base for f in factors]
    return table(rows)


def _boundary(sigma_p: Any, K: Any, seeds: int, steps: int, readings: tuple[str, ...], factors: list[float]) -> Preset:
    common = Sweep("topk_pruning", sigma_p=sigma_p, K=K, seed=range(seeds), steps=steps)
    sizes = Sweep("topk_pruning", size=_sizes(factors), K=K[1::2], seed=range(seeds), steps=steps)
    traced = {r: Trace(common.but(reading=r), "test_loss", THRESHOLD, net=5, each_seed=True) for r in readings}
    return {**traced, "sizes": sizes}


BOUNDARY_PRESETS = {
    "quick": _boundary(np.linspace(0.8, 2.2, 8).round(3), range(10, 201, 10), 3, 1000, ("fitted",), [1.4]),
    "medium": _boundary(
        np.linspace(0.7, 2.5, 19).round(3), range(5, 201, 5), 3, PAPER_STEPS, ("fitted", "printed"), [0.7, 1.4]
    ),
    "paper": _boundary(
        np.linspace(0.7, 2.5, 37).round(3), range(2, 201, 2), 5, PAPER_STEPS, ("fitted", "printed"), [0.5, 0.7, 1.4, 2]
    ),
}


def draw_boundary(datasets: dict[str, xr.Dataset]) -> dict[str, Any]:
    readings = [r for r in ("fitted", "printed") if r in datasets]
    fig, axes = plotting.panels(1, len(readings) + 1, ratio=0.95)
    law = plotting.Curve(r"$95\,\sigma_p^{-2}$ (Fig. 2)", theory.topk_upper_boundary)
    for ax, reading in zip(axes[0], readings, strict=False):
        plotting.phase_map(datasets[reading], theory=[law], ax=ax)
        ax.set_title(f"{reading}, {datasets[reading].attrs['networks']} networks")
    last, sizes = axes[0, -1], datasets["sizes"]
    edges = _edge(sizes) / _edge(sizes).isel(size=0)
    for color, marker, name in zip(plotting.COLORS, "os^v", EXPONENTS, strict=False):
        varied = _varied(sizes, name)
        of_one = edges.isel(size=varied).assign_coords(factor=("size", _factor(sizes, name)[varied]))
        of_one = of_one.swap_dims(size="factor").sortby("factor")
        symbol = sizes[name].attrs["long_name"]
        plotting.points(of_one, x="factor", ax=last, fmt=marker, color=color, label=symbol)
        plotting.reference(last, x=of_one.factor, y=of_one.factor.values ** EXPONENTS[name], color=color, ls="--")
    last.set(xscale="log", yscale="log", xlabel="factor on one number", ylabel=r"factor on $K$ at $L_\mathcal{D} = 2$")
    plotting.ticks(last, x=sorted({*of_one.factor.values.round(2).tolist()}), y=[0.25, 0.5, 1, 2])
    last.legend()
    last.set_title("dashed: Theorem 4.4")
    fig.suptitle(f"{setting(sizes, 'steps')} steps, {plotting.caption(sizes)}")
    return {"topk-boundary": fig}


def _edge(ds: xr.Dataset) -> xr.DataArray:
    return boundary.edge(ds.test_loss, "K", THRESHOLD, "upper")


def _factor(sizes: xr.Dataset, name: str) -> np.ndarray:
    return sizes[name].values / sizes[name].values[0]


def _varied(sizes: xr.Dataset, name: str) -> np.ndarray:
    """The settings in which nothing but one number differs from the first."""
    same = [_factor(sizes, other) == 1 for other in EXPONENTS if other != name]
    return np.flatnonzero(np.all(same, axis=0))


def check_boundary(datasets: dict[str, xr.Dataset]) -> list[Claim]:
    claims = []
    for reading, ds in datasets.items():
        if reading == "sizes":
            continue
        steps, source = setting(ds, "steps"), f"{cite('000', 'A.1')}, {reading}"
        short = "" if steps >= PAPER_STEPS else f"{steps} of {PAPER_STEPS} steps"
        cells = ds[["train_loss", "status"]].stack(cell=("sigma_p", "K"))
        trained = cells.train_loss.isel(cell=np.flatnonzero((cells.status != PENDING).all("seed")))
        rule = every(trained, "<", 0.01, "training loss").untestable(short)
        text = "training loss below 0.01 in every cell (here beyond the paper's σ_p too; those that were trained)"
        claims += [Claim.of(text, source, rule), *upper_claims(ds, source, short)]
    sizes = datasets["sizes"]
    law, source = boundary.scaling(_edge(sizes), list(EXPONENTS)), cite("000", "Theorem 4.4")
    for name, exponent in EXPONENTS.items():
        found = law.constants[name]
        rule = within(found, exponent - OFF, exponent + OFF, f"exponent of {name} in K at L_D = 2")
        steps = setting(sizes, "steps")
        text = f"the upper boundary goes as {name} to the power {exponent:g}"
        note = f"{steps} steps; {_crossings(law)}, one number at a time differs from the paper's"
        claims.append(Claim.of(text, f"{source}, fitted", rule, note))
    return claims


def upper_claims(ds: xr.Dataset, source: str, short: str = "") -> list[Claim]:
    """Where L_D crosses 2 against K·σ_p² = 95, and the exponent of σ_p."""
    edge = _edge(ds)
    law = boundary.fit(edge, "power law")
    crossings = f"{_crossings(law)} inside the grid"
    why = "; ".join(part for part in (short, crossings if law.points < 2 * ds.sizes["seed"] else "") if part)
    constant = _near_95((edge * ds.sigma_p**2).mean("sigma_p"), "mean over σ_p of K·σ_p² at L_D = 2")
    exponent = within(law.constants["exponent"], -2 - OFF, -2 + OFF, "exponent of σ_p in K at L_D = 2")
    note = f"{crossings}; constant of the fit {law.constants['constant']}, R² {law.r2.mean:.3f}"
    return [
        Claim.of("upper boundary: K·σ_p² = 95", source, constant.untestable(why), crossings if not why else ""),
        Claim.of("upper boundary: exponent −2 in σ_p", source, exponent.untestable(why), note),
    ]


def _crossings(law: boundary.Fit) -> str:
    """How many crossings a law rests on, and how many lie beyond the axis where other seeds have one."""
    return f"{law.points} crossings" + (f", {law.missing} beyond the axis for some seeds" if law.missing else "")


def _near_95(constant: xr.DataArray, what: str) -> Finding:
    return within(constant, 0.8 * 95, 1.2 * 95, f"{what}, 95 ± 20 %")


# --- The lower boundary: what is cut for good ---------------------------------------------------

_FOR_GOOD: dict[str, Any] = {
    "descent": "dense",
    "regrow": False,
    "monotone": False,
    "first_prune": 1,
    "prune_every": 10,
}
_FOR_GOOD |= {"sigma_0": 1e-6, "n": 200, "batch_size": None}
PROTOCOLS: dict[str, dict[str, Any]] = {
    "after step 1": {},
    "after step 1, σ₀ = 0.01": {"sigma_0": 0.01},
    "monotone masks, every 10": {"regrow": True, "monotone": True},
    "after step 1, n = 50": {"n": 50},
}
_MORE: dict[str, dict[str, Any]] = {
    "after step 5": {"first_prune": 5},
    "after step 20": {"first_prune": 20},
    "after step 1, n = 20": {"n": 20},
    "after step 2": {"first_prune": 2},
    "after step 3": {"first_prune": 3},
    "after step 10": {"first_prune": 10},
    "after step 1, σ₀ = 1e-4": {"sigma_0": 1e-4},
    "after step 20, σ₀ = 0.01": {"first_prune": 20, "sigma_0": 0.01},
    "monotone masks, every step": {"regrow": True, "monotone": True, "prune_every": 1},
    "after step 1, n = 10": {"n": 10},
    "after step 1, n = 6": {"n": 6},
    "after step 1, batches of 6": {"batch_size": 6},
}
_SELECTED = {"n": [200, 50, 200, 200], "num_classes": [10, 10, 4, 20]}

# Theorem 4.4 supposes SNR ≤ 1/n, and its K has room there with few samples of two classes. Pruned by the fitted
# protocol; the initial weights and the step size are as small as Condition 4.1 and Appendix F ask.
_REGIMES: dict[str, list[Any]] = {"n": [20, 90, 90, 90], "num_classes": [2] * 4, "sigma_p": [0.6, 2.5, 2.65, 2.8]}
# Looked at by no run before the claims were fixed: other n and 𝒯, where μ√(2n(𝒯−1))/(𝒯σ_p) is 2.5 again.
_MORE_REGIMES: dict[str, list[Any]] = {"n": [40, 60, 60], "num_classes": [2, 2, 4], "sigma_p": [1.8, 2.2, 1.9]}
_ALL_REGIMES = {name: values + _MORE_REGIMES[name] for name, values in _REGIMES.items()}
_WIDE: dict[str, Any] = {"d": 1300, "m": 20, "sigma_0": 1e-9, "n_test": 2000}
_FRESH = 100  # smaller ones served to find the settings, these and others of n = 50 to 100 and d = 500 to 2000


def _low_snr(settings: dict[str, list[Any]], seeds: int, steps: int) -> Sweep:
    size = _WIDE["m"] * _WIDE["d"]
    rates = [0.3 * n / (size * s**2) for n, s in zip(settings["n"], settings["sigma_p"], strict=True)]
    return Sweep(
        "topk_pruning",
        regime=settings | {"learning_rate": rates},
        K=[1, 2, 8, 16, 40, 200, 1300],
        seed=range(_FRESH, _FRESH + seeds),
        steps=steps,
        **_WIDE,
    )


def _lower(protocols: list[dict[str, Any]], sigma_p: list[float], K: list[int], seeds: int, steps: int) -> Preset:
    columns = table([_FOR_GOOD | protocol for protocol in protocols])
    # Whether a filter keeps its signal is decided after one step: nothing more is trained.
    selection = {name: value for name, value in _FOR_GOOD.items() if name not in ("n", "batch_size")}
    every_k = np.unique(np.geomspace(1, 190, 20).round().astype(int))
    return {
        "loss": Sweep("topk_pruning", protocol=columns, sigma_p=sigma_p, K=K, seed=range(seeds), steps=steps),
        "selection": Sweep(
            "topk_pruning",
            size=_SELECTED,
            sigma_p=[2.0, 3.0, 4.0, 6.0],
            K=every_k,
            seed=range(2 * seeds),
            steps=2,
            n_test=100,
            **selection,
        ),
    }


_QUICK = _lower([*PROTOCOLS.values()], [1.0, 2.0, 4.0], [1, 3, 10, 30, 100, 200], 3, 300)
_PAPER = _lower(
    [*PROTOCOLS.values(), *_MORE.values()],
    [0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 6.0],
    [1, 2, 3, 5, 8, 12, 20, 30, 50, 80, 120, 160, 200],
    3,
    1500,
)
LOWER_PRESETS = {
    "quick": {**_QUICK, "low_snr": _low_snr(_REGIMES, 12, 3000)},
    "medium": {**_QUICK, "low_snr": _low_snr(_MORE_REGIMES, 24, 6000)},
    "paper": {**_PAPER, "low_snr": _low_snr(_ALL_REGIMES, 24, 6000)},
}


def draw_lower(datasets: dict[str, xr.Dataset]) -> dict[str, Any]:
    loss = datasets["loss"].test_loss
    names = _protocol_names(loss)
    columns = 4 if len(names) > 4 else 2
    fig, axes = plotting.panels(-(-len(names) // columns), columns, sharex=True, sharey=True)
    colors = plotting.shades(loss.sizes["sigma_p"])
    for ax, (i, name) in zip(axes.flat, enumerate(names), strict=False):
        of_protocol = loss.isel(protocol=i).mean("seed", keep_attrs=True)
        plotting.curves(of_protocol, x="K", hue="sigma_p", colors=colors, legend=False, ax=ax, marker="o")
        plotting.reference(ax, y=THRESHOLD, ls=":")
        ax.set(xscale="log", yscale="log", title=name)
        ax.label_outer()
    plotting.ticks(ax, x=[1, 5, 20, 100], y=[0.2, 0.5, 1, 2, 5])
    for ax in axes.flat[len(names) :]:
        ax.set_axis_off()
    steps, seeds = setting(datasets["loss"], "steps"), loss.sizes["seed"]
    fig.suptitle(f"cut for good; {steps} steps, mean of {seeds} seeds")
    plotting.legend(fig)
    return {
        "topk-lower-boundary": fig,
        "topk-selection": _draw_selection(datasets["selection"]),
        "topk-low-snr": _draw_low_snr(datasets["low_snr"]),
    }


def _draw_selection(ds: xr.Dataset) -> Any:
    edge, expected = selected(ds), _expected(ds)
    fig, [[ax]] = plotting.panels(1, 1, ratio=0.6)
    sizes = zip(ds.n.values.tolist(), ds.num_classes.values.tolist(), strict=True)
    for i, ((n, classes), color) in enumerate(zip(sizes, plotting.COLORS, strict=False)):
        of_size = edge.isel(size=i)
        label = rf"$n={n}$, $\mathcal{{T}}={classes}$"
        plotting.points(of_size, x="sigma_p", ax=ax, color=color, label=label)
        plotting.reference(ax, x=ds.sigma_p, y=expected.isel(size=i), color=color, ls="-")
    plotting.reference(
        ax, x=ds.sigma_p, y=theory.topk_lower_boundary(ds.sigma_p), label=r"$120\,e^{-1/(2\sigma_p^2)}$", ls="--"
    )
    ax.set(yscale="log", ylim=(0.5, 300), ylabel=r"$K$ at which half of the active filters keep their signal")
    ax.set_title(r"lines: $2(d-\mathcal{T})\,\Phi(-\mu\sqrt{2n(\mathcal{T}-1)}/(\mathcal{T}\sigma_p))$")
    ax.legend()
    return fig


def _draw_low_snr(ds: xr.Dataset) -> Any:
    rows = -(-ds.sizes["regime"] // 2)
    fig, axes = plotting.panels(rows, 2, ratio=0.7, sharex=True)
    ends = _ends(ds)
    for ax, i in zip(axes.flat, range(ds.sizes["regime"]), strict=False):
        of_one = ds.isel(regime=i)
        plotting.curves(of_one.test_loss, x="K", ax=ax, marker="o")
        plotting.reference(ax, y=float(np.log(of_one.num_classes)), ls=":", label=r"guessing, $\ln\mathcal{T}$")
        for (name, end), style, color in zip(ends.items(), ("-", "--", "-."), (1, 4, 2), strict=True):
            plotting.reference(ax, x=float(end[i]), ls=style, color=plotting.COLORS[color], label=name)
        ax.set(xscale="log", xlim=(0.8, 1.25 * setting(ds, "d")), title=_of_regime(of_one))
        if i % 2:
            ax.set_ylabel("")
        ax.tick_params(labelbottom=i >= ds.sizes["regime"] - 2)
        if i < ds.sizes["regime"] - 2:
            ax.set_xlabel("")
    plotting.ticks(ax, x=[1, 5, 20, 100, 400])
    for ax in axes.flat[ds.sizes["regime"] :]:
        ax.set_axis_off()
    fig.suptitle(f"SNR ≤ 1/n; {setting(ds, 'steps')} steps, {plotting.caption(ds.test_loss)}")
    plotting.legend(fig, columns=3)
    return fig


def _of_regime(ds: xr.Dataset) -> str:
    return rf"$n={int(ds.n)}$, $\mathcal{{T}}={int(ds.num_classes)}$, $\sigma_p={float(ds.sigma_p):g}$"


def _ends(ds: xr.Dataset) -> dict[str, xr.DataArray]:
    """Between which K pruning helps, at the constants of Figure 2; the lower end as printed, and corrected."""
    d, sigma_p, n, classes = setting(ds, "d"), ds.sigma_p, ds.n, ds.num_classes
    paper = {"sigma_p": 1.0, "n": 200, "num_classes": 10}
    constant = theory.topk_upper_boundary(1.0) / theory.topk_upper_scale(1.0, **paper)
    return {
        "upper end": constant * xr.apply_ufunc(theory.topk_upper_scale, 1.0, sigma_p, n, classes),
        "lower end, corrected": xr.apply_ufunc(theory.topk_selection_boundary, 1.0, sigma_p, n, classes, d),
        "lower end, printed": xr.apply_ufunc(theory.topk_lower_boundary, sigma_p, 120 / 200 * d),
    }


def _protocol_names(loss: xr.DataArray) -> list[str]:
    """A Dataset numbers its protocols; these are their names, in the presets' order."""
    return [*PROTOCOLS, *_MORE][: loss.sizes["protocol"]]


def selected(ds: xr.Dataset) -> xr.DataArray:
    """K at which half of the active filters keep their signal; a filter is active for half of the first weights."""
    return boundary.edge(ds.kept_signal, "K", 0.25, "upper", scale="linear", log_axes=("K",))


def _expected(ds: xr.Dataset) -> xr.DataArray:
    return xr.apply_ufunc(
        theory.topk_selection_boundary, setting(ds, "mu"), ds.sigma_p, ds.n, ds.num_classes, setting(ds, "d")
    ).transpose("size", "sigma_p")


def check_lower(datasets: dict[str, xr.Dataset]) -> list[Claim]:
    """Does the test loss fall from above 2 to below it as K grows, and does the selection follow its law?"""
    loss, claims = datasets["loss"].test_loss, []
    for i, name in enumerate(_protocol_names(loss)):
        of_protocol = loss.isel(protocol=i)
        rule = above(fall(of_protocol), 0.0, FALL, "some")
        least = of_protocol.mean("seed")
        best = least.K[least.argmin("K")].values
        note = "best K " + ", ".join(f"{k} at σ_p = {s:g}" for k, s in zip(best, loss.sigma_p.values, strict=True))
        text = "a lower boundary L_D = 2 exists where the mask is irreversible"
        claims.append(Claim.of(text, f"{cite('000', 'Theorem 4.4 and Appendix I')}, cut {name}", rule, note))
    return claims + _selection_claims(datasets["selection"]) + _low_snr_claims(datasets["low_snr"])


GAIN = "the smaller of ln 𝒯 and the dense network's L_D, minus L_D"
FALL = "log of the smaller of L_D/2 at the smallest K and 2/L_D at another, by σ_p and K"


def fall(loss: xr.DataArray, level: float = THRESHOLD) -> xr.DataArray:
    """How far the loss falls through a level from the smallest K to each other K.

    Cells stay cells: the largest fall of each seed would be above 0 for a loss that hovers about the level.
    """
    first, others = loss.isel(K=0, drop=True), loss.isel(K=slice(1, None))
    return xr.apply_ufunc(np.log, xr.apply_ufunc(np.minimum, first / level, level / others))


def _low_snr_claims(ds: xr.Dataset) -> list[Claim]:
    """Theorem 4.4 where it speaks, SNR ≤ 1/n; "good" is below ln 𝒯, which guessing has, and below the dense network."""
    d, source = setting(ds, "d"), f"{cite('000', 'Theorem 4.4')}, fitted"
    dense, pruned = ds.test_loss.sel(K=d, drop=True), ds.test_loss.where(d > ds.K, drop=True)
    gain = xr.apply_ufunc(np.minimum, np.log(ds.num_classes), dense) - pruned
    n_snr = ds.n * xr.apply_ufunc(theory.snr, 1.0, ds.sigma_p, d)
    excess = dense - xr.apply_ufunc(theory.memorization_test_loss, ds.num_classes)
    claims = [
        Claim.of("the settings are of the theorem's regime, SNR ≤ 1/n", source, exact(n_snr, "≤", 1.0, "n·SNR")),
        Claim.of(
            "without pruning the test loss is of constant order, ½ log(1 + (𝒯−1)/e) or more",
            cite("000", "Theorem 4.3"),
            above(excess, 0.0, "L_D at K = d, minus that bound"),
        ),
    ]
    for i in range(ds.sizes["regime"]):
        claims += _claims_of_regime(ds.isel(regime=i), gain.isel(regime=i), source)
    ends = _ends(ds)
    low, high = ends["lower end, printed"], ends["upper end"]
    text = "there is a K between the ends of the theorem (constants of Figure 2)"
    claims.append(Claim.of(text, source, exact(high / low, "≥", 1.0, "upper over lower end, by setting")))
    inside = ((low <= pruned.K) & (high >= pruned.K)).transpose("regime", "K")
    cells = gain.stack(cell=("regime", "K")).isel(cell=np.flatnonzero(inside))
    text = "with every K between them pruning generalises, where there is one"
    return [*claims, Claim.of(text, source, above(cells, 0.0, f"{GAIN}, by setting and K"))]


def _claims_of_regime(ds: xr.Dataset, gain: xr.DataArray, source: str) -> list[Claim]:
    mean = ds[["test_loss", "train_loss"]].mean("seed")
    best = mean.isel(K=int(mean.test_loss.argmin("K")))
    first, last = mean.test_loss.values[[0, -1]].tolist()
    note = f"L_D {first:.3g} at K = {int(ds.K[0])}, {last:.3g} without pruning, {float(best.test_loss):.3g} at the best"
    note += f" K, {int(best.K)}, where L_S is {float(best.train_loss):.2g}"
    source += f", n = {int(ds.n)}, 𝒯 = {int(ds.num_classes)}, σ_p = {float(ds.sigma_p):g}"
    ends, between = ds.test_loss.isel(K=[0, -1]).min("K"), ds.test_loss.isel(K=slice(1, -1))
    worse = xr.apply_ufunc(np.log, ends / between)
    falls = fall(ds.test_loss, float(np.log(ds.num_classes)))
    what = "log of the smaller of L_D/ln 𝒯 at the smallest K and ln 𝒯/L_D at another"
    rules = {
        "with some K < d pruning generalises": above(gain, 0.0, GAIN, "some"),
        "both a smaller and a larger K are worse than one between": above(
            worse, 0.0, "log of the smaller L_D of the two ends over L_D", "some"
        ),
        "too small a K loses the signal: L_D falls through ln 𝒯": above(falls, 0.0, what, "some"),
    }
    return [Claim.of(text, source, rule, note) for text, rule in rules.items()]


def _selection_claims(ds: xr.Dataset) -> list[Claim]:
    d, edge, expected = setting(ds, "d"), selected(ds), _expected(ds)
    told = (expected >= 3) & (expected <= 0.35 * d)  # more than a filter or two, and far from all
    source = cite("000", "Theorem 4.4 and Appendix I")
    claims = []
    printed = xr.DataArray(theory.topk_lower_boundary(ds.sigma_p), dims="sigma_p")
    for text, place, law in (
        ("K_low = 2(d − 𝒯)Φ(−μ√(2n(𝒯−1))/(𝒯σ_p))", "corrected (ours)", expected),
        ("K_low = 120·exp(−1/(2σ_p²))", "printed", printed),
    ):
        apart = xr.apply_ufunc(np.log, edge / law).where(told)
        ratio = xr.apply_ufunc(np.exp, apart.mean(("size", "sigma_p")))
        rule = within(ratio, 0.75, 1 / 0.75, "measured over predicted K, geometric mean over settings")
        text = f"half of the active filters keep their signal from {text} on"
        claims.append(Claim.of(text, f"{source}, {place}", rule, f"{int(told.sum())} settings"))
    # Φ⁻¹ of the boundary is a product of powers, whose exponents the law says: 1/2, 1 and −1.
    z = (-xr.apply_ufunc(ndtri, edge / (2 * (d - ds.num_classes)))).where(told)
    z = z.where(z > 0).assign_coords(classes=np.sqrt(ds.num_classes - 1) / ds.num_classes)
    powers = boundary.scaling(z, ["n", "classes", "sigma_p"])
    for name, shown, exponent in (("n", "n", 0.5), ("classes", "√(𝒯−1)/𝒯", 1.0), ("sigma_p", "σ_p", -1.0)):
        found, what = powers.constants[name], f"exponent of {shown} in −Φ⁻¹(K/(2(d−𝒯)))"
        rule = within(found, exponent - 0.1, exponent + 0.1, what)
        text = f"the boundary of the selection depends on {shown} to the power {exponent:g}"
        claims.append(Claim.of(text, f"{source}, corrected (ours)", rule, _crossings(powers)))
    return claims


FIGURES = {
    "topk-boundary": Figure(BOUNDARY_PRESETS, draw_boundary, check_boundary),
    "topk-lower-boundary": Figure(LOWER_PRESETS, draw_lower, check_lower),
}
