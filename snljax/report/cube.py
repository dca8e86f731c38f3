"""The numbers of a page about a Dataset: every metric over all that was swept, as means and intervals over seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from snljax import stats
from snljax.boundary.scales import is_geometric
from snljax.plotting import label_of
from snljax.plotting.axis import edges, is_named, places
from snljax.variables import DIVERGED, FIRST_BAD, PENDING, STATUS
from snljax.wording import listed, shortened, unknown

MOST = 1_000_000  # numbers of a page: about 20 MB, which a browser opens in a second or two
_OWN = 64  # values of a metric's own dimensions, which are thousands where it is one for each sample
_LETTERS = 28  # of a name at an axis
_STEPS = ("step", "steps")


class Axis(NamedTuple):
    """A dimension. texts: its values as they are read; short: as they stand at the axis.

    places, edges: where cells lie, and where each begins and ends; names at 0, 1, 2 and so on.
    """

    name: str
    label: str
    texts: list[str]
    short: list[str]
    places: np.ndarray
    edges: np.ndarray
    named: bool
    log: bool


class Cube(NamedTuple):
    """A metric. dims: those of the arrays. mean, low, high: over seeds, NaN where unknown.

    seeds: how many of them have a number. exact: mean, low and high in full precision, with coordinates.
    """

    name: str
    label: str
    dims: tuple[str, ...]
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    seeds: np.ndarray
    exact: xr.Dataset


class Cubes(NamedTuple):
    """All of a Dataset that a page shows.

    axes: by name. x, y: of the heatmap; y is None where a single dimension was swept, both are where nothing was.
    free: the other dimensions, for sliders. cubes: the metric that is shown first is the first. diverged, pending: how
    many seeds, over ``dims`` of the status. left_out: what the page does not have, in words.
    """

    axes: dict[str, Axis]
    x: str | None
    y: str | None
    free: tuple[str, ...]
    cubes: list[Cube]
    dims: tuple[str, ...]
    diverged: np.ndarray
    pending: np.ndarray
    left_out: list[str]


def cubes(
    ds: xr.Dataset, metric: str | None, metrics: Sequence[str] | None, x: str | None, y: str | None, room: int = MOST
) -> Cubes:
    """Means and intervals of a Dataset.

    Args:
        ds: with ``status``.
        metric: the one that is shown first; default test_loss, or else the first.
        metrics: those that the page has; default all whose own dimensions are few.
        x, y: the dimensions of the heatmap; default the first two that were swept, numbers before names.
        room: how many numbers there may be; recorded steps are thinned out to fit, and metrics then left out.

    Returns:
        Cubes.

    Raises:
        ValueError: a metric or dimension is not there, or a single metric is too large.

    Example:
        >>> values = {"loss": (("K", "seed"), [[1.0, 3.0], [2.0, 2.0]]), "status": (("K", "seed"), [[1, 1], [1, 0]])}
        >>> found = cubes(xr.Dataset(values, {"K": [10, 20]}), None, None, None, None)
        >>> found.x, found.cubes[0].mean.tolist(), found.cubes[0].seeds.tolist(), found.pending.tolist()
        ('K', [2.0, 2.0], [2, 1], [0, 1])
    """
    names = [str(n) for n in ds.data_vars if n not in (STATUS, FIRST_BAD, "side") and ds[n].dtype.kind in "biuf"]
    if not names:
        raise ValueError("metric: there are none; allowed: a Dataset with numbers")
    for name in [*(metrics or ()), *([metric] if metric else [])]:
        if name not in names:
            raise ValueError(unknown("metric", name, names))
    wanted = list(metrics or [n for n in names if _own(ds, n) <= _OWN])
    first = metric or ("test_loss" if "test_loss" in wanted else wanted[0] if wanted else names[0])
    wanted = [first, *(name for name in wanted if name != first)]
    left_out = [f"{n}, of {_own(ds, n):,} numbers for each network" for n in names if n not in wanted] * (not metrics)
    ds, thinned = _thinned(ds, first, room)
    left_out += thinned
    seed = [d for d in ds[STATUS].dims if d != "seed"]
    order = _order([str(d) for d in seed if d in ds[first].dims], ds, x, y)
    found: list[Cube] = []
    for name in wanted:
        size = math.prod(n for d, n in ds[name].sizes.items() if d != "seed")
        if size > room:
            if name == first:
                raise ValueError(f"metric: {name} has {size:,} numbers; allowed: {room:,}, so a part of the Dataset")
            left_out.append(f"{name}, of {size:,} numbers in all, for want of room (metrics=… chooses)")
            continue
        room -= size
        found.append(_cube(ds, name, order))
    status = ds[STATUS].load()
    dims = tuple(d for d in order if d in status.dims)
    rest = tuple(str(d) for d in status.dims if d not in (*dims, "seed"))
    counts = [_over_seeds(status == code).transpose(*rest, *dims).values for code in (DIVERGED, PENDING)]
    used = dict.fromkeys(d for one in found for d in one.dims)
    axes = {d: _axis(ds, d) for d in (*used, *rest)}
    plane = [d for d in order if d in dims][:2]
    across, up = [*plane, None, None][:2]
    free = tuple(d for d in axes if d not in (across, up))
    diverged, pending = (c.astype(np.uint16) for c in counts)
    return Cubes(axes, across, up, free, found, (*rest, *dims), diverged, pending, left_out)


def _own(ds: xr.Dataset, name: str) -> int:
    """How many numbers a metric has for each network and step."""
    return math.prod(n for d, n in ds[name].sizes.items() if d not in (*ds[STATUS].dims, "seed", *_STEPS))


def _thinned(ds: xr.Dataset, metric: str, room: int) -> tuple[xr.Dataset, list[str]]:
    """Fewer recorded steps, the first and the last among them, if the metric has more than half of the room."""
    for step in _STEPS:
        if step not in ds[metric].dims or step in ds[STATUS].dims:
            continue
        cells = math.prod(n for d, n in ds[metric].sizes.items() if d not in ("seed", step))
        number, most = ds.sizes[step], max(room // (2 * cells), 2)
        if number > most:
            some = np.unique(np.linspace(0, number - 1, most).round().astype(int))
            return ds.isel({step: some}), [f"{number - len(some):,} of {number:,} recorded steps"]
    return ds, []


def _order(swept: list[str], ds: xr.Dataset, x: str | None, y: str | None) -> list[str]:
    """The swept dimensions, those of the heatmap first."""
    for name, dim in (("x", x), ("y", y)):
        if dim is not None and (dim not in swept or x == y):
            raise ValueError(f"{name}: {dim!r} was not swept, or is the other; allowed: {listed(swept)}")
    long = [d for d in swept if ds.sizes[d] > 1] or swept
    free = iter(sorted((d for d in long if d not in (x, y)), key=lambda d: _is_named(ds, d)))
    plane = [d for d in (x or next(free, None), y or next(free, None)) if d]
    return [*plane, *(d for d in swept if d not in plane)]


def _cube(ds: xr.Dataset, name: str, order: list[str]) -> Cube:
    values = stats.finished(ds[name].load(), ds[STATUS]).rename(name)
    dims = tuple(str(d) for d in values.dims if d != "seed")
    values = values.where(np.isfinite(values))
    values = values if "seed" in values.dims else values.expand_dims("seed")
    found = stats.interval(values)
    seeds = values.notnull().sum("seed").transpose(*dims)
    mean, low, high = (found[n].transpose(*dims).values.astype(np.float32) for n in ("mean", "low", "high"))
    exact = found.assign_coords({d: ds[d] for d in dims if d in ds.coords})
    return Cube(name, label_of(ds[name]), dims, mean, low, high, seeds.values.astype(np.uint16), exact)


def _over_seeds(flags: xr.DataArray) -> xr.DataArray:
    return flags.sum("seed") if "seed" in flags.dims else flags.astype(int)


def _is_named(ds: xr.Dataset, dim: str) -> bool:
    """Names, or numbers of rows whose settings stand in other coordinates."""
    return is_named(ds[dim].values) or _is_numbered(ds, dim)


def _is_numbered(ds: xr.Dataset, dim: str) -> bool:
    return bool(_settings(ds, dim)) and ds[dim].values.tolist() == [*range(ds.sizes[dim])]


def _settings(ds: xr.Dataset, dim: str) -> list[str]:
    """Coordinates along a dimension that are not its own."""
    return [str(name) for name in ds.coords if ds[name].dims == (dim,) and name != dim]


def _axis(ds: xr.Dataset, dim: str) -> Axis:
    settings = _settings(ds, dim)
    texts = [text(value) for value in ds[dim].values.tolist()]
    label = label_of(ds[dim]) if dim in ds.coords else dim
    short = texts
    if settings:
        rows = [*zip(*(ds[name].values.tolist() for name in settings), strict=True)]
        moved = [", ".join(f"{n} {text(v)}" for n, v in zip(settings, row, strict=True)) for row in rows]
        texts = [f"{value}, {rest}" for value, rest in zip(texts, moved, strict=True)]
        if _is_numbered(ds, dim):
            texts, short, label = moved, [", ".join(text(v) for v in row) for row in rows], ", ".join(settings)
    short = [shortened(one, _LETTERS) for one in short]
    named = _is_named(ds, dim)
    at = np.array(texts) if named else np.asarray(ds[dim].values)
    order = np.argsort(places(at), kind="stable")
    sides = edges(at[order])  # of ascending ones; each cell then has its own
    cells = np.empty((len(at), 2))
    cells[order] = np.stack([sides[:-1], sides[1:]], axis=1)
    log = not named and is_geometric(places(at)[order])
    return Axis(dim, label, texts, short, places(at), cells, named, log)


def text(value: Any) -> str:
    """A value of a coordinate, as it is read."""
    return f"{value:.6g}" if isinstance(value, float) else str(value)
