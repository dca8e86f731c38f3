"""Figures and claims of paper 004: what pruning does, in the regime of Theorem 3.2 and from random weights (ours)."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from snljax import plotting, theory
from snljax.figures import Figure, Sweep
from snljax.figures.claims import Claim, Finding, above, below, every, within
from snljax.figures.contrastive import FEW, loss_floor, projections, slug
from snljax.figures.datasets import Datasets, of_each, setting
from snljax.figures.presets import table
from snljax.papers import cite
from snljax.stats import t_interval

# --- in the regime of Theorem 3.2 --------------------------------------------------------------------

PROTOCOLS: dict[str, dict[str, Any]] = {  # of pruning from T₄ on, α = 3/m; the paper's is "magnitude"
    "none": {"prune_fraction": 0.0},
    "magnitude": {},
    "literal gradient": {"mask_gradient": "literal"},
    "oracle": {"mask": "oracle"},
    "random": {"mask": "random"},
}
EARLY = 500  # steps after T₄ in which the lucky neurons are still the smallest


def _regime(seeds: range, epsilons: list[float], d: int, m: int, start: int, steps: int, **fields: Any) -> Sweep:
    """Networks that Theorem 3.1 left with specialised neurons, pruned from ``start`` on."""
    base: dict[str, Any] = {"prune_fraction": 3 / m, "mask": "magnitude", "mask_gradient": "logits"}
    columns = table([base | protocol for protocol in PROTOCOLS.values()])
    sizes: dict[str, Any] = {"d": d, "m": m, "first_prune": start, "steps": steps, "record_every": EARLY}
    specialised: dict[str, Any] = {"initial": "specialised", "sigma_0": 0.002, "bias_start": 0}
    return Sweep(
        "contrastive", protocol=columns, epsilon_min=epsilons, seed=seeds, **sizes, **specialised, **FEW, **fields
    )


_CHOSEN: dict[str, Any] = {"d": 32, "m": 96, "d1": 128, "batch": 8, "active": 0.06, "sigma_p": 0.03}
_CHOSEN |= {"weight_decay": 0.01, "learning_rate": 0.05, "bias": 0.1}
_OTHER: dict[str, Any] = {"d": 24, "m": 96, "d1": 200, "batch": 12, "active": 0.05, "sigma_p": 0.05, "tokens": 3}
_OTHER |= {"weight_decay": 0.012, "learning_rate": 0.04, "bias": 0.15}
PRUNING_PRESETS = {
    "quick": {"regime": _regime(range(20, 30), [0.2, 0.3, 0.5], start=2500, steps=5000, **_CHOSEN)},
    "medium": {
        "regime": _regime(range(20, 30), [0.2, 0.3, 0.5], start=3000, steps=6000, **_CHOSEN),
        "other sizes": _regime(range(20, 30), [0.25, 0.4], start=3000, steps=6000, **_OTHER),
    },
    "paper": {
        "regime": _regime(range(20, 50), [0.1, 0.2, 0.3, 0.4, 0.5, 0.7], start=6000, steps=12000, **_CHOSEN),
        "other sizes": _regime(range(20, 50), [0.15, 0.25, 0.4, 0.6], start=6000, steps=12000, **_OTHER),
    },
}


def _own_weights(ds: xr.Dataset) -> xr.DataArray:
    """|⟨w_i, M_j⟩| of each neuron with the feature j = i mod d that it began with."""
    neuron = xr.DataArray(np.arange(ds.sizes["neuron"]), dims="neuron")
    return projections(ds).isel(neuron=neuron, feature=neuron % ds.sizes["feature"])


def _mean_weights(ds: xr.Dataset) -> tuple[xr.DataArray, xr.DataArray]:
    """Of the minority's neurons, and of the others, each in its own feature."""
    weights, lucky = _own_weights(ds), _lucky(ds)
    return weights.isel(neuron=lucky).mean("neuron"), weights.isel(neuron=~lucky).mean("neuron")


def _lucky(ds: xr.Dataset) -> np.ndarray:
    """Which neurons are those of the minority feature, 𝓜*_j*."""
    return np.arange(ds.sizes["neuron"]) % ds.sizes["feature"] == ds.sizes["feature"] - 1


class _Effect(NamedTuple):
    """What a protocol changes against no pruning, paired within a seed, over epsilon_min and seed.

    minority, others: growth per step of ⟨w, M_j⟩ within `EARLY` steps of T₄, of the lucky neurons and of the others.
    with_feature, without: 1 − ℓ'_p at the end of these steps, by type of pair. ratio: weight of the minority at the end
    over the majority's, with pruning; gain: minus that without.
    """

    minority: xr.DataArray
    others: xr.DataArray
    with_feature: xr.DataArray
    without: xr.DataArray
    ratio: xr.DataArray
    gain: xr.DataArray


def _effect(ds: xr.Dataset, protocol: str) -> _Effect:
    names, start = list(PROTOCOLS), setting(ds, "first_prune")
    rare, common = _mean_weights(ds)

    def change(values: xr.DataArray) -> xr.DataArray:
        return values.isel(protocol=names.index(protocol)) - values.isel(protocol=names.index("none"))

    def growth(values: xr.DataArray) -> xr.DataArray:
        return change(xr.apply_ufunc(np.log, values.sel(step=start + EARLY) / values.sel(step=start)) / EARLY)

    soon, ratio = ds.sel(step=start + EARLY), (rare / common).isel(step=-1)
    return _Effect(
        growth(rare),
        growth(common),
        change(soon.gap_minority),
        change(soon.gap_others),
        ratio.isel(protocol=names.index(protocol)),
        change(ratio),
    )


def draw_pruning(datasets: Datasets) -> dict[str, Any]:
    return {f"contrastive-pruning-{slug(label)}": _pruning_page(ds, label) for label, ds in datasets.items()}


def _pruning_page(ds: xr.Dataset, label: str) -> Any:
    """Over training, at one ε_min, and at the end, over ε_min."""
    shown = float(ds.epsilon_min[ds.sizes["epsilon_min"] // 2])
    one = ds.sel(epsilon_min=shown)
    rare, common = _mean_weights(ds)
    ratio = rare / common
    fig, axes = plotting.panels(2, 2, ratio=0.75)
    (over_time, gaps), (at_end, loss) = axes
    for i, name in enumerate(PROTOCOLS):
        look: dict[str, Any] = {"color": plotting.COLORS[i], "ls": ("-", "-", ":", "--", "-.")[i]}
        at = {"protocol": i}
        plotting.curves(ratio.sel(epsilon_min=shown).isel(at), x="step", ax=over_time, label=name, **look)
        plotting.curves(ratio.isel({**at, "step": -1}), x="epsilon_min", ax=at_end, marker="o", **look)
        if name in ("none", "magnitude", "oracle"):
            plotting.curves(one.gap_minority.isel(at), x="step", ax=gaps, **look)
            plotting.curves(one.train_loss.isel(at), x="step", ax=loss, **look)
    plotting.curves(
        one.gap_others.isel(protocol=0), x="step", ax=gaps, color=plotting.COLORS[6], label="pairs without the feature"
    )
    plotting.reference(loss, y=loss_floor(ds, shown), color="0.4", label="collision floor")
    for ax in (over_time, gaps, loss):
        plotting.reference(ax, x=setting(ds, "first_prune"), color="0.75", ls="-", label="$T_4$: pruning begins")
        ax.set_xlabel("step")
    for ax in (over_time, at_end):
        ax.set_ylim(0, 2)
        ax.set_ylabel("weight, minority / majority")
    over_time.set_title(rf"$\epsilon_{{\min}}$ = {shown:g}")
    gaps.set(ylabel=r"mean $1 - \ell'_p$", title=rf"pairs with the minority feature, $\epsilon_{{\min}}$ = {shown:g}")
    loss.set(ylabel="training loss [nats]", title=rf"$\epsilon_{{\min}}$ = {shown:g}")
    at_end.set(xlabel=plotting.label_of(ds.epsilon_min), title=f"after {int(ds.step[-1])} steps")
    plotting.legend(fig)
    fig.suptitle(f"{label}: {plotting.caption(ds)}")
    return fig


@of_each
def check_pruning(ds: xr.Dataset, label: str) -> list[Claim]:
    """Theorem 3.2, sentence by sentence, in every ε_min, paired within a seed."""
    eq5, literal, oracle, random = (_effect(ds, name) for name in ("magnitude", "literal gradient", "oracle", "random"))
    d, epsilon = ds.sizes["feature"], ds.epsilon_min
    soon = f"in the {EARLY} steps after T₄"
    rate = setting(ds, "learning_rate") * epsilon**2 * (3 / ds.sizes["neuron"]) * setting(ds, "active")
    later = int(ds.step[-1]) - setting(ds, "first_prune")
    long = epsilon.copy(data=theory.pruning_steps(3 / ds.sizes["neuron"], epsilon, setting(ds, "learning_rate"), d))
    impure = np.abs(ds.cosines).isel(protocol=list(PROTOCOLS).index("magnitude"), step=-1, neuron=_lucky(ds))
    largest = impure.isel(feature=slice(None, -1)).max(("neuron", "feature"))

    def claim(text: str, place: str, rule: Finding, note: str = "") -> Claim:
        return Claim.of(f"{label}: {text}", cite("004", f"{place} (ours: the paper does not simulate it)"), rule, note)

    return [
        claim(
            "(a) lucky neurons of the minority grow faster with pruning",
            "Theorem 3.2 (a), eq. 15, eq. 5's gradient",
            above(eq5.minority, 0, f"growth per step {soon}, minus that without pruning"),
        ),
        claim(
            "(a) by Ω(η ε² α C log log d / d), constant 0.1",
            "Theorem 3.2 (a), eq. 15, eq. 5's gradient",
            above(
                eq5.minority / rate, 0.1, f"growth per step {soon}, minus that without pruning, over η ε² α P(s ≠ 0)"
            ),
            f"growth: {_each(eq5.minority, '.2g')}; eq. 174, constants 1: {_each(_added_by_masking(ds), '.1g')}",
        ),
        claim(
            "(a) also where a masked neuron gets no gradient",
            "Theorem 3.2 (a), literal gradient",
            above(literal.minority, 0, f"growth per step {soon}, minus that without pruning"),
        ),
        claim(
            "Lemma F.2: masking them raises 1 − ℓ'_p of pairs with the feature",
            "Lemma F.2, eq. 181",
            above(oracle.with_feature, 0, "1 − ℓ'_p under a mask of exactly these neurons, minus that without a mask"),
        ),
        claim(
            "pairs without the minority feature are not affected",
            "Appendix F.3",
            below(
                np.abs(oracle.without) - 0.1 * oracle.with_feature,
                0,
                "|change of 1 − ℓ'_p| of pairs without the feature, minus a tenth of the change with it",
            ),
        ),
        claim(
            "(b) other features grow by less, O(ε/d) of what the minority gains, constant 10",
            "Theorem 3.2 (b), eq. 16 over eq. 15, eq. 5's gradient",
            below(
                eq5.others - 10 * epsilon / d * eq5.minority,
                0,
                f"growth of other features by pruning, minus 10 ε/d times that of the minority, {soon}",
            ),
        ),
        claim(
            "(c) in the end the minority's weight does not depend on ε_min: it is the majority's",
            "Theorem 3.2 (c), eq. 18 against eq. 13, eq. 5's gradient",
            within(eq5.ratio, 0.9, 1.1, "weight of the minority over that of the majority"),
            f"without pruning {_each(eq5.ratio - eq5.gain)} at ε_min = {_each(epsilon)}; {later} steps after T₄, the "
            f"theorem has {_each(long, '.2g')} with constants 1",
        ),
        claim(
            "(c) its neurons hold nothing else: |α'| ≤ (1 + 1/d)/√d ‖w‖",
            "Theorem 3.2 (c), eq. 18, eq. 5's gradient",
            every(largest, "≤", (1 + 1 / d) / np.sqrt(d), "largest other |cos| of the minority's neurons"),
        ),
        claim(
            "which neurons are masked matters: a random mask of the same size does less",
            "Theorem 3.2, eq. 5's gradient",
            above(eq5.gain - random.gain, 0, "gain in the weight ratio over that of a random mask"),
            f"random mask: {t_interval(random.gain.mean('epsilon_min'))}",
        ),
    ]


def _added_by_masking(ds: xr.Dataset) -> xr.DataArray:
    """Of eq. 174: what masking adds to the growth of ⟨w, M_j*⟩ in a step, over ε_min."""
    eta, tau, m, d = (setting(ds, name) for name in ("learning_rate", "temperature", "m", "d"))
    epsilon = ds.epsilon_min
    masked, without = (
        theory.growth_under_pruning(alpha, epsilon, 1.0, eta, setting(ds, "weight_decay"), tau, m, d, epsilon)
        for alpha in (3 / m, 0.0)
    )
    return epsilon.copy(data=masked.minority - without.minority)


def _each(values: xr.DataArray, form: str = ".3g") -> str:
    """Means over seeds, one after the other."""
    means = values.mean("seed") if "seed" in values.dims else values
    return ", ".join(f"{float(v):{form}}" for v in means)


# --- from random weights -----------------------------------------------------------------------------

CONVERGED, SETTLED = 5000, 1500  # steps to T₄, and from there on
BRIDGE: dict[str, dict[str, Any]] = {  # how many neurons are masked, which, and from when on
    "none": {"neurons": 0},
    "1 neuron from T₄": {"neurons": 1},
    "3 neurons from T₄": {},
    "3 from step 0": {"first_prune": 0},
    "3 at random from T₄": {"mask": "random"},
    "3 of the minority's from T₄": {"mask": "oracle"},
}
WEAKER = 0.9  # weight ratio from which on a minority does not count as weaker


def _bridge(seeds: range, d: int = 32, m: int = 96, batch: int = 8, active: float = 0.06, **fields: Any) -> Sweep:
    """Networks from random weights, trained until their neurons have specialised, and pruned from then on."""
    base: dict[str, Any] = {"neurons": 3, "first_prune": CONVERGED, "mask": "magnitude"}
    rows = table([base | protocol for protocol in BRIDGE.values()])
    columns = {"prune_fraction": [neurons / m for neurons in rows.pop("neurons")], **rows}
    sizes: dict[str, Any] = {"d": d, "m": m, "d1": 128, "batch": batch, "active": active, "sigma_p": 0.03}
    times: dict[str, Any] = {
        "learning_rate": 0.1,
        "bias_start": 250,
        "record_every": CONVERGED,
        "steps": CONVERGED + SETTLED,
    }
    return Sweep("contrastive", protocol=columns, seed=seeds, **fields, **sizes, **times, **FEW)


_BIASES = [0.05, 0.1, 0.2, 0.3]
_FOUR: dict[str, Any] = {"bias": [0.1, 0.2], "weight_decay": [0.01], "epsilon_min": [0.3, 0.5]}
_MORE: dict[str, Any] = {"bias": _BIASES, "weight_decay": [0.01, 0.03], "epsilon_min": [0.3, 0.5]}
_OTHERS: dict[str, dict[str, Any]] = {
    "m = 6d": {"m": 192},
    "batch 4": {"batch": 4},
    "batch 16": {"batch": 16},
    "rarer features": {"active": 0.03},
    "d = 64": {"d": 64, "m": 192, "active": 0.04},
}
BRIDGE_PRESETS = {
    "quick": {"m = 3d": _bridge(range(6), **_FOUR)},
    "medium": {
        "m = 3d": _bridge(range(10), **_MORE),
        **{label: _bridge(range(10), **sizes, **_FOUR) for label, sizes in _OTHERS.items()},
    },
    "paper": {
        "m = 3d": _bridge(range(10), bias=_BIASES, weight_decay=[0.003, 0.01, 0.03], epsilon_min=[0.2, 0.3, 0.5, 0.7]),
        **{label: _bridge(range(10), **sizes, **_MORE) for label, sizes in _OTHERS.items()},
    },
}


def _at_t4(ds: xr.Dataset) -> xr.Dataset:
    """What the minority has before any pruning: of networks that are not pruned, over the swept settings and seed."""
    return ds.isel(protocol=0).sel(step=CONVERGED)


def _gain(ds: xr.Dataset, protocol: str) -> xr.DataArray:
    """What pruning changes of the weight ratio at the end, paired within a seed."""
    end = ds.weight_ratio.isel(step=-1)
    return end.isel(protocol=list(BRIDGE).index(protocol)) - end.isel(protocol=0)


def _mean_where(values: xr.DataArray, cells: xr.DataArray) -> xr.DataArray:
    """Mean over the swept settings where they are as asked, of each seed; NaN where none is."""
    settings = [d for d in values.dims if d != "seed"]
    return values.where(cells).mean(settings)


def draw_bridge(datasets: Datasets) -> dict[str, Any]:
    return {f"contrastive-bridge-{slug(label)}": _bridge_page(ds, label) for label, ds in datasets.items()}


def _bridge_page(ds: xr.Dataset, label: str) -> Any:
    before, shown = _at_t4(ds), ds.isel(weight_decay=0)
    fig, axes = plotting.panels(1, 3, ratio=1.0)
    have, weight, effect = axes[0]
    plotting.curves(_at_t4(shown).aligned_neurons, x="bias", hue="epsilon_min", ax=have, marker="o")
    plotting.curves(_at_t4(shown).weight_ratio, x="bias", hue="epsilon_min", ax=weight, marker="o", legend=False)
    for ax in (have, weight):
        ax.set_title(f"before pruning, λ = {float(shown.weight_decay):g}")
    have.set_ylabel("neurons of the minority feature")
    weight.set_ylabel("weight, minority / majority")
    plotting.reference(weight, y=1.0, color="0.75", ls="-")
    for i, name in reversed([*enumerate(BRIDGE)]):  # the controls behind
        if name != "none":
            gain = _gain(ds, name)
            effect.scatter(
                before.weight_ratio.transpose(*gain.dims), gain, s=8, color=plotting.COLORS[i], label=name, alpha=0.7
            )
    plotting.reference(effect, y=0.0, color="0.4", ls="-")
    effect.set_yscale("symlog", linthresh=0.1)
    effect.set(xlabel="weight ratio before pruning", ylabel="change of it by pruning", title="each network")
    plotting.legend(fig)
    fig.suptitle(f"{label}, from random weights: {plotting.caption(ds)}")
    return fig


@of_each
def check_bridge(ds: xr.Dataset, label: str) -> list[Claim]:
    """Does the theorem's effect appear where training itself has made the neurons?"""
    before = _at_t4(ds)
    neurons, ratio = before.aligned_neurons.mean("seed"), before.weight_ratio.mean("seed")
    cells = {
        "where the minority has a neuron and is weaker": (neurons >= 1) & (ratio < WEAKER),
        "where the minority has a neuron and is not weaker": (neurons >= 1) & (ratio >= WEAKER),
        "where the minority has no neuron": neurons < 1,
    }
    claims = []
    for place, these in cells.items():
        counted = f"{int(these.sum())} of {these.size} settings"
        note = f"{counted}: mean of at least one neuron, weight ratio below {WEAKER:g}, at T₄"
        for protocol in ("1 neuron from T₄", "3 neurons from T₄", "3 from step 0"):
            gain = _mean_where(_gain(ds, protocol), these)
            claims.append(
                Claim.of(
                    f"{label}: {place}, pruning raises its weight ({protocol})",
                    cite("004", "Theorem 3.2, from random weights (ours: the paper does not simulate it)"),
                    above(gain, 0, "weight ratio with pruning minus that without, mean over these settings"),
                    note,
                )
            )
    weaker = cells["where the minority has a neuron and is weaker"]
    pruned = ds.masked_minority.isel(protocol=list(BRIDGE).index("3 neurons from T₄"), step=-1)
    beyond = _gain(ds, "3 neurons from T₄") - _gain(ds, "3 at random from T₄")
    own = _gain(ds, "3 of the minority's from T₄")
    rules = {
        "the three smallest neurons are the minority's, as Theorem F.1 supposes": above(
            _mean_where(pruned / 3, weaker), 0.5, "share of the masked neurons that specialise in it, at the end"
        ),
        "a mask of its own neurons raises its weight": above(
            _mean_where(own, weaker), 0, "weight ratio with this mask minus that without, mean over these settings"
        ),
        "a random mask does less than the smallest": above(
            _mean_where(beyond, weaker), 0, "gain in the weight ratio over that of a random mask of the same size"
        ),
    }
    for text, rule in rules.items():
        place = cite("004", "Theorems 3.2 and F.1, from random weights (ours: the paper does not simulate it)")
        claims.append(Claim.of(f"{label}: where the minority has a neuron and is weaker, {text}", place, rule))
    return claims


FIGURES = {
    "contrastive-pruning": Figure(PRUNING_PRESETS, draw_pruning, check_pruning),
    "contrastive-bridge": Figure(BRIDGE_PRESETS, draw_bridge, check_bridge),
}
