"""``trace(grid, …)``: where a quantity crosses a level, without training the whole grid."""

from __future__ import annotations

import json
import os
import tempfile
import warnings
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import xarray as xr

from snljax import stats
from snljax.refinement import Request, Search
from snljax.sweep.engine import in_rounds
from snljax.sweep.files import StoreError
from snljax.sweep.grid import Grid
from snljax.sweep.layout import Cells
from snljax.variables import DIVERGED, PENDING, STATUS
from snljax.wording import unknown

Diverged = Literal["above", "below"]


def trace(
    grid: Grid,
    metric: str,
    level: float,
    *,
    x: str | None = None,
    y: str | None = None,
    store: str | os.PathLike[str] | None = None,
    seeds: tuple[int, int] | None = None,
    net: int = 9,
    each_seed: bool = False,
    diverged: Diverged = "above",
    executor: Any = None,
    accept_program: bool = False,
    devices: int | Sequence[Any] | None = None,
    memory: str | int | None = None,
    block: tuple[int, int] | None = None,
    precision: str = "highest",
    progress: bool = True,
) -> xr.Dataset:
    r"""Train only those cells of a grid that decide where a metric crosses a level.

    A net over the grid first; then, round by round, the cells where its mean over seeds should cross, until each square
    of four cells that the boundary passes is trained; then those at the edges of the region in which the 95 % interval
    over seeds holds the level, as far as interpolation there can be wrong. All points of a seed share its draw, so
    that mean and interval are smooth over the grid, and each round tells how far such guesses are off.

    What the net does not see is not found: an island that fits between its lines.

    Args:
        grid: the dense grid, two dimensions besides ``seed``.
        metric: one number of each network, such as ``"test_loss"``.
        level: where its boundary is looked for.
        x, y: the two dimensions; default in the grid's order.
        store: folder that keeps the results, as for `sweep`: a killed call resumes, and a later sweep of the same grid
            trains the rest. Default: none is left behind.
        seeds: (first, most), how many of the grid's seeds a cell begins with, and how many it gets where its interval
            holds the level; default all of the grid's, everywhere.
        net: lines of the net along each axis, 2 or more.
        each_seed: follow the boundary of every single seed, too, which fits over seeds go by; all have all seeds then.
        diverged: on which side of the level a network counts that left the finite numbers.
        executor, accept_program, devices, memory, block, precision, progress: as for `sweep`.

    Returns:
        The grid's Dataset as from `sweep`, untrained cells pending; and ``side`` of *every* cell: −1 below, +1 at or
        above, 0 where the seeds cannot tell (`stats.side`), interpolated where nothing was trained. Its attributes
        say ``metric``, ``level`` and ``diverged``; those of the Dataset ``networks`` trained, and how many in each of
        the ``rounds``. A warning tells if there is no boundary.

    Raises:
        ValueError: a metric that is not there, dimensions that are not two different ones with two values or more,
            seeds that the grid does not have; and as `sweep`.
        StoreError: cells that were trained cannot be read (a ValueError); and as `sweep`.

    Example:
        >>> grid = Grid("topk_pruning", sigma_p=[0.25, 0.5, 1.0, 2.0], K=range(1, 17), steps=2, n=8, n_test=10, d=16,
        ...             m=2, num_classes=2)
        >>> ds = trace(grid, "test_loss", 0.71, net=3, progress=False)
        >>> ds.side.shape, int((ds.status == 1).sum()) == ds.attrs["networks"] < grid.cells
        ((4, 16), True)
    """
    if grid.record_steps is not None:
        raise ValueError(f"steps: {list(grid.record_steps)}; allowed: one number, for a trace")
    dims = _dims(grid, x, y)
    shape = tuple(grid.shape[dim] for dim in _swept(grid))
    search = Search((shape[0], shape[1]), _lines(net), _seeds(grid, seeds))
    if each_seed and seeds is not None:
        raise ValueError(f"each_seed: with seeds={tuple(seeds)}; allowed: one of them (every cell then has all seeds)")
    stats.check_finite("level", level)
    if diverged not in ("above", "below"):
        raise ValueError(f"diverged: {diverged!r}; allowed: above, below")
    rounds: list[int] = []
    found: xr.Dataset | None = None

    def cells(request: Request) -> Cells:
        rounds.append(len(request.x) * len(request.seeds))
        return Cells((request.x, request.y, np.array(request.seeds)), listed=True)

    def choose(ds: xr.Dataset) -> Cells | None:
        nonlocal found
        values, beyond = _asked(grid, ds, metric, search.asked, diverged)
        found = stats.ends(values, beyond)
        fields = [found[end] for end in ("low", "mean", "high")]
        if each_seed:
            fields += [*values.where(beyond == 0, np.inf * beyond).transpose("seed", ...)]
        margins = [_margin(field.values, level, found.attrs["scale"]) for field in fields]
        request = search.next(np.stack(margins, axis=-1))
        return None if request is None else cells(request)

    with tempfile.TemporaryDirectory() as folder:
        ds = in_rounds(
            grid,
            metric,
            choose,
            cells(search.first()),
            folder if store is None else store,
            executor=executor,
            accept_program=accept_program,
            devices=devices,
            memory=memory,
            block=block,
            precision=precision,
            progress=progress,
        )
        ds = ds.load() if store is None else ds
    assert found is not None
    if not _crossed(search.sides):
        _tell_that_nothing_crosses(found, metric, level)
    about = {"metric": metric, "level": float(level), "diverged": diverged, "x": dims[0], "y": dims[1], **_SIDES}
    side = xr.Variable(_swept(grid), search.sides, about)
    return ds.assign(side=side).assign_attrs(networks=sum(rounds), rounds=json.dumps(rounds))


_SIDES = {
    "long_name": "side of the level",
    "flag_values": [-1, 0, 1],
    "flag_meanings": "below undecided at_or_above",
}


def _swept(grid: Grid) -> list[str]:
    return [axis.name for axis in grid.point_axes]


def _dims(grid: Grid, x: str | None, y: str | None) -> tuple[str, str]:
    """The two dimensions of the diagram; ValueError if they are not two, of two values or more each."""
    swept = _swept(grid)
    if len(swept) != 2:
        listed = ", ".join(swept) or "nothing"
        raise ValueError(f"grid: {listed} swept besides seed; allowed: two dimensions")
    for name, wanted in (("x", x), ("y", y)):
        if wanted is not None and wanted not in swept:
            raise ValueError(unknown(name, wanted, swept))
    for dim in swept:
        if grid.shape[dim] < 2:
            raise ValueError(f"{dim}: one value alone; allowed: two or more along each side of a diagram")
    x = x if x is not None else next(dim for dim in swept if dim != y)
    y = y if y is not None else next(dim for dim in swept if dim != x)
    if x == y:
        raise ValueError(f"x, y: both are {x}; allowed: {swept[0]} and {swept[1]}")
    return x, y


def _seeds(grid: Grid, seeds: Any) -> tuple[int, int]:
    """How many seeds a cell begins with, and can have."""
    there = len(grid.seeds)
    if seeds is None:
        return there, there
    pair = isinstance(seeds, (tuple, list)) and len(seeds) == 2
    if not pair or not all(isinstance(s, int) and not isinstance(s, bool) for s in seeds):
        raise ValueError(f"seeds: {seeds!r}; allowed: (first, most), two whole numbers")
    first, most = seeds
    if not 1 <= first <= most <= there:
        raise ValueError(
            f"seeds: {tuple(seeds)} of a grid with {there}; allowed: 1 ≤ first ≤ most ≤ {there} (the grid has all "
            "that may be trained, seed=range(12) for example)"
        )
    return first, most


def _lines(net: Any) -> int:
    if not isinstance(net, int) or isinstance(net, bool) or net < 2:
        raise ValueError(f"net: {net!r}; allowed: a whole number of lines, 2 or more")
    return net


def _asked(
    grid: Grid, ds: xr.Dataset, metric: str, asked: np.ndarray, diverged: Diverged
) -> tuple[xr.DataArray, xr.DataArray]:
    """Values of what was asked for and of nothing else that the store may have, and which lie beyond all numbers."""
    swept = _swept(grid)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")  # what a store cannot read it says, and gives NaN
        part = ds[[metric, STATUS]].load()
    part = part if "seed" in part.dims else part.expand_dims("seed")
    part = part.transpose(*swept, "seed")
    wanted = xr.DataArray(np.arange(len(grid.seeds)) < asked[..., None], dims=(*swept, "seed"))
    unread = (part[STATUS] == PENDING) | (part[metric].isnull() & (part[STATUS] != DIVERGED) & bool(told))
    lost = int((unread & wanted).sum())
    if lost:  # to go on without them would lead to other cells
        raise StoreError(
            f"trace: {lost} cells that were trained cannot be read from the store; allowed: the same call again, which "
            "trains them anew"
        )
    values = stats.finished(part[metric], part[STATUS]).where(wanted)
    return values, stats.beyond(values, part[STATUS].where(wanted), 1 if diverged == "above" else -1)


def _margin(values: np.ndarray, level: float, scale: stats.Scale) -> np.ndarray:
    """How far values lie above the level, on the scale of their interval."""
    least, most = stats.POSSIBLE[scale]
    if scale == "linear" or not least < level < most:
        return values - level
    values = np.clip(values, least, most)  # what lies outside all numbers, too
    with np.errstate(divide="ignore"):
        on_scale = [np.log(v) - (np.log1p(-v) if scale == "logit" else 0.0) for v in (values, level)]
    return on_scale[0] - on_scale[1]


def _crossed(sides: np.ndarray) -> bool:
    return sides.min() < sides.max() or not sides.all()


def _tell_that_nothing_crosses(found: xr.Dataset, metric: str, level: float) -> None:
    mean = found["mean"].values[~np.isnan(found["mean"].values)]
    known = f"{mean.min():.4g} to {mean.max():.4g}" if mean.size else "nowhere a number"
    warnings.warn(
        f"trace: {metric} is {known} in the {mean.size} cells of the net, on one side of the level {level:g}: there is "
        "no boundary, or it lies between the lines (net=… has more)",
        stacklevel=3,
    )
