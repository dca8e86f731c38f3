"""How often the 95 % band of a boundary covers the true one, in simulated data sets whose boundary is known.

python benchmarks/bands.py [--sets 500] [--seeds 5 10]

Each data set is a loss on a grid of cells, one surface for each seed: the true mean times 1 + smooth noise, so that
neighbouring cells of a seed are as alike as those of networks that share their data. Told are, over the data sets:

- points: the share of points of the true line that `boundary.band` covers: between the cells, its low and high end
  (interpolated as `boundary.contours` does) hold the level there; and how many data sets have the whole line inside;
- the same for the band of the whole line (``of="line"``);
- columns: the share of the true line's places in columns that lie in the interval of a crossing of the mean, as
  `boundary.extract` finds it, of those columns in which the mean crosses as often as the truth;
- seeds: the same for the t interval of the seeds' own crossings, `boundary.edge`, where all seeds have one;
- error: of the mean's line, the root mean square of the distance to the true one, in cells.

The sharp cusp is sharper than the cells: what is interpolated between them is off by more than the seeds are, which
no interval over seeds knows. With no boundary at all: how often the mean has a line, and the seeds are sure of one.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any, NamedTuple

import common
import jax
import numpy as np
import xarray as xr
from scipy.interpolate import RegularGridInterpolator
from scipy.spatial import KDTree

from snljax import boundary, stats

LEVEL, COVERAGE = 2.0, 0.95
NOISE, ALIKE = 0.25, 0.5  # standard deviation; over which distance seeds stay alike, of a diagram 2 wide


class Surface(NamedTuple):
    """A loss 2 · exp(height(u, v)) on −1 ≤ u, v ≤ 1, and the points (u, v) at which it is 2; u is the log10 of x."""

    height: Callable[[np.ndarray, np.ndarray], np.ndarray]
    line: np.ndarray
    columns: Callable[[np.ndarray], np.ndarray]  # u -> places v, the upper edge first, (places, u), NaN where none


def _lines(*lines: tuple[Any, Any]) -> np.ndarray:
    """Points of all lines, evenly spaced along them, those inside the diagram."""
    found = []
    for u, v in lines:
        steps = np.hypot(np.diff(u), np.diff(v))
        length = np.concatenate([[0], np.cumsum(steps)])
        even = np.linspace(0, length[-1], round(length[-1] / 0.01) + 1)
        found.append(np.stack([np.interp(even, length, u), np.interp(even, length, v)], 1))
    points = np.concatenate(found)
    return points[(np.abs(points) <= 1).all(1)]


T = np.linspace(-1, 1, 2001)
_ANGLE = np.pi * np.linspace(-1, 1, 2001)
SURFACES = {
    "two boundaries": Surface(
        lambda u, v: 3 * (v - 0.5 + 0.2 * u) * (v + 0.5 - 0.2 * u),
        _lines((T, 0.5 - 0.2 * T), (T, 0.2 * T - 0.5)),
        lambda u: np.stack([0.5 - 0.2 * u, 0.2 * u - 0.5]),
    ),
    "island": Surface(
        lambda u, v: 2 * (u**2 + v**2 - 0.36),
        _lines((0.6 * np.cos(_ANGLE), 0.6 * np.sin(_ANGLE))),
        lambda u: np.sqrt(np.where(np.abs(u) < 0.6, 0.36 - u**2, np.nan)) * np.array([[1], [-1]]),
    ),
    "diagonal": Surface(lambda u, v: 2 * (v - u), _lines((T, T)), lambda u: u[None]),
    "cusp": Surface(
        lambda u, v: 4 * ((u + 0.4) ** 3 - v**2),
        _lines((1.2 * T**2 - 0.4, 1.2**1.5 * T**3)),
        lambda u: np.maximum(u + 0.4, np.where(u > -0.4, 0, np.nan)) ** 1.5 * np.array([[-1], [1]]),
    ),
    "sharp cusp": Surface(
        lambda u, v: 2 * (v + 0.5 - np.sqrt(np.abs(u))),
        _lines((np.sign(T) * T**2, np.abs(T) - 0.5)),
        lambda u: np.sqrt(np.abs(u))[None] - 0.5,
    ),
    "none": Surface(lambda u, v: 0.12 + 0.1 * (u**2 + v**2), np.zeros((0, 2)), lambda u: np.zeros((0, u.size))),
}


def simulate(surface: Surface, seeds: int, sets: int, side: int = 32) -> xr.DataArray:
    """Data sets, dimensions set, seed, y and x; x is geometric."""
    at = np.linspace(-1, 1, side)
    root = np.linalg.cholesky(np.exp(-(((at[:, None] - at) / ALIKE) ** 2) / 2) + 1e-9 * np.eye(side))
    draws = np.random.default_rng(0).normal(size=(sets, seeds, side, side))
    noise = np.clip(root @ draws @ root.T, -3.9, 3.9)  # a loss stays positive
    loss = LEVEL * np.exp(surface.height(at, at[:, None])) * (1 + NOISE * noise)
    coords = {"y": at, "x": 10**at}
    return xr.DataArray(loss, dims=("set", "seed", "y", "x"), coords=coords, name="test_loss")


def inside(found: xr.Dataset, points: np.ndarray) -> np.ndarray:
    """Which points (u, v) lie in the bands, shape (sets, points)."""
    axes = (found.y.values, np.log10(found.x.values))
    ends = (found[end].transpose("y", "x", "set").values for end in ("low", "high"))
    with np.errstate(divide="ignore"):  # a low end of 0
        low, high = (RegularGridInterpolator(axes, np.maximum(np.log(end), -50))(points[:, ::-1]).T for end in ends)
    return (low <= np.log(LEVEL)) & (np.log(LEVEL) <= high)


def truth(surface: Surface, loss: xr.DataArray) -> np.ndarray:
    """The places of the true line in each column that lie in the diagram, shape (places, columns); else NaN."""
    places = surface.columns(np.log10(loss.x.values))
    return np.where(np.abs(places) <= 1, places, np.nan)


def in_columns(loss: xr.DataArray, surface: Surface) -> np.ndarray:
    """For each place of the true line in a column, whether an interval of the mean's crossings there holds it.

    Columns count in which the mean crosses as often as the truth does.
    """
    found = boundary.extract(loss, "y", LEVEL, over="seed", coverage=COVERAGE)
    places = truth(surface, loss)
    same = (found.rising != 0).sum("crossing").transpose("set", "x").values == np.isfinite(places).sum(0)
    low, high = (found[end].transpose("set", "crossing", "x").values[:, None] for end in ("low", "high"))
    held = ((low <= places[:, None]) & (places[:, None] <= high)).any(2)
    return held[np.isfinite(places) & same[:, None]]


def in_seeds(loss: xr.DataArray, surface: Surface) -> np.ndarray:
    """Whether the t interval of the seeds' own upper crossings holds the true one, where every seed has one."""
    own = boundary.edge(loss, "y", LEVEL, "upper")
    found = stats.interval(own.where(own.notnull().all("seed")), scale="linear", level=COVERAGE).transpose("set", "x")
    upper = truth(surface, loss)[0]
    held = (found["low"].values <= upper) & (upper <= found["high"].values)
    return held[np.isfinite(upper) & found["mean"].notnull().values]


def errors(loss: xr.DataArray, surface: Surface) -> np.ndarray:
    """Root mean square distance of the mean's line to the true one, in cells, for each data set that has one."""
    lines: dict[int, list[np.ndarray]] = {}
    for line in boundary.contours(loss.mean("seed"), "x", "y", LEVEL):
        lines.setdefault(line.of["set"], []).append(line.points)
    tree, found = KDTree(surface.line), []
    for points in map(np.concatenate, lines.values()):
        distance, _ = tree.query(np.stack([np.log10(points[:, 0]), points[:, 1]], 1))
        found.append(np.sqrt((distance**2).mean()) * (loss.sizes["x"] - 1) / 2)
    return np.array(found)


def measure(surface: Surface, seeds: int, sets: int, side: int = 32) -> dict[str, Any]:
    """What the head of this file says, over so many data sets."""
    loss = simulate(surface, seeds, sets, side)
    of_lines = [boundary.band(loss[i], LEVEL, coverage=COVERAGE, of="line") for i in range(sets)]
    bands = {"point": boundary.band(loss, LEVEL, coverage=COVERAGE), "line": xr.concat(of_lines, "set")}
    sure = {of: ((found.side > 0).any(("x", "y")) & (found.side < 0).any(("x", "y"))) for of, found in bands.items()}
    shares: dict[str, Any] = {"sure_of_a_boundary": {of: float(both.mean()) for of, both in sure.items()}}
    if len(surface.line) == 0:
        lines = boundary.contours(loss.mean("seed"), "x", "y", LEVEL)
        return shares | {"the_mean_has_a_line": len({line.of["set"] for line in lines}) / sets}
    for of, found in bands.items():
        held = inside(found, surface.line)
        shares[f"band_of_a_{of}"] = {"points": float(held.mean()), "whole_line": float(held.all(1).mean())}
    shares["columns"] = float(in_columns(loss, surface).mean())
    shares["seeds"] = float(in_seeds(loss, surface).mean())
    return shares | {"error_in_cells": common.spread(errors(loss, surface))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", type=int, default=500, help="simulated data sets of each kind")
    parser.add_argument("--seeds", type=int, nargs="+", default=[5, 10])
    parser.add_argument("--side", type=int, default=32, help="cells along each axis")
    options = parser.parse_args()
    info = common.machine(jax.devices()[0])
    print(common.describe(info))
    content: dict[str, Any] = {
        "machine": info, "data_sets": options.sets, "cells": [options.side] * 2, "coverage": COVERAGE,
        "noise": NOISE, "alike": ALIKE, "found": {},
    }  # fmt: skip
    print(f"{options.sets} data sets, {options.side} × {options.side} cells; shares in % of bands at {COVERAGE:.0%}")
    print(f"{'':28}{'points':>8}{'whole':>8}{'points':>10}{'whole':>8}{'columns':>9}{'seeds':>8}{'error':>10}")
    for seeds in options.seeds:
        for name, surface in SURFACES.items():
            found = measure(surface, seeds, options.sets, options.side)
            content["found"].setdefault(f"{seeds} seeds", {})[name] = found
            sure = found["sure_of_a_boundary"]
            text = f"{name}, {seeds} seeds"
            if "band_of_a_point" not in found:
                a = f"the mean has a line in {found['the_mean_has_a_line']:.1%} of the data sets"
                print(f"{text:28} {a}, the seeds are sure in {sure['point']:.1%} (point), {sure['line']:.1%} (line)")
                continue
            point, line = found["band_of_a_point"], found["band_of_a_line"]
            shares = [point["points"], point["whole_line"], line["points"], line["whole_line"], found["columns"]]
            shares = [100 * share for share in [*shares, found["seeds"]]]
            row = "{:8.1f}{:8.1f}{:10.1f}{:8.1f}{:9.1f}{:8.1f}".format(*shares)
            print(f"{text:28}{row}{found['error_in_cells']['median']:10.2f}", flush=True)
    common.write("bands", "cpu", content)


if __name__ == "__main__":
    main()
