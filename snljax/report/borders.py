"""Lines over a heatmap: where the mean over seeds crosses a level and how sure that is, and where theory puts it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from snljax import theory
from snljax.boundary import contours
from snljax.report.cube import Axis, Cube

Lines = list[tuple[list[float], list[float]]]  # x and y of each
_POINTS = 200


def crossings(cube: Cube, end: str, x: str, y: str, level: float) -> dict[tuple[int, ...], Lines]:
    """The lines on which the mean, or an end of its interval, has a level.

    Args:
        cube: the metric.
        end: ``"mean"``, ``"low"`` or ``"high"``.
        x, y: the dimensions of the heatmap, numbers, two cells or more along each.
        level: a finite number.

    Returns:
        Index along the other dimensions of the cube, in their order -> lines.
    """
    values = cube.exact[end].rename(cube.name).sortby([x, y])  # the name decides on the scale between cells
    others = [d for d in cube.dims if d not in (x, y)]
    found: dict[tuple[int, ...], Lines] = {}
    for index in np.ndindex(*(values.sizes[d] for d in others)):
        one = values.isel(dict(zip(others, index, strict=True)))
        lines = contours(one, x, y, level) if bool(one.notnull().any()) else []
        found[index] = [(line.points[:, 0].tolist(), line.points[:, 1].tolist()) for line in lines]
    return found


class Rule(NamedTuple):
    """A border that theory gives as the value of one field. of: settings -> it. when: settings for which it is said."""

    field: str
    label: str
    of: Callable[[Mapping[str, Any]], Any]
    when: Callable[[Mapping[str, Any]], bool] = lambda _: True


def _of_the_paper(s: Mapping[str, Any]) -> bool:
    """The fits of paper 000's Figure 2 are of its own sizes."""
    return bool(np.all([s["mu"] == 1.0, s["n"] == 200, s["d"] == 200, s["num_classes"] == 10]))


RULES: dict[str, list[Rule]] = {
    "topk_pruning": [
        Rule("K", "95 σ_p⁻², paper 000, Figure 2", lambda s: theory.topk_upper_boundary(s["sigma_p"]), _of_the_paper),
        Rule(
            "K",
            "120 exp(−1/(2σ_p²)), paper 000, Figure 2",
            lambda s: theory.topk_lower_boundary(s["sigma_p"]),
            _of_the_paper,
        ),
        Rule(
            "K",
            "over-pruning, paper 000, Theorem 4.5",
            lambda s: theory.over_pruning_bound(s["sigma_p"], s["d"], s["mu"]),
        ),
    ],
    "heterogeneous_noise": [
        Rule(
            "u_norm",
            "paper 001, Theorem 1 (2a) with C₁ = 1",
            lambda s: theory.signal_strength_for_ratio(
                1.0, s["noise_correlation"], s["samples_per_class"], s["d"], s["num_classes"]
            ),
        )
    ],
    "gradient_regularization": [
        Rule(
            "penalty_weight",
            "λ = σ_p⁻¹ d^(−1/2), paper 003, Theorem 3.2, as printed",
            lambda s: theory.pegr_weight(s["sigma_p"], s["d"]),
        )
    ],
    "random_pruning": [
        Rule("keep_fraction", "log(d)/m, paper 002, Theorem 3.1", lambda s: theory.mild_pruning_keep(s["d"], s["m"])),
        Rule(
            "keep_fraction",
            "1/(𝒯 m log d), paper 002, Theorem 4.1",
            lambda s: theory.over_pruning_keep(s["num_classes"], s["m"], s["d"]),
        ),
    ],
}


def of_theory(experiment: str, settings: Mapping[str, Any], x: Axis, y: Axis) -> dict[str, Lines]:
    """The borders that theory has over two axes.

    Args:
        experiment: its name; only the package's own have any.
        settings: of every field that no axis moves.
        x, y: the heatmap's.

    Returns:
        Label -> lines, from the first value of the other axis to its last, beyond the field's own where they go there.

    Example:
        >>> at = np.array([0.5, 1.0])
        >>> side = np.array([[0.25, 0.75], [0.75, 1.25]])
        >>> plane = (Axis(n, n, ["0.5", "1"], ["0.5", "1"], at, side, False, False) for n in ("sigma_p", "K"))
        >>> [*of_theory("topk_pruning", {"mu": 1.0, "d": 100, "n": 10, "num_classes": 2}, *plane)]
        ['over-pruning, paper 000, Theorem 4.5']
    """
    found: dict[str, Lines] = {}
    for rule in RULES.get(experiment, []):
        if rule.field not in (x.name, y.name):
            continue
        along = y if rule.field == x.name else x
        if along.named:
            continue
        low, high = float(along.places.min()), float(along.places.max())
        places = np.geomspace(low, high, _POINTS) if along.log else np.linspace(low, high, _POINTS)
        known = {**settings, along.name: places}
        try:
            if not rule.when(known):
                continue
            border = np.broadcast_to(np.asarray(rule.of(known), float), places.shape)
        except (KeyError, ValueError):  # a field that an older version had not, or values that no theorem is about
            continue
        inside = np.isfinite(border)
        at, value = places[inside].tolist(), border[inside].tolist()
        found[rule.label] = [(value, at) if rule.field == x.name else (at, value)]
    return found


def numbers(ds: xr.Dataset, settings: Mapping[str, Any], index: Mapping[str, int]) -> dict[str, Any]:
    """All settings of the cells at some index: those that no axis moves, and those of the index."""
    moved = {
        str(n): ds[n].isel({d: index[str(d)] for d in ds[n].dims}).item()
        for n in ds.coords
        if {*ds[n].dims} <= {*index}
    }
    return {**settings, **moved}
