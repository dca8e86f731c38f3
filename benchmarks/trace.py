"""`trace` against the dense grid, and its search against other ways to find a boundary.

python benchmarks/trace.py topk [--dense STORE] [--side 64] [--large 100]
OPENBLAS_NUM_THREADS=1 python benchmarks/trace.py surfaces [--draws 20]

topk: the heatmap of paper 000 (dynamic TopK pruning), dense and traced, each in a process of its own with an empty
cache, so that compiling counts. With a store that has the dense grid already, its time is estimated: its first minutes
are trained once more, and the rest goes on at their rate. So it is with the larger grid, too.

surfaces: a mean over seeds that is known everywhere, smooth noise of each seed's own on it; its place is drawn, too.
Told are, over the draws, at the number of cells that the search asks for itself:

- wrong: the share of cells on another side (below, undecided, above) than the dense grid has, in percent;
- mean: the same for the side of the mean alone;
- far: how far the true line of the mean gets from the found one, in cells, at the median and at most. The dense grid
  itself is off, since the line is interpolated between its cells;
- missed: in how many draws a whole part of the line, two cells long or more, is nowhere within a cell of a found one;
- false: in how many something was found more than two cells from all true lines.

The others are in their best form: for each surface, that of their settings which has the fewest cells wrong on draws
that are not told of. They ask one place after the other, the search a few rounds of many. Bisection has no budget.
At last what the search does not promise: dips of some size, and how often they are found. (One thread, since scipy's
triangulations solve many systems of two equations, for which threads are slow, and very slow on a busy machine.)
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import common
import jax
import numpy as np
import xarray as xr
from scipy import stats as scipy_stats
from scipy.spatial import KDTree

import snljax as snl
from snljax import boundary, stats
from snljax.refinement import Search
from snljax.variables import DIVERGED, DONE

LEVEL = 2.0
SIDES_EQUAL, WITHIN_CELLS, NETWORKS, NETWORKS_LARGE = 0.995, 1.0, 1 / 12, 1 / 20

# --- lines, in cells ---------------------------------------------------------------------------


def lines(mean: xr.DataArray, level: float, apart: float = 1.0) -> list[np.ndarray]:
    """Points of each line on which a mean of dimensions x and y crosses a level, in cells, close to each other."""
    numbered = mean.assign_coords({dim: apart * np.arange(mean.sizes[dim]) for dim in ("x", "y")})
    return [_dense(line.points) for line in boundary.contours(numbered, "x", "y", level, log_axes=())]


def _dense(points: np.ndarray) -> np.ndarray:
    length = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(points, axis=0).T))])
    even = np.linspace(0, length[-1], round(length[-1] / 0.1) + 2)
    return np.stack([np.interp(even, length, points[:, i]) for i in range(2)], 1)


def distances(these: np.ndarray, those: list[np.ndarray]) -> np.ndarray:
    """How far points lie from the nearest of some lines; infinity if there is none."""
    return KDTree(np.concatenate(those)).query(these)[0] if those else np.full(len(these), np.inf)


# --- TopK --------------------------------------------------------------------------------------


def grid_of(side: int, seeds: int, steps: int, n_test: int | None) -> snl.Grid:
    """The heatmap, side × side × seeds."""
    settings: dict[str, Any] = {} if n_test is None else {"n_test": n_test}
    K = np.round(np.linspace(2, 200, side)).astype(int)
    return snl.Grid("topk_pruning", sigma_p=np.linspace(0.01, 1, side), K=K, seed=range(seeds), steps=steps, **settings)


def child(call: str, spec: dict[str, Any], folder: str) -> None:
    """What a process of its own does: train, and leave behind what was found and how long it took."""
    grid, place = grid_of(**spec), pathlib.Path(folder)
    (place / "begun").touch()
    since = time.perf_counter()
    if call == "trace":
        ds = snl.trace(grid, "test_loss", LEVEL, store=place / "store", progress=False)
    else:
        ds = snl.sweep(grid, store=place / "store", progress=False)
    ds = ds[["test_loss", "status", *(["side"] if "side" in ds else [])]].load()
    seconds = time.perf_counter() - since
    ds.drop_attrs(deep=False).to_netcdf(place / "found.nc", engine="scipy")
    kept = ("block", "compile_seconds", "probe_seconds", "networks", "rounds")
    told = {name: ds.attrs[name] for name in kept if name in ds.attrs}
    (place / "told.json").write_text(json.dumps({"seconds": seconds, **told}), encoding="utf-8")


def started(call: str, spec: dict[str, Any], folder: str) -> subprocess.Popen[bytes]:
    """A fresh process that trains, with a cache that is empty."""
    command = [sys.executable, __file__, "--child", call, json.dumps(spec), folder]
    return subprocess.Popen(command, env=os.environ | {"SNLJAX_CACHE": str(pathlib.Path(folder) / "cache")})


def trained(call: str, spec: dict[str, Any]) -> tuple[xr.Dataset, dict[str, Any]]:
    """The Dataset that a fresh process finds, and what it tells."""
    with tempfile.TemporaryDirectory() as folder:
        if started(call, spec, folder).wait():
            raise SystemExit(f"{call} of {spec} has failed")
        with xr.open_dataset(pathlib.Path(folder) / "found.nc", engine="scipy") as ds:
            found = ds.load()
        return found, json.loads((pathlib.Path(folder) / "told.json").read_text(encoding="utf-8"))


def estimated(spec: dict[str, Any], share: float) -> dict[str, float]:
    """Seconds that the dense grid takes: those until its first block, then all others at the rate of some.

    share: of the networks that are trained for it.
    """
    networks, seen = spec["side"] ** 2 * spec["seeds"], [(0.0, 0)]
    with tempfile.TemporaryDirectory() as folder:
        place, process, since = pathlib.Path(folder), started("sweep", spec, folder), 0.0
        while process.poll() is None and seen[-1][1] < share * networks:
            time.sleep(0.1)
            if not since and (place / "begun").exists():
                since = time.perf_counter()
            if (done := _done(place / "store")) > seen[-1][1]:
                seen.append((time.perf_counter() - since, done))
        if len(seen) < 3:
            raise SystemExit(f"sweep of {spec} has failed, or was done before its rate was seen")
        process.kill()
        process.wait()
    (first, had), (last, has) = seen[1], seen[-1]
    rate = (has - had) / (last - first)
    return {"seconds": first + (networks - had) / rate, "networks_per_second": rate, "trained_for_it": has}


def _done(store: pathlib.Path) -> int:
    """Networks that are done, from the markers of finished blocks."""
    cells = 0
    for marker in (store / "done").glob("*.json"):
        try:
            cells += json.loads(marker.read_text(encoding="utf-8"))["cells"]
        except (OSError, ValueError):  # it is being written
            continue
    return cells


def opened(store: str, spec: dict[str, Any]) -> xr.Dataset:
    """The dense grid of a store, or an end if that has another, or not all of it."""
    ds, grid = snl.open_store(store), grid_of(**spec)
    settings = json.loads(ds.attrs["settings"])
    same = dict(ds.status.sizes) == grid.shape and settings["steps"] == spec["steps"]
    same = same and spec["n_test"] in (None, settings["n_test"])
    same = same and all(np.array_equal(ds[axis.name], axis.coordinate) for axis in grid.axes)
    ds = ds[["test_loss", "status"]].load()
    if not same or not (ds.status >= DONE).all():
        raise SystemExit(f"--dense: {store} has not all of {spec}")
    return ds


def mean_of(ds: xr.Dataset) -> xr.DataArray:
    """The test loss's mean over seeds, x the noise and y the weights kept."""
    return stats.finished(ds.test_loss, ds.status).mean("seed").rename(sigma_p="x", K="y")


def compared(dense: xr.Dataset, traced: xr.Dataset) -> dict[str, Any]:
    """Sides and lines of both."""
    side = stats.side(stats.finished(dense.test_loss, dense.status), LEVEL, xr.where(dense.status == DIVERGED, 1, 0))
    true, found = lines(mean_of(dense), LEVEL), lines(mean_of(traced), LEVEL)
    apart = [distances(np.concatenate(a), b).max() for a, b in ((true, found), (found, true)) if a]
    other = (side.values != traced.side.transpose(*side.dims).values).sum()
    return {
        "sides_equal": 1 - float(other) / side.size,
        "cells_of_another_side": int(other),
        "boundary_off_most": float(max(apart, default=0.0)),
        "lines": {"dense": len(true), "traced": len(found)},
    }


def topk(options: argparse.Namespace) -> None:
    spec = {"side": options.side, "seeds": options.seeds, "steps": options.steps, "n_test": options.n_test}
    content: dict[str, Any] = {"machine": common.machine(jax.devices()[0]), **spec, "level": LEVEL}
    print(common.describe(content["machine"]))
    if options.dense:
        dense = opened(options.dense, spec)
        content["dense"] = estimated(spec, options.share) | {"how": "estimated from the rate of its first networks"}
    else:
        dense, told = trained("sweep", spec)
        content["dense"] = told | {"how": "trained whole"}
    traced, told = trained("trace", spec)
    content["traced"] = told
    content["compared"] = compared(dense, traced)
    large = spec | {"side": options.large}
    _, told = trained("trace", large)
    content["large"] = {"side": options.large, "traced": told, "dense": estimated(large, options.share)}
    content["large"]["dense"]["how"] = "estimated from the rate of its first networks"
    for part, side, goal in ((content, options.side, NETWORKS), (content["large"], options.large, NETWORKS_LARGE)):
        networks = side**2 * options.seeds
        part["networks_ratio"] = part["traced"]["networks"] / networks
        part["wall_ratio"] = part["traced"]["seconds"] / part["dense"]["seconds"]
        print(
            f"\n{side} × {side} × {options.seeds}, {options.steps} steps, compiling included\n"
            f"  dense   {networks:>7,} networks, {part['dense']['seconds']:8.1f} s ({part['dense']['how']})\n"
            f"  traced  {part['traced']['networks']:>7,} networks, {part['traced']['seconds']:8.1f} s, rounds of "
            f"{part['traced']['rounds']}\n"
            f"  networks: 1/{1 / part['networks_ratio']:.1f}, allowed 1/{1 / goal:.0f}   "
            f"{_verdict(part['networks_ratio'] <= goal)}\n  time: 1/{1 / part['wall_ratio']:.1f}"
        )
    found = content["compared"]
    print(
        f"\n{options.side} × {options.side}: the side is that of the dense grid in {100 * found['sides_equal']:.2f} % "
        f"of the cells ({found['cells_of_another_side']} are off), allowed {100 * SIDES_EQUAL} %   "
        f"{_verdict(found['sides_equal'] >= SIDES_EQUAL)}\n"
        f"  the boundary is off by {found['boundary_off_most']:.3f} cells at most, allowed {WITHIN_CELLS}   "
        f"{_verdict(found['boundary_off_most'] <= WITHIN_CELLS)}"
    )
    _write("trace-topk", content)


def _verdict(good: bool) -> str:
    return "kept" if good else "NOT KEPT"


# --- surfaces ----------------------------------------------------------------------------------

CELLS, NET, SEEDS = 64, 9, 3
NOISE, ALIKE, SHIFT = 0.01, 0.35, 0.05  # standard deviation; over which distance; of a diagram 1 wide
Surface = Callable[[np.ndarray, np.ndarray], np.ndarray]
SURFACES: dict[str, Surface] = {
    "two boundaries": lambda x, y: 0.15 - np.abs(x - 0.5 * y - 0.2),
    "island": lambda x, y: 0.04 - (x - 0.6) ** 2 - (y - 0.4) ** 2,
    "diagonal": lambda x, y: x - y,
    "cusp": lambda x, y: y - 0.2 - np.sqrt(np.abs(x - 0.5)),
    "none": lambda x, y: 0.1 + (x - 0.5) ** 2 + (y - 0.5) ** 2,
}
HIGH, WIDTH = 0.1, 0.03  # of steep surfaces: what lies beyond the width is about that high
T_INTERVAL = scipy_stats.t.ppf(0.975, SEEDS - 1) / np.sqrt(SEEDS)
WAVES, FINER = 32, 4
METHODS = ("linear", "cubic")
RADII = (1, 2, 3, 4, 5, 6, 8, 10)
BUDGETS = (0.25, 0.5, 1.0, 2.0)  # times the search's own number of cells
SEARCH, DENSE, UNIFORM, BISECTION, LEARNER = "search", "dense grid", "uniform grid", "bisection", "adaptive"


class Draw(NamedTuple):
    """A surface somewhere, and waves for each seed, whose sum is smooth noise."""

    surface: Surface
    shift: np.ndarray
    waves: np.ndarray  # (seeds, waves, 2)
    phases: np.ndarray
    noise: float

    def ends(self, places: np.ndarray) -> np.ndarray:
        """Low end of the t interval, mean, and high end at places in cells, (N, 2) -> (N, 3)."""
        at = places / (CELLS - 1)
        x, y = at.T[..., None, None]
        own = np.cos(x * self.waves[..., 0] + y * self.waves[..., 1] + self.phases)
        own = own.mean(-1) * np.sqrt(2 * WAVES)
        mean = self.surface(*(at + self.shift).T) + self.noise * own.mean(1)
        half = T_INTERVAL * self.noise * own.std(1, ddof=1)
        return np.stack([mean - half, mean, mean + half], -1)

    def on_grid(self, finer: int = 1) -> np.ndarray:
        """The same on all cells, or that many times closer."""
        side = (CELLS - 1) * finer + 1
        found = self.ends(np.argwhere(np.ones((side, side), bool)) / finer)
        return found.reshape(side, side, 3)


def draw(surface: Surface, number: int, noise: float = NOISE) -> Draw:
    """Draw number so and so of a surface: random Fourier features of noise with a Gaussian covariance."""
    rng = np.random.default_rng(number)
    waves = rng.standard_normal((SEEDS, WAVES, 2)) / ALIKE
    return Draw(surface, rng.uniform(-SHIFT, SHIFT, 2), waves, rng.uniform(0, 2 * np.pi, (SEEDS, WAVES)), noise)


class Found(NamedTuple):
    """What a way has found: the side of each cell, whether the mean is above there, the mean where known."""

    sides: np.ndarray
    above: np.ndarray
    mean: np.ndarray
    cells: int


def filled(ends: np.ndarray, cells: int) -> Found:
    """Of low, mean and high on the whole grid, known or guessed."""
    sides = (ends[..., 0] >= 0).astype(int) - (ends[..., 2] < 0)
    return Found(sides, ends[..., 1] >= 0, ends[..., 1], cells)


def searched(truth: np.ndarray, net: int = NET) -> Found:
    """The search, told the truth about the cells that it asks for."""
    search = Search(truth.shape[:2], net, (SEEDS, SEEDS))
    search.first()
    known = np.where(search.asked[..., None] > 0, truth, np.nan)
    while search.next(known) is not None:
        known = np.where(search.asked[..., None] > 0, truth, np.nan)
    return Found(search.sides, search.above[..., 0], known[..., 1], int((search.asked > 0).sum()))


def measured(true: list[np.ndarray], dense: Found, found: Found) -> dict[str, Any]:
    """How far off one is. true: the lines of the mean, from between the cells as well."""
    own = lines(xr.DataArray(found.mean, dims=("x", "y")), 0.0)
    away = [distances(part, own) for part in true]
    whole = [a for a, part in zip(away, true, strict=True) if len(part) > 20]  # 0.1 cells each
    return {
        "cells": found.cells,
        "wrong": 100 * float((found.sides != dense.sides).mean()),
        "mean_wrong": 100 * float((found.above != dense.above).mean()),
        "far": float(max((a.max() for a in away), default=0.0)),
        "missed": any(a.min() > 1 for a in whole),
        "false": any(distances(line, true).max() > 2 for line in own),
    }


Way = Callable[[Draw, list[int]], list[tuple[np.ndarray, int]]]  # of some budgets: what is known, from how many cells


def ways() -> dict[str, dict[str, Way]]:
    """The others, and what each can be set to."""
    from peers import boundaries

    def uniform(method: str) -> Way:
        return lambda d, budgets: [boundaries.uniform(d.ends, CELLS, budget, method) for budget in budgets]

    def bisection(rows: bool, ends: bool) -> Way:
        return lambda d, _: [boundaries.bisection(d.ends, CELLS, rows, ends)]

    def learner(loss: Any, method: str) -> Way:
        return lambda d, budgets: list(boundaries.learner(d.ends, CELLS, budgets, loss, method))

    return {
        UNIFORM: {method: uniform(method) for method in METHODS},
        BISECTION: {
            f"{'rows' if rows else 'columns'}, {'mean and ends' if ends else 'mean alone'}": bisection(rows, ends)
            for rows in (False, True)
            for ends in (False, True)
        },
        LEARNER: {f"{n}; {m}": learner(loss, m) for n, loss in boundaries.losses().items() for m in METHODS},
    }


def steep(surface: Surface) -> Surface:
    """The same boundary between two plateaus, as in a phase transition."""
    return lambda x, y: HIGH * np.tanh(surface(x, y) / WIDTH)


def best(surface: Surface, choices: dict[str, Way], tuning: range) -> tuple[str, dict[str, float]]:
    """The setting with the fewest cells wrong at the search's own number of cells, and what each has, in percent."""
    wrong: dict[str, list[float]] = {name: [] for name in choices}
    for number in tuning:
        one = draw(surface, number)
        truth = one.on_grid()
        dense, own = filled(truth, CELLS**2), searched(truth)
        for name, way in choices.items():
            found = filled(*way(one, [own.cells])[0])
            wrong[name].append(100 * float((found.sides != dense.sides).mean()))
    means = {name: round(float(np.mean(w)), 3) for name, w in wrong.items()}
    return min(means, key=means.__getitem__), means


def of_surface(surface: Surface, draws: int, tuning: range, told: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Rows of each way on each draw, each with the share of the search's cells that it was allowed."""
    known = ways()
    chosen = {}
    for name, choices in known.items():
        setting, wrong = best(surface, choices, tuning)
        chosen[name], told[name] = choices[setting], {"chosen": setting, "wrong_while_tuned": wrong}
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in (SEARCH, DENSE, *known)}
    for number in range(draws):
        one = draw(surface, number)
        truth = one.on_grid()
        dense, own = filled(truth, CELLS**2), searched(truth)
        true = lines(xr.DataArray(one.on_grid(FINER)[..., 1], dims=("x", "y")), 0.0, 1 / FINER)
        rows[SEARCH].append(measured(true, dense, own) | {"budget": 1.0})
        rows[DENSE].append(measured(true, dense, dense) | {"budget": 1.0})
        for name, way in chosen.items():
            budgets = BUDGETS if name != BISECTION else (1.0,)
            all_found = way(one, [round(b * own.cells) for b in budgets])
            for budget, found in zip(budgets, all_found, strict=True):
                rows[name].append(measured(true, dense, filled(*found)) | {"budget": budget})
    return rows


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Over draws; a line that was not found at all is infinitely far, which JSON does not have."""
    far = np.array([r["far"] for r in rows])
    finite = far[np.isfinite(far)]
    return {
        "cells": float(np.mean([r["cells"] for r in rows])),
        "networks": SEEDS * float(np.mean([r["cells"] for r in rows])),
        "wrong": common.spread(np.array([r["wrong"] for r in rows])),
        "mean_wrong": common.spread(np.array([r["mean_wrong"] for r in rows])),
        "far_median": float(np.median(finite)) if finite.size else None,
        "far_most": float(finite.max()) if finite.size else None,
        "no_line": int(len(far) - finite.size),
        "missed": sum(r["missed"] for r in rows),
        "false": sum(r["false"] for r in rows),
    }


def dips(radius: float, draws: int, find: Callable[[Draw], Found]) -> float:
    """Share of dips that are found: level at half their depth, so many cells around; farther off nothing shows.

    They lie anywhere in the diagram, whole.
    """
    found, size = 0, radius / (CELLS - 1)
    for number in range(draws):
        middle = np.random.default_rng(number).uniform(size, 1 - size, 2)

        def dip(x: np.ndarray, y: np.ndarray, middle: np.ndarray = middle) -> np.ndarray:
            return 0.5 - np.exp2(-((x - middle[0]) ** 2 + (y - middle[1]) ** 2) / size**2)

        found += not find(draw(dip, number)._replace(shift=np.zeros(2))).above.all()
    return found / draws


def limits(draws: int) -> dict[str, dict[int, float]]:
    """For each way to look, the radius of a dip -> how often it is found."""
    even = ways()[UNIFORM]["cubic"]

    def search(net: int) -> Callable[[Draw], Found]:
        return lambda d: searched(d.on_grid(), net)

    nets = {f"search, net={n}, lines {(CELLS - 1) / (n - 1):.1f} cells apart": search(n) for n in (5, NET, 17)}
    finders = nets | {"uniform grid of 484, lines 3.0 cells apart": lambda d: filled(*even(d, [484])[0])}
    print(f"\ndips that show nowhere else: radius in cells: share of {draws} that is found")
    shares: dict[str, dict[int, float]] = {}
    for name, find in finders.items():
        shares[name] = {radius: dips(radius, draws, find) for radius in RADII}
        print(f"  {name:<44}" + ",  ".join(f"{r}: {share:.2f}" for r, share in shares[name].items()), flush=True)
    return shares


def surfaces(options: argparse.Namespace) -> None:
    content: dict[str, Any] = {
        "machine": common.machine(jax.devices()[0]), "cells": CELLS, "seeds": SEEDS, "net": NET, "noise": NOISE,
        "draws": options.draws, "peers": {}, "found": {},
    }  # fmt: skip
    print(common.describe(content["machine"]))
    print(f"{CELLS} × {CELLS} cells × {SEEDS} seeds, {options.draws} draws; at the search's own number of cells")
    kinds = {**SURFACES, **{f"steep {name}": steep(surface) for name, surface in SURFACES.items()}}
    for name, surface in kinds.items():
        rows = of_surface(
            surface, options.draws, range(1000, 1000 + options.tuning), content["peers"].setdefault(name, {})
        )
        found = {
            way: {b: summary([r for r in of if r["budget"] == b]) for b in sorted({r["budget"] for r in of})}
            for way, of in rows.items()
        }
        content["found"][name] = found
        print(f"\n{name:<22}{'cells':>7}{'wrong %':>15}{'mean %':>9}{'far: median, most':>22}{'missed':>8}{'false':>7}")
        for way, at in found.items():
            t = at[1.0]
            far = "no line" if t["far_median"] is None else f"{t['far_median']:.2f}, {t['far_most']:.2f}"
            print(
                f"  {way:<20}{t['cells']:>7.0f}{t['wrong']['median']:>7.2f} to{t['wrong']['max']:>5.2f}"
                f"{t['mean_wrong']['median']:>9.2f}{far:>22}{t['missed']:>8}{t['false']:>7}"
            )
        for way in (UNIFORM, LEARNER):
            curve = ",  ".join(f"{budget:g}: {t['wrong']['median']:.2f}" for budget, t in found[way].items())
            print(f"  {way}, wrong % at times as many cells   {curve}")
        print(
            "  chosen: " + "; ".join(f"{way}: {t['chosen']}" for way, t in content["peers"][name].items()), flush=True
        )
    content["dips"] = limits(options.dips)
    _write("trace-surfaces", content)


def _write(name: str, content: dict[str, Any]) -> None:
    common.write(name, "cpu" if content["machine"]["device"].endswith("(cpu)") else "gpu", content)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=("topk", "surfaces"), nargs="?")
    parser.add_argument("--dense", help="a store that has the dense grid")
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--large", type=int, default=100)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--n-test", type=int)
    parser.add_argument("--share", type=float, default=0.06, help="of a dense grid, trained to estimate its time")
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--tuning", type=int, default=2, help="draws on which the others' settings are chosen")
    parser.add_argument("--dips", type=int, default=200)
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        call, spec, folder = options.child
        child(call, json.loads(spec), folder)
    elif options.part == "topk":
        topk(options)
    elif options.part == "surfaces":
        surfaces(options)
    else:
        parser.error("topk or surfaces")


if __name__ == "__main__":
    main()
