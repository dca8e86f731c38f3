"""Planted answers for paper 003's own system: pegr-curves, pegr-heatmap and pegr-boundary."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import xarray as xr

from planted.building import dataset, sided, spread
from snljax import theory
from snljax.figures.datasets import Datasets

SUMMED: dict[str, Any] = {"filter_reduction": "sum", "penalty_half": False, "q": 2}
PRINTED: dict[str, Any] = {"filter_reduction": "mean", "penalty_half": True, "q": 2}
SIZES: dict[str, Any] = {"n": 20, "d": 400, "m": 10, "mu": 1.0, "learning_rate": 0.02}
SETTINGS = SIZES | {"close_at": 800, "steps": 1500, "penalty_weight": 0.01} | SUMMED
NOISE, WEIGHTS_STD = [0.1, 0.5, 1.0, 1.5], [0.01, 0.01, 0.01, 0.001]

# Inside Condition 3.1, as printed. One λ is the theorem's for noise levels that are close to each other alone.
INSIDE: dict[str, Any] = {"n": 20, "d": 1_000_000, "m": 10, "mu": 1.0, "learning_rate": 0.001, "steps": 1500} | PRINTED
CLOSE, SMALL = [0.1, 0.105, 0.11, 0.115], [1e-5] * 4


def as_the_theorem_says(settings: dict[str, Any], sigma_p: float, sigma_0: float) -> dict[str, Any]:
    """With the λ and the closing step that Theorem 3.2 has for a network with such conventions."""
    names = ("mu", "d", "n", "m", "learning_rate", "filter_reduction", "penalty_half", "q")
    found = theory.pegr_schedule(sigma_p=sigma_p, sigma_0=sigma_0, **{name: settings[name] for name in names})
    return settings | {"penalty_weight": float(found.penalty_weight), "close_at": round(float(found.closing_step))}


# --- pegr-curves -------------------------------------------------------------------------------------


def curves(
    seeds: int = 4,
    levels: tuple[list[float], list[float]] = (NOISE, WEIGHTS_STD),
    settings: dict[str, Any] = SETTINGS,
    **changes: Any,
) -> xr.Dataset:
    """What the paper says, as trajectories of two records, the start and the end; but for changes, (where, value)."""
    shape = (3, 4, seeds, 2)
    data = {name: np.zeros(shape) for name in ("train_loss", "signal", "noise", "test_accuracy")}
    data["train_loss"][..., 0] = 0.69
    data["train_loss"][..., 1] = 0.01
    data["signal"][..., 0], data["signal"][..., 1] = 0.01, 1.0
    data["noise"][..., 1] = 1.0
    data["noise"][0, 1:, :, 1] = 0.05
    data["test_accuracy"][..., 0] = 0.5
    data["test_accuracy"][..., 1] = 0.5
    data["test_accuracy"][0, :, :, 1] = 1.0
    data["test_accuracy"][:, 0, :, 1] = 1.0
    status = np.ones(shape[:3], np.int8)
    for name, (where, value) in changes.items():
        (status if name == "status" else data[name])[where] = value
    coords = {
        "penalty": ["pegr", "fgr", "none"],
        "sigma_p": ("level", levels[0]),
        "sigma_0": ("level", levels[1]),
        "seed": range(seeds),
        "step": [0, 1500],
    }
    ds = dataset(data, ("penalty", "level", "seed", "step"), coords, settings)
    return ds.assign(status=(("penalty", "level", "seed"), status))


def memorizing(accuracy: np.ndarray) -> xr.Dataset:
    """Standard training at three noise levels, accuracies (seeds)."""
    coords = {"sigma_p": ("level", NOISE[1:]), "sigma_0": ("level", WEIGHTS_STD[1:]), "seed": range(accuracy.size)}
    return dataset({"test_accuracy": np.tile(accuracy, (3, 1))}, ("level", "seed"), coords, SETTINGS | PRINTED)


def fgr(best: float, seeds: int = 4) -> xr.Dataset:
    """FGR guesses but at one λ, where its accuracy is the best, and a little more."""
    weights = np.array([0.1, 0.4, 1.6])
    accuracy = np.broadcast_to(np.where(weights == 0.4, best, 0.5)[:, None], (3, 3, seeds)) + 1e-4 * spread(seeds)
    coords = {
        "penalty_weight": weights,
        "sigma_p": ("level", NOISE[1:]),
        "sigma_0": ("level", WEIGHTS_STD[1:]),
        "seed": range(seeds),
    }
    settings = SETTINGS | PRINTED
    return dataset({"test_accuracy": accuracy}, ("level", "penalty_weight", "seed"), coords, settings)


def _every_reading(ds: xr.Dataset, accuracy: np.ndarray, of_fgr: float = 0.5) -> Datasets:
    found = {"fitted": ds, "printed": ds, "rescaled": ds}
    return found | {"memorizing": memorizing(accuracy), "fgr": fgr(of_fgr, accuracy.size)}


def _curves_as_the_paper_says() -> Datasets:
    settings = as_the_theorem_says(INSIDE, CLOSE[1], SMALL[0])
    return _every_reading(curves(levels=(CLOSE, SMALL), settings=settings), 0.49 * spread(4))


def _curves_all_wrong() -> Datasets:
    """Nothing trains, PEGR guesses and memorises everywhere, and the others learn where they should not."""
    end = np.s_[..., 1]
    accuracy = np.ones((3, 4, 4))
    accuracy[0], accuracy[:, 0] = 0.5, 0.5
    changes = {"train_loss": (end, 0.69), "test_accuracy": (end, accuracy), "signal": (end, 0.02), "noise": (end, 1.0)}
    return _every_reading(curves(**changes), 0.9 * spread(4), of_fgr=0.995)


def _curves_wide() -> Datasets:
    wide = spread(4, 0.9)
    changes = {"noise": (np.s_[0, 1:, :, 1], 0.5 * wide), "signal": (np.s_[0, :, :, 1], 0.1 * wide)}
    return _every_reading(curves(**changes), 0.5 * wide)


def _curves_one_seed() -> Datasets:
    return _every_reading(curves(seeds=1), np.array([0.5]))


# --- pegr-heatmap ------------------------------------------------------------------------------------


def heatmap(best: float = 0.1, seeds: int = 4) -> xr.Dataset:
    """Accuracy 1 in a decade around the best λ, and divergence far above it."""
    sigma_p, weights = np.array([0.1, 0.5, 1.0]), np.geomspace(1e-3, 1, 7)
    far = np.abs(np.log10(weights / best))
    accuracy = np.broadcast_to(np.where(far <= 0.6, 1.0, 0.6)[None, :, None], (3, 7, seeds)).copy()
    status = np.ones((3, 7, seeds), np.int8)
    status[:, weights > 0.9, 0] = 2
    accuracy[status == 2] = np.nan
    dims = ("sigma_p", "penalty_weight", "seed")
    axes = {"sigma_p": sigma_p, "penalty_weight": weights, "seed": range(seeds)}
    ds = dataset({"test_accuracy": accuracy}, dims, axes, SETTINGS | {"sigma_0": 0.001})
    return ds.assign(status=(dims, status))


def theorem(printed: float, translated: float, early: float, seeds: int = 4) -> xr.Dataset:
    """Accuracies at the theorem's λ: as printed, translated, and that closed at T₁."""
    sigma_p = np.array([0.5, 1.0])
    weights = theory.pegr_weight(sigma_p, 400)
    accuracy = np.full((4, 3, seeds), 0.5)
    accuracy[:2, -1], accuracy[2:, 1:], accuracy[2:, 0] = printed, translated, early
    coords = {
        "sigma_p": ("level", np.tile(sigma_p, 2)),
        "penalty_weight": ("level", np.r_[weights, weights / 20]),
        "close_at": [230, 460, 800],
        "seed": range(seeds),
    }
    return dataset({"test_accuracy": accuracy}, ("level", "close_at", "seed"), coords, SETTINGS | {"sigma_0": 0.001})


def regime(loss: float, learned: float, guessed: np.ndarray, **settings: Any) -> xr.Dataset:
    """Two records inside Condition 3.1, or outside with other settings: PEGR's accuracy, and without it (seeds)."""
    base = as_the_theorem_says(INSIDE, 0.1, 1e-5) | {"sigma_p": 0.1, "sigma_0": 1e-5} | settings
    shape = (2, guessed.size, 2)
    data = {"train_loss": np.full(shape, loss), "test_accuracy": np.full(shape, 0.5)}
    data["test_accuracy"][0, :, 1], data["test_accuracy"][1, :, 1] = learned, guessed
    coords = {"penalty": ["pegr", "none"], "seed": range(guessed.size), "step": [0, 1500]}
    ds = dataset(data, ("penalty", "seed", "step"), coords, base)
    return ds.assign(status=ds.status.isel(step=0, drop=True))


def _heatmap_right() -> Datasets:
    return {"pegr": heatmap(), "theorem": theorem(1.0, 1.0, 1.0), "regime": regime(0.01, 1.0, 0.49 * spread(4))}


def _heatmap_all_wrong() -> Datasets:
    """No λ lets every seed learn: the best of every other seed is not that of the seeds between."""
    ds = heatmap()
    ds["test_accuracy"] = ds.test_accuracy.where(ds.seed % 2 == 0, 0.6)
    outside = regime(0.69, 0.5, 0.9 * spread(4), d=400)
    return {"pegr": ds, "theorem": theorem(0.5, 0.5, 0.5), "regime": outside}


def _heatmap_wide() -> Datasets:
    return _heatmap_right() | {"regime": regime(0.01, 1.0, 0.5 * spread(4, 0.5))}


def _heatmap_one_seed() -> Datasets:
    found = {"pegr": heatmap(seeds=1), "theorem": theorem(1.0, 1.0, 1.0, seeds=1)}
    return found | {"regime": regime(0.01, 1.0, np.array([0.5]))}


# --- pegr-boundary -----------------------------------------------------------------------------------


def window(low: float, high: float, power: float = 1.0) -> Datasets:
    """A window of λ, low/σ_p^power to high/σ_p, in which every seed learns."""
    sigma_p, weights = np.linspace(0.25, 3.0, 12), np.geomspace(1e-4, 1.0, 25)
    inside = (weights > low / sigma_p[:, None] ** power) & (weights < high / sigma_p[:, None])
    accuracy = np.where(inside, 1.0, 0.5)[..., None] * np.ones(4)
    axes = {"sigma_p": sigma_p, "penalty_weight": weights, "seed": range(4)}
    dims = ("sigma_p", "penalty_weight", "seed")
    ds = dataset({"test_accuracy": accuracy}, dims, axes, SETTINGS | {"sigma_0": 0.001})
    side = np.where(inside, 1, -1)
    return {"pegr": sided(ds, side, "test_accuracy", 0.75, "sigma_p", "penalty_weight", "below")}


def _turned(factor: int) -> Datasets:
    """Every side turned round, or none decided."""
    ds = window(0.001, 0.1)["pegr"]
    return {"pegr": ds.assign(side=(ds.side * factor).assign_attrs(ds.side.attrs))}


CASES = {
    "pegr-curves": {
        "as the paper says": _curves_as_the_paper_says,
        "all wrong": _curves_all_wrong,
        "seeds far apart": _curves_wide,
        "one seed": _curves_one_seed,
    },
    "pegr-heatmap": {
        "as the paper says": _heatmap_right,
        "all wrong": _heatmap_all_wrong,
        "seeds far apart": _heatmap_wide,
        "one seed": _heatmap_one_seed,
    },
    "pegr-boundary": {
        "a wide window": functools.partial(window, 0.001, 0.1),
        "down to Lemma 5.1's weight": functools.partial(window, 0.00125, 0.1, power=2.0),
        "the other way round": functools.partial(_turned, -1),
        "undecided": functools.partial(_turned, 0),
    },
}
