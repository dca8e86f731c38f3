"""What a phase map shows of a Dataset: chosen, checked, and reduced over seeds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from snljax.stats import Scale, beyond, ends, finished, real, side
from snljax.variables import DONE, PENDING, STATUS, as_floats

SIDE = "side"  # of a traced diagram: on which side of its level each cell lies, trained or not
_SIGNS = {"above": 1, "below": -1}  # where a traced diagram counts networks that diverged; else they are left out


class Plane(NamedTuple):
    """Cells over y, x and facet, ascending, and what they are.

    cells: ``mean``, ``low`` and ``high`` over seeds (`stats.ends`), ``trained`` and ``status``; ``side`` with the
    dimension ``level`` in front, NaN where nothing is known; of a traced diagram ``traced``, its own side. scale: of
    the metric's intervals. seeds: the fewest and the most that a trained cell has.
    """

    cells: xr.Dataset
    metric: str
    scale: Scale
    x: str
    y: str
    facet: str | None
    levels: tuple[float, ...]
    seeds: tuple[int, int]


def plane(
    ds: xr.Dataset,
    metric: str | None,
    level: float | Sequence[float] | None,
    x: str | None,
    y: str | None,
    facet: str | None,
) -> Plane:
    """The cells of a phase map.

    Args:
        ds, metric, level, x, y, facet: as for `phase_map`.

    Returns:
        Plane.

    Raises:
        ValueError: as `phase_map` does for these.

    Example:
        >>> import xarray as xr
        >>> ds = xr.Dataset({"test_loss": (("mu", "K", "seed"), np.arange(8.0).reshape(2, 2, 2))})
        >>> found = plane(ds, None, 2.0, None, None, None)
        >>> found.x, found.y, found.levels, found.seeds, found.cells["mean"].values.tolist()
        ('mu', 'K', (2.0,), (2, 2), [[0.5, 4.5], [2.5, 6.5]])
    """
    traced = ds[SIDE].attrs if SIDE in ds.data_vars else {}
    name = _metric(ds, metric or traced.get("metric"))
    x, y = _axes(ds[name], x, y, facet)
    own = bool(traced) and traced.get("metric", name) == name
    levels = _levels(traced.get("level") if level is None and own else level)
    order = [y, x] if facet is None else [y, x, facet]
    values = ds[name].assign_coords({d: ds[name][d] for d in order})
    values = values if "seed" in values.dims else values.expand_dims("seed")
    status = ds[STATUS] if STATUS in ds.data_vars else xr.where(as_floats(values).notnull(), DONE, PENDING)
    status = status.broadcast_like(values)
    values = finished(values, status)
    outside = beyond(values, status, _SIGNS.get(str(traced.get("diverged")), 0))
    cells = ends(values, outside)
    scale, known = cells.attrs["scale"], cells["low"].notnull()
    cells = cells.assign(trained=(status != PENDING).any("seed"), status=status)
    if traced:
        cells["traced"] = ds[SIDE]
    if levels:
        sides = [
            ds[SIDE].astype(float) if own and traced.get("level") == one else side(values, one, outside).where(known)
            for one in levels
        ]
        cells["side"] = xr.concat([each.reset_coords(drop=True) for each in sides], "level")
    cells["mean"].attrs = dict(ds[name].attrs)
    cells = cells.transpose("level", *order, ..., missing_dims="ignore").sortby([x, y])
    numbers = (status != PENDING).sum("seed").values
    numbers = numbers[numbers > 0] if numbers.any() else numbers
    return Plane(cells, name, scale, x, y, facet, levels, (int(numbers.min()), int(numbers.max())))


def _metric(ds: xr.Dataset, wanted: str | None) -> str:
    names = [str(n) for n in ds.data_vars if n not in (STATUS, SIDE) and "seed" in ds[n].dims]
    names = names or [str(n) for n in ds.data_vars if n not in (STATUS, SIDE)]
    metric = wanted or ("test_loss" if "test_loss" in names else names[0] if len(names) == 1 else None)
    if metric not in ds.data_vars:
        raise ValueError(f"metric: {metric!r} is not there; allowed: {', '.join(names)}")
    real(f"metric, the variable {metric!r}", ds[metric])
    return str(metric)


def _axes(values: xr.DataArray, x: str | None, y: str | None, facet: str | None) -> tuple[str, str]:
    """The dimensions along the axes, of ascending or descending numbers, and none left over."""
    dims = [str(d) for d in values.dims if d != "seed"]
    free = [d for d in dims if d not in (x, y, facet)]
    chosen = {"facet": facet, "x": x or (free.pop(0) if free else None), "y": y or (free.pop(0) if free else None)}
    for argument, dim in chosen.items():
        if dim not in dims and not (argument == "facet" and dim is None):
            raise ValueError(f"{argument}: {dim!r} is no dimension of {values.name}; allowed: {', '.join(dims)}")
        if dim is not None and list(chosen.values()).count(dim) > 1:
            raise ValueError(f"{argument}: {dim!r} is another's dimension too; allowed: each of {', '.join(dims)} once")
    if free:
        left = ", ".join(f"{d} ({values.sizes[d]})" for d in free)
        raise ValueError(f"facet: {facet!r} leaves {left}; allowed: one of them as facet, a Dataset without the others")
    for argument in ("x", "y"):
        at = real(f"{argument}, the coordinate {chosen[argument]!r}", values[chosen[argument]].values).astype(float)
        if not np.isfinite(at).all() or len(np.unique(at)) < len(at):
            raise ValueError(
                f"{argument}: values of {chosen[argument]!r} are not all different, finite numbers; allowed: each once"
            )
    return str(chosen["x"]), str(chosen["y"])


def _levels(level: Any) -> tuple[float, ...]:
    """None, one, or several; ascending."""
    if level is None:
        return ()
    numbers = np.atleast_1d(np.asarray(level))
    if numbers.ndim > 1 or not np.can_cast(numbers.dtype, float, "same_kind") or not np.isfinite(numbers).all():
        raise ValueError(f"level: {level!r}; allowed: a finite number, or several")
    return tuple(sorted({float(n) for n in numbers}))
