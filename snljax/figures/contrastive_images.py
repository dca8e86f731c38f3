"""Figure and claims of paper 004 on images: what pruning does to contrastive learning on long-tailed sets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from snljax import plotting
from snljax.figures import Figure, Sweep
from snljax.figures.claims import Claim, above, below
from snljax.figures.datasets import Datasets, alive
from snljax.figures.image_sets import NAMES, cited, said, smaller

WAYS = {
    "none": "no pruning",
    "neurons": "smallest neurons",
    "random": "as many at random",
    "equation": "smallest neurons (eq. 5)",
    "weights": "weights, second view (SDCLR)",
}
# ρ -> accuracy without and with pruning, Δ20 without and with, in percent; and their ± where the paper has them.
PRINTED: Mapping[str, Mapping[float, tuple[tuple[float, ...], tuple[float, ...]]]] = {
    "cifar10": {
        1: ((90.93, 91.52, 1.54, 1.28), (0.0, 0.0, 0.0, 0.0)),
        10: ((79.25, 84.92, 3.42, 2.99), (1.03, 0.67, 1.02, 0.92)),
        50: ((75.58, 83.60, 3.92, 3.35), (0.84, 1.02, 1.21, 0.76)),
        100: ((74.24, 81.31, 5.69, 5.62), (0.82, 0.94, 1.35, 0.99)),
    },
    "cifar100": {
        10: ((51.21, 56.33, 2.45, 1.37), (1.21, 1.51, 0.57, 0.46)),
        50: ((49.32, 56.12, 4.95, 2.57), (0.45, 0.32, 1.02, 0.92)),
        100: ((47.12, 54.93, 7.11, 4.38), (0.51, 0.50, 0.45, 0.22)),
    },
}
PLACE = "Section 4, Table 2"
WITHIN = "of the linear probe, within a seed"


def _ways(name: str, epoch: int, steps: int, **fields: Any) -> dict[str, Any]:
    """The same networks under each way of pruning: masks of a fifth of the neurons, or of nine in ten weights.

    The paper names neither its share nor its schedule; SDCLR masks 90 % of the weights, anew in each epoch. Gradients
    are those of the masked network, as Section 2 of the paper says it, or those of its eq. 5.
    """
    common = Sweep(
        "contrastive_images", network="resnet18", steps=steps, record_every=steps, **fields, prune_every=epoch
    )
    neurons = {"pruning": "neurons", "prune_fraction": 0.2}
    sweeps = {
        "none": common,
        "neurons": common.but(**neurons),
        "random": common.but(**neurons, prune_by="random"),
        "equation": common.but(**neurons, mask_gradient="logits"),
        "weights": common.but(pruning="weights", prune_views="second", prune_fraction=0.9, prune_scope="network"),
    }
    return {f"{name}-{way}": sweep for way, sweep in sweeps.items()}


_SMALL = smaller("cifar10", {"n_train": 2000, "n_test": 1000, "side": 16}, {"side": 16})
_QUICK: dict[str, Any] = {"width": 0.125, "batch_size": 64, "learning_rate": 0.05, "probe_samples": 1000}
_PART = smaller("cifar10", {"n_train": 20_000, "n_test": 5000, "side": 16}, {"side": 16})
_FULL: dict[str, Any] = {"batch_size": 512, "learning_rate": 0.5, "schedule": "cosine", "probe_samples": 50_000}
PRESETS = {
    "quick": _ways("cifar10", 8, 24, **_QUICK, **_SMALL, imbalance_ratio=[1.0, 100.0], seed=range(3)),
    "medium": _ways(
        "cifar10",
        100,
        400,
        width=0.125,
        batch_size=128,
        learning_rate=0.1,
        schedule="cosine",
        schedule_steps=400,
        probe_samples=10_000,
        **_PART,
        imbalance_ratio=[1.0, 10.0, 50.0, 100.0],
        seed=range(3),
    ),
    "paper": {
        **_ways(
            "cifar10",
            24,
            50_000,
            **_FULL,
            dataset="cifar10",
            schedule_steps=50_000,
            imbalance_ratio=[1.0, 10.0, 50.0, 100.0],
            seed=range(3),
        ),
        **_ways(
            "cifar100",
            24,
            50_000,
            **_FULL,
            dataset="cifar100",
            schedule_steps=50_000,
            imbalance_ratio=[10.0, 50.0, 100.0],
            seed=range(3),
        ),
    },
}


def _joined(name: str, datasets: Datasets) -> xr.Dataset:
    """All ways of pruning on one set, at the end."""
    found = [alive(datasets[f"{name}-{way}"]).isel(step=-1) for way in WAYS]
    names = ["test_accuracy", "head_tail_gap"]
    return xr.concat([ds[names] for ds in found], xr.DataArray(list(WAYS), dims="way", name="way"), coords="minimal")


def _sets(datasets: Datasets) -> list[str]:
    return list(dict.fromkeys(label.split("-")[0] for label in datasets))


def printed(name: str) -> xr.Dataset:
    """What the paper's table says, as shares: ``test_accuracy`` and ``head_tail_gap`` over way and ρ.

    Args:
        name: ``"cifar10"`` or ``"cifar100"``.

    Returns:
        Dataset of the values and of ``*_spread``, their ±.

    Example:
        >>> float(printed("cifar10").test_accuracy.sel(way="neurons", imbalance_ratio=100))
        0.8131
    """
    rows = np.array([list(row) for row in PRINTED[name].values()]) / 100  # (ρ, value or ±, four)
    coords = {"imbalance_ratio": [float(rho) for rho in PRINTED[name]], "way": ["none", "neurons"]}
    parts = {"test_accuracy": slice(0, 2), "head_tail_gap": slice(2, 4)}
    dims = ("imbalance_ratio", "way")
    values = {key: (dims, rows[:, 0, at].round(6)) for key, at in parts.items()}
    return xr.Dataset(values | {f"{key}_spread": (dims, rows[:, 1, at]) for key, at in parts.items()}, coords)


def draw(datasets: Datasets) -> dict[str, Any]:
    sets = _sets(datasets)
    fig, axes = plotting.panels(2 * len(sets), 2)
    for (top, bottom), name in zip(axes.reshape(len(sets), 2, 2), sets, strict=True):
        ours, theirs = _joined(name, datasets), printed(name)
        for column, (metric, label) in enumerate(
            (("test_accuracy", "accuracy of the linear probe"), ("head_tail_gap", r"$\Delta_{20}$"))
        ):
            shown = ours[metric].assign_coords(way=list(WAYS.values())).assign_attrs(long_name=label)
            shown.imbalance_ratio.attrs["long_name"] = r"imbalance ratio $\rho$"
            plotting.curves(shown, x="imbalance_ratio", hue="way", ax=top[column], marker="o")
            for way, color in (("none", "C0"), ("neurons", "C1")):
                values, spread = theirs[metric].sel(way=way), theirs[f"{metric}_spread"].sel(way=way)
                bottom[column].errorbar(
                    theirs.imbalance_ratio, values, spread, color=color, marker="o", capsize=2, label=WAYS[way]
                )
            bottom[column].set(xlabel=r"imbalance ratio $\rho$", ylabel=label)
            for ax, title in ((top[column], "ours"), (bottom[column], "as printed")):
                ax.set_xscale("log")
                ax.set_title(f"{NAMES.get(name, name)}-LT, {title}")
                plotting.ticks(ax, x=(ours if ax is top[column] else theirs).imbalance_ratio.values)
    plotting.legend(fig)
    first = datasets[f"{sets[0]}-none"]
    fig.suptitle(f"{said(first, sets[0])}\n{plotting.caption(first)}")
    return {"contrastive-longtail-table": fig}


def check(datasets: Datasets) -> list[Claim]:
    return [claim for name in _sets(datasets) for claim in _check_set(name, datasets)]


def _check_set(name: str, datasets: Datasets) -> list[Claim]:
    plain, found = datasets[f"{name}-none"], _joined(name, datasets)
    start, end = (float(plain.test_accuracy.isel(step=at).mean()) for at in (0, -1))
    blind = "" if end > start else f"the features of untrained networks are read as well, {start:.3g} against {end:.3g}"
    source = cited("004", f"{PLACE}, {NAMES.get(name, name)}-LT", plain, name)
    printed_gain = printed(name).test_accuracy.sel(imbalance_ratio=found.imbalance_ratio.values)
    printed_gain = printed_gain.sel(way="neurons") - printed_gain.sel(way="none")
    claims = []
    for way, reading in (("neurons", ""), ("equation", " (eq. 5)")):
        own = (found.test_accuracy.sel(way=way) - found.test_accuracy.sel(way="none")).mean("seed")
        pairs = zip(own.imbalance_ratio.values, own.values, printed_gain.values, strict=True)
        note = ", ".join(f"{ours:+.4f} at ρ = {rho:g} (printed {paper:+.4f})" for rho, ours, paper in pairs)
        for text, rule in _of_pruning(found, way).items():
            at = note if "improves accuracy at every" in text else ""
            claims.append(Claim.of(f"{text}{reading}", source, rule.untestable(blind), at))
    return [*claims, *(Claim.of(text, source, r.untestable(blind), "") for text, r in _of_controls(found).items())]


def _at_ends(values: xr.DataArray) -> tuple[xr.DataArray, str]:
    """What the largest imbalance adds to the smallest, and how that is called."""
    first, last = values.imbalance_ratio.values[[0, -1]].tolist()
    return values.sel(imbalance_ratio=last) - values.sel(imbalance_ratio=first), f"ρ = {last:g} minus ρ = {first:g}"


def _of_pruning(found: xr.Dataset, way: str) -> dict[str, Any]:
    """The paper's sentences about a way of pruning neurons, and their rules."""
    gain, closed = (found[m].sel(way=way) - found[m].sel(way="none") for m in ("test_accuracy", "head_tail_gap"))
    steeper, span = _at_ends(gain)
    return {
        "pruning improves accuracy at every imbalance": above(
            gain, 0.0, f"accuracy with pruning minus without, {WITHIN}"
        ),
        "the improvement is larger for larger imbalance": above(
            steeper, 0.0, f"accuracy with pruning minus without, {span}, {WITHIN}"
        ),
        "pruning reduces the gap between head and tail classes": below(
            closed.mean("imbalance_ratio", skipna=False),
            0.0,
            f"Δ20 with pruning minus without, mean over ρ, {WITHIN}",
        ),
    }


def _of_controls(found: xr.Dataset) -> dict[str, Any]:
    """Ours: other masks, and what imbalance does without any."""
    accuracy, gap = found.test_accuracy, found.head_tail_gap
    lost, span = _at_ends(accuracy.sel(way="none"))
    opened, _ = _at_ends(gap.sel(way="none"))
    return {
        "it is the smallest neurons that help, and not any (ours)": above(
            (accuracy.sel(way="neurons") - accuracy.sel(way="random")).mean("imbalance_ratio", skipna=False),
            0.0,
            f"accuracy with the smallest masked minus with as many at random, mean over ρ, {WITHIN}",
        ),
        "pruning of weights on one view improves accuracy (SDCLR; ours)": above(
            (accuracy.sel(way="weights") - accuracy.sel(way="none")).mean("imbalance_ratio", skipna=False),
            0.0,
            f"accuracy with pruning minus without, mean over ρ, {WITHIN}",
        ),
        "imbalance costs accuracy without pruning": below(lost, 0.0, f"accuracy, {span}, {WITHIN}"),
        "imbalance opens a gap between head and tail classes without pruning": above(
            opened, 0.0, f"Δ20, {span}, {WITHIN}"
        ),
    }


FIGURES = {"contrastive-longtail-table": Figure(PRESETS, draw, check)}
